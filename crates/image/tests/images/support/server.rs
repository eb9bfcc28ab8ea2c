//! A registry in a thread that serves what it is given, and misbehaves as the test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::image::{TestImage, digest};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path without query.
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    /// As far as it is text.
    pub body: String,
    pub bytes: Vec<u8>,
    /// Which request of this method and path it is, from 0.
    pub nth: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }

    pub fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// What is stored, ranges honoured.
    Normal,
    /// The whole content with 200, whatever range was asked for.
    WithoutRange,
    /// Promise everything, send so many bytes, close. Of an upload: take so many bytes, close.
    Cut(usize),
    /// The same, ignoring a range.
    CutWithoutRange(usize),
    /// Only so many bytes, and say so: a blob that is shorter than its descriptor.
    Short(usize),
    /// Other content.
    Body(Vec<u8>),
    /// A status with headers and a text.
    Status(u16, Vec<(String, String)>, String),
    /// Nothing, until the client goes.
    Silence,
}

impl Reply {
    pub fn status(code: u16) -> Self {
        Self::Status(code, Vec::new(), String::new())
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Status(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub fn text(mut self, text: &str) -> Self {
        if let Self::Status(_, _, body) = &mut self {
            text.clone_into(body);
        }
        self
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

pub(super) struct State {
    pub(super) uploads: Mutex<super::uploads::Uploads>,
    pub(super) content: Mutex<BTreeMap<String, (String, Vec<u8>)>>,
    log: Mutex<Vec<Request>>,
    script: Box<Script>,
}

/// The registry. Its thread ends with the test's process.
#[derive(Clone)]
pub struct FakeRegistry {
    pub host: String,
    state: Arc<State>,
}

impl FakeRegistry {
    pub fn new(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            uploads: Mutex::default(),
            content: Mutex::default(),
            log: Mutex::default(),
            script: Box::new(script),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&serving);
                std::thread::spawn(move || {
                    // A client that has gone away is part of these tests.
                    let _ = serve(&state, &stream.unwrap());
                });
            }
        });
        Self { host, state }
    }

    /// Serves `image` as `repository:tag`.
    pub fn put(&self, repository: &str, tag: &str, image: &TestImage) {
        let digest_text = image.digest().to_string();
        for name in [tag, &digest_text] {
            self.put_manifest(repository, name, &image.manifest_type, &image.manifest);
        }
        self.put_blob(repository, &image.config);
        for layer in &image.layers {
            self.put_blob(repository, &layer.bytes);
        }
    }

    pub fn put_manifest(&self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) {
        self.state.content.lock().unwrap().insert(
            format!("/v2/{repository}/manifests/{name}"),
            (media_type.to_owned(), bytes.to_vec()),
        );
    }

    pub fn put_blob(&self, repository: &str, bytes: &[u8]) {
        self.state.content.lock().unwrap().insert(
            format!("/v2/{repository}/blobs/{}", digest(bytes)),
            ("application/octet-stream".to_owned(), bytes.to_vec()),
        );
    }

    pub fn log(&self) -> Vec<Request> {
        self.state.log.lock().unwrap().clone()
    }

    /// What is stored under a path.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        let content = self.state.content.lock().unwrap();
        content.get(path).map(|(_, bytes)| bytes.clone())
    }

    /// Requests of this method, as path and query.
    pub fn requests(&self, method: &str) -> Vec<String> {
        self.log()
            .iter()
            .filter(|request| request.method == method)
            .map(|request| format!("{}?{}", request.path, request.query))
            .collect()
    }

    /// How often this blob was asked for.
    pub fn blob_requests(&self, bytes: &[u8]) -> usize {
        let name = digest(bytes).to_string();
        self.log()
            .iter()
            .filter(|request| request.is_blob() && request.path.ends_with(&name))
            .count()
    }
}

fn read_request(state: &State, stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut log = state.log.lock().unwrap();
    let nth = log
        .iter()
        .filter(|request| request.path == path && request.method == method)
        .count();
    let request = Request {
        method,
        path,
        query,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        bytes: body,
        nth,
    };
    log.push(request.clone());
    Ok(Some(request))
}

fn serve(state: &State, mut stream: &TcpStream) -> std::io::Result<()> {
    let Some(request) = read_request(state, stream)? else {
        return Ok(());
    };
    let reply = (state.script)(&request);
    if let (Reply::Normal | Reply::Cut(_), true) = (&reply, super::uploads::is_one(&request)) {
        let taken = match reply {
            Reply::Cut(length) => Some(length),
            _ => None,
        };
        return super::uploads::serve(state, &request, taken, stream);
    }
    let stored = state.content.lock().unwrap().get(&request.path).cloned();
    let (media_type, content) = match (&reply, stored) {
        (Reply::Silence, _) => {
            stream.set_read_timeout(Some(Duration::from_mins(1)))?;
            return stream.read_exact(&mut [0]);
        }
        (Reply::Status(code, headers, text), _) => {
            let headers = headers.iter().fold(String::new(), |all, (name, value)| {
                all + name + ": " + value + "\r\n"
            });
            return write!(
                stream,
                "HTTP/1.1 {code} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{text}",
                text.len()
            );
        }
        (Reply::Body(bytes), stored) => (
            stored.map_or_else(String::new, |(media_type, _)| media_type),
            bytes.clone(),
        ),
        (_, Some(stored)) => stored,
        (_, None) => {
            let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"it is not here"}]}"#;
            return write!(
                stream,
                "HTTP/1.1 404 X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    };
    let with_range = !matches!(reply, Reply::WithoutRange | Reply::CutWithoutRange(_));
    let from = request
        .header("range")
        .filter(|_| with_range)
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0usize);
    let served = match reply {
        Reply::Short(length) => &content[..length],
        _ => &content[..],
    };
    if from > 0 && from >= served.len() {
        return write!(
            stream,
            "HTTP/1.1 416 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
    }
    let body = &served[from..];
    let status = if from > 0 {
        format!(
            "206 X\r\ncontent-range: bytes {from}-{}/{}",
            served.len() - 1,
            served.len()
        )
    } else {
        "200 X".to_owned()
    };
    // As registries do: the digest of what is stored.
    let announced = if request.is_manifest() {
        format!("docker-content-digest: {}\r\n", digest(&content))
    } else {
        String::new()
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\n{announced}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let sent = match reply {
        Reply::Cut(length) | Reply::CutWithoutRange(length) => &body[..length.min(body.len())],
        _ => body,
    };
    stream.write_all(sent)?;
    stream.flush()
}
