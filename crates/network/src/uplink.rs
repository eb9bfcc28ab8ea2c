//! The way to the world: pasta, one for all sandboxes. Source: pasta(1).
//!
//! pasta runs in the host's network namespace and has a tap device in ours. It is not lent the host's loopback
//! (`--no-map-gw`) and forwards no ports. It is a child of the [`Starter`], and ends with that and so with us.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shedbox_linux::netlink::{Netlink, Protocol};
use shedbox_linux::{pidfd, rtnetlink};
use shedbox_spec::gateway::Outbound;
use shedbox_spec::{Error, Kind};

use crate::firewall::UPLINK;
use crate::starter::{Started, Starter};

/// pasta is up in a few hundredths of a second.
const UP_WITHIN: Duration = Duration::from_secs(5);
/// After an end that nobody asked for.
const PAUSE: Duration = Duration::from_secs(2);

/// pasta, as far as it is known.
#[derive(Debug)]
pub(crate) struct Uplink {
    known: Mutex<Option<Outbound>>,
    changed: Condvar,
    lost: AtomicBool,
}

impl Uplink {
    /// Has it started by a thread that sees to it from then on. The calling thread is in the gateway's namespace.
    pub(crate) fn start(starter: Starter) -> std::io::Result<Arc<Self>> {
        let uplink = Arc::new(Self {
            known: Mutex::new(None),
            changed: Condvar::new(),
            lost: AtomicBool::new(false),
        });
        let own = Arc::clone(&uplink);
        std::thread::Builder::new()
            .name("uplink".to_owned())
            .spawn(move || {
                own.keep(&starter);
                starter.end();
            })?;
        Ok(uplink)
    }

    /// How it is; waits for the first attempt.
    pub(crate) fn outbound(&self) -> Outbound {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outbound) = &*known {
                return outbound.clone();
            }
            known = self
                .changed
                .wait(known)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nobody is left who could start it: another gateway has to be.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn tell(&self, outbound: Outbound) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(outbound);
        self.changed.notify_all();
    }

    /// Until there is no hope for a pasta.
    fn keep(&self, starter: &Starter) {
        loop {
            match start(starter) {
                None => {
                    tracing::error!("the process that starts pasta has gone");
                    self.lost.store(true, Ordering::Relaxed);
                    self.tell(Outbound::Absent(
                        Error::new(Kind::Unavailable, "there is no way out: pasta has ended")
                            .with_hint(
                                "the gateway is replaced; see the daemon's log if that goes on",
                            ),
                    ));
                    return;
                }
                Some(Ok(pasta)) => {
                    self.tell(Outbound::Pasta);
                    let _ = pidfd::wait(pasta.as_fd(), None);
                    tracing::warn!("pasta has ended; starting it again");
                    self.tell(Outbound::Absent(
                        Error::new(Kind::Unavailable, "there is no way out: pasta has ended")
                            .with_hint("it is started again; see the daemon's log if that goes on"),
                    ));
                }
                Some(Err(error)) => {
                    tracing::warn!(hint = error.hint.as_deref(), "{}", error.message);
                    let retry = error.kind == Kind::Unavailable;
                    self.tell(Outbound::Absent(error));
                    if !retry {
                        return;
                    }
                }
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a pause between attempts, on a thread of its own"
            )]
            std::thread::sleep(PAUSE);
        }
    }
}

/// Has pasta started and waits until its device is there; gives its pidfd. `None` when the starter has gone.
fn start(starter: &Starter) -> Option<Result<OwnedFd, Error>> {
    let Started {
        pidfd: pasta,
        errors,
    } = match starter.pasta()? {
        Ok(pasta) => pasta,
        Err(error) => return Some(Err(error)),
    };
    Some(match wait_for_device(pasta.as_fd()) {
        Ok(Seen::Device) => Ok(pasta),
        Ok(Seen::End) => Err(failed(&format!("pasta: {}", last_words(errors)))),
        Ok(Seen::Nothing) => {
            starter.kill();
            Err(failed("pasta makes no device"))
        }
        Err(error) => Err(failed(&error.to_string())),
    })
}

fn failed(what: &str) -> Error {
    Error::new(Kind::Unavailable, format!("there is no way out: {what}"))
        .with_hint("see `shedbox doctor`; published ports work without")
}

enum Seen {
    Device,
    End,
    Nothing,
}

fn wait_for_device(pasta: BorrowedFd<'_>) -> shedbox_linux::Result<Seen> {
    let netlink = Netlink::open(Protocol::Route)?;
    let until = Instant::now() + UP_WITHIN;
    loop {
        let links = rtnetlink::links(&netlink)?;
        if links.iter().any(|(name, _)| name == UPLINK) {
            return Ok(Seen::Device);
        }
        // Its end, or the time for another look.
        if pidfd::wait(pasta, Some(Duration::from_millis(5)))? {
            return Ok(Seen::End);
        }
        if Instant::now() > until {
            return Ok(Seen::Nothing);
        }
    }
}

/// What it said before it ended, less its complaints about a missing syslog.
fn last_words(pipe: OwnedFd) -> String {
    let mut text = String::new();
    // As much as came as text.
    let _ = File::from(pipe).take(4096).read_to_string(&mut text);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("syslog") && !line.trim().is_empty())
        .collect();
    lines
        .last()
        .map_or_else(|| "it ended".to_owned(), |line| line.trim().to_owned())
}
