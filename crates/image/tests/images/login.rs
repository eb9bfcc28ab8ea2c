//! Proving who asks: Basic, Bearer, identity tokens, and what must never be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shedbox_image::{Credential, Error};
use shedbox_spec::Kind;
use shedbox_spec::api::{AuthSources, ImageSummary, PullRequest};

use crate::support::image::tar_of;
use crate::support::server::Request;
use crate::support::store::runtime;
use crate::support::{Blob, FakeRegistry, Reply, TestImage, TestStore};

/// `user:pass` in base64.
const LOGIN: &str = "dXNlcjpwYXNz";

fn image() -> TestImage {
    TestImage::new(vec![Blob::gzip(&tar_of(&[("hello", b"world")]))])
}

fn refuse(challenge: &str) -> Reply {
    Reply::status(401)
        .with("www-authenticate", challenge)
        .text(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
}

fn authorization(request: &Request) -> &str {
    request.header("authorization").unwrap_or("")
}

/// A request with a credential file in a temporary home.
fn request(registry: &FakeRegistry, home: &tempfile::TempDir, entry: &str) -> PullRequest {
    std::fs::create_dir_all(home.path().join(".docker")).unwrap();
    std::fs::write(
        home.path().join(".docker/config.json"),
        format!(r#"{{"auths":{{"{}":{entry}}}}}"#, registry.host),
    )
    .unwrap();
    PullRequest {
        auth: AuthSources {
            home: Some(home.path().to_str().unwrap().to_owned()),
            ..AuthSources::default()
        },
        ..TestStore::request(&format!("{}/app:1", registry.host))
    }
}

fn pull(registry: &FakeRegistry, entry: &str) -> Result<ImageSummary, Error> {
    let home = tempfile::tempdir().unwrap();
    TestStore::new().pull_request(request(registry, &home, entry))
}

fn basic_registry() -> FakeRegistry {
    let registry = FakeRegistry::new(|request| {
        if authorization(request) == format!("Basic {LOGIN}") {
            Reply::Normal
        } else {
            refuse("Basic realm=\"r\"")
        }
    });
    registry.put("app", "1", &image());
    registry
}

#[test]
fn basic() {
    let registry = basic_registry();
    pull(&registry, &format!(r#"{{"auth":"{LOGIN}"}}"#)).unwrap();
    assert_eq!(
        registry.log().len(),
        4,
        "one refusal, then everything with the login"
    );
}

#[test]
fn basic_refused() {
    let registry = basic_registry();
    let wrong = pull(&registry, r#"{"username":"user","password":"s3cret"}"#).unwrap_err();
    let wrong = shedbox_spec::Error::from(wrong);
    assert_eq!(wrong.kind, Kind::Denied);
    assert!(
        wrong.message.contains("with the stored credential"),
        "{}",
        wrong.message
    );
    assert!(
        wrong.message.contains("authentication required"),
        "{}",
        wrong.message
    );
    assert!(!format!("{wrong:?}").contains("s3cret"));
    assert!(wrong.hint.unwrap().contains("docker login"));

    let without = shedbox_spec::Error::from(pull(&registry, "{}").unwrap_err());
    assert_eq!(without.kind, Kind::Denied);
    assert!(
        without.message.contains("without a credential"),
        "{}",
        without.message
    );
}

#[test]
fn a_malformed_file_is_named_when_a_login_is_needed() {
    let registry = basic_registry();
    let error = shedbox_spec::Error::from(pull(&registry, "oops").unwrap_err());
    assert_eq!(error.kind, Kind::Invalid);
    assert!(
        error.message.contains(".docker/config.json"),
        "{}",
        error.message
    );

    let open = FakeRegistry::new(|_| Reply::Normal);
    open.put("app", "1", &image());
    pull(&open, "oops").unwrap();
}

#[test]
fn a_given_credential() {
    let registry = basic_registry();
    let store = TestStore::new();
    let credential = Credential::from_login("user".to_owned(), "pass".to_owned());
    let request = TestStore::request(&format!("{}/app:1", registry.host));
    runtime()
        .block_on(store.service.pull_with(request, credential, |_| ()))
        .unwrap();
}

/// A registry whose token service is itself: `accept` says who gets a token, and tokens work `uses` times.
fn token_registry(
    accept: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    uses: usize,
) -> FakeRegistry {
    let host = Arc::new(std::sync::OnceLock::<String>::new());
    let issued = AtomicUsize::new(0);
    let served = AtomicUsize::new(0);
    let own = Arc::clone(&host);
    let registry = FakeRegistry::new(move |request| {
        if request.path == "/token" {
            return match accept(request) {
                Reply::Normal => {
                    let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
                    served.store(0, Ordering::SeqCst);
                    Reply::Body(format!(r#"{{"token":"t{number}"}}"#).into_bytes())
                }
                refusal => refusal,
            };
        }
        let current = format!("Bearer t{}", issued.load(Ordering::SeqCst));
        if request.path != "/v2/"
            && authorization(request) == current
            && served.fetch_add(1, Ordering::SeqCst) < uses
        {
            Reply::Normal
        } else {
            let host = own.get().unwrap();
            refuse(&format!(
                "Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"repository:app:pull\""
            ))
        }
    });
    host.set(registry.host.clone()).unwrap();
    registry.put("app", "1", &image());
    registry
}

fn tokens(registry: &FakeRegistry) -> Vec<Request> {
    registry
        .log()
        .into_iter()
        .filter(|request| request.path == "/token")
        .collect()
}

#[test]
fn an_anonymous_token() {
    let registry = token_registry(|_| Reply::Normal, usize::MAX);
    pull(&registry, "{}").unwrap();
    let tokens = tokens(&registry);
    assert_eq!(tokens.len(), 1);
    assert_eq!(authorization(&tokens[0]), "");
    assert!(
        tokens[0].query.contains("scope=repository%3Aapp%3Apull"),
        "{}",
        tokens[0].query
    );
    assert!(
        tokens[0].query.contains("service=test"),
        "{}",
        tokens[0].query
    );
}

#[test]
fn a_token_for_a_user_that_expires() {
    let registry = token_registry(
        |request| {
            if authorization(request) == format!("Basic {LOGIN}") {
                Reply::Normal
            } else {
                Reply::status(401)
            }
        },
        1,
    );
    pull(&registry, &format!(r#"{{"auth":"{LOGIN}"}}"#)).unwrap();
    assert_eq!(
        tokens(&registry).len(),
        3,
        "each token is good for one request"
    );
}

#[test]
fn a_refused_token() {
    let registry = token_registry(
        |_| Reply::status(401).text(r#"{"details":"incorrect username or password"}"#),
        1,
    );
    let error = pull(&registry, &format!(r#"{{"auth":"{LOGIN}"}}"#)).unwrap_err();
    let error = shedbox_spec::Error::from(error);
    assert_eq!(error.kind, Kind::Denied);
    assert!(
        error.message.contains("incorrect username or password"),
        "{}",
        error.message
    );
    assert!(
        tokens(&registry).len() <= 2,
        "a wrong password is not tried again and again"
    );
}

#[test]
fn an_identity_token() {
    let registry = token_registry(
        |request| {
            let good = request.method == "POST"
                && request.body.contains("grant_type=refresh_token")
                && request.body.contains("refresh_token=id%2Btoken")
                && request.body.contains("scope=repository%3Aapp%3Apull");
            if good {
                Reply::Normal
            } else {
                Reply::status(400)
            }
        },
        usize::MAX,
    );
    pull(&registry, r#"{"identitytoken":"id+token"}"#).unwrap();
    assert_eq!(tokens(&registry).len(), 1);
}

#[test]
fn a_login_does_not_follow_a_redirect() {
    let image = image();
    let storage = FakeRegistry::new(|_| Reply::Normal);
    storage.put("app", "1", &image);
    let target = format!("http://{}", storage.host);
    let registry = FakeRegistry::new(move |request| {
        if authorization(request) != format!("Basic {LOGIN}") {
            refuse("Basic realm=\"r\"")
        } else if request.is_blob() {
            Reply::status(307).with("location", &format!("{target}{}?signature=x", request.path))
        } else {
            Reply::Normal
        }
    });
    registry.put("app", "1", &image);
    pull(&registry, &format!(r#"{{"auth":"{LOGIN}"}}"#)).unwrap();
    let log = storage.log();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|request| authorization(request).is_empty()));
}
