//! seccomp filters: from the profiles in `vendor/seccomp` to the instructions that init installs.
//!
//! A profile is data: calls, conditions on their arguments, the answer, and why. Arguments are compared under a mask,
//! because the kernel looks at 32 bits of an `int` and a filter that compares 64 can be passed by with high bits set.
//! Each filter is compiled once per process: a few milliseconds with all the architectures of a machine.

use std::io::Read;
use std::sync::OnceLock;

use libseccomp::error::SeccompError;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use serde::Deserialize;
use shedbox_linux::errno::Errno;
use shedbox_linux::seccomp::MAX_INSTRUCTIONS;
use shedbox_spec::{Error, Kind};

/// What no process of a sandbox may call.
const DEFAULT: &str = include_str!("../../../vendor/seccomp/default.json");
/// What is answered in place of the kernel where root is the only id.
const ROOT_EMULATION: &str = include_str!("../../../vendor/seccomp/root-emulation.json");

/// Size of `struct sock_filter` in bytes.
const INSTRUCTION: usize = 8;

/// A filter that cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FilterError {
    /// The profile is not a profile.
    #[error("seccomp profile `{profile}` is not valid: {complaint}")]
    Profile {
        /// Which.
        profile: &'static str,
        /// What is wrong with it.
        complaint: String,
    },
    /// libseccomp refused.
    #[error("cannot compile the seccomp filter: {action}: {complaint}")]
    Compile {
        /// What was being done.
        action: String,
        /// What libseccomp said (its error type cannot be kept in a cache).
        complaint: String,
    },
    /// The kernel would not take a filter of this length.
    #[error("the seccomp filter has {0} instructions, the kernel takes at most {MAX_INSTRUCTIONS}")]
    TooLong(usize),
    /// There is no profile for this machine.
    #[error("there is no seccomp profile for {0}")]
    Architecture(&'static str),
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        let kind = match error {
            FilterError::Architecture(_) => Kind::Unsupported,
            _ => Kind::Internal,
        };
        Self::new(kind, error.to_string()).with_hint(
            "the profiles are part of the program: install an unmodified build for this machine",
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[expect(dead_code, reason = "for people who read the file")]
    description: String,
    default: DefaultAction,
    architectures: std::collections::BTreeMap<String, Vec<String>>,
    rules: Vec<Rule>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum DefaultAction {
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    calls: Vec<String>,
    #[serde(default)]
    arguments: Vec<Argument>,
    /// Name of the error, or `0` for a success that does nothing.
    errno: String,
    reason: String,
}

/// `argument & mask == value`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Argument {
    index: u32,
    mask: String,
    value: String,
}

/// The filter of every sandbox, as `struct sock_filter` packed in u64. With `single_map` the calls that need more ids
/// than root are answered in place of the kernel.
pub fn default_filter(single_map: bool) -> Result<Vec<u64>, FilterError> {
    static PLAIN: OnceLock<Result<Vec<u64>, FilterError>> = OnceLock::new();
    static EMULATING: OnceLock<Result<Vec<u64>, FilterError>> = OnceLock::new();
    if single_map {
        EMULATING
            .get_or_init(|| compile(&[("default", DEFAULT), ("root-emulation", ROOT_EMULATION)]))
            .clone()
    } else {
        PLAIN
            .get_or_init(|| compile(&[("default", DEFAULT)]))
            .clone()
    }
}

fn compile(profiles: &[(&'static str, &'static str)]) -> Result<Vec<u64>, FilterError> {
    let mut context =
        ScmpFilterContext::new(ScmpAction::Allow).map_err(failed(|| "new filter".into()))?;
    for (name, text) in profiles {
        let invalid = |complaint: String| FilterError::Profile {
            profile: name,
            complaint,
        };
        let profile: Profile =
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if profile.default != DefaultAction::Allow {
            return Err(invalid("its default is not `allow`".into()));
        }
        let architectures = profile
            .architectures
            .get(std::env::consts::ARCH)
            .ok_or(FilterError::Architecture(std::env::consts::ARCH))?;
        for architecture in architectures {
            let architecture = architecture_of(architecture)
                .ok_or_else(|| invalid(format!("unknown architecture `{architecture}`")))?;
            // The native one is there already; for that and for a second profile this does nothing.
            context
                .add_arch(architecture)
                .map_err(failed(|| format!("architecture {architecture:?}")))?;
        }
        for rule in &profile.rules {
            add(&mut context, rule).map_err(|error| match error {
                RuleError::Invalid(complaint) => invalid(complaint),
                RuleError::Filter(error) => error,
            })?;
        }
    }
    pack(&export(&context)?)
}

enum RuleError {
    Invalid(String),
    Filter(FilterError),
}

fn add(context: &mut ScmpFilterContext, rule: &Rule) -> Result<(), RuleError> {
    if rule.reason.is_empty() {
        return Err(RuleError::Invalid(format!(
            "a rule for {} has no reason",
            rule.calls.join(", ")
        )));
    }
    let errno = errno_of(&rule.errno)
        .ok_or_else(|| RuleError::Invalid(format!("unknown errno `{}`", rule.errno)))?;
    let conditions = rule
        .arguments
        .iter()
        .map(|argument| {
            let number = |text: &str| {
                text.strip_prefix("0x")
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .ok_or_else(|| {
                        RuleError::Invalid(format!("`{text}` is not a hexadecimal number"))
                    })
            };
            let mask = ScmpCompareOp::MaskedEqual(number(&argument.mask)?);
            Ok(ScmpArgCompare::new(
                argument.index,
                mask,
                number(&argument.value)?,
            ))
        })
        .collect::<Result<Vec<_>, RuleError>>()?;
    for call in &rule.calls {
        let number = ScmpSyscall::from_name(call)
            .map_err(|_| RuleError::Invalid(format!("unknown call `{call}`")))?;
        // Not the exact form: a call that one of the architectures does not have is left out there.
        context
            .add_rule_conditional(ScmpAction::Errno(errno), number, &conditions)
            .map_err(failed(|| format!("rule for {call}")))
            .map_err(RuleError::Filter)?;
    }
    Ok(())
}

/// The filter as the kernel reads it. libseccomp writes it to a descriptor only; a pipe holds 64 KiB at most, so it is
/// read at the same time.
fn export(context: &ScmpFilterContext) -> Result<Vec<u8>, FilterError> {
    let io = |error: std::io::Error| FilterError::Compile {
        action: "export through a pipe".into(),
        complaint: error.to_string(),
    };
    let (mut read, write) = std::io::pipe().map_err(io)?;
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut bytes = Vec::new();
            read.read_to_end(&mut bytes).map(|_| bytes)
        });
        let exported = context.export_bpf(&write);
        drop(write);
        let bytes = reader
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the reader ended early")))
            .map_err(io)?;
        exported.map_err(failed(|| "export".into()))?;
        Ok(bytes)
    })
}

