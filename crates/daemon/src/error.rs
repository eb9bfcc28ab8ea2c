//! Errors below become what the API says.

use shedbox_spec::{Error, Kind, Result};

/// Adds what was being done to an I/O error.
pub(crate) trait Doing<T> {
    /// `action` completes the sentence "cannot …".
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    Kind::Denied
                }
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Kind::Exhausted
                }
                std::io::ErrorKind::AddrInUse => Kind::Conflict,
                _ => Kind::Internal,
            };
            Error::new(kind, format!("cannot {}: {error}", action()))
        })
    }
}
