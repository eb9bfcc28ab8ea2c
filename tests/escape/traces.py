# Looks for whatever `stay.py` has left, from the next generation.
mark = sys.argv[1]
print("traces: as", os.getuid())
hits = []
for base, dirs, files in os.walk("/"):
    dirs[:] = [d for d in dirs if os.path.join(base, d) not in ("/proc", "/sys", "/usr", "/lib")]
    for entry in files + dirs:
        if mark in entry or entry in ("storm", "poisoned", "ld.so.preload"):
            hits.append(os.path.join(base, entry))
print("files:", " ".join(sorted(hits)) or "none")
pids = sorted(map(int, filter(str.isdigit, os.listdir("/proc"))))
print("processes:", "none" if len([p for p in pids if p not in (1, os.getpid())]) == int(sys.argv[2]) else pids)
print("memory:", len(open("/proc/sysvipc/shm").readlines()) - 1)
print("queues:", len(os.listdir("/dev/mqueue")))


def connect(family, address):
    with socket.socket(family) as s:
        s.settimeout(1)
        s.connect(address)
    return "there"


tried("loopback", connect, socket.AF_INET, ("127.0.0.1", 4711))
tried("abstract", connect, socket.AF_UNIX, "\0" + mark)
import fcntl
tried("lock", lambda: fcntl.flock(os.open("/etc/passwd", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB))
print("passwd:", content("/etc/passwd").split(b":")[0].decode(), b"/tmp/evil" not in content("/etc/passwd", 1 << 20))
print("poison:", os.path.exists("/tmp/poisoned") or os.path.exists("/etc/ld.so.preload"))
print("shell:", os.popen("bash -lc 'ls -d /tmp' 2>&1").read().strip())
