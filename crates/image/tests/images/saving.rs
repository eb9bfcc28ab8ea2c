//! Saved images: read back by us, by skopeo and by umoci; and theirs read by us.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use shedbox_image::Format;
use shedbox_spec::Kind;

use crate::archives::{check_sample, load, quiet, sample, write_layout};
use crate::support::image::noise;
use crate::support::program::{run, skopeo};
use crate::support::{FakeRegistry, Reply, TestImage, TestStore};

/// A store with the sample image, pulled.
fn pulled() -> (TestStore, String) {
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("team/app", "v1", &sample());
    let store = TestStore::new();
    let name = format!("{}/team/app:v1", registry.host);
    store.pull(&name).unwrap();
    (store, name)
}

fn saved(store: &TestStore, names: &[&str], format: Format) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut bytes = Vec::new();
    store.service.save(&names, format, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_we_save_we_load_and_it_is_the_same_image() {
    let (store, name) = pulled();
    let record = store.service.find(&name).unwrap();
    for format in [Format::Docker, Format::Oci] {
        let bytes = saved(&store, &[&name], format);
        let second = TestStore::new();
        let loaded = load(&second, &bytes).unwrap();
        assert_eq!(loaded[0].id, record.config);
        assert_eq!(loaded[0].references, std::slice::from_ref(&name));
        let config = |store: &TestStore| {
            let store = store.service.store();
            store.read_blob(&record.config, 1 << 20).unwrap()
        };
        assert!(config(&second) == config(&store), "the same configuration");
        check_sample(&second, &loaded[0]);
        let again = saved(&second, &[&name], format);
        assert!(again == bytes, "the same archive");
    }
}

#[test]
fn what_is_there_stays_one_image() {
    let (store, name) = pulled();
    let record = store.service.find(&name).unwrap();
    let bytes = saved(&store, &[&name], Format::Docker);
    store.service.untag(&name).unwrap();
    // Its manifest stays the one that the registry knows.
    let loaded = load(&store, &bytes).unwrap();
    assert_eq!(loaded[0].digest, record.manifest);
    assert_eq!(loaded[0].references, std::slice::from_ref(&name));
    assert_eq!(loaded[0].repo_digests.len(), 1, "{loaded:?}");
    assert_eq!(store.service.list().len(), 1);

    // The other way round: what was loaded gets its digest when it is pulled.
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("team/app", "v1", &sample());
    let second = TestStore::new();
    load(&second, &bytes).unwrap();
    let other = format!("{}/team/app:v1", registry.host);
    let pulled = second.pull(&other).unwrap();
    assert_eq!(
        (&pulled.id, &pulled.digest),
        (&record.config, &sample().digest())
    );
    assert_eq!(pulled.references.len(), 2, "{pulled:?}");
    assert_eq!(second.service.list().len(), 1);
}

#[test]
fn a_layer_without_its_record_is_packed_anew() {
    let (store, name) = pulled();
    let record = store.service.find(&name).unwrap();
    for diff_id in &record.diff_ids {
        let layer = store.service.store().layer_dir(diff_id);
        fs::remove_file(layer.with_file_name("tar.zst")).unwrap();
    }
    let second = TestStore::new();
    let loaded = load(&second, &saved(&store, &[&name], Format::Docker)).unwrap();
    assert_ne!(loaded[0].id, record.config);
    check_sample(&second, &loaded[0]);
    // From here on it is what it is.
    let third = TestStore::new();
    let again = load(&third, &saved(&second, &[&name], Format::Docker)).unwrap();
    assert_eq!(again[0].id, loaded[0].id);
}

#[test]
fn several_images_in_one_archive() {
    let (store, name) = pulled();
    let other = TestImage::new(vec![sample().layers[0].clone()]);
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("other", "v1", &other);
    let other_name = format!("{}/other:v1", registry.host);
    store.pull(&other_name).unwrap();
    let bytes = saved(&store, &[&name, &other_name, &name], Format::Docker);
    let second = TestStore::new();
    let loaded = load(&second, &bytes).unwrap();
    let names: Vec<_> = loaded
        .iter()
        .flat_map(|image| image.references.clone())
        .collect();
    assert_eq!(names, [name.clone(), other_name.clone()]);
    let blobs = tar::Archive::new(&bytes[..])
        .entries()
        .unwrap()
        .filter(|entry| {
            let entry = entry.as_ref().unwrap();
            entry.header().entry_type().is_file() && entry.path_bytes().starts_with(b"blobs/")
        })
        .count();
    assert_eq!(
        blobs,
        2 + 2 + 2,
        "two layers (one shared), configurations, manifests"
    );

    // By id: no name.
    let id = store.service.find(&name).unwrap().config.to_string();
    let by_id = TestStore::new();
    assert_eq!(
        load(&by_id, &saved(&store, &[&id], Format::Docker)).unwrap()[0].references,
        Vec::<String>::new()
    );
    let missing = store
        .service
        .save(&["no/such:image".to_owned()], Format::Oci, Vec::new())
        .unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
}

/// Content, ids and whiteouts of an unpacked rootfs.
fn check_rootfs(rootfs: &Path) {
    assert_eq!(fs::read(rootfs.join("etc/name")).unwrap(), b"second");
    assert!(!rootfs.join("etc/gone").exists());
    assert!(!rootfs.join("dir/in").exists());
    assert_eq!(fs::read(rootfs.join("dir/new")).unwrap(), noise(1, 70_000));
}

fn umoci_unpack(layout: &Path, tag: &str, dir: &Path) -> PathBuf {
    let bundle = dir.join("bundle");
    let image = format!("{}:{tag}", layout.display());
    run(
        "umoci",
        &["unpack", "--image", &image, bundle.to_str().unwrap()],
    );
    bundle.join("rootfs")
}

#[test]
fn umoci_reads_our_layout_directory() {
    let (store, name) = pulled();
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    store
        .service
        .save_dir(std::slice::from_ref(&name), &layout)
        .unwrap();
    check_rootfs(&umoci_unpack(&layout, "v1", dir.path()));
    let error = store.service.save_dir(&[name], &layout).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

#[test]
fn skopeo_reads_our_archives() {
    let (store, name) = pulled();
    for (format, transport) in [
        (Format::Docker, "docker-archive"),
        (Format::Docker, "oci-archive"),
        (Format::Oci, "oci-archive"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("image.tar");
        fs::write(&archive, saved(&store, &[&name], format)).unwrap();
        let layout = dir.path().join("copied");
        skopeo(&[
            "copy",
            "--quiet",
            &format!("{transport}:{}", archive.display()),
            &format!("oci:{}:copied", layout.display()),
        ]);
        check_rootfs(&umoci_unpack(&layout, "copied", dir.path()));
    }
}

#[test]
fn we_read_skopeos_archives() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let image = sample();
    write_layout(
        &layout,
        &[(&image, json!({"org.opencontainers.image.ref.name": "v1"}))],
    );
    let source = format!("oci:{}:v1", layout.display());
    for (transport, references) in [
        ("docker-archive", vec!["team/app:7".to_owned()]),
        ("oci-archive", vec!["team/app:7".to_owned()]),
    ] {
        let archive = dir.path().join(transport);
        skopeo(&[
            "copy",
            "--quiet",
            &source,
            &format!("{transport}:{}:team/app:7", archive.display()),
        ]);
        let store = TestStore::new();
        let loaded = store.service.load_path(&archive, quiet()).unwrap();
        assert_eq!(loaded[0].references, references, "{transport}");
        check_sample(&store, &loaded[0]);
        let store = TestStore::new();
        let loaded = load(&store, &fs::read(&archive).unwrap()).unwrap();
        assert_eq!(loaded[0].references, references, "{transport}");
    }
    // skopeo's `dir:` of an OCI layout is what `load_path` reads as a directory.
    let copied = dir.path().join("copied");
    skopeo(&[
        "copy",
        "--quiet",
        &source,
        &format!("oci:{}:other", copied.display()),
    ]);
    let store = TestStore::new();
    let loaded = store.service.load_path(&copied, quiet()).unwrap();
    assert_eq!(loaded[0].references, ["localhost/copied:other"]);
}
