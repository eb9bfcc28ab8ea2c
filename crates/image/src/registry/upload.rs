//! Blobs and manifests to a registry.
//!
//! A blob goes up in an upload session, whose address every answer may change. One that fits into a piece is sent as a
//! whole; a bigger one in pieces, so that a broken connection costs one of them: the registry is asked how far it has
//! come, and a session that is lost is begun anew. Registries that take no pieces get it in one stream.
//!
//! Source: OCI distribution spec, "Pushing blobs".

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Method, RequestBuilder, Response, Url};
use shedbox_spec::Digest;

use crate::registry::failure::Failure;
use crate::registry::session::{Session, content_digest, header};

/// Bytes of one request. ECR takes none below 5 MiB, some proxies none above 10.
const PIECE: u64 = 8 << 20;
/// The slowest line that an answer is waited for on, in bytes a second.
const SLOWEST: u64 = 32 << 10;
/// How often an upload session may get lost.
const MAX_LOST: u32 = 3;
/// Pushes have one endpoint: the registry itself.
const PLACE: usize = 0;

/// Where the bytes of a blob are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Memory(Bytes),
    File(Arc<File>),
}

impl Content {
    async fn piece(&self, offset: u64, length: u64) -> Result<Bytes, Failure> {
        match self {
            Self::Memory(bytes) => Ok(bytes.slice(offset as usize..(offset + length) as usize)),
            Self::File(file) => {
                let file = Arc::clone(file);
                let read = move || {
                    let mut buffer = vec![0; length as usize];
                    file.read_exact_at(&mut buffer, offset)?;
                    Ok(Bytes::from(buffer))
                };
                tokio::task::spawn_blocking(read)
                    .await
                    .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                    .map_err(unreadable)
            }
        }
    }

    /// All of it, for one request.
    async fn whole(&self) -> Result<reqwest::Body, Failure> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone().into()),
            Self::File(file) => {
                use tokio::io::AsyncSeekExt;
                // A copy shares the position, which nothing else uses.
                let copy = file.try_clone().map_err(unreadable)?;
                let mut copy = tokio::fs::File::from_std(copy);
                copy.rewind().await.map_err(unreadable)?;
                Ok(copy.into())
            }
        }
    }
}

fn unreadable(source: std::io::Error) -> Failure {
    Failure::from(crate::Error::Io {
        what: "read the packed layer".to_owned(),
        source,
    })
}

/// A blob to send.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) content: Content,
}

/// What is told during an upload.
pub(crate) enum Told {
    /// Bytes that the registry has.
    Sent(u64),
    /// An attempt comes, with so many bytes that need not be sent again.
    Retrying(u32, u64),
}

/// An upload session.
struct Open {
    location: Url,
    /// Bytes that it has.
    offset: u64,
}

impl Session {
    /// Whether the repository has a blob, and with this size.
    pub(crate) async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, Failure> {
        let path = format!("blobs/{digest}");
        let mut attempts = self.attempts(PLACE);
        loop {
            match self.request(PLACE, Method::HEAD, &path, None, 0).await {
                Ok(response) => {
                    let said = header(response.headers(), CONTENT_LENGTH.as_str());
                    return Ok(said.is_none_or(|said| said.parse() == Ok(size)));
                }
                Err(Failure::Status { code: 404, .. }) => return Ok(false),
                Err(failure) => attempts.pause(failure).await?,
            }
        }
    }

    /// Asks for a blob of another repository of the registry. Whether it was given: a registry that does not do that, or
    /// does not let us read there, begins an upload instead.
    pub(crate) async fn mount(&self, digest: &Digest, from: &str) -> bool {
        let mut url = match Url::parse(&self.url(PLACE, "blobs/uploads/")) {
            Ok(url) => url,
            Err(error) => {
                tracing::debug!(%error, "address of uploads");
                return false;
            }
        };
        url.query_pairs_mut()
            .append_pair("mount", digest.as_str())
            .append_pair("from", from);
        match self.plain(Method::POST, url.as_str()).await {
            Ok(response) if response.status().as_u16() == 201 => true,
            Ok(response) => {
                if let Ok(location) = location(&response, &url) {
                    // It ends by itself, too, in time.
                    drop(self.plain(Method::DELETE, location.as_str()).await);
                }
                false
            }
            Err(failure) => {
                tracing::debug!(%digest, from, failure = %shedbox_spec::error::chain(&failure), "mounting a blob");
                false
            }
        }
    }

