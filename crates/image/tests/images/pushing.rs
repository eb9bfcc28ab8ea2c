//! Images to registries: what is sent, what is not, and what happens when it is interrupted.

use std::fs;
use std::sync::{Arc, Mutex};

use shedbox_image::{Derivation, Error, NewLayer};
use shedbox_spec::Kind;
use shedbox_spec::api::{
    AuthSources, PushEvent, PushRequest, PushResult, PushState, RegistryCredentials,
};
use shedbox_store::ImageRecord;

use crate::archives::{check_sample, sample};
use crate::support::image::{digest, noise};
use crate::support::program::{RealRegistry, run, skopeo};
use crate::support::server::Request;
use crate::support::store::runtime;
use crate::support::{FakeRegistry, Reply, TestStore};

fn push_as(
    store: &TestStore,
    name: &str,
    credentials: Option<RegistryCredentials>,
) -> (Result<PushResult, Error>, Vec<PushEvent>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let request = PushRequest {
        reference: name.to_owned(),
        auth: AuthSources {
            credentials,
            ..AuthSources::default()
        },
    };
    let pushed = store
        .service
        .push(request, move |event| told.lock().unwrap().push(event));
    let result = runtime().block_on(pushed);
    store.assert_clean();
    let events = std::mem::take(&mut *events.lock().unwrap());
    (result, events)
}

fn push(store: &TestStore, name: &str) -> (PushResult, Vec<PushEvent>) {
    let (result, events) = push_as(store, name, None);
    (result.unwrap(), events)
}

fn push_fails(store: &TestStore, name: &str) -> shedbox_spec::Error {
    push_as(store, name, None)
        .0
        .expect_err("it must fail")
        .into()
}

/// An image made here: `parent` and one file.
fn made(store: &TestStore, parent: Option<&str>, content: &[u8], name: &str) -> Arc<ImageRecord> {
    let upper = tempfile::tempdir_in(store.dir.path()).unwrap();
    fs::write(upper.path().join("made"), content).unwrap();
    let service = &store.service;
    let parent = parent.map(|parent| service.find(parent).unwrap());
    let lowers = parent
        .as_ref()
        .map_or_else(Vec::new, |parent| service.store().lowers(parent).unwrap());
    let copy = service
        .store()
        .copy_upper(upper.path(), &lowers, &[])
        .unwrap();
    let (layer, _pin) = copy.into_layer().unwrap();
    service
        .derive(Derivation {
            parent: parent.as_deref(),
            layer: Some(NewLayer::from(&layer)),
            references: &[service.parse_tag(name).unwrap()],
            ..Derivation::default()
        })
        .unwrap()
}

/// The last state of each layer, sorted.
fn states(events: &[PushEvent]) -> Vec<&'static str> {
    let mut last = std::collections::BTreeMap::new();
    for event in events {
        if let PushEvent::Layer { diff_id, state } = event {
            let name = match state {
                PushState::Pushed => "pushed",
                PushState::Exists => "exists",
                PushState::Mounted { .. } => "mounted",
                _ => "under way",
            };
            last.insert(diff_id, name);
        }
    }
    let mut names: Vec<_> = last.into_values().collect();
    names.sort_unstable();
    names
}

