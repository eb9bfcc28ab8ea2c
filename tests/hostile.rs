//! Messages that no honest party sends, on every socket that shedbox listens on: nobody falls over, nobody hangs, nobody
//! takes one thing for another. What a hostile init may say to the daemon is tested in `crates/engine`.
//!
//! All numbers come from one seed, which is printed. `SHEDBOX_TEST_CASES` multiplies the number of cases.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "hostile/http.rs"]
mod http;
#[path = "hostile/keeper_socket.rs"]
mod keeper_socket;
#[path = "hostile/mutation.rs"]
mod mutation;
#[path = "hostile/parsers.rs"]
mod parsers;
#[path = "hostile/sandbox_socket.rs"]
mod sandbox_socket;

/// How many cases of something to try.
fn cases(usual: usize) -> usize {
    let factor = std::env::var("SHEDBOX_TEST_CASES").map_or(1, |text| {
        text.parse().expect("SHEDBOX_TEST_CASES is a number")
    });
    usual * factor
}
