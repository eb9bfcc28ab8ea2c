"""A small world: `python3 world.py ADDRESS RESOLVER DIRECTORY`.

A DNS server at RESOLVER says that every name below `world.test` is at ADDRESS, where an HTTPS and an HTTP server answer
with the name that they were asked for. The certificate is made in DIRECTORY. Prints `ready`, ends with its input.
"""
import os, socket, ssl, struct, subprocess, sys, threading

address, resolver, directory = sys.argv[1:]
certificate, key = (os.path.join(directory, name) for name in ("certificate.pem", "key.pem"))
subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=world.test",
     "-addext", "subjectAltName=DNS:*.world.test", "-keyout", key, "-out", certificate],
    check=True, stderr=subprocess.DEVNULL,
)


def names():
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((resolver, 53))
    while True:
        question, client = datagrams.recvfrom(2048)
        end = question.index(b"\0", 12) + 5
        asked, kind = question[12 : end - 4], struct.unpack("!H", question[end - 4 : end - 2])[0]
        known = asked.lower().endswith(b"\x05world\x04test\0")
        answer = b""
        if known and kind == 1:
            answer = b"\xc0\x0c" + struct.pack("!2HIH", 1, 1, 30, 4) + socket.inet_aton(address)
        header = question[:2] + struct.pack("!5H", 0x8180 if known else 0x8183, 1, 1 if answer else 0, 0, 0)
        datagrams.sendto(header + question[12:end] + answer, client)


def web(port, greet):
    listener = socket.create_server((address, port), backlog=64)

    def answer(stream):
        try:
            name, stream = greet(stream)
            request = stream.recv(4096).decode()
            host = next((line[6:] for line in request.split("\r\n") if line.lower().startswith("host: ")), "")
            body = f"{name or host}\n"
            stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
            stream.close()
        except OSError:
            pass

    def accept():
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    return accept


def greet_tls(stream):
    asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _stream, name, _context: asked.append(name)
    wrapped = context.wrap_socket(stream, server_side=True)
    return asked[0] or "nobody", wrapped


servers = [names, web(443, greet_tls), web(80, lambda stream: (None, stream))]
for server in servers:
    threading.Thread(target=server, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
