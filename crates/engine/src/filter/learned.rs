//! The log mode's outcome: what the default profile would have denied, and a profile that allows it.

use libseccomp::{ScmpArch, ScmpSyscall};
use serde::Serialize;
use serde_json::{Value, json};
use shedbox_linux::errno::Errno;
use shedbox_spec::control::Denial;
use shedbox_spec::security::Security;

use super::compile::Mode;
use super::plan::{Answer, Condition, Decision, Plan};
use super::{bpf, newer};
use crate::capabilities;

/// A call that would have been denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeniedCall {
    /// Its name; `#` and its number when it has none.
    pub call: String,
    /// The ABI that it was made by: `x86_64`, `x86`, `x32`, `aarch64`, `arm`.
    pub abi: String,
    /// How often.
    pub count: u64,
    /// The error that it would have got.
    pub answer: String,
    /// Of the first three arguments the bits that decide, where some do.
    pub arguments: Vec<[u32; 3]>,
}

/// Names what init has counted, the most frequent first.
pub fn named(
    security: &Security,
    denials: &[Denial],
) -> Result<Vec<DeniedCall>, shedbox_spec::Error> {
    let plan = base(security)?;
    let mut calls: Vec<_> = denials
        .iter()
        .map(|denial| {
            let (abi, name) = name(denial);
            let rules = plan.calls.get(&name).filter(|_| abi == native_name());
            let decides = rules.is_some_and(|rules| is_conditional(rules));
            DeniedCall {
                answer: answer(rules, denial),
                arguments: match rules.filter(|_| decides) {
                    Some(rules) => deciding(rules, denial),
                    None => Vec::new(),
                },
                call: name,
                abi: abi.to_owned(),
                count: denial.count,
            }
        })
        .collect();
    calls.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.call.cmp(&b.call)));
    Ok(calls)
}

/// A whole profile in Docker's JSON: the default one for `security`, and what was counted.
pub fn profile(security: &Security, denials: &[Denial]) -> Result<Value, shedbox_spec::Error> {
    let plan = base(security)?;
    let mut allowed: Vec<String> = Vec::new();
    let mut refused: Vec<String> = Vec::new();
    let mut rules: Vec<Value> = Vec::new();
    let seen: Vec<(String, &Denial)> = denials
        .iter()
        .map(|denial| (name(denial).1, denial))
        // A number without a name is a call that this program does not know, and cannot be written down.
        .filter(|(name, _)| !name.starts_with('#'))
        .collect();
    let is_seen = |call: &str| seen.iter().any(|(name, _)| name == call);
    for (call, decisions) in &plan.calls {
        if is_conditional(decisions) {
            let here = seen.iter().filter(|(name, _)| name == call);
            let denials: Vec<&Denial> = here.map(|(_, denial)| *denial).collect();
            match conditional(call, decisions, &denials) {
                Some(some) => rules.extend(some),
                None => allowed.push(call.clone()),
            }
        } else if Mode::default().action(call, decisions[0].answer) == libseccomp::ScmpAction::Allow
            || is_seen(call)
        {
            allowed.push(call.clone());
        } else if decisions[0].answer == Answer::Errno(Errno::EPERM as i32) {
            refused.push(call.clone());
        }
    }
    for (name, _) in &seen {
        if !plan.calls.contains_key(name) {
            allowed.push(name.clone());
        }
    }
    allowed.sort();
    allowed.dedup();
    let mut syscalls = vec![
        json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": Errno::EPERM as i32 }),
    ];
    syscalls.extend(rules);
    let mut others: Vec<&str> = denials
        .iter()
        .map(|denial| name(denial).0)
        .filter(|abi| *abi != native_name())
        .map(docker_name)
        .collect();
    others.sort_unstable();
    others.dedup();
    Ok(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": Errno::ENOSYS as i32,
        "archMap": [{ "architecture": docker_name(native_name()), "subArchitectures": others }],
        "syscalls": syscalls,
    }))
}

fn base(security: &Security) -> Result<Plan, shedbox_spec::Error> {
    let capabilities = capabilities::of(security)?;
    Ok(Plan::of("default", capabilities, false)?)
}

fn is_conditional(rules: &[Decision]) -> bool {
    rules.iter().any(|rule| !rule.conditions.is_empty())
}

/// The ABI and the name of a call.
fn name(denial: &Denial) -> (&'static str, String) {
    const X32: i32 = 0x4000_0000;
    let all = [
        ("x86_64", ScmpArch::X8664),
        ("x86", ScmpArch::X86),
        ("aarch64", ScmpArch::Aarch64),
        ("arm", ScmpArch::Arm),
    ];
    let (abi, architecture) = all
        .into_iter()
        .find(|(_, architecture)| bpf::token(*architecture) == denial.architecture)
        .map_or(("unknown", ScmpArch::Native), |(abi, architecture)| {
            if abi == "x86_64" && denial.call & X32 != 0 {
                ("x32", ScmpArch::X32)
            } else {
                (abi, architecture)
            }
        });
    let known = ScmpSyscall::from_raw_syscall(denial.call)
        .get_name_by_arch(architecture)
        .ok()
        .or_else(|| newer::name(denial.call & !X32).map(str::to_owned));
    (abi, known.unwrap_or_else(|| format!("#{}", denial.call)))
}

fn native_name() -> &'static str {
    std::env::consts::ARCH
}

fn docker_name(abi: &str) -> &'static str {
    match abi {
        "x86" => "SCMP_ARCH_X86",
        "x32" => "SCMP_ARCH_X32",
        "aarch64" => "SCMP_ARCH_AARCH64",
        "arm" => "SCMP_ARCH_ARM",
        _ => "SCMP_ARCH_X86_64",
    }
}

