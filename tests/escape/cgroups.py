# CVE-2022-0492: a release_agent runs on the host. Needs a control group file system that may be written to.
print("cgroups: as", os.getuid())
os.makedirs("/tmp/cg", exist_ok=True)
for kind, options in [("cgroup", b"rdma"), ("cgroup", b"memory"), ("cgroup", b"none,name=escape"), ("cgroup2", None)]:
    tried(f"mount {kind} {options and options.decode()}",
          lambda: sys_call("mount", b"none\0", b"/tmp/cg\0", kind.encode() + b"\0", 0, options and options + b"\0"))


def in_new_namespaces():
    """What the exploit does first: capabilities in a user namespace of its own."""
    sys_call("unshare", 0x10000000 | 0x00020000 | 0x02000000)
    sys_call("mount", b"none\0", b"/tmp/cg\0", b"cgroup\0", 0, b"rdma\0")
    return "mounted"


tried("mount cgroup in new namespaces", in_child, in_new_namespaces)
# From here on only where the walls are: as root outside this would leave its traces in the machine's own groups.
if content("/proc/1/comm").strip() != b"shedbox-init":
    sys.exit()
found, writable = 0, []
for base, dirs, files in os.walk("/sys/fs/cgroup"):
    for entry in files:
        found += 1
        path = os.path.join(base, entry)
        try:
            os.close(os.open(path, os.O_WRONLY))
            writable.append(path)
        except OSError:
            pass
    try:
        os.mkdir(os.path.join(base, "escape"))
        writable.append(os.path.join(base, "escape"))
    except OSError:
        pass
print("writable below /sys/fs/cgroup:", " ".join(writable) or "nothing")
agents = [l.split()[4] for l in open("/proc/self/mountinfo") if " cgroup " in l]
print("cgroup v1 in sight:", " ".join(agents) or "nothing")
print("own cgroups:", " ".join(sorted({l.rstrip("\n").split(":", 2)[2] for l in open("/proc/self/cgroup")})))
