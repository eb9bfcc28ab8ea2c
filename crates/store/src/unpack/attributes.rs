//! Whose an entry is on disk, and which of its extended attributes it keeps.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use shedbox_linux::errno::Errno;
use shedbox_linux::xattr;

use super::{Unpacker, doing};
use crate::entry::{Entry, refuse, shown};
use crate::error::Doing;
use crate::root::IdPolicy;
use crate::warnings::Loss;
use crate::whiteout::OVERLAY_XATTRS;
use crate::{Result, StoreError};

/// Owner and mode as they will be on disk.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    pub(super) fn is_root(self) -> bool {
        self.uid == 0 && self.gid == 0
    }
}

impl Unpacker<'_> {
    pub(super) fn owner(&mut self, entry: &Entry) -> Result<Owner> {
        match self.options.ids {
            IdPolicy::Single => {
                if entry.uid != 0 || entry.gid != 0 {
                    self.warnings.add(Loss::Owner, &entry.name, b"");
                }
                Ok(Owner { uid: 0, gid: 0 })
            }
            IdPolicy::Mapped { max_uid, max_gid } => {
                let mapped = |id: u64, max: u32, which| match u32::try_from(id) {
                    Ok(id) if id <= max => Ok(id),
                    _ => Err(StoreError::UnmappedId {
                        entry: shown(&entry.name),
                        which,
                        id,
                        max,
                    }),
                };
                Ok(Owner {
                    uid: mapped(entry.uid, max_uid, "uid")?,
                    gid: mapped(entry.gid, max_gid, "gid")?,
                })
            }
        }
    }

    /// Sets the attributes that an archive may set. Last but one: chown takes capabilities away.
    pub(super) fn xattrs(&mut self, entry: &Entry, file: &impl AsFd) -> Result<()> {
        for (name, value) in &entry.xattrs {
            let capability = name == b"security.capability";
            let allowed = name.starts_with(b"user.") && !name.starts_with(OVERLAY_XATTRS);
            if !(allowed || capability) {
                self.warnings.add(Loss::Xattr, &entry.name, name);
                continue;
            }
            if name.len() > xattr::MAX_NAME || name.contains(&0) || value.len() > xattr::MAX_VALUE {
                return Err(refuse(
                    &entry.name,
                    format!(
                        "its extended attribute `{}` has {} bytes, at most {} are possible",
                        shown(name),
                        value.len(),
                        xattr::MAX_VALUE
                    ),
                ));
            }
            let error = match xattr::set(file, OsStr::from_bytes(name), value) {
                Ok(()) => continue,
                Err(error) => error,
            };
            match error.errno {
                // An older or foreign format of capabilities is EINVAL.
                Errno::EPERM | Errno::EINVAL if capability => {
                    self.warnings.add(Loss::Capability, &entry.name, b"");
                }
                Errno::EOPNOTSUPP | Errno::EPERM => {
                    self.warnings.add(Loss::XattrUnsupported, &entry.name, name);
                }
                // ext4 keeps all attributes of a file in one block, and says ENOSPC when they do not fit. A disk that is
                // really full fails at the next file.
                Errno::ENOSPC | Errno::E2BIG | Errno::ERANGE => {
                    return Err(refuse(
                        &entry.name,
                        format!(
                            "the file system has no room for its extended attribute `{}` of {} bytes",
                            shown(name),
                            value.len()
                        ),
                    ));
                }
                _ => return Err(error).doing(|| doing(entry)),
            }
        }
        Ok(())
    }
}
