# New namespaces by every call and every ABI that makes them, and the kernel interfaces behind most local exploits.
import mmap

NEWUSER, NEWNS, NEWNET, NEWPID = 0x10000000, 0x00020000, 0x40000000, 0x20000000
NEWCGROUP, NEWUTS, NEWIPC, NEWTIME = 0x02000000, 0x04000000, 0x08000000, 0x80


class CloneArgs(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack",
                                                "stack_size", "tls", "set_tid", "set_tid_size", "cgroup")]


def clone(flags):
    pid = sys_call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(7)
    return "status %d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def clone3(flags):
    args = CloneArgs(flags=flags, exit_signal=signal.SIGCHLD)
    pid = sys_call("clone3", ctypes.cast(ctypes.pointer(args), ctypes.c_void_p).value, ctypes.sizeof(args))
    if pid == 0:
        os._exit(7)
    return "status %d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def machine_code(code):
    """A function of the foreign ABI: no argument, the result of the system call in eax."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if result < 0:
        raise OSError(-result, "")
    return result


def int80(number, ebx=0, ecx=0):
    """A system call of the i386 ABI from a 64-bit program: push rbx; mov eax, ebx, ecx; int 0x80; pop rbx; ret."""
    return machine_code(b"\x53\xb8" + struct.pack("<I", number) + b"\xbb" + struct.pack("<I", ebx)
                        + b"\xb9" + struct.pack("<I", ecx) + b"\x31\xd2\x31\xf6\x31\xff\xcd\x80\x5b\xc3")


def socketcall(family):
    """i386 socketcall(SYS_SOCKET, {family, SOCK_STREAM, 0}): the arguments lie in memory below 4 GiB."""
    MAP_32BIT, PRIVATE, ANONYMOUS = 0x40, 2, 0x20
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, 4096, 3, PRIVATE | ANONYMOUS | MAP_32BIT, -1, 0)
    ctypes.memmove(address, struct.pack("<III", family, 1, 0), 12)
    return int80(102, 1, address)


def socket_of(family, kind=2):
    os.close(sys_call("socket", family, kind, 0))
    return "a socket"


def buffer(size=256):
    return ctypes.addressof(ctypes.create_string_buffer(size))


print("namespaces: as", os.getuid())
for what, flag in [("user", NEWUSER), ("mount", NEWNS), ("net", NEWNET), ("pid", NEWPID), ("cgroup", NEWCGROUP),
                   ("uts", NEWUTS), ("ipc", NEWIPC), ("user+mount", NEWUSER | NEWNS)]:
    tried(f"unshare {what}", in_child, sys_call, "unshare", flag)
    tried(f"clone {what}", in_child, clone, flag)
tried("unshare user, high bits", in_child, sys_call, "unshare", NEWUSER | 1 << 32)
tried("clone user, high bits", in_child, clone, NEWUSER | 1 << 40)
tried("clone3 user", in_child, clone3, NEWUSER)
tried("clone3 plain", in_child, clone3, 0)
if len(sys.argv) > 1:
    sys.exit()
# From here on only where the walls are: as root outside these calls would change the machine.
if content("/proc/1/comm").strip() != b"shedbox-init":
    sys.exit("not in a sandbox: these calls are not made here")
for kind in ("user", "mnt", "pid", "net"):
    tried(f"setns own {kind}", in_child, lambda k=kind: sys_call("setns", os.open(f"/proc/self/ns/{k}", os.O_RDONLY), 0))
if X86:
    tried("i386 getpid", in_child, int80, 20)
    tried("i386 unshare user", in_child, int80, 310, NEWUSER)
    tried("i386 socketcall vsock", in_child, socketcall, 40)
    tried("i386 socketcall alg", in_child, socketcall, 38)
    tried("i386 keyctl", in_child, int80, 288, 0, 0xfffffffd)
    tried("x32 unshare user", in_child, sys_call, 0x40000000 + 272, NEWUSER)
    tried("x32 getpid", in_child, sys_call, 0x40000000 + 39)
for what, family in [("alg", 38), ("vsock", 40), ("packet", 17), ("bluetooth", 31), ("can", 29), ("key", 15), ("rds", 21),
                     ("tipc", 30), ("xdp", 44), ("kcm", 41), ("nfc", 39), ("ax25", 3)]:
    tried(f"socket {what}", socket_of, family, 2)
    tried(f"socket {what}, high bits", socket_of, family | 1 << 32, 2)
for what, protocol in [("xfrm", 6), ("netfilter", 12), ("audit", 9), ("generic", 16), ("uevent", 15)]:
    tried(f"netlink {what}", lambda p=protocol: os.close(sys_call("socket", 16, 3, p)))
tried("netlink route", lambda: os.close(sys_call("socket", 16, 3, 0)))
tried("inet raw", socket_of, 2, 3)
for call, arguments in [
    ("io_uring_setup", (4, buffer())), ("userfaultfd", (1,)), ("bpf", (0, buffer(), 64)),
    ("perf_event_open", (buffer(), 0, -1, -1, 0)), ("keyctl", (0, -3, 1)), ("add_key", (b"user\0", b"k\0", b"v", 1, -3)),
    ("request_key", (b"user\0", b"k\0", None, -3)), ("kexec_load", (0, 0, None, 0)), ("init_module", (None, 0, b"\0")),
    ("finit_module", (0, b"\0", 0)), ("delete_module", (b"x\0", 0)), ("mount", (b"none\0", b"/tmp\0", b"tmpfs\0", 0, None)),
    ("umount2", (b"/proc\0", 2)), ("fsopen", (b"tmpfs\0", 0)), ("open_tree", (-100, b"/\0", 1)),
    ("move_mount", (0, b"\0", -100, b"/tmp\0", 4)), ("mount_setattr", (-100, b"/tmp\0", 0, buffer(), 32)),
    ("fspick", (-100, b"/\0", 0)), ("swapon", (b"/tmp/x\0", 0)), ("reboot", (0xfee1dead, 672274793, 0, None)),
    ("acct", (b"/tmp/x\0",)), ("syslog", (3, buffer(), 16)), ("quotactl", (0x800002, b"/\0", 0, None)),
    ("clock_settime", (0, buffer())), ("settimeofday", (buffer(), None)), ("fanotify_init", (0, 0)),
]:
    tried(call, in_child, sys_call, call, *arguments)
if X86:
    tried("iopl", in_child, sys_call, "iopl", 3)
    tried("ioperm", in_child, sys_call, "ioperm", 0, 1, 1)
