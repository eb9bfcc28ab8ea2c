//! The words of a profile in Docker's JSON. Every complaint says which rule it is about.

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp};
use serde_json::Value;
use shedbox_linux::errno::Errno;
use shedbox_spec::capability::Capability;

use super::{Argument, Custom, Filter, Meant, Rule};

/// A rule, and whether it is there for this sandbox on this host.
pub(super) struct Read {
    meant: Meant,
    applies: bool,
}

impl Read {
    pub(super) fn names(&self) -> &[String] {
        &self.meant.names
    }

    pub(super) fn applying(self) -> Option<Meant> {
        self.applies.then_some(self.meant)
    }
}

/// Reads one rule. `index` counts from 0.
pub(super) fn rule(index: usize, value: &Value, capabilities: u64) -> Result<Read, String> {
    let place = format!("rule {}", index + 1);
    let rule: Rule =
        serde_json::from_value(value.clone()).map_err(|error| format!("{place}: {error}"))?;
    let names = match (rule.name, rule.names) {
        (Some(name), None) if !name.is_empty() => vec![name],
        (Some(name), Some(names)) if name.is_empty() => names,
        (None, Some(names)) => names,
        (Some(_), Some(_)) => return Err(format!("{place} has `name` and `names`")),
        _ => return Err(format!("{place} has neither `names` nor `name`")),
    };
    let place = match names.first() {
        Some(first) => format!(
            "{place} ({first}{})",
            if names.len() > 1 { ", …" } else { "" }
        ),
        None => place,
    };
    let at = |complaint: String| format!("{place}: {complaint}");
    let action = action(&rule.action, rule.errno_ret).map_err(at)?;
    let conditions = conditions(rule.args.as_deref().unwrap_or_default()).map_err(at)?;
    let (includes, excludes) = (
        rule.includes.unwrap_or_default(),
        rule.excludes.unwrap_or_default(),
    );
    let applies = includes.holds(capabilities, false).map_err(at)?
        && !excludes.holds(capabilities, true).map_err(at)?;
    Ok(Read {
        meant: Meant {
            place,
            names,
            action,
            conditions,
        },
        applies,
    })
}

/// The answer to every call that no rule is about.
pub(super) fn default_action(profile: &Custom) -> Result<ScmpAction, String> {
    let name = profile
        .default_action
        .as_deref()
        .ok_or("it has no `defaultAction`")?;
    action(name, profile.default_errno_ret)
        .map_err(|complaint| format!("defaultAction: {complaint}"))
}

fn action(name: &str, value: Option<u32>) -> Result<ScmpAction, String> {
    // The kernel keeps 16 bits of it, and an error number is at most 4095.
    let number = |most: u32| match value {
        None => Ok(Errno::EPERM as i32),
        Some(number) if number <= most => Ok(number as i32),
        Some(number) => Err(format!("errnoRet {number} is more than {most}")),
    };
    Ok(match name {
        "SCMP_ACT_ALLOW" => ScmpAction::Allow,
        "SCMP_ACT_ERRNO" => ScmpAction::Errno(number(4095)?),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => ScmpAction::KillThread,
        "SCMP_ACT_KILL_PROCESS" => ScmpAction::KillProcess,
        "SCMP_ACT_TRAP" => ScmpAction::Trap,
        "SCMP_ACT_LOG" => ScmpAction::Log,
        "SCMP_ACT_TRACE" => ScmpAction::Trace(number(u32::from(u16::MAX))? as u16),
        "SCMP_ACT_NOTIFY" => {
            return Err(
                "SCMP_ACT_NOTIFY needs a program that answers, and shedbox runs none".into(),
            );
        }
        _ => return Err(format!("unknown action `{name}`")),
    })
}

