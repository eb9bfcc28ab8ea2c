//! Images as files: what `docker save`, `podman save`, skopeo, umoci and we ourselves write.
//!
//! | form | told by | read | written |
//! |---|---|---|---|
//! | docker-archive | `manifest.json` | tar (plain, gzip, zstd), directory | tar |
//! | OCI layout | `index.json` | tar (plain, gzip, zstd), directory | tar, directory |
//!
//! An archive that is both (docker since 25) is read as an OCI layout. A stream is read once, forwards, and never
//! unpacked as files: a member that is a symbolic link is a name for another member, nothing on the disk. So layers are
//! extracted as they come, before it is known what they are; afterwards the manifest says which of them were wanted.
//! What was not wanted belongs to no image and goes with the next prune.

mod directory;
mod docker;
mod load;
mod members;
mod oci;
pub mod save;

pub(crate) use docker::{descriptor, digest_of};
pub(crate) use load::broken;
