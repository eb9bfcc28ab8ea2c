//! Dockerfiles and what has to come of them: `build.sh` and what it reads, with our daemon, and as root also with a real dockerd, whose classic
//! builder has to agree wherever the script does not say that it cannot do something.

use std::ffi::OsStr;

use crate::engine::Engine;
use crate::require;

fn run(engine: &Engine, name: &str) {
    engine.script("build.sh", &[], &[("ENGINE", OsStr::new(name))]);
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
