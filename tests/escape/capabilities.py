# CVE-2022-24769 and its kin: capabilities that a program keeps or gains.
FIELDS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")


def status():
    lines = dict(l.rstrip("\n").split(":\t", 1) for l in open("/proc/self/status") if ":\t" in l)
    return " ".join(f"{f}={lines[f].lstrip('0') or '0'}" for f in FIELDS)


def capset(inheritable, permitted, effective):
    header = struct.pack("<II", 0x20080522, 0)
    data = struct.pack("<IIIIII", effective & 0xFFFFFFFF, permitted & 0xFFFFFFFF, inheritable & 0xFFFFFFFF,
                       effective >> 32, permitted >> 32, inheritable >> 32)
    sys_call("capset", ctypes.create_string_buffer(header), ctypes.create_string_buffer(data))


def become(uid):
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def of_program(path):
    """What a program that is executed has."""
    import subprocess
    out = subprocess.run([path, "-c", "import os\nprint(os.geteuid(), [l.split()[1].lstrip('0') or '0' for l in open('/proc/self/status') if l.startswith('CapEff')][0])"],
                         capture_output=True, text=True)
    return out.stdout.strip() or f"status {out.returncode}"


def as_user(uid, path):
    def run():
        become(uid)
        return of_program(path)
    return in_child(run)


everything = (1 << 41) - 1
uid = int(sys.argv[1])
print("capabilities: as", os.getuid())
print("status:", status())
tried("all, permitted", in_child, lambda: capset(0, everything, everything))
tried("SYS_ADMIN, inheritable", in_child, lambda: capset(1 << 21, 0, 0))
tried("ambient SYS_ADMIN", in_child, lambda: libc.prctl(47, 2, 21, 0, 0))
tried("no_new_privs off", in_child, lambda: libc.prctl(38, 0, 0, 0, 0) == 0 or None)
print("after that:", status())
import shutil
os.makedirs("/tmp/suid", exist_ok=True)
for copy in ("root", "file", "plain"):
    shutil.copy(os.path.realpath("/usr/bin/python3"), f"/var/tmp/{copy}")
os.chmod("/var/tmp/root", 0o6755)
tried("file capabilities", lambda: os.setxattr("/var/tmp/file", "security.capability", struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0x1FF, 0)) and None)
tried("setuid copy", as_user, uid, "/var/tmp/root")
tried("copy with file capabilities", as_user, uid, "/var/tmp/file")
tried("plain copy", as_user, uid, "/var/tmp/plain")
import subprocess
for argv in (["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["newuidmap", "1", "0", "0", "1"], ["mount", "-t", "tmpfs", "x", "/mnt"],
             ["fusermount3", "-u", "/mnt"], ["pkexec", "id", "-u"], ["chfn", "-f", "x", "root"]):
    if shutil.which(argv[0]) is None:
        continue

    def run():
        become(uid)
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
        return "refused" if done.returncode and "0" != done.stdout.strip() else "let in: " + done.stdout.strip()
    tried(f"setuid {argv[0]}", in_child, run)