#[test]
fn only_what_the_registry_lacks_is_sent() {
    let registry = FakeRegistry::new(|_| Reply::Normal);
    registry.put("team/app", "v1", &sample());
    let store = TestStore::new();
    let parent = format!("{}/team/app:v1", registry.host);
    store.pull(&parent).unwrap();
    let name = format!("{}/team/child:v2", registry.host);
    let image = made(&store, Some(&parent), b"here", &name);

    let (result, events) = push(&store, &name);
    assert_eq!(states(&events), ["mounted", "mounted", "pushed"]);
    assert!(matches!(events[0], PushEvent::Started { ref layers, .. } if layers.len() == 3));
    assert_eq!(
        events.last(),
        Some(&PushEvent::Done {
            result: result.clone()
        })
    );
    let manifest = registry.content("/v2/team/child/manifests/v2").unwrap();
    assert_eq!(digest(&manifest), result.digest);
    assert_eq!(manifest.len() as u64, result.size);

    // As layers kept their digests, it is the same image elsewhere.
    let second = TestStore::new();
    let pulled = second.pull(&name).unwrap();
    assert_eq!(pulled.id, image.config);
    assert_eq!(pulled.digest, result.digest);
    assert_eq!(second.file(&pulled, "made").unwrap(), b"here");
    check_sample_layers(&second, &pulled);

    // From now on this one has the registry's digest, and nothing is sent twice.
    let here = store.service.summary(&store.service.find(&name).unwrap());
    assert_eq!((&here.id, &here.digest), (&image.config, &result.digest));
    assert_eq!(
        here.repo_digests,
        [format!("{}/team/child@{}", registry.host, result.digest)]
    );
    assert_eq!(here.parent, image.parent);
    let before = registry.requests("POST").len();
    let (again, events) = push(&store, &name);
    assert_eq!((again, states(&events)), (result, vec!["exists"; 3]));
    assert_eq!(registry.requests("POST").len(), before);

    // Unchanged, the image that was pulled goes with the manifest that it came with.
    let copy = format!("{}/other/copy:1", registry.host);
    store
        .service
        .tag(&store.service.find(&parent).unwrap(), &copy)
        .unwrap();
    let (result, events) = push(&store, &copy);
    assert_eq!(result.digest, sample().digest());
    assert_eq!(states(&events), ["mounted", "mounted"]);
    assert_eq!(
        registry.content("/v2/other/copy/manifests/1").unwrap(),
        sample().manifest
    );
}

fn check_sample_layers(store: &TestStore, image: &shedbox_spec::api::ImageSummary) {
    assert_eq!(store.file(image, "etc/name").unwrap(), b"second");
    assert_eq!(store.file(image, "dir/new").unwrap(), noise(1, 70_000));
}

#[test]
fn another_registry_gets_the_same_image_in_other_blobs() {
    let source = FakeRegistry::new(|_| Reply::Normal);
    source.put("team/app", "v1", &sample());
    let target = FakeRegistry::new(|_| Reply::Normal);
    let store = TestStore::new();
    let here = format!("{}/team/app:v1", source.host);
    store.pull(&here).unwrap();
    let there = format!("{}/team/app:v1", target.host);
    let record = store.service.find(&here).unwrap();
    store.service.tag(&record, &there).unwrap();
    let (result, events) = push(&store, &there);
    assert_eq!(states(&events), ["pushed", "pushed"]);
    assert_eq!(
        store.service.find(&here).unwrap(),
        record,
        "nothing has changed here"
    );
    let second = TestStore::new();
    let pulled = second.pull(&there).unwrap();
    assert_eq!(pulled.digest, result.digest);
    assert_eq!(pulled.id, record.config);
    check_sample(&second, &pulled);
    assert_eq!(
        store.service.summary(&record).repo_digests.len(),
        2,
        "one at each registry"
    );
    // The first one still has everything that it had.
    let copy = format!("{}/team/app:v2", source.host);
    store.service.tag(&record, &copy).unwrap();
    let (same, events) = push(&store, &copy);
    assert_eq!(same.digest, record.manifest);
    assert_eq!(states(&events), ["exists", "exists"]);
    let (again, events) = push(&store, &there);
    assert_eq!((again, states(&events)), (result, vec!["exists", "exists"]));
}

/// A store with an image of 20 MB that does not compress, named so that it goes to `registry`.
fn big(registry: &FakeRegistry) -> (TestStore, String) {
    let store = TestStore::new();
    let name = format!("{}/big:1", registry.host);
    made(&store, None, &noise(9, 20_000_000), &name);
    (store, name)
}

fn resumptions(events: &[PushEvent]) -> Vec<u64> {
    events
        .iter()
        .filter_map(|event| match event {
            PushEvent::Layer {
                state: PushState::Retrying { resumed_at, .. },
                ..
            } => Some(*resumed_at),
            _ => None,
        })
        .collect()
}

fn is_piece(request: &Request) -> bool {
    request.method == "PATCH"
}

