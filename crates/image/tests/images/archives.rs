//! Archives: other tools' into our store, ours into other tools.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use shedbox_image::{Error, Events};
use shedbox_spec::Kind;
use shedbox_spec::api::{ImageSummary, PullEvent};

use crate::support::image::{digest, gzip, noise, tar_of};
use crate::support::program::run;
use crate::support::{Blob, TestImage, TestStore};

pub fn quiet() -> Events {
    Arc::new(|_| ())
}

pub fn load(store: &TestStore, bytes: &[u8]) -> Result<Vec<ImageSummary>, Error> {
    store.service.load(Cursor::new(bytes), quiet())
}

pub fn sample() -> TestImage {
    TestImage::with_config(
        vec![
            Blob::gzip(&tar_of(&[
                ("etc/name", b"first"),
                ("etc/gone", b"x"),
                ("dir/in", b"1"),
            ])),
            Blob::plain(&tar_of(&[
                ("etc/name", b"second"),
                ("etc/.wh.gone", b""),
                ("dir/.wh..wh..opq", b""),
                ("dir/new", &noise(1, 70_000)),
            ])),
        ],
        json!({"Cmd": ["/app"], "Labels": {"l": "v"}, "Healthcheck": {"Test": ["NONE"]}}),
        "amd64",
    )
}

