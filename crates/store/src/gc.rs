//! What may go, and what must stay.
//!
//! Mark: manifests, configs and layers of the images that stay, what `in_use` says, what is pinned. Sweep: everything
//! else, by renames into the trash. References go first, then records, then content, so that a crash in between leaves
//! content without a name, which the next prune finds, and never a name without content.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shedbox_spec::Digest;
use shedbox_spec::api::{Pruned, Removed};

use crate::catalog::Catalog;
use crate::image::no_such_image;
use crate::root::names_in;
use crate::{Result, Store, StoreError};

/// How often each digest is pinned.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<HashMap<Digest, usize>>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        // Counters: a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps blobs and layers from being pruned for as long as it lives.
#[derive(Debug)]
#[must_use = "what it pins may be pruned as soon as it is dropped"]
pub struct PinGuard {
    pins: Arc<Pins>,
    digests: Vec<Digest>,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        for digest in &self.digests {
            if let Some(count) = pins.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    pins.remove(digest);
                }
            }
        }
    }
}

impl Store {
    /// Keeps these manifests, configs and layers, there or not yet there, until the guard is dropped. When this
    /// returns, what [`Store::has_layer`] says of them stays true.
    pub fn pin(&self, digests: Vec<Digest>) -> PinGuard {
        let mut pins = self.pins.lock();
        for digest in &digests {
            *pins.entry(digest.clone()).or_default() += 1;
        }
        drop(pins);
        PinGuard {
            pins: Arc::clone(&self.pins),
            digests,
        }
    }

    /// Removes an image's record, its references, and the layers and blobs that nothing else needs.
    /// `in_use` is asked for image ids and diff ids; an image in use is an error unless `force`, and its layers stay.
    pub fn remove_image(
        &self,
        manifest: &Digest,
        force: bool,
        in_use: &dyn Fn(&Digest) -> bool,
    ) -> Result<Removed> {
        let mut catalog = self.catalog();
        let image = catalog
            .image(manifest)
            .ok_or_else(|| no_such_image(manifest.as_str()))?;
        if !force && in_use(&image.config) {
            return Err(StoreError::InUse {
                id: image.config.clone(),
            });
        }
        let untagged = catalog.references_of(manifest);
        self.forget(&mut catalog, std::slice::from_ref(manifest))?;
        let candidates: HashSet<Digest> = image.digests().into_iter().collect();
        let swept = self.sweep(&catalog, in_use, Some(&candidates))?;
        let mut deleted = vec![image.config.clone()];
        deleted.extend(swept.layers);
        Ok(Removed { untagged, deleted })
    }

    /// Removes images without a reference (`all`: also those with one) that are not in use, and then every layer and
    /// blob that no image needs, no sandbox uses and nobody has pinned. `in_use` is asked for image ids and diff ids, with
    /// the store locked: it must not call the store.
    pub fn prune(&self, all: bool, in_use: &dyn Fn(&Digest) -> bool) -> Result<Pruned> {
        let mut catalog = self.catalog();
        let mut removed = Vec::new();
        let mut gone = Vec::new();
        for image in catalog.images() {
            let names = catalog.references_of(&image.manifest);
            let tagged = names.iter().any(|name| !name.contains('@'));
            let pinned = self.pins.lock().contains_key(&image.manifest);
            if pinned || (tagged && !all) || in_use(&image.config) {
                continue;
            }
            removed.extend(names);
            removed.push(image.config.to_string());
            gone.push(image.manifest.clone());
        }
        self.forget(&mut catalog, &gone)?;
        let swept = self.sweep(&catalog, in_use, None)?;
        removed.extend(swept.layers.iter().map(ToString::to_string));
        Ok(Pruned {
            removed,
            bytes: swept.bytes,
        })
    }

    fn forget(&self, catalog: &mut Catalog, manifests: &[Digest]) -> Result<()> {
        if manifests.is_empty() {
            return Ok(());
        }
        let references: BTreeMap<String, Digest> = catalog
            .references()
            .iter()
            .filter(|(_, manifest)| !manifests.contains(manifest))
            .map(|(name, manifest)| (name.clone(), manifest.clone()))
            .collect();
        self.write_references(&references)?;
        catalog.set_references(references);
        for manifest in manifests {
            self.remove_record(&format!("{}.json", manifest.hex()))?;
            catalog.remove(manifest);
        }
        Ok(())
    }

    /// Removes layers and blobs that nobody needs, of `only` those when given.
    fn sweep(
        &self,
        catalog: &Catalog,
        in_use: &dyn Fn(&Digest) -> bool,
        only: Option<&HashSet<Digest>>,
    ) -> Result<Swept> {
        let needed: HashSet<Digest> = catalog
            .images()
            .iter()
            .flat_map(|image| image.digests())
            .collect();
        let mut layers = self.layers();
        // Held to the end: who pins now waits, and then sees what has gone.
        let pins = self.pins.lock();
        let goes = |digest: &Digest| {
            only.is_none_or(|only| only.contains(digest))
                && !needed.contains(digest)
                && !pins.contains_key(digest)
                && !in_use(digest)
        };
        let mut swept = Swept::default();
        let gone: Vec<Digest> = layers.keys().filter(|layer| goes(layer)).cloned().collect();
        for layer in gone {
            let info = match layers.get(&layer) {
                Some(Some(info)) => info.clone(),
                _ => self.read_layer_info(&layer).unwrap_or_default(),
            };
            self.trash
                .discard(&self.root.join("layers").join(layer.hex()))?;
            layers.remove(&layer);
            swept.bytes += info.room();
            swept.layers.push(layer);
        }
        drop(layers);
        for name in names_in(&self.root.join("blobs/sha256"))? {
            let Ok(digest) = Digest::parse(&format!("sha256:{name}")) else {
                continue;
            };
            if goes(&digest) {
                let path = self.blob_path(&digest);
                swept.bytes += path.metadata().map_or(0, |meta| meta.len());
                self.trash.discard(&path)?;
            }
        }
        swept.layers.sort();
        Ok(swept)
    }
}

#[derive(Debug, Default)]
struct Swept {
    layers: Vec<Digest>,
    bytes: u64,
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;
