//! Images made by hand.

use std::io::Write;

use serde_json::{Value, json};
use sha2::Digest as _;
use shedbox_spec::Digest;

pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(&sha2::Sha256::digest(bytes).into())
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}

/// A layer of one file per entry, as tar.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_600_000_000);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One layer as a registry has it.
#[derive(Clone)]
pub struct Blob {
    pub bytes: Vec<u8>,
    pub diff_id: Digest,
    pub media_type: String,
}

impl Blob {
    pub fn gzip(tar: &[u8]) -> Self {
        Self {
            bytes: gzip(tar),
            diff_id: digest(tar),
            media_type: format!("{OCI_LAYER}+gzip"),
        }
    }

    pub fn zstd(tar: &[u8]) -> Self {
        Self {
            bytes: zstd::encode_all(tar, 3).unwrap(),
            diff_id: digest(tar),
            media_type: format!("{OCI_LAYER}+zstd"),
        }
    }

    pub fn plain(tar: &[u8]) -> Self {
        Self {
            bytes: tar.to_vec(),
            diff_id: digest(tar),
            media_type: OCI_LAYER.to_owned(),
        }
    }

    pub fn digest(&self) -> Digest {
        digest(&self.bytes)
    }
}

/// An image as a registry has it.
#[derive(Clone)]
pub struct TestImage {
    pub layers: Vec<Blob>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    pub manifest_type: String,
}

impl TestImage {
    pub fn new(layers: Vec<Blob>) -> Self {
        Self::with_config(layers, json!({"Cmd": ["/bin/sh"], "Env": ["A=b"]}), "amd64")
    }

    pub fn with_config(layers: Vec<Blob>, config: Value, architecture: &str) -> Self {
        let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
        let config = json!({
            "created": "2024-01-02T03:04:05Z", "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "by hand"}],
        })
        .to_string()
        .into_bytes();
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|layer| {
                json!({"mediaType": layer.media_type, "digest": layer.digest(), "size": layer.bytes.len()})
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest(&config), "size": config.len()},
            "layers": descriptors,
        })
        .to_string()
        .into_bytes();
        Self {
            layers,
            config,
            manifest,
            manifest_type: OCI_MANIFEST.to_owned(),
        }
    }

    /// `count` layers of one file each, incompressible, of `size` bytes.
    pub fn noisy(count: usize, size: usize) -> Self {
        Self::new(
            (0..count)
                .map(|number| {
                    let name = format!("file-{number}");
                    Blob::gzip(&tar_of(&[(&name, &noise(number as u64 + 1, size))]))
                })
                .collect(),
        )
    }

    pub fn digest(&self) -> Digest {
        digest(&self.manifest)
    }
}
