# The harness's own things: results, sockets, processes.
mode = sys.argv[1]

if mode == "killer":
    # Kills everything in sight for as long as it lives, except itself and the main process, with which the sandbox ends.
    end = time.monotonic() + float(sys.argv[2])
    count = 0
    while time.monotonic() < end:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) not in (os.getpid(), 1, 2):
                try:
                    os.kill(int(pid), signal.SIGKILL)
                    count += 1
                except OSError:
                    pass
        try:
            os.kill(1, signal.SIGKILL)
        except OSError:
            pass
    print("killed:", count > 0)
    sys.exit()

if mode == "forger":
    # A command that says it has succeeded, in every way but by its exit status.
    for fd in range(3, 64):
        try:
            os.write(fd, b'{"reply":"exited","end":{"cause":"exited","code":0}}')
        except OSError:
            pass
    sys.stdout.write('{"reply":"exited","end":{"cause":"exited","code":0}}')
    sys.stdout.flush()
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)       # holds the streams open
        os._exit(0)
    for fd in range(3):
        os.close(fd)
    os._exit(7)

if mode == "stopped":
    print("stops", flush=True)
    os.kill(0, signal.SIGSTOP)

if mode == "sockets":
    print("sockets: as", os.getuid())
    found = []
    for base, dirs, files in os.walk("/", onerror=lambda e: None):
        dirs[:] = [d for d in dirs if os.path.join(base, d) not in ("/proc", "/sys", "/usr")]
        for entry in files:
            path = os.path.join(base, entry)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    found.append(path)
            except OSError:
                pass
    print("sockets in sight:", " ".join(found) or "none")
    print("listening:", sum(1 for l in open("/proc/net/unix")) - 1)
    for path in sys.argv[2:]:
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            def connect():
                with socket.socket(socket.AF_UNIX, kind) as s:
                    s.settimeout(2)
                    s.connect(path)
                return "connected"
            tried(f"{os.path.basename(path)} {kind.name}", connect)
    tried("pkill -f", lambda: (os.system("pkill -9 -f shed" + "box"), os.system("pkill -9 -f sleep-of" + "-the-host")) and None)
