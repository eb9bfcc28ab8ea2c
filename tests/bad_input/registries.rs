//! Registries that do not have it, do not answer, or answer something else.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::archive::{Tar, config, digest, gzip};
use crate::server::{Answer, Server};
use crate::support::{Home, Registry, eventually};
use crate::{assert_empty, refused, require};

/// A home that does not wait long.
fn hasty() -> Home {
    let home = Home::new();
    home.configure("registry_timeout_s = 1\nregistry_attempts = 2\n");
    home
}

#[test]
fn an_image_that_is_not_there() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let there = registry.push("tiny", "team/app:1", &[]);
    let address = registry.address();
    for name in ["team/other:1", "team/app:2", "nobody/nothing"] {
        let reference = registry.reference(name);
        refused(&home, &["pull", &reference], 1, &[&reference, "404"]);
        refused(
            &home,
            &["run", "--rm", &reference, "true"],
            125,
            &[&reference, "404"],
        );
        refused(&home, &["create", &reference], 125, &[&reference]);
    }
    let wrong = format!("{address}/team/app@sha256:{}", "0".repeat(64));
    refused(&home, &["pull", &wrong], 1, &[&wrong, "404"]);
    home.refused(["inspect", &there], 1, &there);
    refused(&home, &["rmi", &there], 1, &[&there]);
    refused(&home, &["save", &there], 1, &[&there]);
    assert_empty(&home);
}

#[test]
fn nobody_listens() {
    require!(userns);
    let home = hasty();
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let reference = format!("{address}/app:1");
    refused(
        &home,
        &["pull", &reference],
        1,
        &[&address, "refused", "hint: "],
    );
    assert_empty(&home);
}

#[test]
fn references_that_are_none() {
    require!(userns);
    let home = Home::new();
    for (reference, part) in [
        ("team/Case", "lowercase"),
        ("a:b:c", "invalid reference format"),
        ("", "invalid reference format"),
        ("app@sha256:123", "digest"),
        ("app@md5:d41d8cd98f00b204e9800998ecf8427e", "digest"),
        ("a//b", "invalid reference format"),
        ("host:99999/app", "port"),
        ("app:-tag", "tag"),
        ("../app", "invalid reference format"),
    ] {
        refused(&home, &["pull", reference], 1, &[part]);
        refused(&home, &["run", "--rm", reference, "true"], 125, &[part]);
    }
    assert_empty(&home);
}

/// The files of blobs that are as large as layers are: the registry keeps no types.
fn largest_blob(registry: &Registry) -> PathBuf {
    let mut todo = vec![registry.storage().join("docker/registry/v2/blobs")];
    let mut largest = (0, PathBuf::new());
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                todo.push(entry.path());
            } else if metadata.len() > largest.0 {
                largest = (metadata.len(), entry.path());
            }
        }
    }
    largest.1
}

#[test]
fn a_blob_that_is_damaged() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = hasty();
    let registry = Registry::start();
    let reference = registry.push("tiny", "app:1", &["--format", "oci"]);
    let blob = largest_blob(&registry);
    let whole = std::fs::read(&blob).unwrap();
    let name = format!(
        "sha256:{}",
        blob.parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
    );

    std::fs::write(&blob, &whole[..whole.len() / 2]).unwrap();
    refused(
        &home,
        &["pull", &reference],
        1,
        &[&name, &reference, "hint: "],
    );
    assert_empty(&home);
    // Another gzip stream of the same length, broken or with other content.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x55;
    std::fs::write(&blob, &flipped).unwrap();
    refused(
        &home,
        &["pull", &reference],
        1,
        &[&name, &reference, "hint: "],
    );
    assert_empty(&home);
    let mut longer = whole.clone();
    longer.extend_from_slice(b"more");
    std::fs::write(&blob, &longer).unwrap();
    refused(&home, &["pull", &reference], 1, &[&name, "hint: "]);
    assert_empty(&home);
    // And all is well again when the registry is.
    std::fs::write(&blob, &whole).unwrap();
    home.run(["pull", "--quiet", &reference]);
    home.run(["run", "--rm", &reference, "true"]);
}

