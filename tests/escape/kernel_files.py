# Files of the kernel whose content runs programs on the host, changes it, or tells about it.
if content("/proc/1/comm").strip() != b"shedbox-init":
    sys.exit("not in a sandbox: these writes are not made here")
print("kernel files: as", os.getuid())
RUNS = [
    ("/proc/sys/kernel/core_pattern", "|/tmp/payload %P"), ("/proc/sys/kernel/modprobe", "/tmp/payload"),
    ("/proc/sys/fs/binfmt_misc/register", ":x:M::\\x7fELF::/tmp/payload:"), ("/sys/kernel/uevent_helper", "/tmp/payload"),
    ("/proc/sys/kernel/hotplug", "/tmp/payload"), ("/proc/sysrq-trigger", "h"), ("/proc/sys/kernel/sysrq", "1"),
    ("/sys/fs/cgroup/release_agent", "/tmp/payload"), ("/proc/sys/kernel/usermodehelper/bset", "0 0"),
]
CHANGES = [
    ("/proc/sys/vm/drop_caches", "1"), ("/proc/sys/vm/overcommit_memory", "1"), ("/proc/sys/kernel/pid_max", "400"),
    ("/proc/sys/kernel/randomize_va_space", "0"), ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/hostname", "owned"), ("/proc/sys/kernel/ns_last_pid", "7"),
    ("/proc/sys/net/ipv4/ip_forward", "1"), ("/proc/sys/kernel/shmmax", "1"), ("/sys/power/state", "mem"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "never"), ("/sys/module/printk/parameters/time", "N"),
    ("/proc/1/oom_score_adj", "-1000"), ("/proc/1/setgroups", "allow"), ("/proc/1/uid_map", "0 0 1"),
    ("/proc/irq/default_smp_affinity", "1"), ("/proc/fs/xfs/stat", "1"),
]
TELLS = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/kallsyms", "/proc/interrupts",
         "/proc/latency_stats", "/proc/kmsg", "/proc/kpagecount", "/proc/vmallocinfo", "/proc/slabinfo",
         "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/console", "/dev/fuse",
         "/dev/net/tun", "/dev/kvm", "/sys/kernel/vmcoreinfo", "/sys/kernel/security/lsm"]
for path, text in RUNS + CHANGES:
    tried(path, put, path, text)


def told(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(fd)
    return ("the null device" if stat.S_ISCHR(mode.st_mode) and mode.st_rdev == os.makedev(1, 3)
            else "%d bytes" % len(os.read(fd, 64)))


for path in TELLS:
    tried(path, told, path)
for path in ["/sys/firmware", "/sys/devices/virtual/powercap", "/proc/acpi", "/proc/asound", "/proc/scsi",
             "/sys/kernel/debug", "/sys/kernel/tracing"]:
    tried(path, lambda: "%d entries" % len(os.listdir(path)))
for what, major, minor in [("disk", 8, 0), ("memory", 1, 1), ("kmsg", 1, 11), ("null", 1, 3)]:
    def node():
        place = f"/tmp/node.{what}"
        os.mknod(place, stat.S_IFBLK | 0o600 if what == "disk" else stat.S_IFCHR | 0o600, os.makedev(major, minor))
        return content(place, 16)
    tried(f"mknod {what}", node)
for path in ["/proc/sys", "/proc/kcore", "/proc/keys", "/proc", "/sys"]:
    tried(f"umount {path}", sys_call, "umount2", path.encode() + b"\0", 2)
    tried(f"remount {path}", sys_call, "mount", b"none\0", path.encode() + b"\0", b"\0", 0x20 | 0x1000, None)
