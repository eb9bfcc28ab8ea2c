//! The process beside the gateway that starts pasta, again and again if it has to: the gateway itself may start nothing once
//! it is set up ([`crate::confine`]). It reads nothing but the gateway's two words, and ends with it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shedbox_linux::errno::Context;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::spawn::{self, Program};
use shedbox_linux::{fd, pidfd, process};
use shedbox_spec::{Error, Kind};

use crate::firewall::UPLINK;

/// Addresses of the tap device and of what pasta says is behind it: a part of TEST-NET-3 (RFC 5737).
const ADDRESS: [&str; 6] = [
    "--address",
    "203.0.113.130",
    "--netmask",
    "25",
    "--gateway",
    "203.0.113.129",
];
/// Everything else that it is told.
const WORDS: [&str; 18] = [
    "--config-net",
    "--ns-ifname",
    UPLINK,
    "--no-map-gw",
    "--netns-only",
    "--netns",
    "/proc/self/fd/3",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "-T",
    "none",
    "-U",
    "none",
    "--foreground",
    "--quiet",
    "--stderr",
];
/// As root of a namespace that maps all ids: it takes us for root of the host, and would become nobody, who may not enter
/// our namespace.
const AS_ROOT: [&str; 2] = ["--runas", "0:0"];
/// Number at which pasta finds the gateway's network namespace.
const NAMESPACE_FD: i32 = 3;
/// Number at which the starter finds the connection to the gateway.
const GATEWAY_FD: i32 = 3;
/// Of the environment: where programs are, and by which an owner can tell whose they are.
const KEPT: [&str; 2] = ["PATH", "SHEDBOX_ROOT"];

/// What the gateway asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// A pasta, in the place of the one before, for the network namespace that comes with this. With the answer come its
    /// pidfd and its standard error.
    Start,
    /// The end of the one that was started last.
    Kill,
}

/// The gateway's end of the connection.
#[derive(Debug)]
pub(crate) struct Starter {
    connection: SeqPacket,
    namespace: OwnedFd,
    pid: i32,
}

/// A pasta that was started.
#[derive(Debug)]
pub(crate) struct Started {
    /// Readable when it has ended.
    pub(crate) pidfd: OwnedFd,
    /// What it says.
    pub(crate) errors: OwnedFd,
}

impl Starter {
    /// Starts the process. The calling thread is in the host's network namespace; `namespace` is the gateway's.
    pub(crate) fn start(namespace: OwnedFd) -> shedbox_linux::Result<Self> {
        let (ours, theirs) = SeqPacket::pair()?;
        let null = null()?;
        let argv = [OsStr::new("shedbox"), OsStr::new("uplink")];
        let program = Program::Path(Path::new("/proc/self/exe"));
        let pid = spawn::session(
            program,
            &argv,
            &KEPT,
            &[
                (null.as_fd(), 0),
                (null.as_fd(), 1),
                (std::io::stderr().as_fd(), 2),
                (theirs.as_fd(), GATEWAY_FD),
            ],
        )?;
        Ok(Self {
            connection: ours,
            namespace,
            pid,
        })
    }

    /// A pasta; `None` when the starter has gone.
    pub(crate) fn pasta(&self) -> Option<Result<Started, Error>> {
        let request = serde_json::to_vec(&Request::Start).ok()?;
        self.connection
            .send(&request, &[self.namespace.as_fd()])
            .ok()?;
        let frame = self.connection.recv().ok()??;
        let answer: Result<(), Error> = serde_json::from_slice(&frame.bytes).ok()?;
        let mut fds = frame.fds.into_iter();
        Some(match answer {
            Ok(()) => Ok(Started {
                pidfd: fds.next()?,
                errors: fds.next()?,
            }),
            Err(error) => Err(error),
        })
    }

    /// Ends the process, and its pasta.
    pub(crate) fn end(self) {
        // It goes when nobody can ask it any more.
        drop(self.connection);
        if let Ok(end) = pidfd::open(self.pid) {
            let _ = pidfd::wait(end.as_fd(), None);
        }
        spawn::reap(self.pid);
    }

    /// Ends the pasta that was started last; what does not come to that is seen at its pidfd.
    pub(crate) fn kill(&self) {
        if let Ok(request) = serde_json::to_vec(&Request::Kill) {
            let _ = self.connection.send(&request, &[]);
        }
    }
}