#[test]
fn a_registry_that_does_not_answer() {
    require!(userns);
    let home = hasty();
    let server = Server::new(|_| Answer::Silence);
    let reference = format!("{}/app:1", server.address);
    let began = Instant::now();
    refused(
        &home,
        &["pull", &reference],
        1,
        &[&server.address, "hint: "],
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        began.elapsed()
    );
    assert!(server.requests() >= 2, "it was asked again");
    assert_empty(&home);
}

#[test]
fn a_registry_that_has_had_enough() {
    require!(userns);
    let home = hasty();
    let server = Server::new(|_| {
        let body =
            br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"you have reached your limit"}]}"#;
        Answer::Status(429, "retry-after: 1\r\n".into(), body.to_vec())
    });
    let reference = format!("{}/app:1", server.address);
    refused(
        &home,
        &["pull", &reference],
        1,
        &[
            &server.address,
            "429",
            "you have reached your limit",
            "hint: ",
        ],
    );
    assert_empty(&home);
}

#[test]
fn a_registry_that_is_broken() {
    require!(userns);
    let home = hasty();
    for status in [500, 503] {
        let server =
            Server::new(move |_| Answer::Status(status, String::new(), b"on fire".to_vec()));
        let reference = format!("{}/app:1", server.address);
        refused(
            &home,
            &["pull", &reference],
            1,
            &[&server.address, &status.to_string()],
        );
        assert!(server.requests() >= 2, "it was asked again");
    }
    let server = Server::new(|_| {
        Answer::Status(
            200,
            "content-type: text/html\r\n".into(),
            b"<html>Welcome</html>".to_vec(),
        )
    });
    let reference = format!("{}/app:1", server.address);
    refused(&home, &["pull", &reference], 1, &[&reference, "manifest"]);
    let server = Server::new(|_| Answer::Status(401, String::new(), Vec::new()));
    let reference = format!("{}/app:1", server.address);
    refused(
        &home,
        &["pull", &reference],
        1,
        &[&server.address, "hint: ", "login"],
    );
    assert_empty(&home);
}

/// Serves an image of one layer; the layer as `answer` says.
fn serving(layer: impl Fn(Vec<u8>) -> Answer + Send + Sync + 'static) -> Server {
    let tar = Tar::default()
        .file("file", &"content ".repeat(200_000))
        .end();
    let blob = gzip(&tar);
    let config = config(&[digest(&tar)], &json!({}));
    let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config), "layers": [descriptor("layer.v1.tar+gzip", &blob)]})
    .to_string()
    .into_bytes();
    let config_digest = digest(&config);
    Server::new(move |path| {
        if path.contains("/manifests/") {
            let headers = "content-type: application/vnd.oci.image.manifest.v1+json\r\n".to_owned();
            Answer::Status(200, headers, manifest.clone())
        } else if path.ends_with(&config_digest) {
            Answer::Status(200, String::new(), config.clone())
        } else {
            layer(blob.clone())
        }
    })
}

#[test]
fn a_registry_that_stops_in_the_middle() {
    require!(userns);
    let home = hasty();
    let server = serving(Answer::Half);
    let reference = format!("{}/app:1", server.address);
    let began = Instant::now();
    refused(
        &home,
        &["pull", &reference],
        1,
        &["layer sha256:", &reference, "hint: "],
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        began.elapsed()
    );
    assert_empty(&home);
    // The same image from a registry that is well.
    let server = serving(|blob| Answer::Status(200, String::new(), blob));
    home.run(["pull", "--quiet", &format!("{}/app:1", server.address)]);
}

#[test]
fn a_pull_that_is_given_up() {
    require!(userns);
    let home = Home::new();
    let server = serving(Answer::Half);
    let reference = format!("{}/app:1", server.address);
    let mut client = home
        .command(["pull", &reference])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ingest = home.root().join("store/ingest");
    eventually("the layer is on its way", || {
        server.requests() >= 3 && std::fs::read_dir(&ingest).is_ok_and(|dir| dir.count() > 0)
    });
    shedbox_linux::process::signal(client.id() as i32, 2).unwrap();
    assert!(!client.wait().unwrap().success());
    eventually("the daemon has given it up as well", || {
        std::fs::read_dir(&ingest).is_ok_and(|dir| dir.count() == 0)
    });
    assert_empty(&home);
}
