//! The way to the world: pasta, one for all sandboxes. Source: pasta(1).
//!
//! pasta runs in the host's network namespace and has a tap device in ours. It is not lent the host's loopback
//! (`--no-map-gw`) and forwards no ports. It ends with us: the kernel kills it when the thread that started it has gone.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shedbox_linux::errno::Context;
use shedbox_linux::netlink::{Netlink, Protocol};
use shedbox_linux::spawn::{self, Program};
use shedbox_linux::{fd, pidfd, rtnetlink};
use shedbox_spec::gateway::Outbound;
use shedbox_spec::{Error, Kind};

use crate::firewall::UPLINK;
use crate::host::HostNet;

/// Addresses of the tap device and of what pasta says is behind it: a part of TEST-NET-3 (RFC 5737).
const ADDRESS: [&str; 6] = ["-a", "203.0.113.130", "-n", "25", "-g", "203.0.113.129"];
/// pasta is up in a few hundredths of a second.
const UP_WITHIN: Duration = Duration::from_secs(5);
/// After an end that nobody asked for.
const PAUSE: Duration = Duration::from_secs(2);
/// Number at which pasta finds our network namespace.
const NAMESPACE_FD: i32 = 3;

/// pasta, as far as it is known.
#[derive(Debug)]
pub(crate) struct Uplink {
    known: Mutex<Option<Outbound>>,
    changed: Condvar,
}

impl Uplink {
    /// Starts it from a thread that sees to it from then on. The calling thread is in the gateway's namespace.
    pub(crate) fn start(host: HostNet, namespace: OwnedFd) -> std::io::Result<Arc<Self>> {
        let uplink = Arc::new(Self {
            known: Mutex::new(None),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&uplink);
        std::thread::Builder::new()
            .name("uplink".to_owned())
            .spawn(move || own.keep(&host, &namespace))?;
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

    fn tell(&self, outbound: Outbound) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(outbound);
        self.changed.notify_all();
    }

    fn keep(&self, host: &HostNet, namespace: &OwnedFd) {
        loop {
            match start(host, namespace) {
                Ok(pid) => {
                    self.tell(Outbound::Pasta);
                    if let Ok(end) = pidfd::open(pid) {
                        let _ = pidfd::wait(end.as_fd(), None);
                    }
                    spawn::reap(pid);
                    tracing::warn!("pasta has ended; starting it again");
                    self.tell(Outbound::Absent(
                        Error::new(Kind::Unavailable, "there is no way out: pasta has ended")
                            .with_hint("it is started again; see the daemon's log if that goes on"),
                    ));
                }
                Err(error) => {
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

/// Starts pasta and waits until its device is there.
fn start(host: &HostNet, namespace: &OwnedFd) -> Result<i32, Error> {
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
    let failed = |what: String| {
        Error::new(Kind::Unavailable, format!("there is no way out: {what}"))
            .with_hint("see `shedbox doctor`; published ports work without")
    };
    let kernel = |error: shedbox_linux::Error| failed(error.to_string());
    let (read, write) = fd::pipe().map_err(kernel)?;
    let namespace = namespace
        .try_clone()
        .map_err(|error| failed(error.to_string()))?;
    let pid = host
        .run(move || spawn_pasta(&pasta, &namespace, &write).map_err(std::io::Error::other))
        .map_err(|error| failed(error.to_string()))?;
    let end = pidfd::open(pid).map_err(kernel)?;
    let netlink = Netlink::open(Protocol::Route).map_err(kernel)?;
    let until = Instant::now() + UP_WITHIN;
    loop {
        let links = rtnetlink::links(&netlink).map_err(kernel)?;
        if links.iter().any(|(name, _)| name == UPLINK) {
            return Ok(pid);
        }
        // Its end, or the time for another look.
        if pidfd::wait(end.as_fd(), Some(Duration::from_millis(5))).map_err(kernel)? {
            spawn::reap(pid);
            return Err(failed(format!("pasta: {}", last_words(read))));
        }
        if Instant::now() > until {
            let _ = pidfd::kill(end.as_fd());
            spawn::reap(pid);
            return Err(failed("pasta makes no device".to_owned()));
        }
    }
}

fn spawn_pasta(pasta: &Path, namespace: &OwnedFd, errors: &OwnedFd) -> shedbox_linux::Result<i32> {
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .call("open", || "/dev/null".into())?;
    let words = [
        "--config-net",
        "--ns-ifname",
        UPLINK,
        "--no-map-gw",
        "--netns-only",
        "--netns",
        "/proc/self/fd/3",
        "-t",
        "none",
        "-u",
        "none",
        "-T",
        "none",
        "-U",
        "none",
        "--foreground",
        "--quiet",
        "--stderr",
    ];
    // util-linux has it everywhere; without it a pasta could outlive us.
    let setpriv = find("setpriv");
    let mut argv: Vec<&OsStr> = Vec::new();
    if setpriv.is_some() {
        argv.extend(["setpriv", "--pdeathsig", "KILL"].map(OsStr::new));
    }
    argv.push(pasta.as_os_str());
    argv.extend(words.iter().chain(&ADDRESS).map(OsStr::new));
    if maps_every_id() {
        // It takes us for root of the host, and would become nobody, who may not enter our namespace.
        argv.extend(["--runas", "0:0"].map(OsStr::new));
    }
    let program = setpriv.as_deref().unwrap_or(pasta);
    spawn::session(
        Program::Path(program),
        &argv,
        // By it the owner can tell whose it is.
        &["PATH", "SHEDBOX_ROOT"],
        &[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (errors.as_fd(), 2),
            (namespace.as_fd(), NAMESPACE_FD),
        ],
    )
}

/// This user namespace maps all ids to themselves, as the first one does.
fn maps_every_id() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
        map.split_ascii_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"]
    })
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

/// In `PATH`, else where system programs are: the `PATH` of a user need not have those.
fn find(program: &str) -> Option<PathBuf> {
    spawn::find_program(program)
        .or_else(|| spawn::find_program_in(program, OsStr::new("/usr/bin:/usr/sbin:/sbin")))
}