fn fits(rule: &Decision, arguments: [u32; 3]) -> bool {
    rule.conditions.iter().all(|condition| {
        arguments
            .get(condition.index as usize)
            .is_some_and(|argument| {
                (u64::from(*argument) ^ condition.value) as u32 & condition.mask as u32 == 0
            })
    })
}

/// The error that the default profile has for it.
fn answer(rules: Option<&Vec<Decision>>, denial: &Denial) -> String {
    let arguments = denial.arguments.first().copied().unwrap_or_default();
    let rule = rules.and_then(|rules| rules.iter().find(|rule| fits(rule, arguments)));
    match rule.map(|rule| rule.answer) {
        Some(Answer::Errno(errno)) if errno != 0 => format!("{:?}", Errno::from_raw(errno)),
        _ => format!("{:?}", Errno::ENOSYS),
    }
}

/// Rules in Docker's words for a call whose arguments decide; `None` when all of it has to be allowed.
fn conditional(call: &str, rules: &[Decision], denials: &[&Denial]) -> Option<Vec<Value>> {
    if denials.iter().any(|denial| denial.more_arguments) {
        return None;
    }
    let allow = |conditions: &[Condition]| {
        let args: Vec<Value> = conditions
            .iter()
            .map(|condition| {
                json!({
                    "index": condition.index,
                    "value": condition.mask,
                    "valueTwo": condition.value,
                    "op": "SCMP_CMP_MASKED_EQ",
                })
            })
            .collect();
        json!({ "names": [call], "action": "SCMP_ACT_ALLOW", "args": args })
    };
    let mut all = Vec::new();
    let mut refused: Vec<u32> = Vec::new();
    for rule in rules {
        match (rule.answer, rule.conditions.as_slice()) {
            (Answer::Allow, []) => {
                let index = rules.iter().find_map(|rule| rule.conditions.first());
                let index = index.map_or(0, |condition| condition.index);
                let rest = everything_but(index, &refused);
                all.extend(rest.iter().map(|condition| allow(&[*condition])));
            }
            (Answer::Allow, conditions) => all.push(allow(conditions)),
            // What is refused by value comes before everything else is allowed.
            (Answer::Errno(_), [only]) => refused.push(only.value as u32),
            (Answer::Errno(_), _) => {}
        }
    }
    // The bits that decide, of each argument that does.
    let mut masks: Vec<(u32, u32)> = Vec::new();
    for condition in rules.iter().flat_map(|rule| &rule.conditions) {
        match masks
            .iter_mut()
            .find(|(index, _)| *index == condition.index)
        {
            Some((_, mask)) => *mask |= condition.mask as u32,
            None => masks.push((condition.index, condition.mask as u32)),
        }
    }
    for arguments in denials.iter().flat_map(|denial| &denial.arguments) {
        let conditions: Vec<Condition> = masks
            .iter()
            .filter_map(|(index, mask)| {
                let argument = arguments.get(*index as usize)?;
                Some(Condition {
                    index: *index,
                    mask: u64::from(*mask),
                    value: u64::from(argument & mask),
                })
            })
            .collect();
        let rule = allow(&conditions);
        if !all.contains(&rule) {
            all.push(rule);
        }
    }
    Some(all)
}

/// The bits that decide, of each argument that does.
fn masks(rules: &[Decision]) -> Vec<(u32, u32)> {
    let mut masks: Vec<(u32, u32)> = Vec::new();
    for condition in rules.iter().flat_map(|rule| &rule.conditions) {
        match masks
            .iter_mut()
            .find(|(index, _)| *index == condition.index)
        {
            Some((_, mask)) => *mask |= condition.mask as u32,
            None => masks.push((condition.index, condition.mask as u32)),
        }
    }
    masks
}

/// What a denied call was made with, everything else as 0.
fn deciding(rules: &[Decision], denial: &Denial) -> Vec<[u32; 3]> {
    let mut all = Vec::new();
    for arguments in &denial.arguments {
        let mut kept = [0; 3];
        for (index, mask) in masks(rules) {
            if let (Some(place), Some(argument)) =
                (kept.get_mut(index as usize), arguments.get(index as usize))
            {
                *place = argument & mask;
            }
        }
        if !all.contains(&kept) {
            all.push(kept);
        }
    }
    all
}

/// Every value of an argument but `values`, as conditions of which one holds. libseccomp has no "not" for 32 bits: a bit
/// on which all of `values` agree and this one does not, or a value that agrees on all of these.
fn everything_but(index: u32, values: &[u32]) -> Vec<Condition> {
    let Some(first) = values.first() else {
        return vec![Condition {
            index,
            mask: 0,
            value: 0,
        }];
    };
    let differing = values.iter().fold(0, |bits, value| bits | (value ^ first));
    let condition = |mask: u32, value: u32| Condition {
        index,
        mask: u64::from(mask),
        value: u64::from(value),
    };
    let mut all: Vec<Condition> = (0..32)
        .map(|bit| 1 << bit)
        .filter(|bit| differing & bit == 0)
        .map(|bit| condition(bit, !first & bit))
        .collect();
    // Subsets of the differing bits; refused values are few and near each other.
    let mut subset = differing;
    loop {
        let value = (first & !differing) | subset;
        if !values.contains(&value) {
            all.push(condition(u32::MAX, value));
        }
        if subset == 0 {
            return all;
        }
        subset = (subset - 1) & differing;
    }
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;
