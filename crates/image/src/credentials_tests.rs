use std::fs;

use super::*;

struct Place {
    dir: tempfile::TempDir,
    sources: AuthSources,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(dir.path().join(name).to_str().unwrap().to_owned());
        let sources = AuthSources {
            home: at("home"),
            runtime_dir: at("run"),
            path: Some(format!("{}:/usr/bin:/bin", at("bin").unwrap())),
            ..AuthSources::default()
        };
        Self { dir, sources }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn login(&self, name: &str, user: &str) {
        self.file(
            name,
            &format!(r#"{{"auths":{{"r":{{"username":"{user}","password":"p"}}}}}}"#),
        );
    }

    fn helper(&self, name: &str, script: &str) {
        let path = self.file(
            &format!("bin/docker-credential-{name}"),
            &format!("#!/bin/sh\n{script}\n"),
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn user(&self) -> Option<String> {
        match find(&self.sources, "r", "a/b").unwrap() {
            None => None,
            Some(Credential::Basic { username, .. }) => Some(username),
            Some(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn order_of_files() {
    let mut place = Place::new();
    assert_eq!(place.user(), None);
    place.login("home/.docker/config.json", "docker");
    assert_eq!(place.user().as_deref(), Some("docker"));
    place.login("elsewhere/config.json", "docker-config");
    place.sources.docker_config = Some(
        place
            .dir
            .path()
            .join("elsewhere")
            .to_str()
            .unwrap()
            .to_owned(),
    );
    assert_eq!(place.user().as_deref(), Some("docker-config"));
    place.login("home/.config/containers/auth.json", "config");
    assert_eq!(place.user().as_deref(), Some("config"));
    place.login("run/containers/auth.json", "run");
    assert_eq!(place.user().as_deref(), Some("run"));
    let explicit = place.file("explicit.json", "{}");
    place.sources.registry_auth_file = Some(explicit.to_str().unwrap().to_owned());
    assert_eq!(place.user(), None, "an explicit file is the only one");
    fs::remove_file(&explicit).unwrap();
    let error = find(&place.sources, "r", "a").unwrap_err().to_string();
    assert!(error.contains("explicit.json"), "{error}");
}

#[test]
fn malformed_and_unreadable_files_are_named() {
    let place = Place::new();
    place.file("run/containers/auth.json", "{ secret");
    let error = find(&place.sources, "r", "a").unwrap_err();
    let text = shedbox_spec::error::chain(&error);
    assert!(text.contains("run/containers/auth.json"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let place = Place::new();
    fs::create_dir_all(place.dir.path().join("home/.docker/config.json")).unwrap();
    let text = shedbox_spec::error::chain(&find(&place.sources, "r", "a").unwrap_err());
    assert!(text.contains(".docker/config.json"), "{text}");
}

#[test]
fn helpers() {
    let place = Place::new();
    place.file(
        "home/.docker/config.json",
        r#"{"credHelpers":{"r":"fake"},"auths":{"r":{"username":"file","password":"p"}}}"#,
    );
    let text = |result: Result<Option<Credential>>| {
        shedbox_spec::error::chain(&result.expect_err("must fail"))
    };
    let missing = text(find(&place.sources, "r", "a"));
    assert!(
        missing.contains("docker-credential-fake") && missing.contains("PATH"),
        "{missing}"
    );

    place.helper(
        "fake",
        r#"read server; [ "$1 $server" = "get r" ] && echo '{"ServerURL":"r","Username":"helped","Secret":"s"}'"#,
    );
    assert_eq!(place.user().as_deref(), Some("helped"));

    place.helper(
        "fake",
        "echo credentials not found in native keychain; exit 1",
    );
    assert_eq!(place.user().as_deref(), Some("file"));

    place.helper("fake", "echo the keyring is locked; exit 1");
    let locked = text(find(&place.sources, "r", "a"));
    assert!(locked.contains("the keyring is locked"), "{locked}");

    place.helper("fake", "echo '{\"Secret\":\"s3cret\"}'");
    let odd = text(find(&place.sources, "r", "a"));
    assert!(odd.contains("protocol") && !odd.contains("s3cret"), "{odd}");
}

#[test]
fn helper_names_stay_names() {
    let place = Place::new();
    place.file(
        "home/.docker/config.json",
        r#"{"credsStore":"x/../../evil"}"#,
    );
    let error = find(&place.sources, "r", "a").unwrap_err();
    assert!(matches!(error, Error::CredentialHelper { .. }), "{error}");
}
