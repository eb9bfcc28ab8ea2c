use serde_json::json;
use shedbox_spec::Kind;

use super::*;
use crate::blob::digest_of;
use crate::testing::{Scratch, Tar, became_root};

/// Puts an image of these layers into the store; `mark` makes its configuration unlike others.
pub(crate) fn add(scratch: &Scratch, mark: &str, layers: &[Vec<u8>]) -> Arc<ImageRecord> {
    let (manifest, _) = prepare(scratch, mark, layers);
    scratch.store.add_image(&manifest).unwrap()
}

fn prepare(scratch: &Scratch, mark: &str, layers: &[Vec<u8>]) -> (Digest, Digest) {
    let store = &scratch.store;
    let diff_ids: Vec<Digest> = layers
        .iter()
        .map(|layer| scratch.ingest(layer).unwrap().diff_id)
        .collect();
    let config = json!({
        "created": "2024-01-02T03:04:05Z",
        "architecture": "amd64",
        "os": "linux",
        "config": { "Labels": { "mark": mark } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string();
    let config = store.write_blob(None, &mut config.as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config,
            "size": 1,
        },
        "layers": [],
    })
    .to_string();
    let manifest = store.write_blob(None, &mut manifest.as_bytes()).unwrap();
    (manifest, config)
}

pub(crate) fn layer(name: &str) -> Vec<u8> {
    Tar::default().file(name, "12345").end()
}

#[test]
fn an_image_is_recorded_and_found() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let image = add(&scratch, "a", &[layer("x"), layer("y"), layer("x")]);
    let store = &scratch.store;
    assert_eq!(
        (image.size, image.os.as_str(), image.architecture.as_str()),
        (15, "linux", "amd64")
    );
    assert_eq!(image.created.as_deref(), Some("2024-01-02T03:04:05Z"));
    // Each directory once, uppermost first.
    let lowers = store.lowers(&image).unwrap();
    assert_eq!(
        lowers,
        [
            store.layer_dir(&image.diff_ids[2]),
            store.layer_dir(&image.diff_ids[1])
        ]
    );
    let config = store.image_config(&image).unwrap();
    assert_eq!(config.labels_of_config().unwrap()["mark"], "a");
    let tag = "docker.io/library/app:1";
    assert_eq!(store.tag(tag, &image.manifest).unwrap(), None);
    let by_digest = format!("docker.io/library/app@{}", image.manifest);
    store.tag(&by_digest, &image.manifest).unwrap();
    let check = |store: &Store| {
        for name in [
            tag,
            "app:1",
            &by_digest,
            &format!("app:other@{}", image.manifest),
            image.config.as_str(),
            image.config.hex(),
            image.config.short(),
            image.manifest.as_str(),
            &image.manifest.hex()[..20],
        ] {
            assert_eq!(store.resolve(name).unwrap(), image, "{name}");
        }
        assert_eq!(
            store.references(&image.manifest),
            [tag.to_owned(), by_digest.clone()]
        );
        assert_eq!(store.images(), [Arc::clone(&image)]);
    };
    check(store);
    let scratch = scratch.reopen();
    check(&scratch.store);
    for name in [
        "app",
        "other:1",
        "Not A Name",
        "",
        "sha256:",
        &"0".repeat(64),
    ] {
        let error = scratch.store.resolve(name).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{name}");
    }
}

#[test]
fn tags_move_and_go() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = &scratch.store;
    let one = add(&scratch, "1", &[layer("x")]);
    let two = add(&scratch, "2", &[layer("x")]);
    let tag = "localhost:5000/app:latest";
    assert_eq!(store.tag(tag, &one.manifest).unwrap(), None);
    assert_eq!(
        store.tag(tag, &two.manifest).unwrap(),
        Some(one.manifest.clone())
    );
    assert_eq!(store.resolve(tag).unwrap(), two);
    let nobody = digest_of(b"nobody");
    assert_eq!(store.tag(tag, &nobody).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.untag(tag).unwrap(), two.manifest);
    assert_eq!(store.untag(tag).unwrap_err().kind(), Kind::NotFound);
    let scratch = scratch.reopen();
    assert_eq!(
        scratch.store.resolve(tag).unwrap_err().kind(),
        Kind::NotFound
    );
    assert_eq!(scratch.store.images().len(), 2);
}

#[test]
fn short_ids_that_fit_several() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let mut first = std::collections::HashMap::new();
    for mark in 0..17 {
        let image = add(&scratch, &mark.to_string(), &[]);
        let digit = image.config.hex()[..1].to_owned();
        if first.insert(digit.clone(), image).is_some() {
            let error = scratch.store.resolve(&digit).unwrap_err();
            assert!(matches!(error, StoreError::Ambiguous { .. }), "{error:?}");
            assert!(error.hint().is_some());
            return;
        }
    }
    unreachable!("17 digests with 16 first digits");
}

#[test]
fn an_image_needs_all_its_parts() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = &scratch.store;
    let error = store.add_image(&digest_of(b"none")).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "blob", .. }));
    let (manifest, _) = prepare(&scratch, "a", &[layer("x")]);
    let gone = store.prune(true, &|_| false).unwrap();
    assert_eq!(gone.removed.len(), 1);
    assert!(store.add_image(&manifest).is_err());
    let garbage = store.write_blob(None, &mut &b"{}"[..]).unwrap();
    let error = store.add_image(&garbage).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[test]
