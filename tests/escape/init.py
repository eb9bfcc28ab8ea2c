# Everything that one process can do to another, done to init and to whatever else of ours is in sight.
print("init: as", os.getuid())
ATTACH, SEIZE = 16, 0x4206


def vm(call):
    local = ctypes.create_string_buffer(64)
    iov = (ctypes.c_ulong * 2)(ctypes.addressof(local), 64)
    far = (ctypes.c_ulong * 2)(0x400000, 64)
    return sys_call(call, 1, ctypes.addressof(iov), 1, ctypes.addressof(far), 1, 0)


def grab():
    pidfd = sys_call("pidfd_open", 1, 0)
    return [sys_call("pidfd_getfd", pidfd, fd, 0) for fd in range(3, 10)]


tried("ptrace attach", sys_call, "ptrace", ATTACH, 1, 0, 0)
tried("ptrace seize", sys_call, "ptrace", SEIZE, 1, 0, 0)
tried("process_vm_readv", vm, "process_vm_readv")
tried("process_vm_writev", vm, "process_vm_writev")
tried("pidfd_getfd", grab)
tried("kcmp", sys_call, "kcmp", 1, os.getpid(), 0, 0, 0)
for entry in ("mem", "maps", "environ", "exe", "auxv", "syscall", "stack", "pagemap", "io", "smaps"):
    tried(f"read /proc/1/{entry}", content, f"/proc/1/{entry}", 16)
for entry in ("fd/3", "root", "cwd", "exe"):
    tried(f"link /proc/1/{entry}", os.readlink, f"/proc/1/{entry}")
for entry in ("fdinfo", "map_files"):
    tried(f"list /proc/1/{entry}", os.listdir, f"/proc/1/{entry}")
tried("open /proc/1/fd/3", content, "/proc/1/fd/3", 16)
for entry in ("user", "mnt", "net", "pid"):
    tried(f"open /proc/1/ns/{entry}", lambda: os.close(os.open(f"/proc/1/ns/{entry}", os.O_RDONLY)))
tried("write /proc/1/mem", put, "/proc/1/mem", b"\xcc" * 64)
sent = 0
for number in range(1, 65):
    try:
        os.kill(1, number)
        sent += 1
    except OSError as error:
        sent += error.errno == errno.EPERM
print("signals sent:", sent)
import resource
tried("read its limits", lambda: "known" if resource.prlimit(1, resource.RLIMIT_NOFILE) else "")
tried("own limits", lambda: resource.prlimit(0, resource.RLIMIT_CORE, (0, 0)) and None)
for what in ("CPU", "NOFILE", "AS", "FSIZE", "NPROC"):
    tried(f"prlimit {what}", resource.prlimit, 1, getattr(resource, "RLIMIT_" + what), (1, 1))
ones = struct.pack("<QQ", 1, 1)
tried("prlimit by high bits", lambda: sys_call(302 if X86 else 261, 1 | 1 << 32, 7, ctypes.create_string_buffer(ones), 0))
tried("sched_setscheduler", os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))
tried("sched_setaffinity", os.sched_setaffinity, 1, {0})
tried("setpriority", os.setpriority, os.PRIO_PROCESS, 1, 19)
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and content(f"/proc/{pid}/comm").startswith(b"shedbox")]
print("programs of ours in sight:", " ".join(sorted(others)))
print("still pid 1:", content("/proc/1/comm").decode().strip())
