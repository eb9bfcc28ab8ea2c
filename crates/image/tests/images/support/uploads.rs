//! The half of the registry that takes: upload sessions, mounts, manifests. As strict as a real one.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

use serde_json::Value;

use super::image::digest;
use super::server::{Request, State};

/// Upload sessions by number.
#[derive(Default)]
pub struct Uploads {
    made: usize,
    open: BTreeMap<usize, Vec<u8>>,
}

pub fn is_one(request: &Request) -> bool {
    request.path.contains("/blobs/uploads/") || request.method == "PUT"
}

/// Answers; with `taken` only so many bytes of the body arrive, and the connection ends.
pub fn serve(
    state: &State,
    request: &Request,
    taken: Option<usize>,
    mut stream: &TcpStream,
) -> std::io::Result<()> {
    let body = &request.bytes[..taken.unwrap_or(usize::MAX).min(request.bytes.len())];
    let (status, headers, text) = match request.path.split_once("/blobs/uploads/") {
        Some((repository, number)) => upload(state, request, repository, number, body),
        None => manifest(state, request),
    };
    if taken.is_some() {
        return Ok(());
    }
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    request
        .query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.replace("%3A", ":").replace("%2F", "/"))
}

type Answer = (u16, String, String);

fn refused(status: u16, code: &str, message: &str) -> Answer {
    let text = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
    (status, String::new(), text)
}

fn upload(state: &State, request: &Request, repository: &str, number: &str, body: &[u8]) -> Answer {
    let mut uploads = state.uploads.lock().unwrap();
    let mut content = state.content.lock().unwrap();
    if request.method == "POST" {
        if let (Some(blob), Some(from)) = (parameter(request, "mount"), parameter(request, "from"))
            && let Some(stored) = content.get(&format!("/v2/{from}/blobs/{blob}")).cloned()
        {
            content.insert(format!("{repository}/blobs/{blob}"), stored);
            return (201, String::new(), String::new());
        }
        uploads.made += 1;
        let number = uploads.made;
        uploads.open.insert(number, Vec::new());
        return (202, position(repository, number, 0), String::new());
    }
    let number: usize = number.parse().unwrap();
    let Some(has) = uploads.open.get_mut(&number) else {
        return refused(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
    };
    match request.method.as_str() {
        "GET" => (204, position(repository, number, has.len()), String::new()),
        "DELETE" => {
            uploads.open.remove(&number);
            (204, String::new(), String::new())
        }
        "PATCH" => {
            let range = request.header("content-range").unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let sent = request.bytes.len();
            if from.parse() != Ok(has.len()) || to.parse() != Ok(has.len() + sent - 1) {
                return refused(416, "BLOB_UPLOAD_INVALID", "not where it ends");
            }
            has.extend_from_slice(body);
            (202, position(repository, number, has.len()), String::new())
        }
        _ => {
            has.extend_from_slice(body);
            let bytes = uploads.open.remove(&number).unwrap();
            let promised = parameter(request, "digest").unwrap();
            if promised != digest(&bytes).as_str() {
                return refused(400, "DIGEST_INVALID", "it is something else");
            }
            let stored = ("application/octet-stream".to_owned(), bytes);
            content.insert(format!("{repository}/blobs/{promised}"), stored);
            (201, String::new(), String::new())
        }
    }
}

fn position(repository: &str, number: usize, length: usize) -> String {
    let last = length.saturating_sub(1);
    format!("location: {repository}/blobs/uploads/{number}?_state=a%3D\r\nrange: 0-{last}\r\n")
}

fn manifest(state: &State, request: &Request) -> Answer {
    let document: Value = serde_json::from_slice(&request.bytes).unwrap();
    let (repository, _) = request.path.split_once("/manifests/").unwrap();
    let mut content = state.content.lock().unwrap();
    let layers = document["layers"].as_array().unwrap();
    for blob in layers.iter().chain([&document["config"]]) {
        let name = blob["digest"].as_str().unwrap();
        let stored = content.get(&format!("{repository}/blobs/{name}"));
        if stored.is_none_or(|(_, bytes)| bytes.len() as u64 != blob["size"].as_u64().unwrap()) {
            return refused(400, "MANIFEST_BLOB_UNKNOWN", "a blob is missing");
        }
    }
    let media_type = request.header("content-type").unwrap().to_owned();
    let name = digest(&request.bytes);
    for path in [
        request.path.clone(),
        format!("{repository}/manifests/{name}"),
    ] {
        content.insert(path, (media_type.clone(), request.bytes.clone()));
    }
    let headers = format!("docker-content-digest: {name}\r\n");
    (201, headers, String::new())
}
