# The host's sockets: loopback, its own addresses, link-local, abstract names.
print("sockets: as", os.getuid())
for target in sys.argv[1:]:
    kind, _, address = target.partition("=")

    def connect():
        if kind == "abstract":
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(1)
                s.connect("\0" + address)
                return s.recv(64).decode()
        if kind == "path":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if not address.startswith("seq:") else socket.SOCK_SEQPACKET) as s:
                s.settimeout(1)
                s.connect(address.removeprefix("seq:"))
                return "connected"
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as s:
            s.settimeout(1)
            s.connect((host, int(port)))
            s.send(b"x")
            return s.recv(64).decode()
    tried(kind if kind in ("abstract", "path", "host", "udp") else kind, connect)
print("abstract names in sight:", sum(l.split()[-1].startswith("@") for l in open("/proc/net/unix")))
print("interfaces:", " ".join(sorted(os.listdir("/sys/class/net"))))
print("routes:", len(open("/proc/net/route").readlines()) - 1)
