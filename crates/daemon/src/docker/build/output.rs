//! What a client reads of a build: a JSON value a line, as the classic builder words them.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use shedbox_docker::progress::failed;
use shedbox_spec::{Digest, Error};

use crate::stream::Feed;

/// Most bytes of lines that are kept for a client that wants to hear of failures only.
const HELD_MAX: usize = 1 << 20;

/// Why a build ends.
#[derive(Debug)]
pub(super) enum Stop {
    /// A command of it: its text and status.
    Command(String, u8),
    Other(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Where the lines go.
pub(super) struct Output {
    feed: Feed,
    /// Lines kept back by `q=1`, and their size.
    held: Option<Mutex<(Vec<Value>, usize)>>,
}

impl Output {
    pub(super) fn new(feed: Feed, quiet: bool) -> Self {
        Self {
            feed,
            held: quiet.then(Mutex::default),
        }
    }

    /// A line of progress.
    pub(super) async fn line(&self, line: Value) {
        let Some(held) = &self.held else {
            return self.feed.line(&line).await;
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        held.1 += line["stream"].as_str().map_or(64, str::len);
        if held.1 <= HELD_MAX {
            held.0.push(line);
        }
    }

    /// A text.
    pub(super) async fn say(&self, text: &str) {
        self.line(json!({"stream": text})).await;
    }

    /// What a command has written; standard error is red. Source: classic builder, `stderrFormatter`.
    pub(super) async fn pass(&self, is_error: bool, pieces: &mut Pieces, bytes: &[u8]) {
        let text = pieces.text(bytes);
        if !text.is_empty() {
            self.say(&shown(is_error, text)).await;
        }
    }

    /// The result: for a quiet client nothing but its id.
    pub(super) async fn built(&self, image: &Digest) {
        if self.held.is_some() {
            let line = json!({"stream": format!("{image}\n")});
            return self.feed.line(&line).await;
        }
        self.say(&format!("Successfully built {}\n", image.short()))
            .await;
    }

    /// The end of a build that has failed. A quiet client hears now what has led to it.
    pub(super) async fn failed(&self, stop: &Stop) {
        let held = self.held.as_ref().map(|held| {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut held.0)
        });
        for line in held.into_iter().flatten() {
            self.feed.line(&line).await;
        }
        self.feed.line(&failure(stop)).await;
    }
}

fn failure(stop: &Stop) -> Value {
    match stop {
        Stop::Command(text, code) => {
            let message = format!("The command '{text}' returned a non-zero code: {code}");
            json!({"errorDetail": {"code": code, "message": message}, "error": message})
        }
        Stop::Other(error) => failed(&error.message),
    }
}

fn shown(is_error: bool, text: String) -> String {
    if is_error {
        format!("\u{1b}[91m{text}\u{1b}[0m")
    } else {
        text
    }
}

/// Bytes of one stream as text, though a piece of it may end in the middle of a character.
#[derive(Debug, Default)]
pub(super) struct Pieces(Vec<u8>);

impl Pieces {
    fn text(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let rest = match std::str::from_utf8(&self.0) {
            Err(error) if error.error_len().is_none() => self.0.split_off(error.valid_up_to()),
            // The end of a text with something wrong in it may be cut as well, which then is one more wrong character.
            _ => Vec::new(),
        };
        let whole = std::mem::replace(&mut self.0, rest);
        String::from_utf8_lossy(&whole).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_classic_builder() {
        assert_eq!(
            failure(&Stop::Command("/bin/sh -c exit 1".to_owned(), 1)).to_string(),
            r#"{"error":"The command '/bin/sh -c exit 1' returned a non-zero code: 1","errorDetail":{"code":1,"message":"The command '/bin/sh -c exit 1' returned a non-zero code: 1"}}"#
        );
        assert_eq!(
            failure(&Stop::Other(Error::invalid("x"))).to_string(),
            r#"{"error":"x","errorDetail":{"message":"x"}}"#
        );
        assert_eq!(shown(true, "e\n".to_owned()), "\u{1b}[91me\n\u{1b}[0m");
        assert_eq!(shown(false, "o".to_owned()), "o");
    }

    #[test]
    fn characters_are_not_cut() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.text(b"a\xe2\x82"), "a");
        assert_eq!(pieces.text(b"\xacb"), "\u{20ac}b");
        assert_eq!(pieces.text(b"o\xff\n"), "o\u{fffd}\n");
        assert_eq!(pieces.text(b""), "");
    }
}
