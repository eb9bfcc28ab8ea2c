//! Programs that use Docker, as they come from their registry: docker-py, the SWE-bench harness, mini-swe-agent,
//! testcontainers, and Compose. What each has to do is in `clients/`.

use std::process::Command;

use crate::engine::Engine;
use crate::require;

/// Runs one suite; its lines are shown when it fails.
fn suite(name: &str) {
    // An ordinary user's business: in the other lanes it would prove the same again.
    require!(userns, many_ids, ordinary, program "docker", program "busybox", clients);
    let engine = Engine::ours();
    let venv = std::env::var("SHEDBOX_TEST_CLIENTS").unwrap();
    let link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(
        std::env::var("SHEDBOX_BIN").unwrap(),
        link.path().join("docker"),
    )
    .unwrap();
    let file = format!(
        "{}/tests/docker/clients/{name}.py",
        env!("CARGO_MANIFEST_DIR")
    );
    let output = Command::new(format!("{venv}/clients/bin/python"))
        .arg(file)
        .envs(engine.variables())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DOCKER_LINK", link.path().join("docker"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{name}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("{text}");
}

#[test]
fn docker_py() {
    suite("docker_py");
}

#[test]
fn the_swe_bench_harness() {
    suite("swebench_harness");
}

#[test]
fn mini_swe_agent() {
    suite("mini_swe_agent");
}

#[test]
fn testcontainers() {
    suite("testcontainers_py");
}
