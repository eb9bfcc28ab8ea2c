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
use shedbox_spec::error::Cause;
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Digest, Reference};
use shedbox_store::ImageRecord;

use crate::Engine;
use crate::error::Result;
use crate::sandbox::Sandbox;

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
    /// go (several need `force`, as Docker has it). With the last tag of a repository go its digests of the image.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Removed> {
        self.drop_prepared();
        let image = self.images.find(name)?;
        let references = self.store.references(&image.manifest);
        let tags: Vec<&String> = references
            .iter()
            .filter(|reference| !reference.contains('@'))
            .collect();
        if let Ok(named) = self.images.parse_reference(name)
            && let Some(gone) = untagged(&named, &references)
        {
            for reference in &gone {
                self.store.untag(reference)?;
            }
            return Ok(Removed {
                untagged: gone.iter().map(|reference| familiar(reference)).collect(),
                deleted: Vec::new(),
            });
        }
        if tags.len() > 1 && !force {
            return Err(shedbox_spec::Error::conflict(format!(
                "image `{name}` has {} references",
                tags.len()
            ))
            .with_cause(Cause::ManyNames)
            .with_hint("remove them one by one, or all with force")
            .into());
        }
        if let Some(user) = self.user_of(&image).filter(|_| !force) {
            return Err(shedbox_spec::Error::conflict(format!(
                "image `{name}` is in use by sandbox `{}`",
                user.name()
            ))
            .with_cause(Cause::ImageInUse(user.record.id.clone()))
            .with_hint(format!(
                "`shedbox rm {}` first, or remove the image with force: its layers stay until then",
                user.name()
            ))
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

    fn user_of(&self, image: &ImageRecord) -> Option<Arc<Sandbox>> {
        let sandboxes = self.registry().all();
        sandboxes
            .into_iter()
            .find(|sandbox| sandbox.record.uses(&image.config))
    }

    /// Tells which image ids and diff ids sandboxes use.
    fn usage(&self) -> impl Fn(&Digest) -> bool + use<> {
        let sandboxes = self.registry().all();
        move |digest| sandboxes.iter().any(|sandbox| sandbox.record.uses(digest))
    }
}

/// What goes when an image of these references loses the name `named`; `None` when it has no other one, or not this one.
fn untagged(named: &Reference, references: &[String]) -> Option<Vec<String>> {
    let canonical = match named.digest() {
        Some(digest) => named.with_digest(digest.clone()).to_string(),
        None => named.to_string(),
    };
    if !references.contains(&canonical) {
        return None;
    }
    let others = || references.iter().filter(|other| **other != canonical);
    if named.digest().is_some() {
        return others().next().is_some().then(|| vec![canonical.clone()]);
    }
    let mut tags = others().filter(|other| !other.contains('@')).peekable();
    tags.peek()?;
    let repository = named.name();
    let rest = |reference: &String| reference.strip_prefix(&repository).map(str::to_owned);
    let mut gone = vec![canonical.clone()];
    if !tags.any(|tag| rest(tag).is_some_and(|rest| rest.starts_with(':'))) {
        let digests =
            others().filter(|other| rest(other).is_some_and(|rest| rest.starts_with('@')));
        gone.extend(digests.cloned());
    }
    Some(gone)
}

fn familiar(canonical: &str) -> String {
    Reference::parse(canonical)
        .map_or_else(|_| canonical.to_owned(), |reference| reference.familiar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_with_the_digests_of_their_repository() {
        let digest = |name: &str| format!("{name}@{}", Digest::from_bytes(&[7; 32]));
        let (a, b) = (digest("r.io/a"), digest("r.io/b"));
        let all = [&a, &b, "r.io/a:1", "r.io/a:2", "r.io/b:1"].map(str::to_owned);
        let gone = |name: &str, references: &[String]| {
            untagged(&Reference::parse(name).unwrap(), references)
        };
        assert_eq!(gone("r.io/a:1", &all), Some(vec!["r.io/a:1".to_owned()]));
        assert_eq!(
            gone("r.io/b:1", &all),
            Some(vec!["r.io/b:1".to_owned(), b.clone()])
        );
        assert_eq!(gone(&a, &all), Some(vec![a.clone()]));
        assert_eq!(gone("r.io/c:1", &all), None);
        let last = [a.clone(), "r.io/a:1".to_owned()];
        assert_eq!(gone("r.io/a:1", &last), None);
        assert_eq!(gone(&a, &last[..1]), None);
    }
}
