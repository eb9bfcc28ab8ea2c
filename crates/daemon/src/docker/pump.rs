//! Between a hijacked connection and a process in a sandbox: bytes in both directions, until the process has ended or the
//! client has had enough.
//!
//! A client that leaves costs the process nothing: what it writes is thrown away from then on, as dockerd does it. When
//! the process has ended, what is in the pipes at that moment is sent and the connection is closed; a background process
//! that keeps a pipe open is not waited for.

use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use shedbox_spec::control::{FollowUp, Reply};
use shedbox_spec::detach_keys::Matcher;
use shedbox_spec::exec::{End as Ending, ExecResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::ends::{Control, End};
use crate::hijack::{Gate, Taken, Wire, hung_up};

/// Bytes read at once.
const CHUNK: usize = 32 << 10;

/// Streams of a process: ours are the other ends.
pub(super) struct Streams {
    pub(super) stdin: Option<Arc<End>>,
    /// (1 standard output, 2 standard error, its end). A terminal is one output.
    pub(super) outputs: Vec<(u8, Arc<End>)>,
    /// Headers of eight bytes between the two outputs.
    pub(super) framed: bool,
    /// Keys that end the connection and not the process.
    pub(super) detach_keys: Option<Vec<u8>>,
    /// A client that goes away takes the process along.
    pub(super) kill_on_disconnect: bool,
    /// What the end of the client's input means.
    pub(super) at_end_of_input: AtEndOfInput,
}

/// See [`Streams::at_end_of_input`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEndOfInput {
    /// The input of the process ends, too.
    CloseInput,
    /// The client is done; the input of the process stays open for the next one.
    Detach,
    /// Nothing.
    Ignore,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The process has ended.
    Ended(ExecResult),
    /// The client has detached; the process goes on.
    Detached,
    /// The sandbox has gone.
    Lost,
}

/// Where output goes.
struct Output {
    /// `None` when the client has gone.
    wire: Option<WriteHalf<Box<dyn Wire>>>,
    framed: bool,
    /// Before the first byte.
    gate: Option<Gate>,
}

impl Output {
    async fn send(&mut self, stream: u8, bytes: &[u8]) {
        let Some(wire) = &mut self.wire else { return };
        if let Some(gate) = self.gate.take() {
            gate.pass().await;
        }
        let sent = if self.framed {
            let mut frame = Vec::with_capacity(bytes.len() + 8);
            frame.extend_from_slice(&shedbox_docker::frame::header(stream, bytes.len()));
            frame.extend_from_slice(bytes);
            wire.write_all(&frame).await
        } else {
            wire.write_all(bytes).await
        };
        if sent.is_err() {
            self.wire = None;
        }
    }

    async fn close(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            // A client that has gone already needs no end.
            let _ = wire.shutdown().await;
        }
    }
}

