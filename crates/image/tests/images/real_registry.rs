//! Images that skopeo has pushed to a docker-registry.

use std::fs;
use std::path::Path;

use shedbox_spec::api::{AuthSources, PullRequest};

use crate::support::TestStore;
use crate::support::image::tar_of;
use crate::support::program::{RealRegistry, run};

/// An OCI layout made by umoci with two layers; gives `oci:<dir>:<tag>`.
fn umoci_image(dir: &Path) -> String {
    let layout = dir.join("layout");
    let layout = layout.to_str().unwrap();
    let image = format!("{layout}:made");
    run("umoci", &["init", "--layout", layout]);
    run("umoci", &["new", "--image", &image]);
    let first = dir.join("first.tar");
    fs::write(
        &first,
        tar_of(&[
            ("etc/name", b"first"),
            ("etc/gone", b"x"),
            ("data", &vec![7; 100_000]),
        ]),
    )
    .unwrap();
    let second = dir.join("second.tar");
    fs::write(
        &second,
        tar_of(&[("etc/name", b"second"), ("etc/.wh.gone", b"")]),
    )
    .unwrap();
    for tar in [&first, &second] {
        run(
            "umoci",
            &["raw", "add-layer", "--image", &image, tar.to_str().unwrap()],
        );
    }
    run(
        "umoci",
        &[
            "config",
            "--image",
            &image,
            "--config.cmd",
            "/bin/app",
            "--config.env",
            "A=b",
            "--config.workingdir",
            "/srv",
            "--architecture",
            "amd64",
            "--os",
            "linux",
        ],
    );
    format!("oci:{image}")
}

#[test]
fn every_form_that_skopeo_pushes() {
    let registry = RealRegistry::start();
    let source = umoci_image(registry.scratch());
    for (tag, options) in [
        ("oci", &["--format", "oci"][..]),
        ("docker", &["--format", "v2s2"]),
        (
            "zstd",
            &["--format", "oci", "--dest-compress-format", "zstd"],
        ),
        (
            "gzip",
            &["--format", "v2s2", "--dest-compress-format", "gzip"],
        ),
    ] {
        registry.push(&source, &format!("team/app:{tag}"), options);
        let store = TestStore::new();
        let name = format!("{}/team/app:{tag}", registry.host);
        let pulled = store
            .pull(&name)
            .unwrap_or_else(|error| panic!("{tag}: {error:?}"));
        assert_eq!(store.file(&pulled, "etc/name").unwrap(), b"second", "{tag}");
        assert_eq!(store.file(&pulled, "data").unwrap(), vec![7; 100_000]);
        assert_eq!(pulled.references, [name]);
        let record = store.service.find(pulled.id.as_str()).unwrap();
        let config = store.service.store().image_config(&record).unwrap();
        let defaults = shedbox_image::config::ImageDefaults::from(&*config);
        assert_eq!(defaults.cmd, ["/bin/app"]);
        assert_eq!(defaults.env.last().unwrap(), "A=b");
        assert_eq!(defaults.workdir.as_deref(), Some("/srv"));
    }
}

#[test]
fn by_digest_and_with_a_path_prefix() {
    let registry = RealRegistry::start();
    let source = umoci_image(registry.scratch());
    registry.push(&source, "a/b/c:x", &[]);
    let store = TestStore::new();
    let by_tag = store.pull(&format!("{}/a/b/c:x", registry.host)).unwrap();
    let other = TestStore::new();
    let by_digest = other
        .pull(&format!("{}/a/b/c@{}", registry.host, by_tag.digest))
        .unwrap();
    assert_eq!(by_digest.id, by_tag.id);
    assert_eq!(by_digest.references, Vec::<String>::new());
    assert_eq!(by_digest.repo_digests, by_tag.repo_digests);

    // The same registry as a mirror with a prefix of another one that does not answer.
    let mut config = crate::support::store::quick();
    config.registries.insert(
        "127.0.0.1:1".to_owned(),
        shedbox_spec::config::Registry {
            mirrors: vec![format!("http://{}/a/b", registry.host)],
            ..shedbox_spec::config::Registry::default()
        },
    );
    let mirrored = TestStore::with(config);
    assert_eq!(mirrored.pull("127.0.0.1:1/c:x").unwrap().id, by_tag.id);
}

#[test]
fn an_image_that_is_missing_at_a_real_registry() {
    let registry = RealRegistry::start();
    let store = TestStore::new();
    let request = PullRequest {
        auth: AuthSources::default(),
        ..TestStore::request(&format!("{}/no/such:image", registry.host))
    };
    let error = shedbox_spec::Error::from(store.pull_request(request).unwrap_err());
    assert_eq!(error.kind, shedbox_spec::Kind::NotFound);
    assert!(
        error.message.contains("manifest unknown"),
        "{}",
        error.message
    );
}
