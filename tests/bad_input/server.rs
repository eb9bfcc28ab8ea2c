//! A registry that misbehaves, in a thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What to answer.
pub(crate) enum Answer {
    /// A status, more headers (each with its end of line), a body.
    Status(u16, String, Vec<u8>),
    /// Nothing, until the client goes.
    Silence,
    /// The promise of a body, half of it, then silence.
    Half(Vec<u8>),
}

/// The registry. Its thread ends with the test's process.
pub(crate) struct Server {
    pub(crate) address: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// `answer` gets the path of each request.
    pub(crate) fn new(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let (answer, counter) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, counter) = (Arc::clone(&answer), Arc::clone(&counter));
                std::thread::spawn(move || {
                    // A client that has gone away is part of these tests.
                    let _ = serve(&*answer, &counter, &stream.unwrap());
                });
            }
        });
        Self { address, requests }
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(
    answer: &dyn Fn(&str) -> Answer,
    counter: &AtomicUsize,
    mut stream: &TcpStream,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(());
    };
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    counter.fetch_add(1, Ordering::SeqCst);
    let (body, length) = match answer(first.split(' ').nth(1).unwrap_or_default()) {
        Answer::Status(status, headers, body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
            )?;
            return if first.starts_with("HEAD ") {
                Ok(())
            } else {
                stream.write_all(&body)
            };
        }
        Answer::Silence => (Vec::new(), None),
        Answer::Half(body) => {
            let length = body.len();
            (body, Some(length))
        }
    };
    if let Some(length) = length {
        write!(stream, "HTTP/1.1 200 X\r\ncontent-length: {length}\r\n\r\n")?;
        stream.write_all(&body[..length / 2])?;
        stream.flush()?;
    }
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    stream.read_exact(&mut [0])
}
