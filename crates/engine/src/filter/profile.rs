//! Profiles of ours: the data in `vendor/seccomp`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use shedbox_spec::capability::Capability;
use shedbox_spec::security::SeccompProfile;

use super::FilterError;

/// By name.
const PROFILES: &[(&str, &str)] = &[
    (
        "strict",
        include_str!("../../../../vendor/seccomp/strict.json"),
    ),
    (
        "default",
        include_str!("../../../../vendor/seccomp/default.json"),
    ),
    ("dev", include_str!("../../../../vendor/seccomp/dev.json")),
    (
        "nested",
        include_str!("../../../../vendor/seccomp/nested.json"),
    ),
    (
        "root-emulation",
        include_str!("../../../../vendor/seccomp/root-emulation.json"),
    ),
];

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// For people who read the file.
    pub(super) description: String,
    /// A profile whose rules come after these.
    #[serde(default)]
    pub(super) extends: Option<String>,
    /// The answer to what no rule is about.
    pub(super) otherwise: String,
    /// For each machine the ABIs that may be used on it. Calls by any other are answered ENOSYS.
    pub(super) architectures: BTreeMap<String, Vec<String>>,
    /// The first one that fits decides.
    pub(super) rules: Vec<Rule>,
}

/// What a call is answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) calls: Vec<String>,
    /// The rule is there only for a sandbox that has one of these capabilities.
    #[serde(default, rename = "with")]
    pub(super) capabilities: Vec<Capability>,
    /// All of them must hold.
    #[serde(default)]
    pub(super) arguments: Vec<Argument>,
    /// `allow`, `succeed` without doing anything, or the name of an error.
    pub(super) action: String,
    /// What Docker's default does instead, where it differs. For people who read the file, and for the test that
    /// docs/seccomp.md has it.
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "see above"))]
    pub(super) docker: Option<Docker>,
    pub(super) reason: String,
}

/// Docker's default profile on the same call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Docker {
    Allows,
    Denies,
}

/// `argument & mask == value`, both as hexadecimal text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Argument {
    pub(super) index: u32,
    pub(super) mask: String,
    pub(super) value: String,
}

/// The name of a profile; `unconfined` has no file.
pub(super) fn name(profile: SeccompProfile) -> &'static str {
    match profile {
        SeccompProfile::Strict => "strict",
        SeccompProfile::Default => "default",
        SeccompProfile::Dev => "dev",
        SeccompProfile::Nested => "nested",
        SeccompProfile::Unconfined => "unconfined",
    }
}

/// Reads a profile of ours.
pub(super) fn load(name: &str) -> Result<Profile, FilterError> {
    let text = PROFILES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
        .ok_or_else(|| FilterError::Profile {
            profile: name.to_owned(),
            complaint: "there is no profile of this name".into(),
        })?;
    parse(name, text)
}

/// Reads a profile from its text.
pub(super) fn parse(name: &str, text: &str) -> Result<Profile, FilterError> {
    let invalid = |complaint: String| FilterError::Profile {
        profile: name.to_owned(),
        complaint,
    };
    let profile: Profile =
        serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    if profile.description.is_empty() {
        return Err(invalid("it has no description".into()));
    }
    match profile.rules.iter().find(|rule| rule.reason.is_empty()) {
        Some(rule) => Err(invalid(format!(
            "a rule for {} has no reason",
            rule.calls.join(", ")
        ))),
        None => Ok(profile),
    }
}

/// The capabilities that some rule of some profile asks for, as bits.
pub(super) fn capabilities_that_matter() -> u64 {
    static SET: OnceLock<u64> = OnceLock::new();
    *SET.get_or_init(|| {
        PROFILES
            .iter()
            // One that cannot be read fails where it is used; for the key every capability counts then.
            .map(|(name, text)| {
                parse(name, text).map_or(u64::MAX, |profile| {
                    profile
                        .rules
                        .iter()
                        .flat_map(|rule| &rule.capabilities)
                        .fold(0, |set, capability| set | capability.bit())
                })
            })
            .fold(0, |all, set| all | set)
    })
}
