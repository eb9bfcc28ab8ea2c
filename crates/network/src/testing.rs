//! What the tests of several modules have in common.

use std::process::Command;

use shedbox_spec::network::egress::{Egress, EgressRule, Verdict};

const INSIDE: &str = "SHEDBOX_TEST_INSIDE";

/// Runs `body` as root of user and network namespaces of its own, in this program started once more. `test` is the full
/// name of the test.
pub(crate) fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{errors}"
    );
}

/// A policy of these rules.
pub(crate) fn policy(default: Verdict, allow: &[&str], deny: &[&str]) -> Egress {
    let parse = |list: &[&str]| {
        list.iter()
            .map(|rule| EgressRule::parse(rule).unwrap())
            .collect()
    };
    Egress {
        default,
        allow: parse(allow),
        deny: parse(deny),
    }
}
