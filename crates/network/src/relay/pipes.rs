//! Pipes that are empty and wait for the next connection that has something to say.
//!
//! A direction that is silent holds none, so that thousands of idle connections cost neither descriptors nor the user's
//! share of pipe memory (`pipe-user-pages-soft`), beyond which the kernel makes every new pipe of the user a tiny one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shedbox_linux::splice::Pipe;

/// Most pipes that are kept.
const KEPT: usize = 16;

static EMPTY: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// An empty pipe; `None` when there are no descriptors left for one.
pub(super) fn take() -> Option<Pipe> {
    let kept = lock().pop();
    kept.or_else(|| Pipe::new().ok())
}

/// Gives an empty pipe back.
pub(super) fn give(pipe: Pipe) {
    let mut empty = lock();
    if empty.len() < KEPT {
        empty.push(pipe);
    }
}

/// How many are kept.
#[cfg(test)]
pub(super) fn kept() -> usize {
    lock().len()
}

fn lock() -> MutexGuard<'static, Vec<Pipe>> {
    EMPTY.lock().unwrap_or_else(PoisonError::into_inner)
}
