//! What a registry has under a name, without its layers.

use std::sync::Arc;

use shedbox_spec::api::AuthSources;
use shedbox_spec::{Digest, Reference};

use super::Pull;
use crate::error::Result;
use crate::manifest::{self, Document};
use crate::platform::{self, Platform};
use crate::registry::session::{Access, Credentials};
use crate::service::ImageService;

/// A manifest or an index at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// As the registry says it.
    pub media_type: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: usize,
    /// Platforms that there are images for.
    pub platforms: Vec<Platform>,
}

impl ImageService {
    /// All images that the registry of `name` has under it, by their tags, in the order of their letters.
    pub async fn tags(&self, name: &str, auth: &AuthSources) -> Result<Vec<Reference>> {
        let reference = self.parse_reference(name)?;
        let session = self.session(&reference, Credentials::from(auth), Access::Pull)?;
        let repository = reference.name();
        let what = format!("tags of `{repository}` from {}", reference.registry());
        let tags = session.tags(&what).await?;
        let named = tags.iter().map(|tag| reference.with_tag(tag));
        Ok(named.collect::<Result<_, _>>()?)
    }

    /// All images that are here under `name`, by their tags, in the order of their letters.
    pub fn tags_here(&self, name: &str) -> Result<Vec<Reference>> {
        let repository = self.parse_reference(name)?.name();
        let store = &self.shared.store;
        let mut found: Vec<Reference> = store
            .images()
            .iter()
            .flat_map(|image| store.references(&image.manifest))
            .filter_map(|text| Reference::parse(&text).ok())
            .filter(|reference| {
                reference.name() == repository
                    && reference.digest().is_none()
                    && reference.tag().is_some()
            })
            .collect();
        found.sort_by(|a, b| a.tag().cmp(&b.tag()));
        Ok(found)
    }

    /// Asks the registry of `name` what it has there now.
    pub async fn describe(&self, name: &str, auth: &AuthSources) -> Result<Described> {
        let reference = self.parse_reference(name)?;
        let session = self.session(&reference, Credentials::from(auth), Access::Pull)?;
        let what = format!("manifest of `{reference}` from {}", reference.registry());
        let expected = reference.digest().cloned();
        let target = match (&expected, reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let fetched = session
            .manifest(&what, &target, expected.as_ref(), &manifest::accept())
            .await?;
        let media_type = fetched.media_type.clone();
        let platforms = match manifest::parse(&fetched.bytes, media_type.as_deref(), &what)? {
            Document::Index(entries) => platform::of_index(&entries),
            Document::Image(image) => {
                let pull = Pull {
                    service: self,
                    reference,
                    platform: None,
                    session: Arc::new(session),
                    events: Arc::new(|_| {}),
                };
                let config = pull.config(&image).await?;
                vec![manifest::parse_config(&config, image.layers.len(), &what)?.platform]
            }
        };
        Ok(Described {
            media_type: media_type.unwrap_or_default(),
            digest: fetched.digest,
            size: fetched.bytes.len(),
            platforms,
        })
    }
}
