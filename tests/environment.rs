//! The ground that the other tests stand on: the lane, the images, the registry.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::process::Command;

use support::{Lane, Random, Registry, images, unique};

#[test]
fn the_lane_is_what_the_user_is() {
    assert_eq!(Lane::current(), Lane::of_user());
}

#[test]
fn user_namespaces_work() {
    require!(userns);
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "true"])
        .status()
        .expect("run unshare");
    assert!(status.success());
}

#[test]
fn the_read_only_registry_serves_every_image() {
    require!(program "skopeo", program "docker-registry", image "tiny");
    for (image, layers) in [
        ("tiny", 1),
        ("debian", 1),
        ("manylayers", 25),
        ("deep", 127),
    ] {
        let reference = Registry::shared().reference(&format!("{image}:latest"));
        let manifest = inspect(&reference);
        assert_eq!(
            manifest.matches("layer.v1.tar+gzip").count(),
            layers,
            "{image}: {manifest}"
        );
    }
}

#[test]
fn a_private_registry_takes_docker_manifests() {
    require!(program "skopeo", program "docker-registry", image "tiny");
    let mut registry = Registry::start();
    let reference = registry.push("tiny", "some/where:v2", &["--format", "v2s2"]);
    assert!(inspect(&reference).contains("vnd.docker.distribution.manifest.v2"));
    registry.stop();
    let refused = std::net::TcpStream::connect(registry.address()).map_err(|error| error.kind());
    assert_eq!(
        refused.map(drop),
        Err(std::io::ErrorKind::ConnectionRefused)
    );
}

#[test]
fn names_are_unique_and_valid() {
    let one = unique("x");
    assert_ne!(one, unique("x"));
    assert_eq!(shedbox_spec::id::validate_name(&one), Ok(()));
}

#[test]
fn randomness_repeats() {
    let mut one = Random(7);
    let mut two = Random(7);
    let drawn: Vec<u64> = (0..5).map(|_| one.below(1000)).collect();
    assert_eq!(drawn, (0..5).map(|_| two.below(1000)).collect::<Vec<_>>());
    assert!(drawn.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn layouts_are_there() {
    require!(image "tiny");
    assert!(images::layout("tiny").join("oci-layout").is_file());
}

fn inspect(reference: &str) -> String {
    let output = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{reference}"))
        .output()
        .expect("run skopeo");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("a manifest is UTF-8")
}
