//! Archives made by hand, with names and links that no library would write.

use std::io::{Read, Write};

use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::images;

const BLOCK: usize = 512;

/// A tar archive under construction.
#[derive(Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// One entry: type flag, name, target of a link, content.
    pub(crate) fn entry(self, kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        self.owned(kind, name, link, content, 0)
    }

    /// The same with an owner.
    pub(crate) fn owned(
        mut self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        content: &[u8],
        uid: u64,
    ) -> Self {
        for (flag, text) in [(b'L', name), (b'K', link)] {
            if text.len() > 100 {
                let mut text = text.to_vec();
                text.push(0);
                self.header(flag, b"././@LongLink", b"", text.len(), 0);
                self.data(&text);
            }
        }
        self.header(kind, name, link, content.len(), uid);
        self.data(content);
        self
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(b'0', name.as_bytes(), b"", content.as_bytes())
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name.as_bytes(), b"", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name.as_bytes(), target.as_bytes(), b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name.as_bytes(), target.as_bytes(), b"")
    }

    /// An extended header for the next entry.
    pub(crate) fn pax(self, key: &str, value: &[u8]) -> Self {
        // The length counts itself.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length.to_string().len() + rest != length {
            length += 1;
        }
        let mut record = format!("{length} {key}=").into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        self.entry(b'x', b"PaxHeaders/x", b"", &record)
    }

    /// With the mark of the end.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }

    fn header(&mut self, kind: u8, name: &[u8], link: &[u8], size: usize, uid: u64) {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &name[..name.len().min(100)]);
        put(
            100,
            if kind == b'5' {
                b"0000755\0"
            } else {
                b"0000644\0"
            },
        );
        if uid < 0o7_777_777 {
            put(108, format!("{uid:07o}\0").as_bytes());
        } else {
            // Base 256, as GNU tar writes large numbers.
            put(108, &[0x80, 0, 0]);
            put(111, &(u64::from(uid as u32)).to_be_bytes()[3..]);
        }
        put(116, b"0000000\0");
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, b"14524000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, &link[..link.len().min(100)]);
        put(257, b"ustar  \0");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
    }

    fn data(&mut self, content: &[u8]) {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }
}

/// The digest of bytes, `sha256:…`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    shedbox_spec::Digest::from_bytes(&sha2::Sha256::digest(bytes).into()).to_string()
}

/// gzip of bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A configuration for layers with these diff ids.
pub(crate) fn config(diff_ids: &[String], config: &Value) -> Vec<u8> {
    let architecture = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    json!({"architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string()
    .into_bytes()
}

/// What `docker save` would write of an image `bad:1` with these layers, lowest first; they may be compressed.
pub(crate) fn docker_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    docker_archive_with(layers, &diff_ids)
}

/// The same with diff ids of the caller's choice.
pub(crate) fn docker_archive_with(layers: &[Vec<u8>], diff_ids: &[String]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len())
        .map(|number| format!("{number}.tar"))
        .collect();
    let config = config(diff_ids, &json!({"Env": ["PATH=/bin"]}));
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["bad:1"], "Layers": names}]).to_string();
    let mut tar = Tar::default();
    for (name, layer) in names.iter().zip(layers) {
        tar = tar.entry(b'0', name.as_bytes(), b"", layer);
    }
    tar.entry(b'0', b"config.json", b"", &config)
        .file("manifest.json", &manifest)
        .end()
}

/// The layer of the image `tiny`, not compressed: something to run programs from.
pub(crate) fn base_layer() -> Vec<u8> {
    let layout = images::layout("tiny");
    let read = |digest: &Value| {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        std::fs::read(layout.join("blobs/sha256").join(hex)).unwrap()
    };
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest: Value = serde_json::from_slice(&read(&index["manifests"][0]["digest"])).unwrap();
    let mut layer = Vec::new();
    let compressed = read(&manifest["layers"][0]["digest"]);
    flate2::read::GzDecoder::new(&compressed[..])
        .read_to_end(&mut layer)
        .unwrap();
    layer
}
