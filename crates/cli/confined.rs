//! `shedbox run --isolation landlock`: a command without a sandbox, where user namespaces cannot be had.

use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Result;
use shedbox_client::SandboxSpec;
use shedbox_engine::filter::filters_for;
use shedbox_linux::contact::{Contact, Internet, filter};
use shedbox_linux::probe;
use shedbox_linux::signals::Signals;
use shedbox_runtime::confined::{self, Order, PrivateDirectory, Seen};
use shedbox_spec::Error;
use shedbox_spec::confined::{Confined, Reach};
use shedbox_spec::exec::End;
use shedbox_spec::security::{Seccomp, SeccompProfile};

use crate::foreground::{IMPATIENT, RESIZED, SIGNALS};
use crate::{exec_env, report};

/// First ABI with scopes: abstract sockets and signals.
const SCOPES_ABI: u32 = 6;
/// First ABI that limits connections to sockets by path.
const UNIX_ABI: u32 = 9;

/// Runs it to its end; the exit status.
pub(crate) fn run(spec: &SandboxSpec) -> Result<u8> {
    let confined = Confined::from_spec(spec)?;
    let abi = probe::landlock_abi();
    confined.landlock().check(abi)?;
    let filters = filters(&confined, abi)?;
    report::say(&missing(&confined, abi));
    let base = exec_env::own("TMPDIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .unwrap_or_else(|| PathBuf::from("/tmp"));
    let signals = Signals::block(&SIGNALS)?;
    let private = PrivateDirectory::new(&base)?;
    let order = Order {
        confined,
        term: exec_env::own("TERM"),
        abi,
        filters,
        private: private.clone(),
    };
    let running = confined::start(order).inspect_err(|_| private.remove())?;
    let mut insisted = 0;
    loop {
        match running.next(signals.as_fd())? {
            Seen::Ended(end) => return ended(end),
            Seen::RunnerLost => {
                return Err(Error::internal(
                    "the process that watched over the command was killed; everything it had started was ended",
                )
                .into());
            }
            Seen::Watched => {
                while let Some(signal) = signals.next()? {
                    insisted += usize::from(IMPATIENT.contains(&signal));
                    match signal {
                        RESIZED => {}
                        // As with a sandbox: who insists is not kept waiting.
                        _ if insisted > 2 => running.signal(9),
                        signal => running.signal(signal),
                    }
                }
            }
        }
    }
}

fn ended(end: End) -> Result<u8> {
    match end {
        End::NotStarted(why) => Err(shedbox_client::Error::NotStarted(*why).into()),
        end => Ok(end.status()),
    }
}

/// The profile that was asked for and the filter that stands in for namespaces.
fn filters(confined: &Confined, abi: u32) -> Result<Vec<Vec<u64>>> {
    let asked = filters_for(&confined.seccomp, 0, false, false).map_err(Error::from)?;
    let contact = filter(Contact {
        unix: abi >= UNIX_ABI,
        internet: match confined.network {
            Reach::Closed => Internet::Closed,
            Reach::Ports { .. } => Internet::Tcp,
            Reach::Host { .. } => Internet::Open,
        },
    });
    // The last is the outermost: one that was put in force may refuse seccomp(2) to those after it.
    Ok(vec![contact, asked.init.clone(), asked.command.clone()])
}

/// The line that says what this is not.
fn missing(confined: &Confined, abi: u32) -> String {
    let mut lacks = vec![
        "no namespaces (it sees your processes, and that files exist)",
        "no limits by cgroup",
        "it may change modes, owners and times of your files",
    ];
    if abi < SCOPES_ABI {
        lacks.push("it may signal your other processes (Landlock ABI 6 prevents it)");
    }
    if abi < 3 {
        lacks.push("it may cut off files that it may not write (ABI 3 prevents it)");
    }
    if matches!(confined.network, Reach::Host { .. }) {
        lacks.push("the host's network is open to it");
    }
    if confined.seccomp == Seccomp::Profile(SeccompProfile::Unconfined) {
        lacks.push("no system call profile");
    }
    format!(
        "shedbox: weaker isolation: Landlock ABI {abi} and a system call filter, no sandbox: {}",
        lacks.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_missing() {
        let confined = Confined::from_spec(&SandboxSpec::host().command(["true"])).unwrap();
        let old = missing(&confined, 2);
        assert!(old.starts_with("shedbox: weaker isolation: Landlock ABI 2"));
        assert!(old.contains("signal your other processes") && old.contains("cut off files"));
        let new = missing(&confined, 9);
        assert!(!new.contains("signal") && !new.contains("cut off"));
        assert!(new.contains("modes, owners") && !new.contains('\n'));
    }
}