    /// Sends a blob.
    pub(crate) async fn upload(
        &self,
        blob: &Blob,
        tell: &(dyn Fn(Told) + Send + Sync),
    ) -> Result<(), Failure> {
        let mut attempts = self.attempts(PLACE);
        let mut whole = blob.size <= PIECE;
        let mut open: Option<Open> = None;
        let (mut furthest, mut lost) = (0, 0);
        loop {
            let step = async {
                let mut session = match open.take() {
                    Some(session) => session,
                    None => self.begin().await?,
                };
                if whole {
                    self.send_whole(blob, &session).await?;
                    return Ok(None);
                }
                if session.offset == blob.size {
                    self.finish(blob, &session).await?;
                    return Ok(None);
                }
                match self.send_piece(blob, &mut session).await {
                    Ok(()) => Ok(Some(session)),
                    Err(failure) => Err((failure, Some(session))),
                }
            };
            match step.await {
                Ok(None) => {
                    tell(Told::Sent(blob.size));
                    return Ok(());
                }
                Ok(Some(session)) => {
                    if session.offset > furthest {
                        furthest = session.offset;
                        attempts.reset();
                    }
                    tell(Told::Sent(session.offset));
                    open = Some(session);
                }
                Err((
                    Failure::Status {
                        code: 400 | 404 | 405 | 411 | 416 | 501,
                        ..
                    },
                    Some(session),
                )) if session.offset == 0 => {
                    // The first piece was refused.
                    tracing::debug!(digest = %blob.digest, "a registry that takes no pieces");
                    whole = true;
                }
                // The session has gone, or is not where we thought it was.
                Err((
                    Failure::Status {
                        code: 404 | 416, ..
                    },
                    Some(session),
                )) if lost < MAX_LOST => {
                    lost += 1;
                    open = self.progress(session, blob.size).await;
                    let resumed_at = open.as_ref().map_or(0, |open| open.offset);
                    tell(Told::Retrying(lost + 1, resumed_at));
                }
                Err((failure, session)) => {
                    attempts.pause(failure).await?;
                    open = match session {
                        Some(session) => self.progress(session, blob.size).await,
                        None => None,
                    };
                    let resumed_at = open.as_ref().map_or(0, |open| open.offset);
                    tell(Told::Retrying(attempts.number, resumed_at));
                }
            }
        }
    }

    /// Stores a manifest under a tag.
    pub(crate) async fn put_manifest(
        &self,
        tag: &str,
        media_type: &str,
        bytes: &Bytes,
        digest: &Digest,
    ) -> Result<(), Failure> {
        let url = self.url(PLACE, &format!("manifests/{tag}"));
        let decorate =
            |request: RequestBuilder| request.header(CONTENT_TYPE, media_type).body(bytes.clone());
        let patience = self.patience(bytes.len() as u64);
        let mut attempts = self.attempts(PLACE);
        loop {
            match self
                .send(PLACE, Method::PUT, &url, &decorate, patience)
                .await
            {
                Ok(response) => {
                    return match content_digest(response.headers()) {
                        Some(actual) if actual != *digest => Err(Failure::Digest {
                            expected: digest.clone(),
                            actual,
                        }),
                        _ => Ok(()),
                    };
                }
                Err(failure) => attempts.pause(failure).await?,
            }
        }
    }

    async fn begin(&self) -> Result<Open, (Failure, Option<Open>)> {
        let url = self.url(PLACE, "blobs/uploads/");
        let begun = async {
            let response = self.plain(Method::POST, &url).await?;
            let base = Url::parse(&url).map_err(|error| Failure::Protocol(error.to_string()))?;
            Ok(Open {
                location: location(&response, &base)?,
                offset: 0,
            })
        };
        begun.await.map_err(|failure| (failure, None))
    }

    async fn send_whole(&self, blob: &Blob, open: &Open) -> Result<(), (Failure, Option<Open>)> {
        let sent = async {
            // What fits into a piece can be sent again after a login. A stream cannot; its session was begun just now, so
            // the login is fresh.
            let (piece, stream) = if blob.size <= PIECE {
                (Some(blob.content.piece(0, blob.size).await?), None)
            } else {
                (None, Some(blob.content.whole().await?))
            };
            let stream = std::sync::Mutex::new(stream);
            let decorate = |request: RequestBuilder| {
                let request = request.header(CONTENT_TYPE, "application/octet-stream");
                let stream = || stream.lock().map_or(None, |mut stream| stream.take());
                match piece.clone().map(Into::into).or_else(stream) {
                    Some(body) => request.header(CONTENT_LENGTH, blob.size).body(body),
                    None => request,
                }
            };
            let url = with_digest(&open.location, &blob.digest);
            let patience = self.patience(blob.size);
            self.send(PLACE, Method::PUT, &url, &decorate, patience)
                .await
                .map(drop)
        };
        sent.await.map_err(|failure| (failure, None))
    }

