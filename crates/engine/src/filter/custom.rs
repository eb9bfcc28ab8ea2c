//! Profiles of the caller's in the JSON of Docker, Podman and the OCI runtime specification.
//!
//! They mean here what they mean there: numbers are compared in 64 bits, several conditions on one argument are
//! alternatives, a rule that says the same as the default is none, names that nobody knows are left out, and calls newer
//! than every one that the profile names are answered ENOSYS, so that C libraries fall back. Fields that are not known are
//! ignored. Sources: runtime-spec config-linux.md, Docker's seccomp documentation.

mod meaning;

use libseccomp::error::SeccompErrno;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpFilterContext, ScmpSyscall};
use serde::Deserialize;
use serde_json::Value;
use shedbox_linux::errno::Errno;

use super::compile::{export, failed, new_context};
use super::{FilterError, bpf, newer};

/// What of the profile is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Custom {
    default_action: Option<String>,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    /// Read one by one, so that a complaint can say which.
    #[serde(default)]
    syscalls: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// When a rule is there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// A rule whose words have been read.
struct Meant {
    /// Which one, for messages.
    place: String,
    names: Vec<String>,
    action: ScmpAction,
    /// One rule for libseccomp each; conditions within one are joined by "and".
    conditions: Vec<Vec<ScmpArgCompare>>,
}

/// Compiles the profile in `text` for a sandbox with these capabilities.
pub(super) fn filter(text: &str, capabilities: u64) -> Result<Vec<u64>, FilterError> {
    let profile: Custom =
        serde_json::from_str(text).map_err(|error| FilterError::Custom(error.to_string()))?;
    let default = meaning::default_action(&profile).map_err(FilterError::Custom)?;
    let architectures = meaning::architectures(&profile).map_err(FilterError::Custom)?;
    let mut rules = Vec::new();
    let mut newest = None;
    for (index, value) in profile.syscalls.iter().flatten().enumerate() {
        let read = meaning::rule(index, value, capabilities).map_err(FilterError::Custom)?;
        // Rules that do not apply count too: their author knew the calls.
        newest = newest.max(read.names().iter().filter_map(|name| native(name)).max());
        rules.extend(read.applying());
    }
    let mut whole: Option<ScmpFilterContext> = None;
    for architecture in architectures {
        let context = context_for(default, &rules, architecture)?;
        match &mut whole {
            None => whole = Some(context),
            Some(whole) => {
                whole
                    .merge(context)
                    .map_err(failed(|| format!("merge {architecture:?}")))?;
            }
        }
    }
    let whole = whole.ok_or_else(|| FilterError::Custom("it names no architecture".into()))?;
    let filter = export(&whole)?;
    Ok(match newest {
        Some(newest) if !matches!(default, ScmpAction::Allow | ScmpAction::Log) => {
            unknown_calls_are_missing(filter, newest)
        }
        _ => filter,
    })
}

fn context_for(
    default: ScmpAction,
    rules: &[Meant],
    architecture: ScmpArch,
) -> Result<ScmpFilterContext, FilterError> {
    let foreign = ScmpAction::Errno(Errno::ENOSYS as i32);
    let mut context = new_context(default, foreign, architecture)?;
    for rule in rules.iter().filter(|rule| rule.action != default) {
        for name in &rule.names {
            let Some(number) = number(name, architecture) else {
                continue;
            };
            for conditions in &rule.conditions {
                match context.add_rule_conditional(rule.action, number, conditions) {
                    Ok(_) => {}
                    // The same again, or less than what an earlier rule says without a condition: that one stays.
                    Err(error) if error.errno() == Some(SeccompErrno::EEXIST) => {}
                    Err(error) => {
                        return Err(FilterError::Custom(format!(
                            "{}: `{name}`: {error}",
                            rule.place
                        )));
                    }
                }
            }
        }
    }
    Ok(context)
}

/// The number of a call on this machine.
fn native(name: &str) -> Option<i32> {
    match ScmpSyscall::from_name(name) {
        Ok(number) => Some(number.as_raw_syscall()).filter(|number| *number >= 0),
        Err(_) => newer::number(name),
    }
}

/// What libseccomp wants for a call on `architecture`; nothing when that does not know it.
fn number(name: &str, architecture: ScmpArch) -> Option<ScmpSyscall> {
    match ScmpSyscall::from_name(name) {
        Ok(number) => Some(number),
        Err(_) if architecture == ScmpArch::native() => {
            newer::number(name).map(ScmpSyscall::from_raw_syscall)
        }
        Err(_) => None,
    }
}

/// Puts before a filter: a native call with a number above `newest` is ENOSYS.
fn unknown_calls_are_missing(filter: Vec<u64>, newest: i32) -> Vec<u64> {
    const X32: u32 = 0x4000_0000;
    let mut all = vec![
        bpf::load_architecture(),
        bpf::unless_equal(bpf::token(ScmpArch::native()), 4),
        bpf::load_number(),
        bpf::if_at_least(X32, 2),
        bpf::unless_above(newest as u32, 1),
        bpf::answer(ScmpAction::Errno(Errno::ENOSYS as i32)),
    ];
    all.extend(filter);
    all
}

#[cfg(test)]
#[path = "custom_tests.rs"]
mod tests;
