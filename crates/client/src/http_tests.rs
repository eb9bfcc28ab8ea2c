use std::io::BufRead;
use std::thread;

use super::*;

/// A pool whose connections are served by `script`, one call a connection.
fn serve(script: impl Fn(usize, UnixStream) + Send + Sync + 'static) -> Arc<Pool> {
    let script = Arc::new(script);
    let count = Mutex::new(0);
    Pool::new(move || {
        let (client, server) = UnixStream::pair().unwrap();
        let mut count = count.lock().unwrap();
        *count += 1;
        let (number, script) = (*count, Arc::clone(&script));
        thread::spawn(move || script(number, server));
        Ok(client)
    })
}

/// Reads one request: its first line and its body as it was sent.
fn request(stream: &UnixStream) -> Option<(String, Vec<u8>)> {
    let mut reader = std::io::BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut length = 0;
    let mut chunked = false;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        match field.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Some((line.trim_end().to_owned(), body))
}

fn get(pool: &Arc<Pool>, what: &str) -> Result<Vec<u8>> {
    pool.send("GET", &Target::new([what]), Payload::Empty)?
        .into_bytes(1 << 20)
}

#[test]
fn one_connection_serves_many_requests() {
    let pool = serve(|number, mut stream| {
        while let Some((line, body)) = request(&stream) {
            let text = format!("{number} {line} {}", body.len());
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            )
            .unwrap();
        }
    });
    assert_eq!(get(&pool, "a").unwrap(), b"1 GET /shedbox/v1/a HTTP/1.1 0");
    let body = Payload::Json(b"{}".to_vec());
    let answer = pool
        .send("POST", &Target::new(["b"]), body)
        .unwrap()
        .into_bytes(99)
        .unwrap();
    assert_eq!(answer, b"1 POST /shedbox/v1/b HTTP/1.1 2");
}

#[test]
fn chunked_both_ways() {
    let pool = serve(|_, mut stream| {
        while let Some((_, body)) = request(&stream) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .unwrap();
            for part in body.chunks(100_000) {
                write!(stream, "{:X};x=y\r\n", part.len()).unwrap();
                stream.write_all(part).unwrap();
                stream.write_all(b"\r\n").unwrap();
            }
            stream.write_all(b"0\r\nTrailer: x\r\n\r\n").unwrap();
        }
    });
    let content: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
    for _ in 0..2 {
        let mut reader = &content[..];
        let body = pool
            .send("POST", &Target::new(["x"]), Payload::Stream(&mut reader))
            .unwrap();
        assert!(body.into_bytes(4_000_000).unwrap() == content);
    }
}

#[test]
fn errors_are_the_daemons_own() {
    let pool = serve(|_, mut stream| {
        while let Some((line, _)) = request(&stream) {
            let (status, text) = if line.contains("/json") {
                (
                    404,
                    r#"{"kind":"not_found","message":"no sandbox x","hint":"h"}"#,
                )
            } else {
                (500, "oops")
            };
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            )
            .unwrap();
        }
    });
    match get(&pool, "json").unwrap_err() {
        Error::Refused(error) => {
            assert_eq!(
                (error.kind, error.message.as_str()),
                (Kind::NotFound, "no sandbox x")
            );
        }
        other => panic!("{other}"),
    }
    assert_eq!(
        get(&pool, "text").unwrap_err().to_string(),
        "unexpected answer from the daemon: status 500: oops"
    );
}

#[test]
fn an_idle_connection_that_was_closed_is_not_used() {
    let pool = serve(|number, mut stream| {
        request(&stream).unwrap();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"
        )
        .unwrap();
    });
    assert_eq!(get(&pool, "x").unwrap(), b"1");
    // The server has gone; wait until its end of the connection is closed.
    let idle = pool.idle.lock().unwrap();
    pidfd::readable(&idle.as_ref().unwrap().stream, None).unwrap();
    drop(idle);
    assert_eq!(get(&pool, "x").unwrap(), b"2");
}

#[test]
fn broken_answers() {
    for (answer, message) in [
        ("", "the daemon closed the connection"),
        (
            "HTTP/1.1 200",
            "unexpected answer from the daemon: the answer ends in its head",
        ),
        (
            "NONSENSE\r\n\r\n",
            "unexpected answer from the daemon: invalid HTTP version",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "cannot read from the daemon",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "cannot read from the daemon",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            "cannot read from the daemon",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "unexpected answer from the daemon: unknown transfer-encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "unexpected answer from the daemon: unreadable content-length",
        ),
    ] {
        let pool = serve(move |_, mut stream| {
            request(&stream).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        assert_eq!(
            get(&pool, "x").unwrap_err().to_string(),
            message,
            "{answer:?}"
        );
    }
}

#[test]
fn an_early_refusal_is_read_although_the_upload_breaks() {
    let pool = serve(|_, mut stream| {
        let text = r#"{"kind":"exhausted","message":"disk full"}"#;
        write!(
            stream,
            "HTTP/1.1 507 X\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .unwrap();
    });
    let mut endless = std::io::repeat(0);
    let error = pool
        .send("POST", &Target::new(["x"]), Payload::Stream(&mut endless))
        .unwrap_err();
    assert_eq!(error.to_string(), "disk full");
}

#[test]
fn until_close_and_no_content() {
    let pool = serve(|number, mut stream| {
        request(&stream).unwrap();
        let answer = if number == 1 {
            "HTTP/1.1 200 OK\r\n\r\nall of it"
        } else {
            "HTTP/1.1 204 No Content\r\n\r\n"
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    assert_eq!(get(&pool, "x").unwrap(), b"all of it");
    assert_eq!(get(&pool, "x").unwrap(), b"");
}
