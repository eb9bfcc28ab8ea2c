# What an episode does to be there in the next one: processes that do not let go, descriptors of the old tree, things
# planted where the next generation might look. Prints `planted` and goes on for ever.
import fcntl, threading
mark = sys.argv[1]


def deaf():
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            try:
                signal.signal(number, signal.SIG_IGN)
            except OSError:
                pass


def tree_of_descriptors():
    """Directories, files, a memory file, namespaces, its own and those of the tree that goes."""
    kept = [os.open(p, os.O_RDONLY) for p in ("/", "/tmp", "/proc", "/var", "/etc/passwd", "/dev/shm")]
    kept += [os.open(f"/proc/self/ns/{n}", os.O_RDONLY) for n in ("mnt", "pid", "net", "ipc", "uts", "user")]
    kept.append(os.memfd_create(mark))
    deleted = os.open(f"/var/tmp/{mark}.deleted", os.O_CREAT | os.O_RDWR)
    os.unlink(f"/var/tmp/{mark}.deleted")
    fcntl.flock(kept[4], fcntl.LOCK_EX)
    return kept + [deleted]


def writer():
    """Writes to every name of the old tree for as long as it lives."""
    deaf()
    os.setsid()
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    held = tree_of_descriptors()
    number = 0
    while held:
        number += 1
        for where in ("", "var/", "tmp/", "dev/shm/", "root/"):
            try:
                fd = os.open(f"{where}{mark}.late", os.O_CREAT | os.O_WRONLY, dir_fd=root)
                os.write(fd, b"late")
                os.close(fd)
            except OSError:
                pass


def renamer():
    """A storm of renames: directories that are never where they were."""
    deaf()
    os.setsid()
    os.makedirs("/var/tmp/storm/a/b", exist_ok=True)
    os.chdir("/var/tmp/storm")
    while True:
        for old, new in (("a", "x"), ("x/b", "y"), ("y", "x/b"), ("x", "a")):
            try:
                os.rename(old, new)
            except OSError:
                pass


def forker():
    """Forks for as long as it can; what is killed has been replaced."""
    deaf()
    while True:
        try:
            if os.fork():
                time.sleep(0.01)
                os._exit(0)
            os.setsid()
        except OSError:
            time.sleep(0.01)


def stopped():
    deaf()
    os.setsid()
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(100000)


def timers():
    """A timer and a listening socket that outlive nothing."""
    deaf()
    os.setsid()
    s = socket.socket()
    s.bind(("127.0.0.1", 4711))
    s.listen()
    a = socket.socket(socket.AF_UNIX)
    a.bind("\0" + mark)
    a.listen()
    time.sleep(100000)


for path, text in [("/root/.bashrc", "touch /tmp/poisoned"), ("/root/.profile", "touch /tmp/poisoned"), ("/etc/ld.so.preload", "/tmp/evil.so"),
                   ("/etc/profile.d/x.sh", "touch /tmp/poisoned"), ("/usr/local/bin/ls", "#!/bin/sh\necho poisoned"), ("/etc/passwd", "root:x:0:0::/tmp:/tmp/evil"),
                   ("/root/.ssh/authorized_keys", "x"), ("/var/tmp/" + mark, "x"), ("/root/sitecustomize.py", "raise SystemExit(9)")]:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text + "\n")
        os.chmod(path, 0o755)
    except OSError:
        pass
for n in (1, 2):
    librt = ctypes.CDLL(None, use_errno=True)
    librt.shmget(0x4711 + n, 4096, 0o1666)
for job in (writer, writer, renamer, forker, stopped, timers):
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        try:
            job()
        finally:
            os._exit(0)
    os.wait()
time.sleep(0.2)
print("planted", flush=True)
os._exit(0)
