//! `attach/ws`, by a client that keeps to RFC 6455 and by one that does not.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::client;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::engine::Engine;
use crate::require;
use crate::wire::{ask, connect, raw};

const ALL: &str = "stream=1&stdin=1&stdout=1&stderr=1";

fn create(socket: &Path, name: &str, stdin_once: bool, command: &[&str]) {
    let body = serde_json::json!({
        "Image": "tiny", "Cmd": command, "OpenStdin": true, "StdinOnce": stdin_once, "HostConfig": {"NetworkMode": "none"},
    });
    let path = format!("/containers/create?name={name}");
    let made = ask(socket, "POST", &path, Some(&body.to_string()));
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
}

fn start(socket: &Path, name: &str) {
    let path = format!("/containers/{name}/start");
    assert_eq!(ask(socket, "POST", &path, None).status, 204);
}

fn is_running(socket: &Path, name: &str) -> bool {
    let path = format!("/containers/{name}/json");
    ask(socket, "GET", &path, None).json()["State"]["Running"] == true
}

fn attach(socket: &Path, version: &str, name: &str, query: &str) -> WebSocket<UnixStream> {
    let uri = format!("ws://docker/{version}/containers/{name}/attach/ws?{query}");
    client(uri, connect(socket)).expect("a WebSocket").0
}

/// What comes, as messages of bytes.
fn expect(socket: &mut WebSocket<UnixStream>, bytes: &[u8]) {
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        match socket.read().expect("a message") {
            Message::Binary(more) => got.extend_from_slice(&more),
            other => panic!("{other:?} instead of bytes"),
        }
    }
    assert!(got == bytes, "{} bytes, {} wanted", got.len(), bytes.len());
}

fn expect_close(socket: &mut WebSocket<UnixStream>, code: CloseCode) {
    match socket.read() {
        Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, code),
        other => panic!("{other:?} instead of {code:?}"),
    }
}

#[test]
fn a_websocket_carries_what_a_process_reads_and_writes() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    create(socket, "one", false, &["cat"]);
    let mut one = attach(socket, "v1.44", "one", ALL);
    start(socket, "one");
    one.send(Message::binary(&b"\xff\0bytes\n"[..])).unwrap();
    expect(&mut one, b"\xff\0bytes\n");
    // A message in pieces, with a ping between them.
    let piece = |bytes: &'static [u8], code, is_last| {
        Message::Frame(Frame::message(bytes, OpCode::Data(code), is_last))
    };
    one.send(piece(b"a te", Data::Text, false)).unwrap();
    one.send(Message::Ping("payload".into())).unwrap();
    one.send(piece(b"xt\n", Data::Continue, true)).unwrap();
    assert_eq!(one.read().unwrap(), Message::Pong("payload".into()));
    expect(&mut one, b"a text\n");
    // A Close is answered at once, and costs the process nothing.
    one.close(None).unwrap();
    assert!(matches!(one.read(), Ok(Message::Close(_))));
    assert!(matches!(one.read(), Err(Error::ConnectionClosed)));
    assert!(is_running(socket, "one"));

    // The past, and no more.
    let mut past = attach(socket, "v1.44", "one", "logs=1&stdout=1");
    expect(&mut past, b"\xff\0bytes\na text\n");
    expect_close(&mut past, CloseCode::Normal);
    // Without a stream there is nothing to be heard.
    let mut silent = attach(socket, "v1.44", "one", "logs=1&stderr=1");
    expect_close(&mut silent, CloseCode::Normal);
    // All streams, and texts, as old clients are used to.
    let mut old = attach(socket, "v1.27", "one", "stream=1");
    old.send(Message::text("old\n")).unwrap();
    assert_eq!(old.read().unwrap(), Message::text("old\n"));
    // Nobody has asked for input.
    let mut deaf = attach(socket, "v1.44", "one", "stream=1&stdout=1");
    deaf.send(Message::text("thrown away\n")).unwrap();
    old.send(Message::text("kept\n")).unwrap();
    expect(&mut deaf, b"kept\n");
    // The container's end is everybody's.
    assert_eq!(
        ask(socket, "POST", "/containers/one/kill", None).status,
        204
    );
    expect_close(&mut deaf, CloseCode::Normal);
    assert_eq!(old.read().unwrap(), Message::text("kept\n"));
    expect_close(&mut old, CloseCode::Normal);
}