fn what_a_crash_has_broken_is_forgotten() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let whole = add(&scratch, "whole", &[layer("x")]);
    let broken = add(&scratch, "broken", &[layer("x")]);
    let lost = add(&scratch, "lost", &[layer("y")]);
    for (name, image) in [
        ("a.b/whole:1", &whole),
        ("a.b/broken:1", &broken),
        ("a.b/lost:1", &lost),
    ] {
        scratch.store.tag(name, &image.manifest).unwrap();
    }
    scratch.store.sync().unwrap();
    let root = scratch.store.root().to_owned();
    // The power went: a blob is empty, a layer and the references were never written.
    std::fs::write(scratch.store.blob_path(&broken.config), "").unwrap();
    let marker = |kind: &str, digest: &Digest| {
        std::fs::write(
            root.join(format!("unsynced/{kind}-{}.another-boot", digest.hex())),
            "",
        )
        .unwrap();
    };
    marker("image", &broken.manifest);
    marker("layer", &lost.diff_ids[0]);
    std::fs::remove_file(root.join("refs.json")).unwrap();
    std::fs::write(root.join("refs.json"), "").unwrap();
    let scratch = scratch.reopen();
    assert_eq!(scratch.store.images(), [Arc::clone(&whole)]);
    assert_eq!(scratch.store.resolve("a.b/whole:1").unwrap(), whole);
    assert!(scratch.store.resolve("a.b/broken:1").is_err());
}

#[test]
fn blobs_are_verified() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = &scratch.store;
    let digest = digest_of(b"text");
    let error = store
        .write_blob(Some(&digest), &mut &b"other"[..])
        .unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }));
    assert!(!store.has_blob(&digest));
    scratch.assert_clean();
    assert_eq!(
        store.write_blob(Some(&digest), &mut &b"text"[..]).unwrap(),
        digest
    );
    assert_eq!(store.read_blob(&digest, 4).unwrap(), b"text");
    assert!(matches!(
        store.read_blob(&digest, 3),
        Err(StoreError::SizeMismatch { .. })
    ));
    std::fs::write(store.blob_path(&digest), "tampered").unwrap();
    assert!(matches!(
        store.read_blob(&digest, 100),
        Err(StoreError::NotFound { .. })
    ));
}

#[test]
fn a_child_knows_its_parent_and_an_image_its_labels() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let parent = add(&scratch, "parent", &[layer("x")]);
    assert_eq!(parent.parent, None);
    assert_eq!(parent.labels.as_ref().unwrap()["mark"], "parent");
    let (manifest, _) = prepare(&scratch, "child", &[layer("x"), layer("y")]);
    let child = scratch
        .store
        .add_child_image(&manifest, Some(&parent.config))
        .unwrap();
    assert_eq!(child.parent.as_ref(), Some(&parent.config));
    // The parent may go.
    scratch
        .store
        .remove_image(&parent.manifest, false, &|_| false)
        .unwrap();
    let scratch = scratch.reopen();
    let kept = scratch.store.image(&manifest).unwrap();
    assert_eq!((&kept.parent, &kept.labels), (&child.parent, &child.labels));

    // A record of a release that kept neither.
    let path = scratch
        .store
        .root()
        .join(format!("images/{}.json", manifest.hex()));
    let text = std::fs::read(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let fields = record.as_object_mut().unwrap();
    fields.remove("parent");
    fields.remove("labels");
    std::fs::write(&path, record.to_string()).unwrap();
    let scratch = scratch.reopen();
    let old = scratch.store.image(&manifest).unwrap();
    assert_eq!((&old.parent, &old.labels), (&None, &None));
}

#[test]
fn another_manifest_takes_over_all_references() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let image = add(&scratch, "a", &[layer("x")]);
    let store = &scratch.store;
    let by_digest = format!("r/app@{}", image.manifest);
    for name in ["r/app:1", "r/app:2", &by_digest] {
        store.tag(name, &image.manifest).unwrap();
    }
    let old = store.read_blob(&image.manifest, MAX_BLOB).unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(&old).unwrap();
    document["annotations"] = json!({"other": "form"});
    let other = store
        .write_blob(None, &mut document.to_string().as_bytes())
        .unwrap();
    store.replace_manifest(&image.manifest, &other).unwrap();
    store.replace_manifest(&other, &other).unwrap();
    let check = |store: &Store| {
        assert_eq!(store.images().len(), 1);
        for name in ["r/app:1", "r/app:2", &by_digest, image.config.as_str()] {
            assert_eq!(store.resolve(name).unwrap().manifest, other, "{name}");
        }
        assert!(store.image(&image.manifest).is_none());
    };
    check(store);
    let error = store.replace_manifest(&image.manifest, &other).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let scratch = scratch.reopen();
    check(&scratch.store);
    // What is left of the old one goes.
    scratch.store.prune(false, &|_| false).unwrap();
    check(&scratch.store);
    assert!(!scratch.store.has_blob(&image.manifest));
}

#[test]
fn a_nameless_file_leaves_no_name() {
    use std::io::{Read, Seek, Write};
    let scratch = Scratch::new();
    let mut file = scratch.store.nameless_file().unwrap();
    scratch.assert_clean();
    file.write_all(b"content").unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
}