fn arrives(registry: &FakeRegistry, store: &TestStore, name: &str) -> Vec<PushEvent> {
    let (result, events) = push(store, name);
    assert_eq!(states(&events), ["pushed"]);
    let second = TestStore::new();
    let pulled = second.pull(name).unwrap();
    assert_eq!(pulled.digest, result.digest);
    assert!(second.file(&pulled, "made").unwrap() == noise(9, 20_000_000));
    let total = events.iter().find_map(|event| match event {
        PushEvent::Layer {
            state: PushState::Pushing { current, total },
            ..
        } if current == total => Some(*total),
        _ => None,
    });
    assert!(total.unwrap() >= 20_000_000);
    assert!(registry.content("/v2/big/manifests/1").is_some());
    events
}

#[test]
fn a_big_blob_goes_in_pieces() {
    let registry = FakeRegistry::new(|_| Reply::Normal);
    let (store, name) = big(&registry);
    let events = arrives(&registry, &store, &name);
    assert_eq!(registry.requests("PATCH").len(), 3);
    assert!(resumptions(&events).is_empty());
}

#[test]
fn a_broken_connection_goes_on_where_it_was() {
    const PIECE: u64 = 8 << 20;
    let registry = FakeRegistry::new(|request| {
        if is_piece(request) && request.nth == 1 {
            Reply::Cut(1 << 20)
        } else {
            Reply::Normal
        }
    });
    let (store, name) = big(&registry);
    let events = arrives(&registry, &store, &name);
    assert_eq!(resumptions(&events), [PIECE + (1 << 20)]);
    assert_eq!(
        registry.requests("POST").len(),
        2,
        "one for the configuration"
    );
}

#[test]
fn a_lost_upload_is_begun_anew() {
    let registry = FakeRegistry::new(|request| {
        let first = request.path.ends_with("/uploads/1");
        match request.method.as_str() {
            "PATCH" if first && request.nth == 1 => Reply::status(404),
            "GET" if first => Reply::status(404),
            _ => Reply::Normal,
        }
    });
    let (store, name) = big(&registry);
    let events = arrives(&registry, &store, &name);
    assert_eq!(resumptions(&events), [0]);
}

#[test]
fn a_registry_without_pieces_gets_a_stream() {
    let registry = FakeRegistry::new(|request| {
        if is_piece(request) {
            Reply::status(405)
        } else {
            Reply::Normal
        }
    });
    let (store, name) = big(&registry);
    arrives(&registry, &store, &name);
    assert_eq!(registry.requests("PATCH").len(), 1);
}

