//! Images as the daemon serves them; what sandboxes use stays.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use serde_json::Value;
use shedbox_image::ImageService;
use shedbox_image::platform::Platform;
use shedbox_spec::api::CreateRequest;
use shedbox_spec::api::{
    HistoryEntry, ImageDetail, ImageSummary, Pruned, PullPolicy, PullRequest, Removed,
};
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Digest, Reference};
use shedbox_store::ImageRecord;

use crate::Engine;
use crate::error::Result;

impl Engine {
    /// Pulls, loads and saves: the asynchronous part, for the daemon.
    pub fn images(&self) -> &ImageService {
        &self.images
    }

    /// The pull that a create needs first; `None` when the image is here or must not be asked for.
    pub fn needed_pull(&self, request: &CreateRequest) -> Option<PullRequest> {
        let Source::Image(reference) = &request.spec.source else {
            return None;
        };
        let platform = request.spec.platform.as_deref();
        let here = self.images.find(reference).ok();
        // A platform that is none is told by the pull.
        let fits = |record: &ImageRecord| {
            platform.is_none_or(|wanted| {
                Platform::parse(wanted)
                    .is_ok_and(|wanted| wanted.accepts(&Platform::of_record(record)))
            })
        };
        let pull = match (request.pull, here) {
            (PullPolicy::Always, _) => true,
            // The pull says what is missing, without asking anybody.
            (PullPolicy::Never, here) => here.is_some_and(|record| !fits(&record)),
            (PullPolicy::Missing, here) => here.is_none_or(|record| !fits(&record)),
        };
        pull.then(|| PullRequest {
            reference: reference.clone(),
            platform: request.spec.platform.clone(),
            policy: request.pull,
            auth: request.auth.clone(),
        })
    }

    /// All images.
    pub fn list_images(&self) -> Vec<ImageSummary> {
        self.images.list()
    }

    /// One image in full.
    pub fn inspect_image(&self, name: &str) -> Result<ImageDetail> {
        Ok(self.images.detail(&*self.images.find(name)?)?)
    }

    /// How an image came to be, newest line first.
    pub fn image_history(&self, name: &str) -> Result<Vec<HistoryEntry>> {
        Ok(self.images.history(&*self.images.find(name)?)?)
    }

    /// Makes an image of one layer from a root file system as tar (plain, gzip or zstd), and gives its id. `config` is Docker's
    /// `Config` object, or null.
    pub fn import_image(
        &self,
        tar: impl Read,
        reference: Option<&str>,
        config: Value,
        message: Option<&str>,
    ) -> Result<Digest> {
        let _activity = self.background.activity();
        let image = self.images.import(tar, reference, config, message)?;
        Ok(image.config.clone())
    }

    /// Makes `target` (a name with a tag, `latest` when it has none) name the image that `source` names: a reference, an
    /// id or its beginning. What `target` named before loses it, and stays.
    pub fn tag_image(&self, source: &str, target: &str) -> Result<()> {
        let image = self.images.find(source)?;
        self.images.tag(&image, target)?;
        Ok(())
    }

    /// Forgets one reference and leaves the image, which has no name any more if that was the last one. Gives its id.
    pub fn untag_image(&self, reference: &str) -> Result<Digest> {
        Ok(self.images.untag(reference)?)
    }

    /// Removes a reference and, with the last one, the image. `name` is a reference, or an id: then all its references
    /// go (several need `force`, as Docker has it).
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Removed> {
        self.drop_prepared();
        let image = self.images.find(name)?;
        let references = self.store.references(&image.manifest);
        let tags: Vec<&String> = references
            .iter()
            .filter(|reference| !reference.contains('@'))
            .collect();
        let named = self
            .images
            .parse_reference(name)
            .ok()
            .map(|reference| reference.to_string());
        if let Some(canonical) =
            named.filter(|canonical| tags.contains(&canonical) && tags.len() > 1)
        {
            self.store.untag(&canonical)?;
            return Ok(Removed {
                untagged: vec![familiar(&canonical)],
                deleted: Vec::new(),
            });
        }
        if tags.len() > 1 && !force {
            return Err(shedbox_spec::Error::conflict(format!(
                "image `{name}` has {} references",
                tags.len()
            ))
            .with_hint("remove them one by one, or all with force")
            .into());
        }
        if let Some(user) = self.user_of(&image).filter(|_| !force) {
            return Err(shedbox_spec::Error::conflict(format!("image `{name}` is in use by sandbox `{user}`"))
                .with_hint(format!("`shedbox rm {user}` first, or remove the image with force: its layers stay until then"))
                .into());
        }
        let mut removed = self
            .store
            .remove_image(&image.manifest, force, &self.usage())?;
        removed.untagged = removed
            .untagged
            .iter()
            .map(|reference| familiar(reference))
            .collect();
        Ok(removed)
    }

    /// Removes what nothing refers to, but for the images of `keep` (ids).
    pub fn prune_images(&self, all: bool, keep: &HashSet<Digest>) -> Result<Pruned> {
        self.drop_prepared();
        let in_use = self.usage();
        Ok(self
            .store
            .prune(all, &|digest| keep.contains(digest) || in_use(digest))?)
    }

    /// The image of a spec, which is here or an error.
    pub(crate) fn resolve_image(&self, reference: &str) -> Result<Arc<ImageRecord>> {
        Ok(self.images.find(reference)?)
    }

    fn user_of(&self, image: &ImageRecord) -> Option<String> {
        let sandboxes = self.registry().all();
        sandboxes
            .iter()
            .find(|sandbox| sandbox.record.uses(&image.config))
            .map(|sandbox| sandbox.name().to_string())
    }

    /// Tells which image ids and diff ids sandboxes use.
    fn usage(&self) -> impl Fn(&Digest) -> bool + use<> {
        let sandboxes = self.registry().all();
        move |digest| sandboxes.iter().any(|sandbox| sandbox.record.uses(digest))
    }
}

fn familiar(canonical: &str) -> String {
    Reference::parse(canonical)
        .map_or_else(|_| canonical.to_owned(), |reference| reference.familiar())
}