#[test]
fn half_of_a_websocket_can_be_closed() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    create(socket, "one", true, &["sh", "-c", "wc -c; echo end"]);
    let mut one = attach(socket, "v1.44", "one", ALL);
    start(socket, "one");
    for _ in 0..10 {
        one.send(Message::binary(vec![b'x'; 100_000])).unwrap();
    }
    one.get_ref().shutdown(Shutdown::Write).unwrap();
    expect(&mut one, b"1000000\nend\n");
    expect_close(&mut one, CloseCode::Normal);
}

#[test]
fn broken_websockets_are_told_and_cost_nobody_anything() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    create(socket, "one", false, &["cat"]);
    start(socket, "one");
    let masked_length = [&[0x82, 0xff][..], &(17u64 << 20).to_be_bytes(), &[0; 4]].concat();
    for (bytes, code) in [
        // 17 MiB are promised.
        (&masked_length[..], CloseCode::Size),
        // Not masked.
        (b"\x82\x01x", CloseCode::Protocol),
        // A bit that nobody has agreed upon, an unknown code, a piece of nothing.
        (b"\xc2\x81\0\0\0\0x", CloseCode::Protocol),
        (b"\x83\x81\0\0\0\0x", CloseCode::Protocol),
        (b"\x80\x81\0\0\0\0x", CloseCode::Protocol),
        // A text that is none.
        (b"\x81\x81\0\0\0\0\xff", CloseCode::Invalid),
    ] {
        let mut broken = attach(socket, "v1.44", "one", ALL);
        broken.get_mut().write_all(bytes).unwrap();
        expect_close(&mut broken, code);
    }
    // Gone in the middle of a message, and while much is on its way.
    let mut gone = attach(socket, "v1.44", "one", ALL);
    gone.get_mut()
        .write_all(b"\x82\xfe\xff\xff\0\0\0\0x")
        .unwrap();
    drop(gone);
    let mut gone = attach(socket, "v1.44", "one", ALL);
    gone.get_ref()
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    // Nobody reads what comes back: in the end nothing more can be sent.
    while gone.send(Message::binary(vec![b'x'; 1 << 20])).is_ok() {}
    drop(gone);
    let mut next = attach(socket, "v1.44", "one", ALL);
    next.send(Message::text("\nstill there\n")).unwrap();
    let mut got = Vec::new();
    // What was under way of the one who has gone may come before it, and behind it.
    let words = b"\nstill there\n";
    while !got.windows(words.len()).any(|part| part == words) {
        match next.read().unwrap() {
            Message::Binary(more) => got.extend_from_slice(&more),
            other => panic!("{other:?} instead of bytes"),
        }
    }
    assert!(is_running(socket, "one"));
}

#[test]
fn what_is_no_websocket_is_refused() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    create(socket, "one", false, &["cat"]);
    const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let whole = [UPGRADE, VERSION, KEY].concat();
    let from = |origin: &str| format!("{whole}Origin: {origin}\r\n");
    for (name, fields, status, words) in [
        ("one", String::new(), 400, "not websocket protocol"),
        (
            "one",
            [VERSION, KEY].concat(),
            400,
            "not websocket protocol",
        ),
        ("one", [UPGRADE, KEY].concat(), 400, "WebSocket Version"),
        ("one", [UPGRADE, VERSION].concat(), 400, "challenge"),
        // A page from elsewhere, or one that does not say from where.
        ("one", from("https://example.org"), 403, "example.org"),
        ("one", from("null"), 403, "null"),
        ("nobody", whole.clone(), 404, "No such container: nobody"),
    ] {
        let request = format!(
            "GET /containers/{name}/attach/ws?stream=1 HTTP/1.1\r\nHost: docker\r\n{fields}\r\n"
        );
        let answer = raw_and_close(socket, request.as_bytes());
        assert_eq!(answer.status, status, "{fields}{}", answer.head);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{message}");
    }
    // One from here is none of these. The key's answer is RFC 6455's example.
    let request = format!(
        "GET /containers/one/attach/ws?logs=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n{}\r\n",
        from("http://docker")
    );
    let answer = raw(socket, request.as_bytes()).unwrap();
    assert_eq!(answer.status, 101, "{}", answer.head);
    let head = answer.head.to_lowercase();
    assert!(
        head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    assert!(!head.contains("content-type"), "{head}");
    // It has no log: a Close with 1000 is all there is.
    assert_eq!(answer.body, b"\x88\x02\x03\xe8");
}

/// Who is refused may go on with the connection, so the client ends it.
fn raw_and_close(socket: &Path, request: &[u8]) -> crate::wire::Answer {
    let mut stream = connect(socket);
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut all).unwrap();
    crate::wire::parse(&all).expect("an answer")
}
