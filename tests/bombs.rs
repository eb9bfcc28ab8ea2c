//! Bombs: code that takes whatever it can get. Each goes off in a sandbox with a neighbour, and afterwards the machine
//! answers, the neighbour answers, the cause is told, reset and remove cost what they always do, and nothing is left.
//!
//! Bombs that only a cgroup can hold run where the user has one (`require!(cgroup)`): in the guests of
//! `scripts/test-vm`. The rest runs everywhere. Every one is small (64 MiB, 100 processes, 50 MB) and has a time-out.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and what it measured is told"
)]

mod support;

#[path = "bombs/bomb.rs"]
mod bomb;
#[path = "bombs/descriptors.rs"]
mod descriptors;
#[path = "bombs/files.rs"]
mod files;
#[path = "bombs/ground.rs"]
mod ground;
#[path = "bombs/limits.rs"]
mod limits;
#[path = "bombs/output.rs"]
mod output;
#[path = "bombs/processes.rs"]
mod processes;
