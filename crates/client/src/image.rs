//! Images: in, out, and what is there.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use shedbox_spec::Digest;
use shedbox_spec::api::{
    ImageDetail, ImageSummary, Pruned, PullEvent, PullPolicy, PullRequest, Removed,
};

use crate::client::{auth_sources, json};
use crate::http::{Body, Payload, Target};
use crate::{Client, Error, Result};

/// Form of a saved image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchiveFormat {
    /// What `docker save` writes.
    #[default]
    Docker,
    /// An OCI image layout.
    Oci,
}

impl ArchiveFormat {
    fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Oci => "oci",
        }
    }
}

impl Client {
    /// Fetches an image and tells what happens meanwhile.
    pub fn pull(
        &self,
        request: &PullRequest,
        on_event: &mut dyn FnMut(&PullEvent),
    ) -> Result<ImageSummary> {
        let body = self
            .pool
            .send("POST", &Target::new(["images", "pull"]), json(request)?)?;
        let mut images = follow(body, on_event)?;
        images
            .pop()
            .ok_or_else(|| Error::protocol("the daemon", "the pull ended without an image"))
    }

    /// All images.
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        self.pool
            .json("GET", &Target::new(["images"]), Payload::Empty)
    }

    /// One image by reference, id or digest.
    pub fn image(&self, reference: &str) -> Result<ImageDetail> {
        self.pool.json(
            "GET",
            &Target::new(["image"]).query("ref", reference),
            Payload::Empty,
        )
    }

    /// Removes a reference, and the image with its last one. `force` also removes one that several references name.
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Removed> {
        let target = Target::new(["image"])
            .query("ref", reference)
            .query("force", force);
        self.pool.json("DELETE", &target, Payload::Empty)
    }

    /// Takes in images from a tar stream: what `docker save` writes, or an OCI layout.
    pub fn load(
        &self,
        archive: &mut dyn Read,
        on_event: &mut dyn FnMut(&PullEvent),
    ) -> Result<Vec<ImageSummary>> {
        let body = self.pool.send(
            "POST",
            &Target::new(["images", "load"]),
            Payload::Stream(archive),
        )?;
        follow(body, on_event)
    }

    /// The same from a file or directory, by absolute path.
    pub fn load_path(
        &self,
        path: &str,
        on_event: &mut dyn FnMut(&PullEvent),
    ) -> Result<Vec<ImageSummary>> {
        let body = self.pool.send(
            "POST",
            &Target::new(["images", "load"]).query("path", path),
            Payload::Empty,
        )?;
        follow(body, on_event)
    }

    /// Images as a tar stream.
    pub fn save<S: AsRef<str>>(&self, references: &[S], format: ArchiveFormat) -> Result<Body> {
        let mut target = Target::new(["images", "save"]);
        for reference in references {
            target = target.query("ref", reference.as_ref());
        }
        self.pool.send(
            "GET",
            &target.query("format", format.as_str()),
            Payload::Empty,
        )
    }

    /// Removes images and layers that nothing refers to; with `all` also images that no sandbox uses.
    pub fn prune_images(&self, all: bool) -> Result<Pruned> {
        self.pool.json(
            "POST",
            &Target::new(["images", "prune"]).query("all", all),
            Payload::Empty,
        )
    }
}

/// Reads the lines of a pull or load. The images that are in the store now.
fn follow(body: impl Read, on_event: &mut dyn FnMut(&PullEvent)) -> Result<Vec<ImageSummary>> {
    let mut images = Vec::new();
    for line in BufReader::new(body).lines() {
        let line = line.map_err(Error::io("read the progress"))?;
        if line.is_empty() {
            continue;
        }
        let event = serde_json::from_str(&line)
            .map_err(|error| Error::protocol("the daemon", error.to_string()))?;
        on_event(&event);
        match event {
            PullEvent::Failed { error } => return Err(Error::Refused(error)),
            PullEvent::Done { image, .. } => images.push(image),
            PullEvent::Resolved { .. } | PullEvent::Layer { .. } | PullEvent::Warning { .. } => {}
        }
    }
    Ok(images)
}

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Image {
    client: Arc<Client>,
    summary: ImageSummary,
}

impl Image {
    /// Fetches an image, unless the store has what its reference leads to.
    pub fn pull(reference: &str) -> Result<Self> {
        let client = Arc::clone(Client::shared());
        let request = PullRequest {
            reference: reference.to_owned(),
            platform: None,
            policy: PullPolicy::Always,
            auth: auth_sources(),
        };
        let summary = client.pull(&request, &mut |_| {})?;
        Ok(Self { client, summary })
    }

    /// An image of the store by reference, id or digest. Never asks a registry.
    pub fn open(reference: &str) -> Result<Self> {
        let client = Arc::clone(Client::shared());
        let summary = client.image(reference)?.summary;
        Ok(Self { client, summary })
    }

    /// All images of the store.
    pub fn list() -> Result<Vec<Self>> {
        let client = Client::shared();
        let images = client.images()?;
        Ok(images
            .into_iter()
            .map(|summary| Self {
                client: Arc::clone(client),
                summary,
            })
            .collect())
    }

    /// Takes in images from a tar stream.
    pub fn load(mut archive: impl Read) -> Result<Vec<Self>> {
        let client = Client::shared();
        let images = client.load(&mut archive, &mut |_| {})?;
        Ok(images
            .into_iter()
            .map(|summary| Self {
                client: Arc::clone(client),
                summary,
            })
            .collect())
    }

    /// Its identity: the digest of its configuration.
    pub fn id(&self) -> &Digest {
        &self.summary.id
    }

    /// What a listing shows.
    pub fn summary(&self) -> &ImageSummary {
        &self.summary
    }

    /// Everything there is to know.
    pub fn detail(&self) -> Result<ImageDetail> {
        self.client.image(self.summary.id.as_str())
    }

    /// The image as a tar stream, with its references.
    pub fn save(&self, format: ArchiveFormat) -> Result<Body> {
        let references = &self.summary.references;
        if references.is_empty() {
            return self.client.save(&[self.summary.id.as_str()], format);
        }
        self.client.save(references, format)
    }

    /// Removes it with all its references.
    pub fn remove(self) -> Result<Removed> {
        self.client.remove_image(self.summary.id.as_str(), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::Kind;

    #[test]
    fn lines_of_a_pull() {
        let text = concat!(
            r#"{"event":"warning","message":"w"}"#,
            "\n\n",
            r#"{"event":"failed","error":{"kind":"unavailable","message":"no answer"}}"#,
            "\n",
        );
        let mut seen = 0;
        let error = follow(text.as_bytes(), &mut |_| seen += 1).unwrap_err();
        assert_eq!(
            (seen, error.kind(), error.to_string().as_str()),
            (2, Kind::Unavailable, "no answer")
        );
        assert!(follow(&b"nonsense\n"[..], &mut |_| {}).is_err());
        assert!(follow(&b""[..], &mut |_| {}).unwrap().is_empty());
    }
}
