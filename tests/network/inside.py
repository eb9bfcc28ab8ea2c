"""What runs inside of sandboxes: `python3 -c THIS serve NAME PORT`, or a client's step.

serve NAME PORT        TCP and UDP, IPv4 and IPv6: answers with NAME and the address of the client
tcp ADDRESS PORT       connects and prints the answer, or the name of the error
udp ADDRESS PORT       sends a datagram and prints the answer, or `timeout`
hold ADDRESS PORT      connects, prints `open`, then the answer or error of each line that is read
look NAME              addresses of a name, or the name of the error
reverse ADDRESS        name of an address, or the name of the error
ask SERVER NAME [tcp]  asks one DNS server for a name: addresses, or the code of the answer
"""
import errno, os, socket, struct, sys, threading

LIMIT = 5


def told(error):
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return {socket.EAI_NONAME: "NXDOMAIN", socket.EAI_AGAIN: "EAI_AGAIN", socket.EAI_NODATA: "NODATA"}.get(error.errno, str(error))
    if isinstance(error, socket.herror):
        return "NXDOMAIN"
    return errno.errorcode.get(error.errno, str(error))


def attempt(action):
    try:
        print(action(), flush=True)
    except OSError as error:
        print(told(error), flush=True)


def listener(kind, port):
    try:
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", port))
    except OSError:
        sock = socket.socket(socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
    return sock


def serve(name, port):
    datagrams = listener(socket.SOCK_DGRAM, port)
    streams = listener(socket.SOCK_STREAM, port)
    streams.listen(64)

    def answer_datagrams():
        while True:
            _, client = datagrams.recvfrom(2048)
            datagrams.sendto(f"{name} {client[0].removeprefix('::ffff:')}".encode(), client)

    def answer(stream, client):
        try:
            with stream:
                stream.sendall(f"{name} {client[0].removeprefix('::ffff:')}\n".encode())
                while line := stream.recv(2048):
                    stream.sendall(line)
        except OSError:
            pass

    threading.Thread(target=answer_datagrams, daemon=True).start()
    print("ready", flush=True)
    while True:
        stream, client = streams.accept()
        threading.Thread(target=answer, args=(stream, client), daemon=True).start()


def tcp(address, port):
    with socket.create_connection((address, int(port)), LIMIT) as stream:
        stream.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: stream.recv(2048), b"")).decode().strip()


def udp(address, port):
    family = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0][0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect((address, int(port)))
        sock.send(b"x")
        return sock.recv(2048).decode()


def hold(address, port):
    stream = socket.create_connection((address, int(port)), LIMIT)
    stream.recv(2048)
    print("open", flush=True)
    for line in sys.stdin:
        try:
            stream.sendall(line.encode())
            print(stream.recv(2048).decode().strip() or "EOF", flush=True)
        except OSError as error:
            print(told(error), flush=True)


def look(name):
    return " ".join(sorted({info[4][0] for info in socket.getaddrinfo(name, None)}))


def ask(server, name, way="udp"):
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    message = struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + question + struct.pack("!2H", 1, 1)
    if way == "tcp":
        with socket.create_connection((server, 53), LIMIT) as stream:
            stream.sendall(struct.pack("!H", len(message)) + message)
            length = struct.unpack("!H", stream.recv(2, socket.MSG_WAITALL))[0]
            answer = stream.recv(length, socket.MSG_WAITALL)
    else:
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.connect((server, 53))
            sock.send(message)
            answer = sock.recv(4096)
    _, flags, _, count, _, _ = struct.unpack("!6H", answer[:12])
    code = flags & 15
    if code:
        return {2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(code, str(code))
    at, found = 12 + len(question) + 4, []
    for _ in range(count):
        while answer[at] and answer[at] < 0xC0:
            at += answer[at] + 1
        at += 2 if answer[at] else 1
        kind, _, _, length = struct.unpack("!2HIH", answer[at : at + 10])
        at += 10
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at : at + length]))
        at += length
    return " ".join(sorted(found)) or "NODATA"


verb, *words = sys.argv[1:]
if verb == "serve":
    serve(words[0], int(words[1]))
elif verb == "hold":
    try:
        hold(*words)
    except OSError as error:
        print(told(error), flush=True)
elif verb == "reverse":
    attempt(lambda: socket.gethostbyaddr(words[0])[0])
else:
    attempt(lambda: {"tcp": tcp, "udp": udp, "look": look, "ask": ask}[verb](*words))
