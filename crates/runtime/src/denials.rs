//! What the filter of the log mode asks about: counted, and let pass.
//!
//! Init answers, so nothing depends on a daemon. It is never itself the one who asks: what it and the children of its
//! vfork do up to execve is allowed by the default profile, which is where the filter comes from. A command that floods
//! it with calls slows itself down: init takes a few at a time and serves everybody else in between.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use shedbox_linux::poll::{Interest, poll};
use shedbox_linux::seccomp::{Listener, Question};
use shedbox_spec::control::Denial;

/// Most questions answered in a row.
const AT_ONCE: usize = 64;
/// Most different calls that are remembered; there are fewer than 500 real ones for each ABI.
const MAX_CALLS: usize = 2048;
/// Most different arguments that are remembered of one call.
const MAX_ARGUMENTS: usize = 16;

/// See the module.
pub(crate) struct Denials {
    listener: Listener,
    /// By ABI and number.
    seen: BTreeMap<(u32, i32), Seen>,
}

#[derive(Default)]
struct Seen {
    count: u64,
    /// The lower halves of the first three.
    arguments: Vec<[u32; 3]>,
    more_arguments: bool,
}

impl Denials {
    pub(crate) fn new(listener: Listener) -> Self {
        Self {
            listener,
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Answers what is asked now, up to a number.
    pub(crate) fn serve(&mut self) {
        for _ in 0..AT_ONCE {
            let interest = Interest {
                fd: self.listener.as_fd(),
                read: true,
                write: false,
            };
            // Reading would wait when nothing is asked.
            let asked = poll(&[interest], Some(std::time::Duration::ZERO));
            if !asked.is_ok_and(|seen| seen.first().is_some_and(|ready| ready.read)) {
                return;
            }
            match self.listener.receive() {
                Ok(Some(question)) => {
                    // Failing leaves one call waiting until its process is killed; there is nobody to tell.
                    let _ = self.listener.let_pass(&question);
                    self.note(&question);
                }
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    fn note(&mut self, question: &Question) {
        let key = (question.architecture, question.call);
        if self.seen.len() >= MAX_CALLS && !self.seen.contains_key(&key) {
            return;
        }
        let seen = self.seen.entry(key).or_default();
        seen.count += 1;
        let [a, b, c, ..] = question.arguments.map(|argument| argument as u32);
        if !seen.arguments.contains(&[a, b, c]) {
            if seen.arguments.len() < MAX_ARGUMENTS {
                seen.arguments.push([a, b, c]);
            } else {
                seen.more_arguments = true;
            }
        }
    }

    pub(crate) fn list(&self) -> Vec<Denial> {
        self.seen
            .iter()
            .map(|((architecture, call), seen)| Denial {
                architecture: *architecture,
                call: *call,
                count: seen.count,
                arguments: seen.arguments.clone(),
                more_arguments: seen.more_arguments,
            })
            .collect()
    }
}
