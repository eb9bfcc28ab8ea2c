//! Waiting for what happens by itself, and randomness that can be repeated.

use std::time::{Duration, Instant};

/// Looks at `condition` until it is true. Fails with `what` after ten seconds; see [`patience`].
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    let limit = Duration::from_secs(10);
    assert!(comes_true(limit, condition), "not after {limit:?}: {what}");
}

/// Looks at `condition` until it is true or `limit` is over; see [`patience`].
pub(crate) fn comes_true(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience(limit);
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        pause();
    }
    true
}

/// A time limit for whatever must happen at some point: ten times as long in an emulated guest
/// (`SHEDBOX_TEST_GUEST=1`), which is that much slower.
pub(crate) fn patience(limit: Duration) -> Duration {
    let guest = std::env::var_os("SHEDBOX_TEST_GUEST").is_some_and(|value| value == "1");
    if guest { limit * 10 } else { limit }
}

/// The time between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no event to wait for: the state belongs to other processes"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// The seed of a randomised test: `SHEDBOX_TEST_SEED`, or drawn from the clock; printed either way, so that a failure
/// can be repeated.
#[expect(clippy::print_stdout, reason = "libtest shows it when the test fails")]
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SHEDBOX_TEST_SEED")
        .ok()
        .map_or_else(clock_seed, |text| {
            text.parse().expect("SHEDBOX_TEST_SEED is a number")
        });
    println!("SHEDBOX_TEST_SEED={seed}");
    seed
}

fn clock_seed() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the clock is after 1970");
    since.as_nanos() as u64 ^ u64::from(std::process::id())
}

/// A small generator for randomised tests (splitmix64): the same numbers for the same seed on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of `items`.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
