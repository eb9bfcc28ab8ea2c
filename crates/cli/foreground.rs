//! A command in the foreground: its streams, its terminal and the signals that are meant for it.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use anyhow::Result;
use shedbox_client::{Event, ExecResult, Running, TtySize};
use shedbox_linux::signals::Signals;
use shedbox_linux::{stream, terminal};
use shedbox_spec::{Error, detach_keys};

/// SIGINT and SIGTERM: after the third of these we leave whether the command has ended or not.
pub(crate) const IMPATIENT: [i32; 2] = [2, 15];
/// SIGWINCH.
pub(crate) const RESIZED: i32 = 28;
/// Signals that are passed on to the command: HUP, INT, QUIT, USR1, USR2, ALRM, TERM; and SIGWINCH for its terminal.
pub(crate) const SIGNALS: [i32; 8] = [1, 2, 3, 10, 12, 14, 15, RESIZED];

/// How it went.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The command has ended.
    Ended(ExecResult),
    /// The detach keys were typed: the command goes on, see [`Running::detach`].
    Detached,
    /// The user insisted with this signal.
    GaveUp(i32),
}

/// What a foreground command needs of this process. Made before the command starts, dropped after it has ended: the
/// terminal is then as it was, on whatever way out.
#[derive(Debug)]
pub(crate) struct Foreground {
    signals: Signals,
    /// Set while the terminal is raw.
    raw: Option<terminal::Raw>,
    tty: bool,
}

impl Foreground {
    /// Blocks the signals; with `tty` and `interactive`, checks that standard input is a terminal.
    pub(crate) fn prepare(tty: bool, interactive: bool) -> Result<Self> {
        if tty && interactive && !std::io::stdin().is_terminal() {
            return Err(Error::invalid("the input device is not a terminal")
                .with_hint("leave out `-t`, or run this on a terminal")
                .into());
        }
        Ok(Self {
            signals: Signals::block(&SIGNALS)?,
            raw: None,
            tty,
        })
    }

    /// The size of the terminal, when a terminal was asked for.
    pub(crate) fn size(&self) -> Option<TtySize> {
        self.tty.then(own_size)
    }

    /// Drives the command to its end. From here on an interactive terminal is raw.
    pub(crate) fn drive(&mut self, running: &mut Running, interactive: bool) -> Result<Ending> {
        if self.tty && interactive {
            self.raw = Some(terminal::Raw::enter(stream::stdin())?);
        }
        let ending = self.wait(running);
        self.raw = None;
        ending
    }

    fn wait(&self, running: &mut Running) -> Result<Ending> {
        let remote = running.remote();
        let mut insisted = 0;
        loop {
            match running.next(Some(self.signals.as_fd()))? {
                Event::Ended(result) => return Ok(Ending::Ended(result)),
                Event::DetachKeys => return Ok(Ending::Detached),
                Event::Started(_) => {}
                Event::Watched => {
                    while let Some(signal) = self.signals.next()? {
                        if signal == RESIZED {
                            if self.tty {
                                remote.resize(own_size())?;
                            }
                            continue;
                        }
                        if IMPATIENT.contains(&signal) {
                            insisted += 1;
                        }
                        if insisted > 2 {
                            return Ok(Ending::GaveUp(signal));
                        }
                        remote.signal(signal)?;
                    }
                }
            }
        }
    }
}

/// The exit status of an ending, after what there is to say about it has been said.
pub(crate) fn status(ending: &Ending) -> u8 {
    match ending {
        Ending::Detached => {
            crate::report::say("\nshedbox: detached");
            0
        }
        Ending::GaveUp(signal) => (128 + signal) as u8,
        Ending::Ended(result) => {
            if let Some(why) = result.end.explanation() {
                crate::report::say(&format!("shedbox: {why}"));
            }
            result.end.status()
        }
    }
}

/// Keys of `--detach-keys`, or Docker's own.
pub(crate) fn keys(text: Option<&str>) -> Result<Vec<u8>> {
    Ok(detach_keys::parse(text.unwrap_or(detach_keys::DEFAULT))?)
}

/// The size of this process's terminal, wherever it is connected; that of a VT100 when there is none.
fn own_size() -> TtySize {
    let size = [stream::stdin(), stream::stdout(), stream::stderr()]
        .into_iter()
        .find_map(terminal::size);
    let (rows, cols) = size.unwrap_or((24, 80));
    TtySize { rows, cols }
}
