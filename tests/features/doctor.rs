//! `doctor --security`.

use serde_json::Value;

use crate::require;
use crate::support::Home;

#[test]
fn layers_with_levels_meanings_and_remedies() {
    require!(userns);
    let home = Home::new();
    home.run(["ps"]); // so that there are a store and sockets
    let text = home.run(["doctor", "--security", "--format=json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let checks = report["checks"].as_array().expect("a list");
    let level = |id: &str| {
        checks
            .iter()
            .find(|check| check["id"] == id)
            .unwrap_or_else(|| panic!("no {id} in {text}"))["level"]
            .as_str()
            .expect("a level")
            .to_owned()
    };
    for id in [
        "layer-seccomp",
        "layer-no-new-privs",
        "layer-mounts",
        "layer-sealed-program",
        "store-modes",
    ] {
        assert_eq!(level(id), "ok", "{id}");
    }
    // What sandboxes rely on is there, or this test could not run.
    assert!(
        checks.iter().all(|check| check["level"] != "missing"),
        "{text}"
    );
    for check in checks {
        assert_eq!(check["fix"].is_null(), check["level"] == "ok", "{check}");
    }
    let landlock = level("layer-landlock");
    assert_eq!(
        landlock == "ok",
        shedbox_linux::probe::landlock_abi() >= shedbox_client::spec::landlock::NEWEST_ABI
    );
}

#[test]
fn a_store_that_others_can_read_is_found() {
    use std::os::unix::fs::PermissionsExt;
    require!(userns);
    let home = Home::new();
    home.run(["ps"]);
    let root = home.root();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = home.run(["doctor", "--security"]);
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(text.contains("has mode 755 instead of 700"), "{text}");
    assert!(
        text.contains(&format!("mend it: chmod go-rwx '{}'", root.display())),
        "{text}"
    );
}
