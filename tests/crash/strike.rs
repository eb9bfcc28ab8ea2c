//! Who is killed, and how.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use shedbox_linux::pidfd;

use super::invariants;
use super::long::Storm;
use super::model::Slot;
use super::task::Task;
use super::timed::Beside;
use crate::support::Kin;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Client,
    Daemon,
    Keeper,
    /// Of a sandbox or of a spare.
    Init,
    /// Daemon and keeper.
    Servants,
}

/// As often as each is hit.
pub(crate) const VICTIMS: [Victim; 8] = [
    Victim::Client,
    Victim::Daemon,
    Victim::Daemon,
    Victim::Daemon,
    Victim::Keeper,
    Victim::Init,
    Victim::Init,
    Victim::Servants,
];

impl Storm {
    /// Who may be hit, of those that are there.
    pub(crate) fn find(&mut self, victim: Victim) -> Vec<(Kin, OwnedFd)> {
        let daemon = || self.kin.daemon(&self.ground.home).into_iter().collect();
        let found: Vec<Kin> = match victim {
            Victim::Client => Vec::new(),
            Victim::Daemon => daemon(),
            Victim::Keeper => self.kin.keepers(),
            Victim::Servants => {
                let daemon: Vec<Kin> = daemon();
                daemon.into_iter().chain(self.kin.keepers()).collect()
            }
            Victim::Init => self.kin.inits(),
        };
        found
            .into_iter()
            .filter_map(|kin| {
                let pidfd = kin.pidfd()?;
                Some((kin, pidfd))
            })
            .collect()
    }

    pub(crate) fn strike(
        &mut self,
        victim: Victim,
        targets: &[(Kin, OwnedFd)],
        running: &mut [(Task, Beside)],
    ) {
        match victim {
            Victim::Client => {
                if !running.is_empty() {
                    let index = self.random.below(running.len() as u64) as usize;
                    running[index].1.kill();
                }
            }
            Victim::Daemon | Victim::Keeper | Victim::Servants => {
                for (_, pidfd) in targets {
                    // It may have left by itself.
                    let _ = pidfd::kill(pidfd.as_fd());
                }
            }
            Victim::Init => self.strike_an_init(targets),
        }
    }

    /// One that was there before the tasks began, or, half of the time, one that is there now.
    fn strike_an_init(&mut self, targets: &[(Kin, OwnedFd)]) {
        let fresh: Vec<(Kin, OwnedFd)>;
        let mut targets = targets;
        if self.random.below(2) == 0 {
            fresh = self.find(Victim::Init);
            targets = &fresh;
        }
        if targets.is_empty() {
            return;
        }
        let (init, pidfd) = self.random.pick(targets);
        // It may have ended with its generation.
        let _ = pidfd::kill(pidfd.as_fd());
        // Not before its whole pid namespace has gone.
        let gone =
            pidfd::wait(pidfd.as_fd(), Some(Duration::from_secs(20))).expect("wait for init");
        assert!(gone, "a killed init stays: {init:?}");
        // Whose it was is not known: it may be that of any sandbox, or a spare.
        self.slots.iter_mut().for_each(Slot::lost_its_init);
    }

    /// What a killed client has asked for may still be under way. A daemon that is told to leave finishes it first, or
    /// leaves it as a crash would; afterwards nothing moves.
    pub(crate) fn settle(&self) {
        if let Some(daemon) = self.kin.daemon(&self.ground.home) {
            // It may have ended with the round.
            let _ = shedbox_linux::process::signal(daemon.pid, 15);
            invariants::soon(Duration::from_secs(30), "the daemon leaves", || match self
                .kin
                .daemon(&self.ground.home)
            {
                Some(still) if still.pid == daemon.pid => Err(format!("{still:?}")),
                _ => Ok(()),
            });
        }
    }
}