/// Runs a starter with the connection that its gateway left under [`GATEWAY_FD`], until the gateway has gone.
pub fn run() -> Result<(), Error> {
    let broken = |error: shedbox_linux::Error| Error::internal(format!("cannot serve: {error}"));
    let gateway = SeqPacket::from(fd::adopt_connection(GATEWAY_FD).map_err(broken)?);
    // Listings show this instead of `exe`.
    let _ = process::set_name(c"shedbox-uplink");
    let mut pasta = None;
    while let Some(frame) = gateway.recv().map_err(broken)? {
        let request = serde_json::from_slice::<Request>(&frame.bytes)
            .map_err(|error| Error::internal(format!("not a request: {error}")))?;
        end(pasta.take());
        if request == Request::Kill {
            continue;
        }
        let namespace = frame
            .fds
            .first()
            .ok_or_else(|| Error::internal("the request came without a network namespace"))?;
        match start(namespace.as_fd()) {
            Ok((pid, started)) => {
                let fds = [started.pidfd.as_fd(), started.errors.as_fd()];
                answer(&gateway, &Ok(()), &fds)?;
                pasta = Some((pid, started.pidfd));
            }
            Err(error) => answer(&gateway, &Err(error), &[])?,
        }
    }
    end(pasta);
    Ok(())
}

/// Where there is setpriv, the kernel does it when we are killed ourselves.
fn end(pasta: Option<(i32, OwnedFd)>) {
    if let Some((pid, pidfd)) = pasta {
        // ESRCH: it has ended. Nothing outlives the signal, so the wait is short.
        let _ = pidfd::kill(pidfd.as_fd());
        let _ = pidfd::wait(pidfd.as_fd(), None);
        spawn::reap(pid);
    }
}

fn answer(
    gateway: &SeqPacket,
    answer: &Result<(), Error>,
    fds: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    let text = serde_json::to_vec(answer).map_err(|error| Error::internal(error.to_string()))?;
    gateway
        .send(&text, fds)
        .map_err(|error| Error::internal(format!("cannot answer: {error}")))
}

/// Starts pasta; whether it comes up is seen in the gateway's namespace.
fn start(namespace: BorrowedFd<'_>) -> Result<(i32, Started), Error> {
    let pasta = find("pasta").ok_or_else(|| {
        Error::new(
            Kind::Unsupported,
            "there is no way out: pasta is not installed",
        )
        .with_hint(
            "install it (Debian: `sudo apt-get install passt`); published ports work without",
        )
    })?;
    File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(|error| {
            Error::new(
                Kind::Unsupported,
                format!("there is no way out: /dev/net/tun cannot be opened: {error}"),
            )
            .with_hint(
                "`sudo modprobe tun && sudo chmod 666 /dev/net/tun`; published ports work without",
            )
        })?;
    let spawned = || {
        let (errors, write) = fd::pipe()?;
        let pid = spawn_pasta(&pasta, namespace, &write)?;
        let pidfd = pidfd::open(pid)?;
        Ok((pid, Started { pidfd, errors }))
    };
    spawned().map_err(|error: shedbox_linux::Error| {
        Error::new(Kind::Unavailable, format!("there is no way out: {error}"))
            .with_hint("see `shedbox doctor`; published ports work without")
    })
}

fn null() -> shedbox_linux::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .call("open", || "/dev/null".into())
}

fn spawn_pasta(
    pasta: &Path,
    namespace: BorrowedFd<'_>,
    errors: &OwnedFd,
) -> shedbox_linux::Result<i32> {
    let null = null()?;
    // util-linux has it everywhere; without it a pasta could outlive us.
    let setpriv = find("setpriv");
    let mut argv: Vec<&OsStr> = Vec::new();
    if setpriv.is_some() {
        argv.extend(["setpriv", "--pdeathsig", "KILL"].map(OsStr::new));
    }
    argv.push(pasta.as_os_str());
    argv.extend(WORDS.iter().chain(&ADDRESS).map(OsStr::new));
    if maps_every_id() {
        argv.extend(AS_ROOT.map(OsStr::new));
    }
    let program = setpriv.as_deref().unwrap_or(pasta);
    spawn::session(
        Program::Path(program),
        &argv,
        &KEPT,
        &[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (errors.as_fd(), 2),
            (namespace, NAMESPACE_FD),
        ],
    )
}

/// This user namespace maps all ids to themselves, as the first one does.
fn maps_every_id() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
        map.split_ascii_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"]
    })
}

/// In `PATH`, else where system programs are: the `PATH` of a user need not have those.
fn find(program: &str) -> Option<PathBuf> {
    spawn::find_program(program)
        .or_else(|| spawn::find_program_in(program, OsStr::new("/usr/bin:/usr/sbin:/sbin")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::gateway::PASTA_OPTIONS;

    #[test]
    fn doctor_looks_for_every_option() {
        // Two that a pasta may do without: it talks less, and to standard error.
        let known =
            |word: &&str| PASTA_OPTIONS.contains(word) || ["--quiet", "--stderr"].contains(word);
        let all = WORDS.iter().chain(&ADDRESS).chain(&AS_ROOT);
        let options: Vec<_> = all.copied().filter(|word| word.starts_with("--")).collect();
        assert_eq!(
            options.iter().filter(|word| !known(word)).count(),
            0,
            "{options:?}"
        );
        assert!(PASTA_OPTIONS.iter().all(|option| options.contains(option)));
    }
}
