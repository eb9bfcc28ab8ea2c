//! The error of a failed kernel call: which call, with what, and why.

use std::fmt;

pub use nix::errno::Errno;

/// A failed call, shown as `call(detail) => ERRNO (text)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Name of the call.
    pub call: &'static str,
    /// The arguments that matter to a reader.
    pub detail: String,
    /// Why it failed.
    pub errno: Errno,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}({}) => {:?} ({})",
            self.call,
            self.detail,
            self.errno,
            self.errno.desc()
        )
    }
}

impl Error {
    /// An error of `call` with its arguments.
    pub fn new(call: &'static str, detail: impl Into<String>, errno: Errno) -> Self {
        Self {
            call,
            detail: detail.into(),
            errno,
        }
    }

    /// The same from an I/O error; one without an OS code becomes EIO.
    pub fn from_io(call: &'static str, detail: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(
            call,
            detail,
            error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        )
    }
}

/// Results of kernel calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Adds the call's name and arguments to a bare error code.
pub trait Context<T> {
    /// Names the call; `detail` runs only on failure.
    fn call(self, call: &'static str, detail: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn call(self, call: &'static str, detail: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::new(call, detail(), errno))
    }
}

impl<T> Context<T> for std::result::Result<T, rustix::io::Errno> {
    fn call(self, call: &'static str, detail: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::new(call, detail(), Errno::from_raw(errno.raw_os_error())))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn call(self, call: &'static str, detail: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::from_io(call, detail(), &error))
    }
}
