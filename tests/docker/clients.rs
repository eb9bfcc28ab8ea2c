//! Programs that use Docker, as they come from their registry: docker-py, the SWE-bench harness, mini-swe-agent,
//! testcontainers, and Compose. What each has to do is in `clients/`.

use crate::engine::Engine;
use crate::require;

/// Runs one suite of `clients/run.sh`; its lines are shown when it fails.
fn suite(name: &str) {
    // An ordinary user's business: in the other lanes it would prove the same again.
    require!(
        userns,
        many_ids,
        ordinary,
        program "docker",
        program "docker-compose",
        program "busybox",
        clients
    );
    let engine = Engine::ours();
    let link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(
        std::env::var("SHEDBOX_BIN").unwrap(),
        link.path().join("docker"),
    )
    .unwrap();
    engine.script(
        "clients/run.sh",
        &[name],
        &[
            (
                "CLIENTS_VENV",
                &std::env::var_os("SHEDBOX_TEST_CLIENTS").unwrap(),
            ),
            ("DOCKER_LINK", link.path().join("docker").as_os_str()),
        ],
    );
}

#[test]
fn docker_py() {
    suite("docker-py");
}

#[test]
fn the_swe_bench_harness() {
    suite("swebench");
}

#[test]
fn mini_swe_agent() {
    suite("mini-swe-agent");
}

#[test]
fn testcontainers() {
    suite("testcontainers");
}

#[test]
fn compose() {
    suite("compose");
}
