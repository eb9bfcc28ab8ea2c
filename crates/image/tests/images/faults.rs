//! Registries that fail: what is mended, what is an error, and that nothing is left behind.

use std::time::{Duration, Instant};

use shedbox_spec::Kind;
use shedbox_spec::api::{LayerState, PullEvent};
use shedbox_spec::config::Config;

use crate::support::image::{gzip, noise, tar_of};
use crate::support::store::quick;
use crate::support::{Blob, FakeRegistry, Reply, TestImage, TestStore};

pub fn small() -> TestImage {
    TestImage::new(vec![Blob::gzip(&tar_of(&[("hello", b"world")]))])
}

/// One image behind a script for its blobs' requests (configuration excluded).
pub fn layer_registry(
    image: &TestImage,
    script: impl Fn(&crate::support::server::Request) -> Reply + Send + Sync + 'static,
) -> FakeRegistry {
    let config = crate::support::image::digest(&image.config).to_string();
    let registry = FakeRegistry::new(move |request| {
        if request.is_blob() && !request.path.ends_with(&config) {
            script(request)
        } else {
            Reply::Normal
        }
    });
    registry.put("app", "1", image);
    registry
}

pub fn name(registry: &FakeRegistry) -> String {
    format!("{}/app:1", registry.host)
}

#[test]
fn a_good_registry() {
    let image = small();
    let registry = layer_registry(&image, |_| Reply::Normal);
    let store = TestStore::new();
    let pulled = store.pull(&name(&registry)).unwrap();
    assert_eq!(pulled.digest, image.digest());
    assert_eq!(pulled.references, [name(&registry)]);
    assert_eq!(
        pulled.repo_digests,
        [format!("{}/app@{}", registry.host, image.digest())]
    );
    assert_eq!(store.file(&pulled, "hello").unwrap(), b"world");
    assert_eq!(registry.log().len(), 3, "manifest, configuration, layer");
}

#[test]
fn a_cut_connection_resumes_where_it_stopped() {
    let image = TestImage::noisy(1, 3_000_000);
    let size = image.layers[0].bytes.len();
    let registry = layer_registry(&image, |request| match request.nth {
        0 => Reply::Cut(1_000_000),
        1 => Reply::Cut(1_200_000),
        _ => Reply::Normal,
    });
    let store = TestStore::new();
    let pulled = store.pull(&name(&registry)).unwrap();
    assert_eq!(store.file(&pulled, "file-0").unwrap(), noise(1, 3_000_000));
    let ranges: Vec<Option<String>> = registry
        .log()
        .iter()
        .filter(|request| request.path.ends_with(image.layers[0].digest().as_str()))
        .map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges.len(), 3);
    assert_eq!(ranges[0], None);
    let resumed: Vec<usize> = ranges[1..]
        .iter()
        .map(|range| {
            let range = range.as_deref().expect("a resumed request has a range");
            range["bytes=".len()..]
                .trim_end_matches('-')
                .parse()
                .unwrap()
        })
        .collect();
    // The client may not have read the very last bytes before the reset.
    assert!(resumed[0] > 0 && resumed[0] <= 1_000_000, "{resumed:?}");
    assert!(resumed[1] > resumed[0] && resumed[1] < size, "{resumed:?}");
    let retries: Vec<u64> = store
        .taken_events()
        .iter()
        .filter_map(|event| match event {
            PullEvent::Layer {
                state: LayerState::Retrying { resumed_at, .. },
                ..
            } => Some(*resumed_at),
            _ => None,
        })
        .collect();
    assert_eq!(retries, [resumed[0] as u64, resumed[1] as u64]);
}

#[test]
fn a_server_that_ignores_ranges_is_skipped_forward() {
    let image = TestImage::noisy(1, 2_000_000);
    let registry = layer_registry(&image, |request| match request.nth {
        0 => Reply::Cut(700_000),
        _ => Reply::WithoutRange,
    });
    let store = TestStore::new();
    let pulled = store.pull(&name(&registry)).unwrap();
    assert_eq!(store.file(&pulled, "file-0").unwrap(), noise(1, 2_000_000));
}

#[test]
fn a_server_that_always_cuts_is_given_up() {
    let image = TestImage::noisy(1, 2_000_000);
    let registry = layer_registry(&image, |_| Reply::CutWithoutRange(100_000));
    let store = TestStore::new();
    let error = store.pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains(&registry.host), "{}", error.message);
    assert!(error.hint.is_some());
    assert_eq!(registry.blob_requests(&image.layers[0].bytes), 3);
}

