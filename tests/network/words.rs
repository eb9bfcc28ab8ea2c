//! The words of the command line that the tests of networks use, each once.

use crate::support::Home;

/// A rule of the allow list.
pub(crate) fn allow(rule: &str) -> String {
    format!("--egress-allow={rule}")
}

/// A rule of the deny list.
pub(crate) fn deny(rule: &str) -> String {
    format!("--egress-deny={rule}")
}

/// Puts another policy in force on a sandbox that runs.
pub(crate) fn switch<S: AsRef<str>>(home: &Home, sandbox: &str, policy: &[S]) {
    let mut words = vec!["egress", "set"];
    words.extend(policy.iter().map(AsRef::as_ref));
    words.push(sandbox);
    home.run(words);
}

/// The audit log of a sandbox: a JSON object a line.
pub(crate) fn audit(home: &Home, sandbox: &str) -> Vec<serde_json::Value> {
    home.run(["egress", "log", sandbox])
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect()
}
