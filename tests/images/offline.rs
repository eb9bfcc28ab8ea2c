//! Offline first: what is here never causes a network attempt.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::require;
use crate::support::{Home, images, scratch};

/// A port that counts who comes, and answers nobody.
struct Tripwire {
    address: String,
    count: Arc<AtomicUsize>,
}

impl Tripwire {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { address, count }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// A home whose registries and proxies all lead to the wire.
fn home(wire: &Tripwire) -> Home {
    let home = Home::new();
    home.configure(&format!(
        "default_registry = \"{}\"\nregistry_attempts = 1\n",
        wire.address
    ));
    home
}

/// Runs it with proxies that lead to the wire as well.
fn run(home: &Home, wire: &Tripwire, arguments: &[&str]) -> std::process::Output {
    let proxy = format!("http://{}", wire.address);
    let mut command = home.command(arguments);
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env(name, &proxy);
    }
    command.output().unwrap()
}

#[track_caller]
fn ok(home: &Home, wire: &Tripwire, arguments: &[&str]) {
    let output = run(home, wire, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(wire.count(), 0, "{arguments:?} went to the network");
}

#[test]
fn an_image_that_is_present() {
    require!(userns, program "skopeo", image "tiny");
    let wire = Tripwire::new();
    let home = home(&wire);
    let reference = format!("{}/app:latest", wire.address);
    let dir = scratch();
    let archive = dir.path().join("app.tar");
    let status = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet"])
        .arg(format!("oci:{}:latest", images::layout("tiny").display()))
        .arg(format!("docker-archive:{}:{reference}", archive.display()))
        .status()
        .unwrap();
    assert!(status.success());
    let archive = archive.to_str().unwrap();

    ok(&home, &wire, &["load", "--quiet", "--input", archive]);
    ok(&home, &wire, &["images"]);
    ok(&home, &wire, &["inspect", &reference]);
    for name in [reference.as_str(), "app:latest", "app"] {
        ok(&home, &wire, &["run", "--rm", name, "true"]);
        ok(
            &home,
            &wire,
            &["run", "--rm", "--pull=missing", name, "true"],
        );
        ok(&home, &wire, &["run", "--rm", "--pull=never", name, "true"]);
    }
    ok(&home, &wire, &["create", "--name=box", &reference, "true"]);
    ok(&home, &wire, &["start", "--attach", "box"]);
    ok(&home, &wire, &["rm", "box"]);
    ok(
        &home,
        &wire,
        &[
            "save",
            "--output",
            dir.path().join("saved.tar").to_str().unwrap(),
            &reference,
        ],
    );
    ok(&home, &wire, &["prune", "--all", "--force"]);
    ok(&home, &wire, &["load", "--quiet", "--input", archive]);
    ok(&home, &wire, &["rmi", &reference]);

    // Without the image `never` stays at home as well.
    let output = run(
        &home,
        &wire,
        &["run", "--rm", "--pull=never", &reference, "true"],
    );
    assert_eq!(output.status.code(), Some(125));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains(&reference) && stderr.contains("hint:"),
        "{stderr}"
    );
    assert_eq!(wire.count(), 0);

    // The wire works: a pull comes to it.
    let output = run(&home, &wire, &["pull", &reference]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(wire.count() > 0, "the test itself is broken");
}

#[test]
fn a_directory_as_rootfs() {
    require!(userns, program "umoci", image "tiny");
    let wire = Tripwire::new();
    let home = home(&wire);
    let dir = scratch();
    let bundle = dir.path().join("bundle");
    let output = Command::new("umoci")
        .args(["unpack", "--rootless", "--image"])
        .arg(format!("{}:latest", images::layout("tiny").display()))
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let rootfs = bundle.join("rootfs");
    ok(
        &home,
        &wire,
        &[
            "run",
            "--rm",
            "--rootfs",
            rootfs.to_str().unwrap(),
            "cat",
            "/etc/image",
        ],
    );
}

#[test]
fn the_host_itself() {
    require!(userns);
    let wire = Tripwire::new();
    let home = home(&wire);
    ok(&home, &wire, &["run", "--rm", "host", "true"]);
}

#[test]
fn archives_and_layouts() {
    require!(userns, image "tiny");
    let wire = Tripwire::new();
    let home = home(&wire);
    let layout = images::layout("tiny");
    ok(
        &home,
        &wire,
        &["load", "--quiet", "--input", layout.to_str().unwrap()],
    );
    ok(&home, &wire, &["doctor"]);
}
