//! Names that tell which test something belongs to.

use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The running test, as libtest names its thread.
pub(crate) fn current_test() -> String {
    std::thread::current()
        .name()
        .unwrap_or("unnamed")
        .to_owned()
}

/// A sandbox name that nobody else has: the test's name, the process, a counter.
pub(crate) fn unique(what: &str) -> String {
    let test: String = current_test()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let tail = format!(
        "{what}-{:x}-{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    );
    let room = 120 - tail.len();
    let start = test.len().saturating_sub(room);
    format!("t{}-{tail}", &test[start..])
}
