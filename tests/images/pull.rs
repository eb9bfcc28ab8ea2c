//! Pull: from a real registry, filled by other people's tools.

use std::process::Command;

use serde_json::{Value, json};

use crate::require;
use crate::storage::{
    OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, blob_file, descriptor, layout_blob,
    layout_manifest, put_blob, put_manifest,
};
use crate::support::{Home, Registry, images};

/// `inspect` of one image.
fn inspect(home: &Home, reference: &str) -> Value {
    let text = home.run(["inspect", "--type=image", "--format=json", reference]);
    let value: Value = serde_json::from_str(&text).unwrap();
    value.get(0).cloned().unwrap_or(value)
}

/// The manifest digest, as skopeo sees it.
fn remote_digest(reference: &str) -> String {
    let output = Command::new("skopeo")
        .args(["inspect", "--tls-verify=false", "--format={{.Digest}}"])
        .arg(format!("docker://{reference}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs `cat /etc/image` in an image, which must be here already.
fn works(home: &Home, reference: &str) {
    let text = home.run([
        "run",
        "--rm",
        "--pull=never",
        reference,
        "cat",
        "/etc/image",
    ]);
    assert_eq!(text, "built by scripts/test-images", "{reference}");
}

#[test]
fn by_tag_by_digest_and_by_both() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let tagged = registry.push("tiny", "some/where:v2", &[]);
    let digest = remote_digest(&tagged);
    assert_eq!(home.run(["pull", "--quiet", &tagged]), tagged);
    assert_eq!(inspect(&home, &tagged)["digest"], digest.as_str());
    works(&home, &tagged);

    let by_digest = registry.reference(&format!("some/where@{digest}"));
    assert_eq!(home.run(["pull", "--quiet", &by_digest]), by_digest);
    works(&home, &by_digest);
    let both = registry.reference(&format!("some/where:ignored@{digest}"));
    home.run(["pull", "--quiet", &both]);
    let image = inspect(&home, &by_digest);
    assert_eq!(image["references"], json!([tagged]), "a digest is no tag");
    assert_eq!(image["repo_digests"], json!([by_digest]));
}

#[test]
fn docker_manifests_and_every_compression() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let registry = Registry::start();
    for (name, options) in [
        ("v2s2:1", &["--format", "v2s2"][..]),
        (
            "gzip:1",
            &["--format", "oci", "--dest-compress-format", "gzip"],
        ),
        (
            "zstd:1",
            &["--format", "oci", "--dest-compress-format", "zstd"],
        ),
    ] {
        // A home for each: what one has brought the next would not fetch.
        let home = Home::new();
        let reference = registry.push("tiny", name, options);
        home.run(["pull", "--quiet", &reference]);
        works(&home, &reference);
    }
    let home = Home::new();
    plain_layers(&registry, "plain");
    let reference = registry.reference("plain:1");
    home.run(["pull", "--quiet", &reference]);
    works(&home, &reference);
}

/// The image `tiny` with a layer that is not compressed, as `name:1`.
fn plain_layers(registry: &Registry, name: &str) {
    let layout = images::layout("tiny");
    let manifest = layout_manifest(&layout);
    let mut layer = Vec::new();
    let compressed = layout_blob(&layout, &manifest["layers"][0]);
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(&compressed[..]),
        &mut layer,
    )
    .unwrap();
    let config = layout_blob(&layout, &manifest["config"]);
    put_blob(registry, name, &layer);
    put_blob(registry, name, &config);
    let plain = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, &config),
        "layers": [descriptor(OCI_LAYER, &layer)]});
    put_manifest(registry, name, Some("1"), &plain);
}

