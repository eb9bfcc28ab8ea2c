//! Where the standard streams of a command lead.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What to do with one standard stream of a command; as [`std::process::Stdio`].
///
/// A sandbox is only ever given pipes made for it: any other descriptor could be opened anew from inside through
/// `/proc/self/fd`, with more rights than it was given. [`Stdio::inherit`] and files are therefore copied by this
/// process, in constant memory.
#[derive(Debug)]
pub struct Stdio(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Inherit,
    Piped,
    File(OwnedFd),
    Bytes(Vec<u8>),
}

impl Stdio {
    /// `/dev/null`.
    pub fn null() -> Self {
        Self(Kind::Null)
    }

    /// This process's own stream.
    pub fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// A pipe: for the caller after `spawn`, kept in memory by `output`.
    pub fn piped() -> Self {
        Self(Kind::Piped)
    }

    /// These bytes, then the end. For standard input.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self(Kind::File(file.into()))
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self(Kind::File(fd))
    }
}

/// A descriptor that is ours, or one of the process's standard ones.
#[derive(Debug)]
pub(crate) enum Fd {
    Standard(BorrowedFd<'static>),
    Owned(OwnedFd),
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Standard(fd) => *fd,
            Self::Owned(fd) => fd.as_fd(),
        }
    }
}