/// An OCI layout in `dir`.
pub fn write_layout(dir: &Path, images: &[(&TestImage, Value)]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let write = |bytes: &[u8]| fs::write(blobs.join(digest(bytes).hex()), bytes).unwrap();
    let mut entries = Vec::new();
    for (image, annotations) in images {
        write(&image.config);
        write(&image.manifest);
        for layer in &image.layers {
            write(&layer.bytes);
        }
        entries.push(
            json!({"mediaType": image.manifest_type, "digest": image.digest(),
            "size": image.manifest.len(), "annotations": annotations}),
        );
    }
    fs::write(
        dir.join("index.json"),
        json!({"schemaVersion": 2, "manifests": entries}).to_string(),
    )
    .unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// The members of a directory as tar, in the order of `names`.
fn tar_dir(dir: &Path, names: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        let path = dir.join(name);
        if path.is_dir() {
            tar.append_dir_all(name, path).unwrap();
        } else {
            tar.append_path_with_name(path, name).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

pub fn check_sample(store: &TestStore, image: &ImageSummary) {
    assert_eq!(store.file(image, "etc/name").unwrap(), b"second");
    assert_eq!(store.file(image, "dir/new").unwrap(), noise(1, 70_000));
    let record = store.service.find(image.id.as_str()).unwrap();
    let detail = store.service.detail(&record).unwrap();
    assert_eq!(detail.config["config"]["Cmd"], json!(["/app"]));
    assert_eq!(
        detail.config["config"]["Healthcheck"],
        json!({"Test": ["NONE"]})
    );
    store.assert_clean();
}

#[test]
fn oci_layouts() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("My-App.oci");
    let image = sample();
    write_layout(
        &layout,
        &[(&image, json!({"org.opencontainers.image.ref.name": "v1"}))],
    );
    let store = TestStore::new();
    let loaded = store.service.load_path(&layout, quiet()).unwrap();
    assert_eq!(loaded[0].digest, image.digest(), "the manifest is kept");
    assert_eq!(loaded[0].references, ["localhost/my-app:v1"]);
    check_sample(&store, &loaded[0]);

    // As streams, members in any order, compressed or not.
    for names in [
        ["blobs", "index.json", "oci-layout"],
        ["oci-layout", "index.json", "blobs"],
    ] {
        let tar = tar_dir(&layout, &names);
        for bytes in [
            tar.clone(),
            gzip(&tar),
            zstd::encode_all(&tar[..], 1).unwrap(),
        ] {
            let store = TestStore::new();
            let loaded = load(&store, &bytes).unwrap();
            assert_eq!(loaded[0].digest, image.digest());
            assert_eq!(
                loaded[0].references,
                Vec::<String>::new(),
                "a bare tag names nothing"
            );
            check_sample(&store, &loaded[0]);
        }
    }
}

#[test]
fn several_images_with_names() {
    let dir = tempfile::tempdir().unwrap();
    let other = TestImage::new(vec![Blob::zstd(&tar_of(&[("other", b"o")]))]);
    let image = sample();
    write_layout(
        dir.path(),
        &[
            (
                &image,
                json!({"io.containerd.image.name": "docker.io/library/app:1",
                "org.opencontainers.image.ref.name": "1"}),
            ),
            (
                &image,
                json!({"org.opencontainers.image.ref.name": "team/app:2"}),
            ),
            (
                &other,
                json!({"org.opencontainers.image.ref.name": "other:3"}),
            ),
        ],
    );
    let store = TestStore::new();
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    let loaded = store
        .service
        .load_path(
            dir.path(),
            Arc::new(move |event| sink.lock().unwrap().push(event)),
        )
        .unwrap();
    assert_eq!(loaded.len(), 2);
    assert_eq!(loaded[0].references, ["app:1", "team/app:2"]);
    assert_eq!(loaded[1].references, ["other:3"]);
    let done = events
        .lock()
        .unwrap()
        .iter()
        .filter(|event| matches!(event, PullEvent::Done { .. }))
        .count();
    assert_eq!(done, 2);
}

/// A docker-archive of the old form: a directory a layer, some layers links to others, `manifest.json` last.
fn old_docker_archive(image: &TestImage) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let config = format!("{}.json", digest(&image.config).hex());
    add(&config, &image.config);
    add("aaa/VERSION", b"1.0");
    add("aaa/json", b"{}");
    add("repositories", b"{\"app\":{\"1\":\"bbb\"}}");
    let mut layers = Vec::new();
    for (number, layer) in image.layers.iter().enumerate() {
        let name = format!("layer{number}/layer.tar");
        let plain = if layer.digest() == layer.diff_id {
            layer.bytes.clone()
        } else {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(
                &mut flate2::read::GzDecoder::new(&layer.bytes[..]),
                &mut plain,
            )
            .unwrap();
            plain
        };
        add(&name, &plain);
        layers.push(name);
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "linked/layer.tar", format!("../{}", layers[0]))
        .unwrap();
    "linked/layer.tar".clone_into(&mut layers[0]);
    let manifest = json!([{"Config": config, "RepoTags": ["app:1", "reg.example:5000/app:2"], "Layers": layers}])
        .to_string();
    let mut header = tar::Header::new_gnu();
    header.set_size(manifest.len() as u64);
    tar.append_data(&mut header, "manifest.json", manifest.as_bytes())
        .unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn old_docker_archives() {
    let image = sample();
    let bytes = old_docker_archive(&image);
    let store = TestStore::new();
    let loaded = load(&store, &bytes).unwrap();
    assert_eq!(loaded[0].id, digest(&image.config));
    assert_eq!(loaded[0].references, ["app:1", "reg.example:5000/app:2"]);
    check_sample(&store, &loaded[0]);
    assert_eq!(
        load(&store, &bytes).unwrap(),
        loaded,
        "loading twice changes nothing"
    );

    let dir = tempfile::tempdir().unwrap();
    run_tar_x(&bytes, dir.path());
    let store = TestStore::new();
    let from_directory = store.service.load_path(dir.path(), quiet()).unwrap();
    assert_eq!(from_directory, loaded);
}

/// Unpacks with the system's tar, as a user would.
fn run_tar_x(bytes: &[u8], dir: &Path) {
    let file = dir.join("outer");
    fs::write(&file, bytes).unwrap();
    run(
        "tar",
        &["-xf", file.to_str().unwrap(), "-C", dir.to_str().unwrap()],
    );
    fs::remove_file(file).unwrap();
}

#[test]
fn hostile_archives() {
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("f.tar"), tar_of(&[("stolen", b"s")])).unwrap();
    let image = TestImage::new(vec![Blob::plain(&tar_of(&[("stolen", b"s")]))]);
    let config = "c.json";
    let manifest =
        json!([{"Config": config, "RepoTags": null, "Layers": ["l/layer.tar"]}]).to_string();
    let target = secret.path().join("f.tar");
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        (config, image.config.as_slice()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "l/layer.tar", &target)
        .unwrap();
    let bytes = tar.into_inner().unwrap();
    let store = TestStore::new();
    let error = load(&store, &bytes).unwrap_err();
    assert!(error.to_string().contains("l/layer.tar"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    run_tar_x(&bytes, dir.path());
    let error = store.service.load_path(dir.path(), quiet()).unwrap_err();
    assert!(error.to_string().contains("l/layer.tar"), "{error}");
    assert_eq!(store.service.list(), []);
}

#[test]
fn bad_archives() {
    let store = TestStore::new();
    let image = sample();
    let good = old_docker_archive(&image);
    let said = |bytes: &[u8]| {
        let error = shedbox_spec::Error::from(load(&store, bytes).unwrap_err());
        assert_eq!(error.kind, Kind::Invalid, "{}", error.message);
        store.assert_clean();
        error.message
    };
    assert!(said(b"").contains("neither"));
    assert!(said(&tar_of(&[("etc/passwd", b"x")])).contains("neither"));
    assert!(
        said(
            b"this is not a tar archive at all, but it is long enough to be one if it is repeated"
        )
        .contains("damaged")
    );
    assert!(said(&good[..good.len() / 2]).contains("damaged"));
    let compressed = gzip(&good);
    assert!(said(&compressed[..compressed.len() / 2]).contains("damaged"));
    assert!(said(&tar_of(&[("manifest.json", b"[]")])).contains("no image"));
    assert!(said(&tar_of(&[("manifest.json", b"{")])).contains("manifest.json"));
    assert!(
        said(&tar_of(&[(
            "index.json",
            b"{\"schemaVersion\":2,\"manifests\":[]}"
        )]))
        .contains("empty")
    );
    assert!(
        said(&tar_of(&[(
            "manifest.json",
            br#"[{"Config":"../x","Layers":[]}]"#
        )]))
        .contains("../x")
    );
    let missing = json!([{"Config": "c", "Layers": []}]).to_string();
    assert!(said(&tar_of(&[("manifest.json", missing.as_bytes())])).contains("`c`"));

    let dir = tempfile::tempdir().unwrap();
    write_layout(dir.path(), &[(&image, json!({}))]);
    let blob = dir
        .path()
        .join("blobs/sha256")
        .join(digest(&image.config).hex());
    let text = fs::read_to_string(&blob).unwrap();
    fs::write(&blob, text.replace("/app", "/bad")).unwrap();
    let error = store.service.load_path(dir.path(), quiet()).unwrap_err();
    assert!(
        error.to_string().contains(digest(&image.config).hex()),
        "{error}"
    );
    fs::write(&blob, text).unwrap();
    let layer = dir
        .path()
        .join("blobs/sha256")
        .join(image.layers[0].digest().hex());
    let store = TestStore::new(); // where the layer is not present already
    fs::write(&layer, &image.layers[1].bytes).unwrap();
    let error =
        shedbox_spec::Error::from(store.service.load_path(dir.path(), quiet()).unwrap_err());
    assert_eq!(error.kind, Kind::Invalid, "{}", error.message);
    store.assert_clean();

    let error = shedbox_spec::Error::from(
        store
            .service
            .load_path(Path::new("/no/such"), quiet())
            .unwrap_err(),
    );
    assert_eq!(error.kind, Kind::NotFound);
}