/// One list, or one for each condition when an argument is asked about twice.
fn conditions(arguments: &[Argument]) -> Result<Vec<Vec<ScmpArgCompare>>, String> {
    let mut twice = false;
    let mut seen = [false; 6];
    let mut list = Vec::new();
    for argument in arguments {
        let place = seen
            .get_mut(argument.index as usize)
            .ok_or_else(|| format!("a call has no argument {}", argument.index))?;
        twice |= *place;
        *place = true;
        let (op, value) = match argument.op.as_str() {
            "SCMP_CMP_NE" => (ScmpCompareOp::NotEqual, argument.value),
            "SCMP_CMP_LT" => (ScmpCompareOp::Less, argument.value),
            "SCMP_CMP_LE" => (ScmpCompareOp::LessOrEqual, argument.value),
            "SCMP_CMP_EQ" => (ScmpCompareOp::Equal, argument.value),
            "SCMP_CMP_GE" => (ScmpCompareOp::GreaterEqual, argument.value),
            "SCMP_CMP_GT" => (ScmpCompareOp::Greater, argument.value),
            "SCMP_CMP_MASKED_EQ" => (
                ScmpCompareOp::MaskedEqual(argument.value),
                argument.value_two,
            ),
            other => return Err(format!("unknown comparison `{other}`")),
        };
        list.push(ScmpArgCompare::new(argument.index, op, value));
    }
    Ok(if twice {
        list.into_iter().map(|one| vec![one]).collect()
    } else {
        vec![list]
    })
}

impl Filter {
    /// Whether it holds for this sandbox. Of `includes` every part must, of `excludes` one is enough.
    fn holds(&self, capabilities: u64, any: bool) -> Result<bool, String> {
        let mut parts = Vec::new();
        for name in self.caps.iter().flatten() {
            // A capability that is newer than this program is one that the sandbox does not have.
            parts.push(Capability::parse(name).is_ok_and(|one| capabilities & one.bit() != 0));
        }
        let arches = self.arches.as_deref().unwrap_or_default();
        if !arches.is_empty() {
            parts.push(arches.iter().any(|name| is_this_machine(name)));
        }
        if let Some(version) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) {
            let wanted =
                version_of(version).ok_or_else(|| format!("`{version}` is no kernel version"))?;
            parts.push(running_kernel() >= wanted);
        }
        Ok(if any {
            parts.contains(&true)
        } else {
            !parts.contains(&false)
        })
    }
}

/// Docker uses Go's names for machines.
fn is_this_machine(name: &str) -> bool {
    match std::env::consts::ARCH {
        "x86_64" => name == "amd64",
        "aarch64" => name == "arm64",
        other => name == other,
    }
}

fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    // `6.18.0-rc1`: what follows the number does not matter.
    let minor = parts.next().map_or(Some(0), |part| {
        let digits = part.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })?;
    Some((major, minor))
}

fn running_kernel() -> (u32, u32) {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .ok()
        .and_then(|text| version_of(&text))
        // Unreadable: assume the oldest that shedbox runs on, so that no rule for newer ones is taken.
        .unwrap_or((5, 11))
}

/// The ABIs of the profile on this machine; the native one when it names none.
pub(super) fn architectures(profile: &Custom) -> Result<Vec<ScmpArch>, String> {
    let listed = profile.architectures.as_deref().unwrap_or_default();
    let mapped = profile.arch_map.as_deref().unwrap_or_default();
    if !listed.is_empty() && !mapped.is_empty() {
        return Err("it has `architectures` and `archMap`".into());
    }
    let mut all = vec![ScmpArch::native()];
    let mut add = |name: &str| {
        let architecture = architecture(name)?;
        if !all.contains(&architecture) {
            all.push(architecture);
        }
        Ok::<(), String>(())
    };
    for name in listed {
        add(name)?;
    }
    for entry in mapped {
        if architecture(&entry.architecture)? == ScmpArch::native() {
            for name in entry.sub_architectures.iter().flatten() {
                add(name)?;
            }
        }
    }
    Ok(all)
}

fn architecture(name: &str) -> Result<ScmpArch, String> {
    name.parse()
        .map_err(|_| format!("unknown architecture `{name}`"))
}
