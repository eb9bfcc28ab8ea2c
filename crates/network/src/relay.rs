//! Carries the bytes of two TCP connections to each other, both ways, as if they were one.
//!
//! Bytes go by splice(2) through a pipe ([`pipes`]), or are copied where that is impossible. The end of one direction is
//! passed on and the other goes on; a reset is passed on as a reset, after what had arrived before it.

mod pipes;
#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shedbox_linux::splice::{Pipe, splice};
use shedbox_linux::tcp;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Most bytes of one step, and the size that pipes of busy connections get.
const STEP: usize = 1 << 20;
/// A direction that has moved so much without a pause gets a bigger pipe.
const BUSY: usize = 256 << 10;
/// Buffer of a direction that is copied.
const COPY: usize = 64 << 10;
/// How long what a side sent before its reset may take to be delivered.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Silent peers are asked whether they are there.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// Carries bytes both ways until both sides have ended or one has failed; then neither connection is open any more.
pub async fn relay(a: TcpStream, b: TcpStream) -> io::Result<()> {
    between(&a, &b).await
}

/// The same for connections that others know of as well; those may end it by [`tcp::abort`].
pub(crate) async fn between(a: &TcpStream, b: &TcpStream) -> io::Result<()> {
    let result = carry(a, b).await;
    if result.is_err() {
        for side in [a, b] {
            // One that has ended already has nothing to reset.
            let _ = tcp::abort(side);
        }
    }
    result
}

async fn carry(a: &TcpStream, b: &TcpStream) -> io::Result<()> {
    for side in [a, b] {
        side.set_nodelay(true)?;
        tcp::keep_alive(side, KEEP_ALIVE).map_err(|error| error.errno)?;
    }
    let broken = AtomicBool::new(false);
    let mut forth = pin!(pump(a, b, &broken));
    let mut back = pin!(pump(b, a, &broken));
    let (first, ended) = tokio::select! {
        result = &mut forth => (result, a),
        result = &mut back => (result, b),
    };
    let rest = async {
        if std::ptr::eq(ended, a) {
            back.await
        } else {
            forth.await
        }
    };
    match first {
        // Nobody reads from the side that has ended, so nobody else would see it fail.
        Ok(()) => tokio::select! {
            result = rest => result.map_err(Failure::into_error),
            error = failure(ended) => Err(error),
        },
        Err(Failure::Read(error)) => Err(error),
        // Who cannot be written to may have said why before it went, and that is still to be read.
        Err(Failure::Write(error)) => {
            broken.store(true, Ordering::Relaxed);
            let _ = tokio::time::timeout(LAST_WORDS, rest).await;
            Err(error)
        }
    }
}

/// Which end of a direction failed.
enum Failure {
    Read(io::Error),
    Write(io::Error),
}

impl Failure {
    fn into_error(self) -> io::Error {
        match self {
            Self::Read(error) | Self::Write(error) => error,
        }
    }
}

/// One direction, up to its end. `broken`: that is not to be told as an orderly end.
async fn pump(from: &TcpStream, to: &TcpStream, broken: &AtomicBool) -> Result<(), Failure> {
    let mut pipe: Option<Pipe> = None;
    let mut burst = 0;
    loop {
        from.readable().await.map_err(Failure::Read)?;
        let Some(current) = pipe.take().or_else(pipes::take) else {
            return copy(from, to, broken).await;
        };
        let step = from.try_io(Interest::READABLE, || splice(from, current.writer(), STEP));
        match step {
            Ok(0) => {
                pipes::give(current);
                break;
            }
            Ok(count) => {
                if !drain(&current, to, count).await.map_err(Failure::Write)? {
                    return copy(from, to, broken).await;
                }
                let before = burst;
                burst += count;
                if before < BUSY && burst >= BUSY {
                    // Beyond the user's share of pipes it keeps its size.
                    let _ = current.resize(STEP);
                }
                pipe = Some(current);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // It is empty: a connection that waits needs none.
                pipes::give(current);
                burst = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                pipes::give(current);
                return copy(from, to, broken).await;
            }
            Err(error) => {
                pipes::give(current);
                return Err(Failure::Read(error));
            }
        }
        // Sockets that are always ready would never give way to other connections.
        tokio::task::coop::consume_budget().await;
    }
    end(to, broken);
    Ok(())
}

/// Empties the pipe. False: by copying, because it cannot be spliced on.
async fn drain(pipe: &Pipe, to: &TcpStream, mut left: usize) -> io::Result<bool> {
    while left > 0 {
        to.writable().await?;
        match to.try_io(Interest::WRITABLE, || splice(pipe.reader(), to, left)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => left -= count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let mut buffer = vec![0; COPY];
                while left > 0 {
                    let count = pipe.read(&mut buffer)?;
                    write_all(to, &buffer[..count]).await?;
                    left -= count;
                }
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// One direction by copying: without a pipe, or where the kernel does not splice.
async fn copy(from: &TcpStream, to: &TcpStream, broken: &AtomicBool) -> Result<(), Failure> {
    let mut buffer = vec![0; COPY];
    loop {
        from.readable().await.map_err(Failure::Read)?;
        match from.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => write_all(to, &buffer[..count])
                .await
                .map_err(Failure::Write)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Failure::Read(error)),
        }
        tokio::task::coop::consume_budget().await;
    }
    end(to, broken);
    Ok(())
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn end(to: &TcpStream, broken: &AtomicBool) {
    if !broken.load(Ordering::Relaxed) {
        // Fails when the other side has gone meanwhile, which reading from it shows.
        let _ = tcp::shut_write(to);
    }
}

/// Waits for the failure of a connection that nobody reads from.
async fn failure(stream: &TcpStream) -> io::Error {
    loop {
        if let Err(error) = stream.ready(Interest::ERROR).await {
            return error;
        }
        match stream.take_error() {
            Ok(Some(error)) | Err(error) => return error,
            Ok(None) => {
                // Somebody else has been told; what comes next is waited for.
                let _ = stream.try_io(Interest::ERROR, || {
                    Err::<(), _>(io::ErrorKind::WouldBlock.into())
                });
            }
        }
    }
}
