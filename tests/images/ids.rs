//! The id of an image, on its way through archives and registries.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::require;
use crate::storage::layout_manifest;
use crate::support::{Home, Registry, images, scratch};

/// What must stay: the id, the layers, and the history as docker shows it.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    id: String,
    layers: Value,
    history: String,
}

fn identity(home: &Home, reference: &str) -> Identity {
    let shown: Value =
        serde_json::from_str(&home.run(["docker", "image", "inspect", reference])).unwrap();
    let form = "--format={{.CreatedBy}} {{.Size}} {{.Comment}}";
    Identity {
        id: shown[0]["Id"].as_str().unwrap().to_owned(),
        layers: shown[0]["RootFS"]["Layers"].clone(),
        history: home.run(["docker", "history", "--no-trunc", form, reference]),
    }
}

fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("skopeo").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The image of a layout has the id that its maker gave it.
fn original_id(image: &str) -> String {
    let manifest = layout_manifest(&images::layout(image));
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn archives_keep_it() {
    require!(userns, image "tiny", image "deep", image "manylayers", image "debian");
    let home = Home::new();
    let dir = scratch();
    for image in ["tiny", "deep", "manylayers", "debian"] {
        let reference = home.image(image);
        let before = identity(&home, &reference);
        assert_eq!(before.id, original_id(image));
        // The form makes no difference to a large one.
        let formats = if image == "debian" {
            &["docker"][..]
        } else {
            &["docker", "oci"]
        };
        for format in formats {
            let archive = dir.path().join(format!("{image}-{format}.tar"));
            let option = format!("--format={format}");
            home.run(["save", &option, "--output", text(&archive), &reference]);
            let other = Home::new();
            other.run(["load", "--quiet", "--input", text(&archive)]);
            assert_eq!(identity(&other, &reference), before, "{image}, {format}");
            other.run(["run", "--rm", "--pull=never", &reference, "true"]);
            std::fs::remove_file(&archive).unwrap();
        }
    }
}

#[test]
fn what_was_made_here_keeps_it() {
    require!(userns, program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let tiny = home.image("tiny");
    home.run([
        "run",
        "--name=made",
        &tiny,
        "sh",
        "-c",
        "echo x >/made; rm /etc/image",
    ]);
    let name = registry.reference("made/here:1");
    home.run(["docker", "commit", "made", &name]);
    home.run(["rm", "made"]);
    let before = identity(&home, &name);
    let archive = home.shedbox(["save", &name]).output().unwrap();
    assert!(archive.status.success(), "{archive:?}");
    let (loaded, pulled) = (Home::new(), Home::new());
    loaded
        .shedbox(["load", "--quiet"])
        .write_stdin(archive.stdout)
        .assert()
        .success();
    assert_eq!(identity(&loaded, &name), before);
    // From the copy, whose layers all came out of an archive.
    loaded.run(["docker", "push", "--quiet", &name]);
    pulled.run(["pull", "--quiet", &name]);
    assert_eq!(identity(&pulled, &name), before);
    assert_eq!(
        pulled.run(["run", "--rm", "--pull=never", &name, "cat", "/made"]),
        "x"
    );
}

#[test]
fn registries_keep_it() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny", image "manylayers");
    let (home, registry) = (Home::new(), Registry::start());
    for image in ["tiny", "manylayers"] {
        let here = home.image(image);
        let before = identity(&home, &here);
        let there = registry.reference(&format!("{image}/copy:1"));
        home.run(["docker", "tag", &here, &there]);
        home.run(["docker", "push", "--quiet", &there]);
        let other = Home::new();
        other.run(["pull", "--quiet", &there]);
        assert_eq!(identity(&other, &there), before, "{image}");
        // Others find every blob to be what it is called.
        let copy = scratch();
        let (from, to) = (
            format!("docker://{there}"),
            format!("oci:{}:copy", text(copy.path())),
        );
        let insecure = "--src-tls-verify=false";
        skopeo(&["--insecure-policy", "copy", "--quiet", insecure, &from, &to]);
        let config = layout_manifest(copy.path())["config"]["digest"].clone();
        assert_eq!(config, original_id(image).as_str());
    }
}

#[test]
fn a_registry_that_has_all_blobs_gets_the_manifest_that_came_with_them() {
    require!(userns, program "skopeo", program "docker-registry", image "manylayers");
    let (home, registry) = (Home::new(), Registry::start());
    let name = registry.push("manylayers", "first/name:1", &["--format", "v2s2"]);
    home.run(["pull", "--quiet", &name]);
    let digest = |name: &str| {
        let place = format!("docker://{name}");
        skopeo(&[
            "inspect",
            "--tls-verify=false",
            "--format={{.Digest}}",
            &place,
        ])
    };
    let digests = |name: &str| {
        let form = "--format={{json .RepoDigests}}";
        home.run(["docker", "image", "inspect", form, name])
    };
    let again = registry.reference("first/name:2");
    let other = registry.reference("other/name:1");
    for (target, said) in [(&again, "Layer already exists"), (&other, "Mounted from")] {
        home.run(["docker", "tag", &name, target]);
        let output = home.run(["docker", "push", target]);
        assert!(
            output.contains(said) && !output.contains("Pushed"),
            "{output}"
        );
        assert_eq!(digest(target), digest(&name));
    }
    // As docker lists them: one of each repository, the same digest.
    let listed: Vec<String> = serde_json::from_str(&digests(&name)).unwrap();
    let expected: Vec<String> = ["first/name", "other/name"]
        .map(|name| registry.reference(&format!("{name}@{}", digest(&again).trim())))
        .into();
    assert_eq!(listed, expected);
}