#[test]
fn progress_forgives_earlier_failures() {
    let image = TestImage::noisy(1, 12 << 20);
    // Ten cuts with three attempts, but each time more than a mebibyte arrives.
    let registry = layer_registry(&image, |request| {
        if request.nth < 8 {
            Reply::Cut(1_400_000)
        } else {
            Reply::Normal
        }
    });
    let store = TestStore::new();
    store.pull(&name(&registry)).unwrap();
    assert_eq!(registry.blob_requests(&image.layers[0].bytes), 9);
}

#[test]
fn a_truncated_blob() {
    let image = TestImage::noisy(1, 200_000);
    let registry = layer_registry(&image, |_| Reply::Short(150_000));
    let store = TestStore::new();
    let error = store.pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Unavailable);
    let size = image.layers[0].bytes.len();
    assert!(
        error
            .message
            .contains(&format!("the blob ends after 150000 of {size} bytes")),
        "{}",
        error.message
    );
    assert!(error.message.contains("layer sha256:"), "{}", error.message);
}

#[test]
fn a_blob_longer_than_its_descriptor() {
    let image = small();
    let mut longer = image.layers[0].bytes.clone();
    longer.extend([0; 1000]);
    let registry = layer_registry(&image, move |_| Reply::Body(longer.clone()));
    let error = TestStore::new().pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("longer than"), "{}", error.message);
}

#[test]
fn wrong_content_is_fetched_once_more_and_then_an_error() {
    let image = TestImage::noisy(1, 50_000);
    let other = Blob::gzip(&tar_of(&[("file-0", &noise(99, 50_000))])).bytes;
    // Of the same length, so that only the digest tells.
    let mut wrong = image.layers[0].bytes.clone();
    let end = wrong.len();
    wrong[end / 2..end - 8].copy_from_slice(&other[end / 2..end - 8]);
    let served = wrong.clone();
    let registry = layer_registry(&image, move |request| match request.nth {
        0 => Reply::Body(served.clone()),
        _ => Reply::Normal,
    });
    let store = TestStore::new();
    let pulled = store.pull(&name(&registry)).unwrap();
    assert_eq!(store.file(&pulled, "file-0").unwrap(), noise(1, 50_000));
    assert_eq!(registry.blob_requests(&image.layers[0].bytes), 2);

    let registry = layer_registry(&image, move |_| Reply::Body(wrong.clone()));
    let error = TestStore::new().pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Invalid);
    assert!(
        error.message.contains(image.layers[0].digest().as_str()),
        "{}",
        error.message
    );
    assert_eq!(registry.blob_requests(&image.layers[0].bytes), 2);
}

#[test]
fn the_configuration_lies_about_a_layer() {
    let mut image = small();
    // Blob digest right, diff id wrong: only extraction can tell.
    let text = String::from_utf8(image.config.clone()).unwrap();
    let wrong = crate::support::image::digest(b"something else");
    let config = text.replace(image.layers[0].diff_id.as_str(), wrong.as_str());
    image.manifest = String::from_utf8(image.manifest)
        .unwrap()
        .replace(
            crate::support::image::digest(&image.config).as_str(),
            crate::support::image::digest(config.as_bytes()).as_str(),
        )
        .into_bytes();
    image.config = config.into_bytes();
    let registry = layer_registry(&image, |_| Reply::Normal);
    let error = TestStore::new().pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains(wrong.as_str()), "{}", error.message);
}

#[test]
fn a_wrong_manifest() {
    let image = small();
    let registry = FakeRegistry::new(|request| {
        if request.is_manifest() {
            Reply::Body(b"{\"schemaVersion\":2}".to_vec())
        } else {
            Reply::Normal
        }
    });
    let store = TestStore::new();
    let by_digest = format!("{}/app@{}", registry.host, image.digest());
    let error = store.pull_fails(&by_digest);
    assert!(
        error.message.contains("instead of") && error.message.contains(image.digest().as_str()),
        "{}",
        error.message
    );
    let error = store.pull_fails(&name(&registry));
    assert!(
        error.message.contains("neither a manifest nor an index"),
        "{}",
        error.message
    );
}

#[test]
fn a_manifest_without_end() {
    let registry = FakeRegistry::new(|request| {
        if request.is_manifest() {
            Reply::Body(vec![b' '; 5 << 20])
        } else {
            Reply::Normal
        }
    });
    let error = TestStore::new().pull_fails(&name(&registry));
    assert!(
        error.message.contains("longer than 4194304 bytes"),
        "{}",
        error.message
    );
}

