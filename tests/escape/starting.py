# CVE-2016-9962 and CVE-2024-21626 from inside: watches for processes that are about to become a command, and takes what
# they have open before they let go of it.
end = time.monotonic() + float(sys.argv[1])
known, new, early = set(os.listdir("/proc")), 0, 0
taken, refused = set(), set()
while time.monotonic() < end:
    now = set(filter(str.isdigit, os.listdir("/proc")))
    for pid in now - known:
        new += 1
        base = f"/proc/{pid}"
        try:
            early += content(base + "/comm").strip() == b"shedbox-init"
        except OSError:
            pass
        for link in ("root", "cwd", "exe"):
            try:
                where = os.readlink(f"{base}/{link}")
                if where.startswith("/memfd") or link == "root" and where != "/":
                    taken.add(f"{link} {where}")
            except OSError as error:
                refused.add(name(error.errno))
        for fd in range(3, 24):
            try:
                where = os.readlink(f"{base}/fd/{fd}")
                if fd > 3 or not where.startswith(("/proc", "/etc", "/usr", "/lib", "/bin", "/dev/null")):
                    taken.add(f"fd {fd} {where}")
            except OSError as error:
                refused.add(name(error.errno))
        try:
            sys_call("ptrace", 0x4206, int(pid), 0, 0)
            if content(base + "/comm").strip() == b"shedbox-init":
                taken.add("ptrace")
        except OSError as error:
            refused.add("ptrace " + name(error.errno))
    known = now
    # Who traces is told of an end before the parent is: unless it takes note, the command never ends for anybody else.
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | 0x40000000)
        except ChildProcessError:
            break
        if pid == 0:
            break
        if os.WIFSTOPPED(status):
            sys_call("ptrace", 7, pid, 0, os.WSTOPSIG(status))
print("new processes seen:", new > 2, flush=True)
print("as our own program:", early)
print("taken:", " | ".join(sorted(taken)) or "nothing")
