//! Limits: each holds, and what ran into one is told which.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "limits/causes.rs"]
mod causes;
#[path = "limits/cgroup.rs"]
mod cgroup;
#[path = "limits/commands.rs"]
mod commands;
#[path = "limits/disk.rs"]
mod disk;
#[path = "limits/errors.rs"]
mod errors;
#[path = "limits/guards.rs"]
mod guards;
#[path = "limits/leaks.rs"]
mod leaks;
#[path = "limits/pause.rs"]
mod pause;
#[path = "limits/stats.rs"]
mod stats;
#[path = "limits/subject.rs"]
mod subject;