/// Moves bytes; `control` is the conversation in which the end of the process is told. `at_end` is called before the client
/// can know of the end, so that what it asks for next is there.
pub(super) async fn run(
    taken: Taken,
    mut streams: Streams,
    control: &Control,
    at_end: impl FnOnce(&Outcome),
) -> Outcome {
    let gate = Gate::of(&taken);
    let twin = streams
        .kill_on_disconnect
        .then(|| taken.wire.as_fd().try_clone_to_owned().ok())
        .flatten();
    let mut gone = std::pin::pin!(hung_up(twin));
    let (reader, writer) = tokio::io::split(taken.wire);
    let mut output = Output {
        wire: Some(writer),
        framed: streams.framed,
        gate,
    };
    let keys = streams.detach_keys.map(Matcher::new);
    // Held until the sandbox has heard that the client leaves: the end of the pipe would be the end of the input.
    let held = streams
        .stdin
        .clone()
        .filter(|_| streams.at_end_of_input != AtEndOfInput::CloseInput);
    // Moved: the last one who lets go of it closes it.
    let input = tokio::spawn(feed(reader, taken.early, streams.stdin.take(), keys));
    let mut input_ended = false;
    let mut input = Some(input);
    let mut open = streams.outputs;
    let mut buffers = [vec![0; CHUNK], vec![0; CHUNK]];
    let outcome = loop {
        let [first, second] = &mut buffers;
        tokio::select! {
            read = read_of(&open, 0, first) => match read {
                0 => drop(open.remove(0)),
                count => output.send(open[0].0, &first[..count]).await,
            },
            read = read_of(&open, 1, second) => match read {
                0 => drop(open.remove(1)),
                count => output.send(open[1].0, &second[..count]).await,
            },
            reply = control.reply() => match reply {
                Ok((Reply::Exited(result), _)) => break Outcome::Ended(result),
                Ok((Reply::Failed(error), _)) => {
                    tracing::debug!(error = error.message, "a command failed");
                    break Outcome::Lost;
                }
                Ok(_) => {}
                Err(_) => break Outcome::Lost,
            },
            () = gone.as_mut() => {
                // The conversation ends without a word, which ends the command.
                break Outcome::Lost;
            }
            fed = async { match &mut input { Some(task) => task.await.unwrap_or(Fed::End), None => std::future::pending().await } },
                if !input_ended => {
                input_ended = true;
                input = None;
                match (fed, streams.at_end_of_input) {
                    (Fed::Keys, _) | (Fed::End, AtEndOfInput::Detach) => break Outcome::Detached,
                    // The last holder of our end: the process sees the end of its input.
                    (Fed::End, AtEndOfInput::CloseInput | AtEndOfInput::Ignore) => {}
                }
            }
        }
    };
    if let Some(task) = input {
        task.abort();
    }
    if let Outcome::Ended(result) = &outcome {
        let [buffer, _] = &mut buffers;
        for (stream, end) in &open {
            while let Some(count @ 1..) = end.read_now(buffer) {
                output.send(*stream, &buffer[..count]).await;
            }
        }
        if let Ending::NotStarted(why) = &result.end {
            let line = format!("{}\r\n", why.message);
            output.send(1, line.as_bytes()).await;
        }
    }
    at_end(&outcome);
    output.close().await;
    if matches!(outcome, Outcome::Detached) {
        control.follow_up(&FollowUp::Detach);
        // The sandbox hangs up when it has taken what was in the pipe; it closes the outputs at its end first.
        while control.reply().await.is_ok() {}
    }
    drop(held);
    outcome
}

/// Reads the output at `index`, or waits for ever when there is none. Errors are ends.
async fn read_of(open: &[(u8, Arc<End>)], index: usize, buffer: &mut [u8]) -> usize {
    match open.get(index) {
        Some((_, end)) => end.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// Why no input comes any more.
enum Fed {
    End,
    Keys,
}

/// Moves the client's input. Dropping `stdin` at the end closes it, unless somebody else holds it.
async fn feed(
    mut reader: ReadHalf<Box<dyn Wire>>,
    early: Bytes,
    mut stdin: Option<Arc<End>>,
    mut keys: Option<Matcher>,
) -> Fed {
    let mut buffer = vec![0; CHUNK];
    let mut passed = Vec::new();
    let mut chunk: Vec<u8> = early.to_vec();
    loop {
        if !chunk.is_empty() {
            let detach = match &mut keys {
                Some(keys) => {
                    passed.clear();
                    keys.feed(&chunk, &mut passed)
                }
                None => {
                    std::mem::swap(&mut passed, &mut chunk);
                    false
                }
            };
            // A process that has closed its input reads no more; the rest is thrown away.
            if let Some(end) = &stdin
                && end.write_all(&passed).await.is_err()
            {
                stdin = None;
            }
            if detach {
                return Fed::Keys;
            }
        }
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return Fed::End,
            Ok(count) => {
                chunk.clear();
                chunk.extend_from_slice(&buffer[..count]);
            }
        }
    }
}
