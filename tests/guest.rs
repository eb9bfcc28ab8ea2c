//! What each guest of `scripts/test-vm` was booted for, and what shedbox says there. Elsewhere every test is skipped.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use serde_json::Value;
use support::Home;

/// What `doctor` says of one thing, whether sandboxes can run, and what mends it.
struct Doctor {
    report: Value,
    status: i32,
}

impl Doctor {
    fn ask(home: &Home) -> Self {
        let output = home
            .shedbox(["doctor", "--format", "json"])
            .output()
            .expect("run shedbox doctor");
        Self {
            report: serde_json::from_slice(&output.stdout).expect("JSON"),
            status: output.status.code().expect("an exit status"),
        }
    }

    /// Level, finding and remedy of a check.
    fn check(&self, id: &str) -> [String; 3] {
        let checks = self.report["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["id"] == id);
        let check = check.unwrap_or_else(|| panic!("no check `{id}`"));
        ["level", "found", "fix"].map(|field| check[field].as_str().unwrap_or_default().to_owned())
    }
}

/// Everything that limits and walls need is there, and doctor sees it.
#[track_caller]
fn has_everything(landlock: &str) {
    let home = Home::new();
    let doctor = Doctor::ask(&home);
    assert_eq!(doctor.status, 0);
    for (id, found) in [
        ("landlock", landlock),
        ("user-namespaces", "made"),
        ("overlay", "mounted"),
        ("cgroup", ""),
    ] {
        let [level, text, _] = doctor.check(id);
        assert!(text.contains(found), "{id}: {text}");
        // An early Landlock is reported as one that lacks something.
        assert!(level == "ok" || id == "landlock", "{id}: {level}: {text}");
    }
    assert_eq!(home.run(["run", "--rm", "host", "echo", "works"]), "works");
}

#[test]
fn linux_6_1_with_landlock_2() {
    require!(guest "bookworm");
    has_everything("ABI 2");
}

#[test]
fn linux_6_12_with_landlock_6() {
    require!(guest "trixie");
    has_everything("ABI 6");
}

#[test]
fn linux_7_with_landlock_10() {
    require!(guest "sid");
    has_everything("ABI 1");
}

#[test]
fn landlock_switched_off() {
    require!(guest "no-landlock");
    let home = Home::new();
    let doctor = Doctor::ask(&home);
    let [level, _, fix] = doctor.check("landlock");
    assert_eq!(level, "degraded");
    assert!(fix.contains("lsm=landlock"), "{fix}");
    // The other layers are there: sandboxes run, and say what they lack; who requires it is refused.
    assert_eq!(doctor.status, 0);
    assert_eq!(home.run(["run", "--rm", "host", "echo", "works"]), "works");
    home.refused(
        ["run", "--rm", "--landlock=require", "host", "true"],
        125,
        "Landlock",
    );
    home.refused(
        ["run", "--isolation=landlock", "--rm", "host", "true"],
        125,
        "Landlock",
    );
}

#[test]
fn user_namespaces_switched_off() {
    require!(guest "no-userns");
    let home = Home::new();
    let doctor = Doctor::ask(&home);
    assert_ne!(doctor.status, 0, "sandboxes cannot run here");
    let [level, found, fix] = doctor.check("userns-sysctl");
    assert_eq!(level, "missing", "{found}");
    assert!(
        found.contains("kernel.unprivileged_userns_clone = 0"),
        "{found}"
    );
    assert!(
        fix.contains("kernel.unprivileged_userns_clone = 1"),
        "{fix}"
    );
    assert_eq!(doctor.check("user-namespaces")[0], "missing");
    // A sandbox is refused with the remedy; nothing weaker takes its place without being asked for.
    let output = home
        .shedbox(["run", "--rm", "host", "true"])
        .output()
        .expect("run shedbox");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains("hint: "), "{text}");
    assert!(text.contains("unprivileged_userns_clone"), "{text}");
}

#[test]
fn a_kernel_that_is_too_old() {
    require!(guest "bullseye");
    let home = Home::new();
    let doctor = Doctor::ask(&home);
    assert_ne!(doctor.status, 0, "sandboxes cannot run here");
    let [level, found, _] = doctor.check("kernel");
    assert_eq!(level, "missing", "{found}");
    let [level, found, _] = doctor.check("overlay");
    assert_eq!(level, "missing", "{found}");
    let output = home
        .shedbox(["run", "--rm", "host", "true"])
        .output()
        .expect("run shedbox");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains("hint: "), "{text}");
}