#[test]
fn what_is_there_is_never_fetched_again() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let reference = registry.push("tiny", "app:1", &["--format", "oci"]);
    home.run(["pull", "--quiet", &reference]);

    // The registry loses the layer and the configuration: only the manifest can be fetched.
    let manifest = layout_manifest(&images::layout("tiny"));
    for blob in [&manifest["config"], &manifest["layers"][0]] {
        std::fs::remove_file(blob_file(&registry, blob["digest"].as_str().unwrap())).unwrap();
    }
    home.run(["pull", "--quiet", &reference]);
    works(&home, &reference);

    // A layer is known by its content: another compression of it is not fetched either.
    plain_layers(&registry, "other");
    std::fs::remove_file(blob_file(&registry, plain_layer_digest(&registry).as_str())).unwrap();
    let other = registry.reference("other:1");
    home.run(["pull", "--quiet", &other]);
    works(&home, &other);
}

fn plain_layer_digest(registry: &Registry) -> String {
    let output = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{}", registry.reference("other:1")))
        .output()
        .unwrap();
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_tag_that_moves() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny", image "manylayers");
    let home = Home::new();
    let registry = Registry::start();
    let reference = registry.push("tiny", "app:1", &[]);
    home.run(["pull", "--quiet", &reference]);
    let first = inspect(&home, &reference);
    registry.push("manylayers", "app:1", &[]);
    // What is present is good enough for `run`; only a pull asks.
    home.run(["run", "--rm", &reference, "test", "!", "-e", "/counter"]);
    home.run(["pull", "--quiet", &reference]);
    home.run(["run", "--rm", &reference, "test", "-e", "/counter"]);
    // The image that has lost its name is still there, by its id.
    let old = inspect(&home, first["id"].as_str().unwrap());
    assert_eq!(old["references"], json!([]));
    home.run([
        "run",
        "--rm",
        old["id"].as_str().unwrap(),
        "test",
        "!",
        "-e",
        "/counter",
    ]);
}

#[test]
fn run_pulls_what_is_missing_and_always_asks_each_time() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny", image "manylayers");
    let home = Home::new();
    let registry = Registry::start();
    let reference = registry.push("tiny", "app:1", &[]);
    home.refused(
        ["run", "--rm", "--pull=never", &reference, "true"],
        125,
        &reference,
    );
    home.run(["run", "--rm", &reference, "true"]);
    registry.push("manylayers", "app:1", &[]);
    home.run([
        "run",
        "--rm",
        "--pull=missing",
        &reference,
        "test",
        "!",
        "-e",
        "/counter",
    ]);
    home.run([
        "run",
        "--rm",
        "--pull=always",
        &reference,
        "test",
        "-e",
        "/counter",
    ]);
}

#[test]
fn an_index_and_its_platforms() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let layout = images::layout("tiny");
    let manifest = layout_manifest(&layout);
    put_blob(
        &registry,
        "app",
        &layout_blob(&layout, &manifest["layers"][0]),
    );
    let config: Value = serde_json::from_slice(&layout_blob(&layout, &manifest["config"])).unwrap();
    let mut entries = Vec::new();
    // The programs are the host's in each of them; what differs is what the image says of itself.
    for (platform, name) in [
        (json!({"os": "windows", "architecture": "amd64"}), "windows"),
        (json!({"os": "linux", "architecture": "amd64"}), "amd64"),
        (
            json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
            "arm64",
        ),
        (
            json!({"os": "linux", "architecture": "arm", "variant": "v6"}),
            "armv6",
        ),
        (
            json!({"os": "linux", "architecture": "arm", "variant": "v7"}),
            "armv7",
        ),
    ] {
        let mut config = config.clone();
        config["config"]["Env"] = json!([format!("PLATFORM={name}"), "PATH=/bin"]);
        for key in ["os", "architecture", "variant"] {
            if let Some(value) = platform.get(key) {
                config[key] = value.clone();
            }
        }
        let config = config.to_string().into_bytes();
        put_blob(&registry, "app", &config);
        let mut manifest = manifest.clone();
        manifest["config"] = descriptor(OCI_CONFIG, &config);
        let text = manifest.to_string();
        put_manifest(&registry, "app", None, &manifest);
        let mut entry = descriptor(OCI_MANIFEST, text.as_bytes());
        entry["platform"] = platform;
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    let index = put_manifest(&registry, "app", Some("1"), &index);
    let reference = registry.reference("app:1");
    let show = |image: &str| {
        home.run([
            "run",
            "--rm",
            "--pull=never",
            image,
            "sh",
            "-c",
            "echo $PLATFORM",
        ])
    };

    home.run(["pull", "--quiet", &reference]);
    let own = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    assert_eq!(show(&reference), own);
    // The digest of an index is as good as that of a manifest.
    let by_digest = registry.reference(&format!("app@{index}"));
    home.run(["pull", "--quiet", &by_digest]);
    assert_eq!(show(&by_digest), own);
    for (platform, name) in [
        ("linux/arm64", "arm64"),
        ("linux/arm/v6", "armv6"),
        ("linux/arm", "armv7"),
    ] {
        home.run([
            "pull",
            "--quiet",
            &format!("--platform={platform}"),
            &reference,
        ]);
        assert_eq!(show(&reference), name, "{platform}");
    }
    let output = home
        .shedbox(["pull", "--platform=linux/s390x", &reference])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in ["linux/s390x", "linux/amd64", "linux/arm/v7", "hint:"] {
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }
}

