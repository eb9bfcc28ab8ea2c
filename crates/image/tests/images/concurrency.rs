//! Many pulls at once, big images, and staying offline.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shedbox_image::Error;
use shedbox_spec::Kind;
use shedbox_spec::api::{LayerState, PullEvent, PullPolicy, PullRequest};
use shedbox_spec::config::Config;

use crate::support::image::{DOCKER_LIST, OCI_INDEX, tar_of};
use crate::support::store::{quick, runtime};
use crate::support::{Blob, FakeRegistry, Reply, TestImage, TestStore};

#[test]
fn eight_pulls_fetch_each_layer_once() {
    let image = TestImage::noisy(6, 300_000);
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("app", "1", &image);
    // Another image that shares half of the layers.
    let mut layers = image.layers[..3].to_vec();
    layers.push(Blob::gzip(&tar_of(&[("own", b"own")])));
    let relative = TestImage::new(layers);
    registry.put("relative", "1", &relative);

    let store = TestStore::new();
    runtime().block_on(async {
        let mut pulls = tokio::task::JoinSet::new();
        for number in 0..8 {
            let service = Arc::clone(&store.service);
            let name = if number % 4 == 3 { "relative" } else { "app" };
            let request = TestStore::request(&format!("{}/{name}:1", registry.host));
            let recorder = store.recorder();
            pulls.spawn(async move { service.pull(request, recorder).await });
        }
        while let Some(pulled) = pulls.join_next().await {
            pulled.unwrap().unwrap();
        }
    });
    for layer in image.layers.iter().chain(&relative.layers) {
        assert_eq!(registry.blob_requests(&layer.bytes), 1);
    }
    store.assert_clean();
    assert_eq!(store.service.list().len(), 2);
}

#[test]
fn when_the_first_fails_another_takes_over() {
    let image = TestImage::noisy(1, 3_000_000);
    let layer = image.layers[0].digest().to_string();
    // The first request hangs; its pull is dropped while the second waits for it.
    let registry = FakeRegistry::new(move |request| {
        if request.path.ends_with(&layer) && request.nth == 0 {
            Reply::Silence
        } else {
            Reply::Normal
        }
    });
    registry.put("app", "1", &image);
    let config = Config {
        registry_timeout_s: 60,
        ..quick()
    };
    let store = TestStore::with(config);
    let name = format!("{}/app:1", registry.host);
    runtime().block_on(async {
        let (asked, mut first_asked) = tokio::sync::mpsc::unbounded_channel();
        let service = Arc::clone(&store.service);
        let request = TestStore::request(&name);
        let first = tokio::spawn(async move { service.pull(request, |_| ()).await });
        while registry.blob_requests(&image.layers[0].bytes) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let service = Arc::clone(&store.service);
        let request = TestStore::request(&name);
        let second = tokio::spawn(async move {
            service
                .pull(request, move |event| {
                    if let PullEvent::Layer {
                        state: LayerState::Waiting,
                        ..
                    } = event
                    {
                        asked.send(()).unwrap();
                    }
                })
                .await
        });
        first_asked.recv().await.expect("the second one waits");
        first.abort();
        second.await.unwrap().unwrap();
    });
    assert_eq!(registry.blob_requests(&image.layers[0].bytes), 2);
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let image = TestImage::noisy(2, 10_000);
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("app", "1", &image);
    let store = TestStore::new();
    let name = format!("{}/app:1", registry.host);
    store.pull(&name).unwrap();
    let requests = registry.log().len();
    store.taken_events();

    store.pull(&name).unwrap();
    let by_digest = format!("{}/app@{}", registry.host, image.digest());
    store.pull(&by_digest).unwrap();
    store.pull(image.digest().as_str()).unwrap();
    assert_eq!(registry.log().len(), requests, "present means offline");
    assert!(store.taken_events().iter().all(|event| matches!(
        event,
        PullEvent::Done {
            up_to_date: true,
            ..
        }
    )));

    let always = PullRequest {
        policy: PullPolicy::Always,
        ..TestStore::request(&name)
    };
    store.pull_request(always.clone()).unwrap();
    let log = registry.log();
    assert_eq!(log.len(), requests + 1);
    assert_eq!(log[requests].method, "HEAD", "asking costs no pull");

    // The tag moves: one layer is known already.
    let mut layers = image.layers.clone();
    layers[1] = Blob::zstd(&tar_of(&[("new", b"new")]));
    let next = TestImage::new(layers);
    registry.put("app", "1", &next);
    let pulled = store.pull_request(always).unwrap();
    assert_eq!(pulled.digest, next.digest());
    assert_eq!(pulled.references, std::slice::from_ref(&name));
    assert_eq!(registry.blob_requests(&image.layers[0].bytes), 1);
    assert_eq!(registry.blob_requests(&next.layers[1].bytes), 1);
}

#[test]
fn never_means_never() {
    let store = TestStore::new();
    let request = PullRequest {
        policy: PullPolicy::Never,
        ..TestStore::request("127.0.0.1:1/app:1")
    };
    let error = shedbox_spec::Error::from(store.pull_request(request).unwrap_err());
    assert_eq!(error.kind, Kind::NotFound);
    assert!(
        error.message.contains("127.0.0.1:1/app:1"),
        "{}",
        error.message
    );
    assert!(error.hint.unwrap().contains("shedbox pull"));
    assert!(matches!(
        store.pull(&format!("sha256:{}", "0".repeat(64))),
        Err(Error::NotPresent { .. })
    ));
}