#[test]
fn passing_faults_are_waited_out_and_lasting_ones_said() {
    let failed = std::sync::atomic::AtomicBool::new(false);
    let registry = FakeRegistry::new(move |request| {
        let first = || !failed.swap(true, std::sync::atomic::Ordering::Relaxed);
        if request.method == "PUT" && first() {
            Reply::status(503)
        } else {
            Reply::Normal
        }
    });
    let store = TestStore::new();
    let name = format!("{}/app:1", registry.host);
    made(&store, None, b"x", &name);
    push(&store, &name);

    for (code, kind) in [
        (403, Kind::Denied),
        (500, Kind::Unavailable),
        (400, Kind::Unavailable),
    ] {
        let registry = FakeRegistry::new(move |request| {
            if request.method == "POST" {
                Reply::status(code).text(r#"{"errors":[{"code":"X","message":"not here"}]}"#)
            } else {
                Reply::Normal
            }
        });
        let name = format!("{}/app:1", registry.host);
        made(&store, None, b"y", &name);
        let error = push_fails(&store, &name);
        assert_eq!(error.kind, kind, "{code}");
        assert!(
            error.message.contains("cannot push layer sha256:")
                && error.message.contains("not here"),
            "{}",
            error.message
        );
        assert_eq!(
            registry.requests("PUT"),
            [""; 0],
            "no manifest without its layers"
        );
    }

    let error = push_fails(&store, "127.0.0.1:1/none:1");
    assert_eq!(error.kind, Kind::NotFound);
    let digest = format!("{name}@{}", sample().digest());
    assert_eq!(push_fails(&store, &digest).kind, Kind::Invalid);
}

#[test]
fn a_registry_that_stores_something_else_is_found_out() {
    let registry = FakeRegistry::new(|request| {
        if request.is_manifest() && request.method == "PUT" {
            Reply::status(201).with("docker-content-digest", sample().digest().as_str())
        } else {
            Reply::Normal
        }
    });
    let store = TestStore::new();
    let name = format!("{}/app:1", registry.host);
    made(&store, None, b"x", &name);
    let error = push_fails(&store, &name);
    assert!(error.message.contains("digest"), "{}", error.message);
}

#[test]
fn a_login_is_for_pushing_and_for_where_layers_come_from() {
    let host = Arc::new(std::sync::OnceLock::<String>::new());
    let own = Arc::clone(&host);
    let registry = FakeRegistry::new(move |request| {
        let authorization = request.header("authorization").unwrap_or("");
        if request.path == "/token" {
            // `user:pass` in base64.
            return if authorization == "Basic dXNlcjpwYXNz" {
                Reply::status(200).text(r#"{"token":"t0ken"}"#)
            } else if request.query.contains("push") {
                Reply::status(401)
            } else {
                Reply::status(200).text(r#"{"token":"t0ken"}"#)
            };
        }
        if authorization == "Bearer t0ken" {
            return Reply::Normal;
        }
        let challenge = format!(
            r#"Bearer realm="http://{}/token",service="s""#,
            own.get().unwrap()
        );
        Reply::status(401).with("www-authenticate", &challenge)
    });
    host.set(registry.host.clone()).unwrap();
    registry.put("team/app", "v1", &sample());
    let store = TestStore::new();
    let parent = format!("{}/team/app:v1", registry.host);
    store.pull(&parent).unwrap();
    let name = format!("{}/team/child:1", registry.host);
    made(&store, Some(&parent), b"x", &name);

    let denied = push_fails(&store, &name);
    assert_eq!(denied.kind, Kind::Denied);
    let login = RegistryCredentials {
        username: "user".to_owned(),
        password: "pass".to_owned(),
        ..RegistryCredentials::default()
    };
    assert!(!format!("{login:?}").contains("pass"));
    let (result, events) = push_as(&store, &name, Some(login.clone()));
    result.unwrap();
    assert_eq!(states(&events), ["mounted", "mounted", "pushed"]);
    let asked = registry
        .log()
        .into_iter()
        .rfind(|request| request.path == "/token")
        .unwrap();
    let query = asked
        .query
        .replace("%3A", ":")
        .replace("%2F", "/")
        .replace("%2C", ",");
    assert_eq!(
        query,
        "service=s&scope=repository:team/child:pull,push&scope=repository:team/app:pull"
    );

    // The same login for a pull, from the request.
    let mut request = TestStore::request(&parent);
    request.auth.credentials = Some(login);
    TestStore::new().pull_request(request).unwrap();
    let last = registry
        .log()
        .into_iter()
        .rfind(|request| request.path == "/token")
        .unwrap();
    assert_eq!(last.header("authorization"), Some("Basic dXNlcjpwYXNz"));
}

#[test]
fn a_real_registry_and_other_tools_take_it() {
    let registry = RealRegistry::start();
    let store = TestStore::new();
    let base = format!("{}/team/base:1", registry.host);
    let child = format!("{}/team/child:1", registry.host);
    made(&store, None, &noise(3, 20_000_000), &base);
    let image = made(&store, Some(&base), b"second", &child);
    let (_, events) = push(&store, &base);
    assert_eq!(states(&events), ["pushed"]);
    let (result, events) = push(&store, &child);
    assert_eq!(states(&events), ["mounted", "pushed"]);
    let said = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &format!("docker://{child}"),
    ]);
    assert_eq!(said.trim(), result.digest.as_str());

    let layout = registry.scratch().join("layout");
    let source = format!("docker://{child}");
    let target = format!("oci:{}:copied", layout.display());
    skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        &source,
        &target,
    ]);
    let bundle = registry.scratch().join("bundle");
    let copied = format!("{}:copied", layout.display());
    run(
        "umoci",
        &["unpack", "--image", &copied, bundle.to_str().unwrap()],
    );
    assert_eq!(fs::read(bundle.join("rootfs/made")).unwrap(), b"second");

    let second = TestStore::new();
    assert_eq!(second.pull(&child).unwrap().id, image.config);
}