#[test]
fn several_programs_at_once() {
    require!(userns, program "docker-registry", image "manylayers");
    let home = Home::new();
    let reference = Registry::shared().reference("manylayers:latest");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| home.run(["pull", "--quiet", &reference]));
        }
    });
    home.run([
        "run",
        "--rm",
        "--pull=never",
        &reference,
        "test",
        "-e",
        "/counter",
    ]);
    assert_eq!(
        std::fs::read_dir(home.root().join("store/ingest"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn without_a_terminal_progress_is_plain_lines() {
    require!(userns, program "docker-registry", image "manylayers");
    let home = Home::new();
    let reference = Registry::shared().reference("manylayers:latest");
    let output = home.shedbox(["pull", &reference]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains(['\x1b', '\r']), "{stderr:?}");
    assert!(
        stderr.lines().count() >= 25,
        "a line for each layer at least:\n{stderr}"
    );
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim_end(),
        reference
    );
    let quiet = home
        .shedbox(["pull", "--quiet", &reference])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(quiet.stderr).unwrap(), "");
}

#[test]
fn a_short_name_belongs_to_the_configured_registry() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    registry.push("tiny", "app:1", &[]);
    home.configure(&format!("default_registry = \"{}\"\n", registry.address()));
    home.run(["pull", "--quiet", "app:1"]);
    works(&home, "app:1");
    works(&home, &registry.reference("app:1"));
}

#[test]
fn mirrors_come_first_and_the_registry_after_them() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let mirror = Registry::start();
    mirror.push("tiny", "app:1", &[]);
    // Nobody listens at the registry's own address.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    home.configure(&format!(
        "registry_attempts = 1\n[registries.\"{gone}\"]\nmirrors = [\"{}\"]\n",
        mirror.address()
    ));
    let reference = format!("{gone}/app:1");
    home.run(["pull", "--quiet", &reference]);
    works(&home, &reference);
    let other = format!("{gone}/other:1");
    let output = home.shedbox(["pull", &other]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for part in [mirror.address(), &gone.to_string(), "other"] {
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }
}

#[test]
fn a_daemon_does_not_leave_during_a_long_transfer() {
    require!(userns, program "skopeo", image "tiny");
    let home = Home::new();
    home.configure("idle_exit_s = 1\n");
    let dir = crate::support::scratch();
    let archive = dir.path().join("archive.tar");
    let status = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet"])
        .arg(format!("oci:{}:latest", images::layout("tiny").display()))
        .arg(format!("docker-archive:{}:slow/app:1", archive.display()))
        .status()
        .unwrap();
    assert!(status.success());
    // Half of it, then nothing for longer than the daemon stays without a reason.
    let script = r#"size=$(stat -c %s "$1"); half=$((size / 2)); head -c $half "$1"; sleep 4; tail -c +$((half + 1)) "$1""#;
    let mut slow = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&archive)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = home
        .command(["load", "--quiet"])
        .stdin(slow.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(slow.wait().unwrap().success());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    works(&home, "slow/app:1");
}
