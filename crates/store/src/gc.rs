//! What may go, and what must stay.

use shedbox_spec::Digest;
use shedbox_spec::api::{Pruned, Removed};

use crate::{Result, Store};

/// Keeps blobs and layers from being pruned for as long as it lives.
#[derive(Debug)]
pub struct PinGuard {}

impl Store {
    /// Keeps these manifests, configs and layers, there or not yet there, until the guard is dropped. When this
    /// returns, what [`Store::has_layer`] says of them stays true.
    pub fn pin(&self, digests: Vec<Digest>) -> PinGuard {
        let _ = digests;
        unimplemented!()
    }

    /// Removes an image's record, its references, and the layers and blobs that nothing else needs.
    /// `in_use` is asked for image ids and diff ids; an image in use is an error unless `force`, and its layers stay.
    pub fn remove_image(
        &self,
        manifest: &Digest,
        force: bool,
        in_use: &dyn Fn(&Digest) -> bool,
    ) -> Result<Removed> {
        let _ = (manifest, force, in_use);
        unimplemented!()
    }

    /// Removes images without a reference (`all`: also those with one) that are not in use, and then every layer and
    /// blob that no image needs, no sandbox uses and nobody has pinned. `in_use` is asked for image ids and diff ids.
    pub fn prune(&self, all: bool, in_use: &dyn Fn(&Digest) -> bool) -> Result<Pruned> {
        let _ = (all, in_use);
        unimplemented!()
    }
}