#[test]
fn bad_requests() {
    let store = TestStore::new();
    for (reference, platform) in [("app/UPPER", None), ("a b", None), ("ok", Some("a/b/c/d"))] {
        let request = PullRequest {
            platform: platform.map(str::to_owned),
            ..TestStore::request(reference)
        };
        let error = shedbox_spec::Error::from(store.pull_request(request).unwrap_err());
        assert_eq!(error.kind, Kind::Invalid, "{reference}: {}", error.message);
    }
}

#[test]
fn platforms() {
    let arch = |architecture: &str| {
        let layer = Blob::gzip(&tar_of(&[("arch", architecture.as_bytes())]));
        TestImage::with_config(vec![layer], json!({}), architecture)
    };
    let (amd64, arm64) = (arch("amd64"), arch("arm64"));
    let registry = FakeRegistry::new(|_| Reply::Normal);
    for (name, list_type) in [("oci", OCI_INDEX), ("docker", DOCKER_LIST)] {
        for (tag, image) in [("amd64", &amd64), ("arm64", &arm64)] {
            registry.put(name, tag, image);
        }
        let entry = |image: &TestImage, architecture: &str| {
            json!({"mediaType": image.manifest_type, "digest": image.digest(), "size": image.manifest.len(),
                "platform": {"os": "linux", "architecture": architecture}})
        };
        let mut attestation = entry(&amd64, "unknown");
        attestation["platform"]["os"] = json!("unknown");
        let index = json!({"schemaVersion": 2, "mediaType": list_type,
            "manifests": [attestation, entry(&arm64, "arm64"), entry(&amd64, "amd64")]})
        .to_string();
        registry.put_manifest(name, "all", list_type, index.as_bytes());

        let store = TestStore::new();
        let all = format!("{}/{name}:all", registry.host);
        let pulled = store.pull(&all).unwrap();
        assert_eq!(store.file(&pulled, "arch").unwrap(), b"amd64");
        let named = crate::support::image::digest(index.as_bytes());
        assert_eq!(
            pulled.repo_digests,
            [format!("{}/{name}@{named}", registry.host)]
        );

        let other = PullRequest {
            platform: Some("linux/arm64/v8".to_owned()),
            ..TestStore::request(&all)
        };
        let pulled = store.pull_request(other.clone()).unwrap();
        assert_eq!(store.file(&pulled, "arch").unwrap(), b"arm64");
        assert_eq!(store.pull_request(other).unwrap(), pulled, "present");

        let none = PullRequest {
            platform: Some("linux/s390x".to_owned()),
            ..TestStore::request(&all)
        };
        let error = shedbox_spec::Error::from(store.pull_request(none).unwrap_err());
        assert_eq!(error.kind, Kind::NotFound);
        assert!(
            error.message.ends_with("it has linux/arm64, linux/amd64"),
            "{}",
            error.message
        );

        // A single image of another platform than asked for.
        let wrong = format!("{}/{name}:arm64", registry.host);
        let error = shedbox_spec::Error::from(store.pull(&wrong).unwrap_err());
        assert_eq!(error.kind, Kind::NotFound);
    }
}

#[test]
fn a_hundred_and_twenty_seven_layers() {
    let layers = (0..127)
        .map(|number| {
            let name = format!("f{number}");
            let tar = tar_of(&[(&name, name.as_bytes()), ("last", name.as_bytes())]);
            match number % 3 {
                0 => Blob::gzip(&tar),
                1 => Blob::zstd(&tar),
                _ => Blob::plain(&tar),
            }
        })
        .collect();
    let image = TestImage::new(layers);
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("deep", "1", &image);
    let store = TestStore::new();
    let pulled = store.pull(&format!("{}/deep:1", registry.host)).unwrap();
    assert_eq!(store.lowers(&pulled).len(), 127);
    assert_eq!(store.file(&pulled, "last").unwrap(), b"f126");
    assert_eq!(store.file(&pulled, "f0").unwrap(), b"f0");
}

#[test]
fn a_layer_that_comes_twice() {
    let layer = Blob::gzip(&tar_of(&[("a", b"a")]));
    let other = Blob::gzip(&tar_of(&[("b", b"b")]));
    let packed_otherwise = Blob::plain(&tar_of(&[("a", b"a")]));
    let image = TestImage::new(vec![
        layer.clone(),
        other,
        layer.clone(),
        packed_otherwise.clone(),
    ]);
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("app", "1", &image);
    let store = TestStore::new();
    store.pull(&format!("{}/app:1", registry.host)).unwrap();
    assert_eq!(registry.blob_requests(&layer.bytes), 1);
    assert_eq!(registry.blob_requests(&packed_otherwise.bytes), 0);
    assert!(store.taken_events().contains(&PullEvent::Layer {
        digest: packed_otherwise.digest(),
        state: LayerState::Exists
    }));
}

#[test]
fn events_of_a_pull() {
    let image = TestImage::noisy(2, 500_000);
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("app", "1", &image);
    let store = TestStore::new();
    let pulled = store.pull(&format!("{}/app:1", registry.host)).unwrap();
    let events = store.taken_events();
    let PullEvent::Resolved { digest, layers, .. } = &events[0] else {
        panic!("{:?}", events[0]);
    };
    assert_eq!(*digest, image.digest());
    assert_eq!(layers.len(), 2);
    for layer in &image.layers {
        let states: Vec<LayerState> = events
            .iter()
            .filter_map(|event| match event {
                PullEvent::Layer { digest, state } if *digest == layer.digest() => Some(*state),
                _ => None,
            })
            .collect();
        let size = layer.bytes.len() as u64;
        assert_eq!(
            states[states.len() - 2..],
            [
                LayerState::Progress {
                    downloaded: size,
                    extracted: size
                },
                LayerState::Done
            ]
        );
    }
    assert_eq!(
        events.last(),
        Some(&PullEvent::Done {
            image: pulled,
            up_to_date: false
        })
    );
}
