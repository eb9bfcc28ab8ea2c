//! HTTPS: a registry with a certificate of its own.

use std::fs;
use std::path::Path;

use shedbox_spec::Kind;
use shedbox_spec::config::{Config, Registry};

use crate::support::program::{RealRegistry, run};
use crate::support::store::quick;
use crate::support::{TestStore, program};

/// A certificate authority and a certificate of it for 127.0.0.1.
fn certificates(dir: &Path) {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-addext",
            "basicConstraints=critical,CA:true",
            "-keyout",
            &at("ca.key"),
            "-out",
            &at("ca.pem"),
        ],
    );
    run(
        "openssl",
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=registry",
            "-keyout",
            &at("key.pem"),
            "-out",
            &at("request.pem"),
        ],
    );
    fs::write(
        dir.join("extensions"),
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:false\nextendedKeyUsage=serverAuth\n",
    )
    .unwrap();
    run(
        "openssl",
        &[
            "x509",
            "-req",
            "-days",
            "2",
            "-CAcreateserial",
            "-in",
            &at("request.pem"),
            "-CA",
            &at("ca.pem"),
            "-CAkey",
            &at("ca.key"),
            "-extfile",
            &at("extensions"),
            "-out",
            &at("certificate.pem"),
        ],
    );
}

fn config(registry: &RealRegistry, settings: Registry) -> Config {
    let mut config = quick();
    config.registries.insert(
        registry.host.clone(),
        Registry {
            plain_http: Some(false),
            ..settings
        },
    );
    config
}

#[test]
fn own_certificates() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let registry = RealRegistry::start_tls(Some(dir.path()));
    let layout = dir.path().join("layout");
    let image = format!("{}:x", layout.display());
    program::run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
    program::run("umoci", &["new", "--image", &image]);
    registry.push(&format!("oci:{image}"), "app:1", &[]);
    let name = format!("{}/app:1", registry.host);

    let unknown = TestStore::with(config(&registry, Registry::default())).pull_fails(&name);
    assert_eq!(unknown.kind, Kind::Unavailable);
    assert!(
        unknown.message.contains("certificate"),
        "{}",
        unknown.message
    );
    assert!(unknown.hint.unwrap().contains("ca_file"));

    let ca_file = dir.path().join("ca.pem").to_str().map(str::to_owned);
    let trusted = Registry {
        ca_file,
        ..Registry::default()
    };
    TestStore::with(config(&registry, trusted))
        .pull(&name)
        .unwrap();

    let insecure = Registry {
        insecure: true,
        ..Registry::default()
    };
    TestStore::with(config(&registry, insecure))
        .pull(&name)
        .unwrap();

    for (ca_file, said) in [
        ("/no/such.pem", "/no/such.pem"),
        ("/etc/passwd", "no certificate"),
    ] {
        let wrong = Registry {
            ca_file: Some(ca_file.to_owned()),
            ..Registry::default()
        };
        let error = TestStore::with(config(&registry, wrong)).pull_fails(&name);
        assert_eq!(error.kind, Kind::Invalid, "{}", error.message);
        assert!(error.message.contains(said), "{}", error.message);
    }
}
