//! The process itself.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

/// How a gateway is started.
#[derive(Debug)]
pub struct Options {
    /// Listening SOCK_SEQPACKET socket.
    pub listener: OwnedFd,
    /// The audit log.
    pub audit: PathBuf,
}

/// Runs a gateway until nobody needs it. The caller has one thread, which is in the host's network namespace.
pub fn run(_options: Options) -> ExitCode {
    ExitCode::FAILURE
}
