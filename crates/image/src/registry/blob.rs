//! A blob as a stream that mends itself: after a broken connection it goes on where it stopped.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use shedbox_spec::Digest;

use crate::error::{Error, Result};
use crate::registry::failure::{Attempts, Failure, Failures};
use crate::registry::session::Session;

/// Bytes that make up for the failures before them. Less would let a registry that serves a byte a connection keep us
/// forever; more would give up on a big blob over a bad line.
const PROGRESS: u64 = 1 << 20;

/// A blob on its way. Its bytes are not verified here: whoever reads to the end hashes them anyway.
pub(crate) struct BlobReader {
    session: Arc<Session>,
    digest: Digest,
    size: u64,
    what: String,
    /// Bytes given out so far.
    offset: u64,
    /// Where `offset` was when the last failure happened.
    failed_at: u64,
    place: usize,
    attempts: Attempts,
    failures: Failures,
    open: Option<Open>,
}

struct Open {
    response: reqwest::Response,
    /// Bytes to drop because the server began earlier than asked.
    skip: u64,
}

/// Told before each further attempt: its number and how many bytes need not be fetched again.
pub(crate) type OnRetry<'a> = &'a (dyn Fn(u32, u64) + Sync);

impl BlobReader {
    /// `what` names the blob in errors.
    pub(crate) fn new(session: Arc<Session>, digest: Digest, size: u64, what: String) -> Self {
        let place = session.candidates().start;
        Self {
            attempts: session.attempts(place),
            session,
            digest,
            size,
            what,
            offset: 0,
            failed_at: 0,
            place,
            failures: Failures::default(),
            open: None,
        }
    }

    /// Starts over after the content turned out wrong: at the next endpoint, when this one is a mirror.
    pub(crate) fn restart(&mut self) {
        if self.place + 1 < self.session.candidates().end {
            self.place += 1;
        }
        self.attempts = self.session.attempts(self.place);
        self.offset = 0;
        self.failed_at = 0;
        self.open = None;
    }

    /// The next bytes; `None` after the last one.
    pub(crate) async fn next(&mut self, on_retry: OnRetry<'_>) -> Result<Option<Bytes>> {
        loop {
            if self.offset == self.size {
                return Ok(None);
            }
            match self.step().await {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => {
                    self.offset += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Err(failure) => {
                    self.open = None;
                    self.recover(failure).await?;
                    on_retry(self.attempts.number, self.offset);
                }
            }
        }
    }

    /// The whole blob in memory, verified; for small ones.
    pub(crate) async fn read_all(mut self) -> Result<Vec<u8>> {
        use sha2::Digest as _;
        let mut body = Vec::with_capacity(self.size as usize);
        while let Some(chunk) = self.next(&|_, _| ()).await? {
            body.extend_from_slice(&chunk);
        }
        let actual = Digest::from_bytes(&sha2::Sha256::digest(&body).into());
        if actual == self.digest {
            Ok(body)
        } else {
            let host = self.session.host(self.place);
            let expected = self.digest.clone();
            Err(self.give_up(host, Failure::Digest { expected, actual }))
        }
    }

    async fn step(&mut self) -> Result<Bytes, Failure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        let chunk = self.session.in_time(open.response.chunk()).await??;
        let Some(mut chunk) = chunk else {
            return Err(Failure::Truncated {
                got: self.offset,
                size: self.size,
            });
        };
        let dropped = open.skip.min(chunk.len() as u64);
        open.skip -= dropped;
        let chunk = chunk.split_off(dropped as usize);
        if self.offset + chunk.len() as u64 > self.size {
            return Err(Failure::TooLong { limit: self.size });
        }
        self.open = Some(open);
        Ok(chunk)
    }

    async fn connect(&self) -> Result<Open, Failure> {
        let path = format!("blobs/{}", self.digest);
        let response = self
            .session
            .request(self.place, reqwest::Method::GET, &path, None, self.offset)
            .await
            .map_err(|failure| match failure {
                // Nothing at or after `offset`: what it has is shorter than the manifest says.
                Failure::Status { code: 416, .. } => Failure::Truncated {
                    got: self.offset,
                    size: self.size,
                },
                failure => failure,
            })?;
        let begins_at = match response.status() {
            StatusCode::PARTIAL_CONTENT => response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| parse_content_range(value.to_str().ok()?))
                .ok_or_else(|| {
                    Failure::Protocol("its partial answer has no Content-Range".to_owned())
                })?,
            // It ignores ranges and sends everything.
            _ => 0,
        };
        let skip = self.offset.checked_sub(begins_at).ok_or_else(|| {
            Failure::Protocol(format!(
                "asked for bytes from {}, it sends from {begins_at}",
                self.offset
            ))
        })?;
        if response
            .content_length()
            .is_some_and(|length| begins_at + length > self.size)
        {
            return Err(Failure::TooLong { limit: self.size });
        }
        Ok(Open { response, skip })
    }

    /// Waits and stays, moves on to the next endpoint, or gives up.
    async fn recover(&mut self, failure: Failure) -> Result<()> {
        if self.offset - self.failed_at >= PROGRESS {
            self.attempts.reset();
        }
        self.failed_at = self.offset;
        let Err(failure) = self.attempts.pause(failure).await else {
            return Ok(());
        };
        let host = self.session.host(self.place);
        if self.place + 1 == self.session.candidates().end {
            return Err(self.give_up(host, failure));
        }
        self.failures.0.push((host, failure));
        self.place += 1;
        self.attempts = self.session.attempts(self.place);
        Ok(())
    }

    fn give_up(&mut self, host: String, failure: Failure) -> Error {
        let mut failures = std::mem::take(&mut self.failures);
        failures.0.push((host, failure));
        Error::Fetch {
            what: self.what.clone(),
            failures,
        }
    }
}

/// The first byte of `bytes 5-9/10`.
fn parse_content_range(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_range() {
        for (text, begin) in [
            ("bytes 5-9/10", Some(5)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */10", None),
            ("items 5-9/10", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(text), begin, "{text}");
        }
    }
}
