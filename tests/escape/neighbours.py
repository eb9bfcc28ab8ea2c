# What one sandbox can see of another: `plant` leaves one of everything and stays, `look` searches for it.
import mmap
mode, mark = sys.argv[1], sys.argv[2]
KEY = int(mark[:7], 16)
librt = ctypes.CDLL("librt.so.1", use_errno=True)


class MqAttr(ctypes.Structure):
    _fields_ = [(n, ctypes.c_long) for n in ("flags", "maxmsg", "msgsize", "curmsgs", "a", "b", "c", "d")]


def queue(flags):
    attr = MqAttr(maxmsg=1, msgsize=64)
    fd = librt.mq_open(("/" + mark).encode(), flags, 0o666, ctypes.byref(attr))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    return fd


def ipc(call, *arguments):
    result = call(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return "there"


if mode == "plant":
    kept = []
    for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/root", "/"):
        with open(f"{place}/{mark}", "w") as file:
            file.write(mark)
        os.chmod(f"{place}/{mark}", 0o666)
    for call, arguments in [(libc.shmget, (KEY, 4096, 0o1666)), (libc.semget, (KEY, 1, 0o1666)), (libc.msgget, (KEY, 0o1666))]:
        ipc(call, *arguments)
    kept.append(queue(os.O_CREAT | os.O_RDWR))
    for address in ("\0" + mark, f"/tmp/{mark}.sock"):
        s = socket.socket(socket.AF_UNIX)
        s.bind(address)
        s.listen()
        kept.append(s)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        s = socket.socket(family)
        try:
            s.bind((host, 40000 + KEY % 20000))
            s.listen()
            kept.append(s)
        except OSError:
            pass
    libc.prctl(15, mark[:15].encode(), 0, 0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("planted", flush=True)
    time.sleep(100000)

print("neighbours: as", os.getuid())
for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/root", "/"):
    tried(f"file in {place}", lambda: content(f"{place}/{mark}").decode() == mark and "there")
tried("System V memory", ipc, libc.shmget, KEY, 0, 0o666)
tried("System V semaphore", ipc, libc.semget, KEY, 0, 0o666)
tried("System V queue", ipc, libc.msgget, KEY, 0o666)
tried("message queue", lambda: queue(os.O_RDWR) and "there")
for what, family, address in [("abstract socket", socket.AF_UNIX, "\0" + mark), ("path socket", socket.AF_UNIX, f"/tmp/{mark}.sock"),
                              ("loopback", socket.AF_INET, ("127.0.0.1", 40000 + KEY % 20000)),
                              ("loopback, IPv6", socket.AF_INET6, ("::1", 40000 + KEY % 20000))]:
    def connect():
        with socket.socket(family) as s:
            s.settimeout(1)
            s.connect(address)
        return "there"
    tried(what, connect)
known = set(filter(str.isdigit, os.listdir("/proc")))
tried("process by name", lambda: "there" if any(mark[:15].encode() in content(f"/proc/{p}/comm") for p in known) else "not there")
found, signalled = 0, 0
for pid in range(2, int(sys.argv[3])):
    if pid == os.getpid():
        continue
    try:
        os.kill(pid, 0)
        found += 1
    except OSError as error:
        signalled += error.errno == errno.ESRCH
print("more processes than /proc shows:", max(0, found - len(known - {"1", str(os.getpid())})))
print("ids tried:", signalled + found > 1000)