#[test]
fn too_many_requests() {
    let image = small();
    let registry = FakeRegistry::new(|request| {
        let busy = || Reply::status(429).with("retry-after", "1");
        match (request.is_manifest() || request.is_blob(), request.nth) {
            (true, 0) => busy(),
            _ => Reply::Normal,
        }
    });
    registry.put("app", "1", &image);
    let begun = Instant::now();
    TestStore::new().pull(&name(&registry)).unwrap();
    // Manifest, configuration and layer, one after the other, a second each.
    assert!(
        begun.elapsed() >= Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(registry.log().len(), 6);
}

#[test]
fn too_many_requests_for_long() {
    let registry = FakeRegistry::new(|_| {
        Reply::status(429).with("retry-after", "3600").text(
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your limit"}]}"#,
        )
    });
    let error = TestStore::new().pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(
        error.message.contains("You have reached your limit"),
        "{}",
        error.message
    );
    assert!(error.hint.unwrap().contains("3600 s"));
    assert_eq!(registry.log().len(), 1, "an hour is not waited for");
}

#[test]
fn a_faulty_registry() {
    let image = small();
    let registry = FakeRegistry::new(|request| match request.nth {
        0 => Reply::status(500),
        1 => Reply::status(503),
        _ => Reply::Normal,
    });
    registry.put("app", "1", &image);
    TestStore::new().pull(&name(&registry)).unwrap();

    let registry = FakeRegistry::new(|_| Reply::status(500).text("<html>oops</html>"));
    let error = TestStore::new().pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(
        error.message.ends_with("it answered 500"),
        "{}",
        error.message
    );
    assert!(error.message.contains(&registry.host), "{}", error.message);
    assert_eq!(registry.log().len(), 3);
}

#[test]
fn a_silent_registry() {
    let registry = FakeRegistry::new(|_| Reply::Silence);
    let config = Config {
        registry_attempts: 2,
        ..quick()
    };
    let begun = Instant::now();
    let error = TestStore::with(config).pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(
        error.message.contains("nothing arrived for 1 s"),
        "{}",
        error.message
    );
    assert!(error.hint.unwrap().contains("registry_timeout_s"));
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn nobody_listens() {
    // Bound and never accepted would be silent; a port that was free a moment ago refuses.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = TestStore::new().pull_fails(&format!("127.0.0.1:{port}/app:1"));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("refused"), "{}", error.message);
    assert!(error.hint.is_some());
}

#[test]
fn what_is_not_there() {
    let registry = FakeRegistry::new(|_| Reply::Normal);
    let error = TestStore::new().pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::NotFound);
    assert!(
        error.message.contains("it is not here"),
        "{}",
        error.message
    );
    assert_eq!(registry.log().len(), 1);
}

#[test]
fn a_layer_that_is_not_there_stops_the_others() {
    let image = TestImage::noisy(4, 100_000);
    let missing = image.layers[2].digest().to_string();
    let registry = layer_registry(&image, move |request| {
        if request.path.ends_with(&missing) {
            Reply::status(404)
        } else {
            Reply::Normal
        }
    });
    let store = TestStore::new();
    let error = store.pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::NotFound);
    assert!(
        error.message.contains(image.layers[2].digest().as_str()),
        "{}",
        error.message
    );
    assert_eq!(store.service.list(), []);
}

#[test]
fn a_gzip_bomb() {
    let bomb = Blob::gzip(&tar_of(&[("zeros", &vec![0; 64 << 20])]));
    assert!(bomb.bytes.len() < 1 << 20);
    let registry = layer_registry(&TestImage::new(vec![bomb]), |_| Reply::Normal);
    let config = Config {
        max_layer_bytes: 8 << 20,
        ..quick()
    };
    let store = TestStore::with(config);
    let error = store.pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.hint.unwrap().contains("max_layer_bytes"));
}

#[test]
fn a_layer_that_is_no_archive() {
    let junk = Blob {
        bytes: gzip(&noise(5, 10_000)),
        ..Blob::gzip(&noise(5, 10_000))
    };
    let registry = layer_registry(&TestImage::new(vec![junk]), |_| Reply::Normal);
    let error = TestStore::new().pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Invalid);
}

#[test]
fn no_room() {
    let registry = layer_registry(&small(), |_| Reply::Normal);
    let store = TestStore::with(Config {
        min_free_bytes: u64::MAX,
        ..quick()
    });
    let error = store.pull_fails(&name(&registry));
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(registry.log().is_empty());
}