fn pack(bytes: &[u8]) -> Result<Vec<u64>, FilterError> {
    let (instructions, rest) = bytes.as_chunks::<INSTRUCTION>();
    if instructions.is_empty() || !rest.is_empty() {
        return Err(FilterError::Compile {
            action: "export".into(),
            complaint: format!("{} bytes are no list of instructions", bytes.len()),
        });
    }
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(FilterError::TooLong(instructions.len()));
    }
    Ok(instructions
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
        .collect())
}

fn failed(action: impl FnOnce() -> String) -> impl FnOnce(SeccompError) -> FilterError {
    move |error| FilterError::Compile {
        action: action(),
        complaint: error.to_string(),
    }
}

fn architecture_of(name: &str) -> Option<ScmpArch> {
    Some(match name {
        "x86_64" => ScmpArch::X8664,
        "x86" => ScmpArch::X86,
        "x32" => ScmpArch::X32,
        "aarch64" => ScmpArch::Aarch64,
        "arm" => ScmpArch::Arm,
        _ => return None,
    })
}

fn errno_of(name: &str) -> Option<i32> {
    Some(match name {
        "0" => 0,
        "EPERM" => Errno::EPERM as i32,
        "ENOSYS" => Errno::ENOSYS as i32,
        "EAFNOSUPPORT" => Errno::EAFNOSUPPORT as i32,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