    async fn send_piece(&self, blob: &Blob, open: &mut Open) -> Result<(), Failure> {
        let length = PIECE.min(blob.size - open.offset);
        let end = open.offset + length;
        let piece = blob.content.piece(open.offset, length).await?;
        let range = format!("{}-{}", open.offset, end - 1);
        let decorate = |request: RequestBuilder| {
            request
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, length)
                .header(CONTENT_RANGE, &range)
                .body(piece.clone())
        };
        let url = open.location.clone();
        let response = self
            .send(
                PLACE,
                Method::PATCH,
                url.as_str(),
                &decorate,
                self.patience(length),
            )
            .await?;
        open.location = location(&response, &url)?;
        // It may have taken less; without a word it has taken all.
        open.offset = match reached(&response) {
            Some(reached) if reached > end || reached <= open.offset => {
                return Err(Failure::Protocol(format!(
                    "it has {reached} bytes of an upload after {end} were sent"
                )));
            }
            Some(reached) => reached,
            None => end,
        };
        Ok(())
    }

    async fn finish(&self, blob: &Blob, open: &Open) -> Result<(), (Failure, Option<Open>)> {
        let url = with_digest(&open.location, &blob.digest);
        let decorate = |request: RequestBuilder| request.header(CONTENT_LENGTH, 0);
        // The registry reads it all once more.
        self.send(
            PLACE,
            Method::PUT,
            &url,
            &decorate,
            self.patience(blob.size),
        )
        .await
        .map(drop)
        .map_err(|failure| (failure, None))
    }

    /// How far an upload has come; `None` when it has to begin anew.
    async fn progress(&self, open: Open, size: u64) -> Option<Open> {
        match self.plain(Method::GET, open.location.as_str()).await {
            Ok(response) => Some(Open {
                offset: reached(&response).filter(|reached| *reached <= size)?,
                location: location(&response, &open.location).unwrap_or(open.location),
            }),
            Err(failure) => {
                tracing::debug!(failure = %shedbox_spec::error::chain(&failure), "an upload is lost");
                None
            }
        }
    }

    async fn plain(&self, method: Method, url: &str) -> Result<Response, Failure> {
        let empty = method == Method::POST;
        let decorate = |request: RequestBuilder| {
            if empty {
                request.header(CONTENT_LENGTH, 0)
            } else {
                request
            }
        };
        self.send(PLACE, method, url, &decorate, self.timeout())
            .await
    }

    /// How long a request with so many bytes may take.
    fn patience(&self, bytes: u64) -> Duration {
        self.timeout() + Duration::from_secs(bytes / SLOWEST)
    }
}

fn location(response: &Response, base: &Url) -> Result<Url, Failure> {
    header(response.headers(), LOCATION.as_str())
        .and_then(|location| base.join(&location).ok())
        .ok_or_else(|| Failure::Protocol("it does not say where an upload goes on".to_owned()))
}

fn with_digest(location: &Url, digest: &Digest) -> String {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    url.into()
}

/// Bytes that an upload has, from `0-N`, where N is the last one. Of nothing at all, too, registries say `0-0`.
fn reached(response: &Response) -> Option<u64> {
    parse_range(&header(response.headers(), RANGE.as_str())?)
}

fn parse_range(text: &str) -> Option<u64> {
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    match text.strip_prefix("0-")?.trim().parse() {
        Ok(0) => Some(0),
        Ok(last) => u64::checked_add(last, 1),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, reached) in [
            ("0-0", Some(0)),
            ("0-9", Some(10)),
            ("bytes=0-9", Some(10)),
            ("5-9", None),
            ("0-", None),
            ("", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(parse_range(text), reached, "{text}");
        }
    }

    #[test]
    fn a_digest_is_added_to_any_address() {
        let digest = crate::archive::digest_of(b"");
        for (location, url) in [
            ("http://h/v2/u/1", "http://h/v2/u/1?digest=sha256%3A"),
            (
                "http://h/u?_state=a%3D",
                "http://h/u?_state=a%3D&digest=sha256%3A",
            ),
        ] {
            let made = with_digest(&Url::parse(location).unwrap(), &digest);
            assert!(made.starts_with(url), "{made}");
        }
    }
}
