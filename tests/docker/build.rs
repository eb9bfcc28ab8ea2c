//! Dockerfiles and what has to come of them: `build.sh` and what it reads, with our daemon, and as root also with a real dockerd, whose classic
//! builder has to agree wherever the script does not say that it cannot do something.

use std::process::Command;

use crate::engine::Engine;
use crate::require;

fn run(engine: &Engine, name: &str) {
    let script = format!("{}/tests/docker/build.sh", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("bash")
        .arg(script)
        .envs(engine.variables())
        .env("ENGINE", name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{name}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("{name}: {text}");
}

#[test]
fn dockerfiles() {
    require!(
        userns,
        many_ids,
        program "docker",
        program "busybox",
        program "curl"
    );
    run(&Engine::ours(), "ours");
    if let Some(dockerd) = Engine::dockerd() {
        run(&dockerd, "dockerd");
    }
}
