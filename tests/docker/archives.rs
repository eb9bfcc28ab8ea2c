//! The images of the table: archives as `docker save` writes them, made of the host's busybox by hand, the same to the
//! byte in every run on one machine.
//!
//! - `tiny:latest`: one layer, a command;
//! - `app:1.0`: the same layer and another, and one of everything that a configuration can have.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

const TIME: &str = "2023-11-14T22:13:20Z";
/// Later, so that listings have an order.
const LATER: &str = "2023-11-15T22:13:20Z";

const TINY: &str = r#"{
  "architecture": "ARCH", "os": "linux", "created": "TIME", "author": "shedbox-tests",
  "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]},
  "history": [
    {"created": "TIME", "created_by": "/bin/sh -c #(nop) ADD file:tiny in / "},
    {"created": "TIME", "created_by": "/bin/sh -c #(nop)  CMD [\"sh\"]", "empty_layer": true}
  ],
  "rootfs": {"type": "layers", "diff_ids": ["BASE"]}
}"#;

const APP: &str = r#"{
  "architecture": "ARCH", "os": "linux", "created": "LATER", "author": "shedbox-tests",
  "config": {
    "User": "app", "WorkingDir": "/srv", "Entrypoint": ["/bin/entry"], "Cmd": ["serve", "all"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "COLOUR=red"],
    "ExposedPorts": {"8080/tcp": {}, "5353/udp": {}}, "Volumes": {"/data": {}},
    "Labels": {"org.example.kind": "app", "org.example.tier": "two"}, "StopSignal": "SIGUSR1"
  },
  "history": [
    {"created": "TIME", "created_by": "/bin/sh -c #(nop) ADD file:tiny in / "},
    {"created": "TIME", "created_by": "COPY entry /bin/entry # buildkit", "comment": "buildkit.dockerfile.v0"},
    {"created": "TIME", "created_by": "USER app", "comment": "buildkit.dockerfile.v0", "empty_layer": true}
  ],
  "rootfs": {"type": "layers", "diff_ids": ["BASE", "MORE"]}
}"#;

/// Prints how it was called, or serves until it is told to stop.
const ENTRY: &str = "#!/bin/sh\necho \"entry $*\"\n[ \"$1\" != serve ] || { trap 'exit 9' USR1; while :; do sleep 0.1; done; }\n";

const LAYER: &str = r#"
set -eu
mkdir -p bin sbin etc proc sys dev run root home/app usr/bin usr/sbin var/tmp tmp
chmod 1777 tmp var/tmp
chmod 700 root
cp "$(command -v busybox)" bin/busybox
chmod 755 bin/busybox
for applet in $(bin/busybox --list); do [ -e "bin/$applet" ] || ln -s /bin/busybox "bin/$applet"; done
printf '%s\n' root:x:0:0:root:/root:/bin/sh app:x:1000:1000:app:/home/app:/bin/sh nobody:x:65534:65534::/:/bin/false >etc/passwd
printf '%s\n' root:x:0: app:x:1000: extra:x:2000:app nogroup:x:65534: >etc/group
echo tiny >etc/image
"#;

/// The archives in `dir`.
pub(crate) fn make(dir: &Path) -> Vec<PathBuf> {
    let base = dir.join("base");
    std::fs::create_dir(&base).unwrap();
    sh(&base, LAYER);
    let more = dir.join("more");
    std::fs::create_dir_all(more.join("bin")).unwrap();
    std::fs::create_dir_all(more.join("data")).unwrap();
    std::fs::create_dir_all(more.join("srv")).unwrap();
    std::fs::write(more.join("bin/entry"), ENTRY).unwrap();
    std::fs::write(more.join("data/seed"), "seed\n").unwrap();
    sh(
        &more,
        "chmod 755 bin/entry bin data srv; chmod 644 data/seed",
    );
    let (base, more) = (tar(&base), tar(&more));
    vec![
        archive(dir, "tiny:latest", TINY, &[&base]),
        archive(dir, "app:1.0", APP, &[&base, &more]),
    ]
}

fn sh(dir: &Path, script: &str) {
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .status()
        .expect("run sh");
    assert!(status.success(), "{script}");
}

/// A layer: its file, and the digest of it.
fn tar(tree: &Path) -> (PathBuf, String) {
    let file = tree.with_extension("tar");
    sh(
        tree,
        &format!(
            "tar --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner -cf '{}' *",
            file.display()
        ),
    );
    let digest = digest(&std::fs::read(&file).unwrap());
    (file, digest)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn archive(dir: &Path, tag: &str, config: &str, layers: &[&(PathBuf, String)]) -> PathBuf {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut config = config
        .replace("TIME", TIME)
        .replace("LATER", LATER)
        .replace("ARCH", architecture);
    for (word, (_, digest)) in ["BASE", "MORE"].iter().zip(layers) {
        config = config.replace(word, &format!("sha256:{digest}"));
    }
    let name = tag.split(':').next().unwrap();
    let tree = dir.join(format!("{name}.d"));
    std::fs::create_dir(&tree).unwrap();
    let id = digest(config.as_bytes());
    std::fs::write(tree.join(format!("{id}.json")), config).unwrap();
    let mut files = Vec::new();
    for (file, digest) in layers {
        std::fs::create_dir(tree.join(digest)).unwrap();
        std::fs::copy(file, tree.join(digest).join("layer.tar")).unwrap();
        files.push(format!("\"{digest}/layer.tar\""));
    }
    let manifest = format!(
        "[{{\"Config\":\"{id}.json\",\"RepoTags\":[\"{tag}\"],\"Layers\":[{}]}}]",
        files.join(",")
    );
    std::fs::write(tree.join("manifest.json"), manifest).unwrap();
    let archive = dir.join(format!("{name}-image.tar"));
    sh(
        &tree,
        &format!("tar --sort=name -cf '{}' *", archive.display()),
    );
    archive
}
