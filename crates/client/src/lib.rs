//! Sandboxes for programs: create, run commands, copy files, reset. Synchronous, no runtime, safe to use from threads.
//!
//! ```no_run
//! use shedbox_client::{Sandbox, SandboxSpec};
//!
//! # fn main() -> shedbox_client::Result<()> {
//! let sandbox = Sandbox::create(SandboxSpec::host())?;
//! let output = sandbox.command("sh").args(["-c", "echo hello; exit 3"]).output()?;
//! assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"hello\n"[..], Some(3)));
//! sandbox.reset()?; // everything it wrote is gone
//! # Ok(())
//! # }
//! ```
//!
//! The daemon is found through its socket and started when there is none; [`Client`] says where. Commands and files do
//! not pass through it: they go straight to the init of the sandbox, so they work while the daemon is away.

mod client;
mod daemon;
mod docker;
mod error;
mod exec;
mod files;
mod http;
mod image;
mod logs;
mod network;
mod resolve;
mod sandbox;
mod session;
mod snapshot;

pub use shedbox_spec as spec;
pub use shedbox_spec::exec::{End, ExecResult, NotStarted, TtySize};
pub use shedbox_spec::{Kind, SandboxSpec};

pub use client::{Client, auth_sources};
pub use error::{Error, Result};
pub use exec::{
    Child, ChildStderr, ChildStdin, ChildStdout, Event, Exec, ExitStatus, Follow, Output, Overflow,
    Remote, Running, Stdio,
};
pub use files::{CopyOptions, TarReader};
pub use http::{Body, Payload, Target};
pub use image::{ArchiveFormat, Image};
pub use logs::{LogFrame, LogOptions, Logs};
pub use sandbox::Sandbox;
