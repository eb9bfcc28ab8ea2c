//! A group that belongs to a generation for as long as that lives.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::group::Group;
use super::stock::Cgroups;

/// Dropped, the group is removed as soon as its init and everything else in it has ended; dropping it ends nothing
/// that lives.
#[derive(Debug)]
pub(crate) struct Lease {
    group: Group,
    init: Option<OwnedFd>,
    cgroups: Arc<Cgroups>,
}

impl Lease {
    pub(super) fn new(group: Group, cgroups: Arc<Cgroups>) -> Self {
        Self {
            group,
            init: None,
            cgroups,
        }
    }

    /// From now on the group is not cleared before this process has ended.
    pub(crate) fn belongs_to(&mut self, init: &OwnedFd) {
        // Without a copy nothing is ever killed in it, which only costs the second net.
        self.init = init.try_clone().ok();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.group.path
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// What the keeper needs to clone into it: the directory and the namespace. `None` for a group that an earlier
    /// daemon has made.
    pub(crate) fn descriptors(&self) -> Option<[BorrowedFd<'_>; 2]> {
        Some([
            self.group.directory.as_ref()?.as_fd(),
            self.group.namespace.as_ref()?.as_fd(),
        ])
    }

    /// Whether a limit on memory holds in it.
    pub(crate) fn limits_memory(&self) -> bool {
        let place = self.cgroups.place();
        place.is_ok_and(|place| place.controllers.iter().any(|name| name == "memory"))
    }

    /// Ends every process in it, init too.
    pub(crate) fn kill(&self) {
        if let Err(error) = self.group.kill() {
            tracing::debug!(%error, path = %self.path().display(), "not killed");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.cgroups
            .retire(self.group.path.clone(), self.init.take());
    }
}
