//! A registry's disk, written by hand: what no pushing tool would make, and what the registry is to lose.
//!
//! Source: distribution, registry/storage/paths.go.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::Digest as _;
use shedbox_spec::Digest;

use crate::support::Registry;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The digest of a blob.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(&sha2::Sha256::digest(bytes).into())
}

/// A descriptor of a blob.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn root(registry: &Registry) -> PathBuf {
    registry.storage().join("docker/registry/v2")
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Where the registry keeps a blob.
pub(crate) fn blob_file(registry: &Registry, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    root(registry)
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(hex)
        .join("data")
}

/// Puts a blob into a repository.
pub(crate) fn put_blob(registry: &Registry, repository: &str, bytes: &[u8]) -> Digest {
    let digest = digest(bytes);
    write(&blob_file(registry, digest.as_str()), bytes);
    let link = root(registry)
        .join("repositories")
        .join(repository)
        .join("_layers/sha256")
        .join(digest.hex())
        .join("link");
    write(&link, digest.as_str().as_bytes());
    digest
}

/// Puts a manifest or an index into a repository; under a tag when one is given.
pub(crate) fn put_manifest(
    registry: &Registry,
    repository: &str,
    tag: Option<&str>,
    manifest: &Value,
) -> Digest {
    let bytes = manifest.to_string().into_bytes();
    let digest = digest(&bytes);
    write(&blob_file(registry, digest.as_str()), &bytes);
    let manifests = root(registry)
        .join("repositories")
        .join(repository)
        .join("_manifests");
    let link = digest.as_str().as_bytes();
    write(
        &manifests
            .join("revisions/sha256")
            .join(digest.hex())
            .join("link"),
        link,
    );
    if let Some(tag) = tag {
        let tag = manifests.join("tags").join(tag);
        write(&tag.join("current/link"), link);
        write(
            &tag.join("index/sha256").join(digest.hex()).join("link"),
            link,
        );
    }
    digest
}

/// A blob of an OCI layout.
pub(crate) fn layout_blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    std::fs::read(
        layout
            .join("blobs/sha256")
            .join(digest.strip_prefix("sha256:").unwrap()),
    )
    .unwrap()
}

/// The manifest of an OCI layout with one image.
pub(crate) fn layout_manifest(layout: &Path) -> Value {
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    serde_json::from_slice(&layout_blob(layout, &index["manifests"][0])).unwrap()
}
