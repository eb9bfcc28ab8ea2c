//! Mirrors: asked first, passed over when they fail.

use shedbox_spec::Kind;
use shedbox_spec::config::Registry;

use crate::faults::{layer_registry, name, small};
use crate::support::image::noise;
use crate::support::store::quick;
use crate::support::{FakeRegistry, Reply, TestImage, TestStore};

fn with_mirrors(registry: &FakeRegistry, mirrors: &[&FakeRegistry]) -> TestStore {
    let mut config = quick();
    config.registries.insert(
        registry.host.clone(),
        Registry {
            mirrors: mirrors.iter().map(|mirror| mirror.host.clone()).collect(),
            ..Registry::default()
        },
    );
    TestStore::with(config)
}

#[test]
fn mirrors_come_first() {
    let image = small();
    let registry = layer_registry(&image, |_| Reply::Normal);
    let mirror = layer_registry(&image, |_| Reply::Normal);
    let store = with_mirrors(&registry, &[&mirror]);
    let pulled = store.pull(&name(&registry)).unwrap();
    assert_eq!(pulled.references, [name(&registry)], "named as asked for");
    assert!(registry.log().is_empty());
    assert_eq!(mirror.log().len(), 3);
}

#[test]
fn mirrors_that_fail_are_passed_over() {
    let image = small();
    let registry = layer_registry(&image, |_| Reply::Normal);
    let broken = FakeRegistry::new(|_| Reply::status(500));
    let empty = FakeRegistry::new(|_| Reply::Normal);
    let store = with_mirrors(&registry, &[&broken, &empty]);
    store.pull(&name(&registry)).unwrap();
    assert_eq!(
        broken.log().len(),
        2,
        "two attempts, and no more for the blobs"
    );
    assert_eq!(empty.log().len(), 1);
    assert_eq!(registry.log().len(), 3);
}

#[test]
fn a_mirror_without_the_blobs_and_one_with_wrong_ones() {
    let image = TestImage::noisy(1, 400_000);
    let wrong = noise(7, image.layers[0].bytes.len());
    for fault in [
        Reply::status(404),
        Reply::Body(wrong),
        Reply::Cut(100_000),
        Reply::Short(50_000),
    ] {
        let registry = layer_registry(&image, |_| Reply::Normal);
        let bad = fault.clone();
        let mirror = layer_registry(&image, move |_| bad.clone());
        let store = with_mirrors(&registry, &[&mirror]);
        let pulled = store
            .pull(&name(&registry))
            .unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(store.file(&pulled, "file-0").unwrap(), noise(1, 400_000));
        assert_eq!(registry.log().len(), 1, "only the layer came from there");
    }
}

#[test]
fn all_failures_are_told() {
    let registry = FakeRegistry::new(|_| Reply::status(404));
    let mirror = FakeRegistry::new(|_| Reply::status(502));
    let store = with_mirrors(&registry, &[&mirror]);
    let error = store.pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::NotFound, "the registry's own word counts");
    for part in [
        format!("{}: it answered 502", mirror.host),
        format!("{}: it answered 404", registry.host),
    ] {
        assert!(error.message.contains(&part), "{}", error.message);
    }
}
