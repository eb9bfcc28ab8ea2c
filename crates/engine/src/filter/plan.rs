//! What a profile comes to for one sandbox: for each call its rules, in order; the first that fits decides.

use std::collections::BTreeMap;

use libseccomp::ScmpArch;
use shedbox_linux::errno::Errno;

use super::profile::{self, Profile, Rule};
use super::{FilterError, has_one_of};

/// What is answered to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The kernel's own answer.
    Allow,
    /// This error; 0 is a success that does nothing.
    Errno(i32),
}

/// `argument & mask == value`. The mask has the bits that the kernel looks at: 32 of an `int`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// Which argument, from 0.
    pub(super) index: u32,
    pub(super) mask: u64,
    pub(super) value: u64,
}

/// One rule for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// All of them must hold.
    pub(super) conditions: Vec<Condition>,
    pub(super) answer: Answer,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Plan {
    /// The answer to every call that is not in `calls`, and where no rule there fits.
    pub(super) otherwise: Answer,
    /// ABIs that may be used.
    pub(super) architectures: Vec<ScmpArch>,
    /// For each call its rules. Only the last one may be without conditions.
    pub(super) calls: BTreeMap<String, Vec<Decision>>,
}

impl Plan {
    /// The plan of one of our profiles for a sandbox with these capabilities, on this machine.
    pub(super) fn of(name: &str, capabilities: u64, single_map: bool) -> Result<Self, FilterError> {
        Self::on(std::env::consts::ARCH, name, capabilities, single_map)
    }

    /// The same on another machine.
    pub(super) fn on(
        machine: &'static str,
        name: &str,
        capabilities: u64,
        single_map: bool,
    ) -> Result<Self, FilterError> {
        let mut chain = vec![(name.to_owned(), profile::load(name)?)];
        while let Some(base) = chain.last().and_then(|(_, last)| last.extends.clone()) {
            let loaded = profile::load(&base)?;
            chain.push((base, loaded));
        }
        let emulation = if single_map {
            Some((
                "root-emulation".to_owned(),
                profile::load("root-emulation")?,
            ))
        } else {
            None
        };
        Self::from_profiles(machine, &chain, emulation.as_ref(), capabilities)
    }

    /// `chain` begins with the profile itself; `before` has rules that come first of all.
    pub(super) fn from_profiles(
        machine: &'static str,
        chain: &[(String, Profile)],
        before: Option<&(String, Profile)>,
        capabilities: u64,
    ) -> Result<Self, FilterError> {
        let Some((name, top)) = chain.first() else {
            return Err(FilterError::Architecture(machine));
        };
        let otherwise = answer(&top.otherwise).ok_or_else(|| FilterError::Profile {
            profile: name.clone(),
            complaint: format!("unknown answer `{}`", top.otherwise),
        })?;
        let architectures = top
            .architectures
            .get(machine)
            .ok_or(FilterError::Architecture(machine))?
            .iter()
            .map(|text| {
                architecture(text).ok_or_else(|| FilterError::Profile {
                    profile: name.clone(),
                    complaint: format!("unknown architecture `{text}`"),
                })
            })
            .collect::<Result<_, _>>()?;
        let mut calls: BTreeMap<String, Vec<Decision>> = BTreeMap::new();
        for (name, profile) in before.into_iter().chain(chain) {
            let invalid = |complaint: String| FilterError::Profile {
                profile: name.clone(),
                complaint,
            };
            for rule in &profile.rules {
                let decision = read(rule).map_err(invalid)?;
                if !rule.capabilities.is_empty() && !has_one_of(capabilities, &rule.capabilities) {
                    continue;
                }
                for call in &rule.calls {
                    let rules = calls.entry(call.clone()).or_default();
                    // After a rule that always fits none is asked.
                    if rules.last().is_none_or(|last| !last.conditions.is_empty()) {
                        rules.push(decision.clone());
                    }
                }
            }
        }
        Ok(Self {
            otherwise,
            architectures,
            calls,
        })
    }

    /// Commands may use clone3, and so may init.
    pub(super) fn allows_clone3(&self) -> bool {
        self.calls
            .get("clone3")
            .and_then(|rules| rules.first())
            .is_some_and(|rule| rule.conditions.is_empty() && rule.answer == Answer::Allow)
    }
}

fn read(rule: &Rule) -> Result<Decision, String> {
    let answer = answer(&rule.action).ok_or_else(|| format!("unknown answer `{}`", rule.action))?;
    let mut conditions = Vec::new();
    for argument in &rule.arguments {
        let number = |text: &str| {
            text.strip_prefix("0x")
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .ok_or_else(|| format!("`{text}` is not a hexadecimal number"))
        };
        let (mask, value) = (number(&argument.mask)?, number(&argument.value)?);
        if argument.index > 5 || value & !mask != 0 {
            return Err(format!(
                "a condition on {} can never hold",
                rule.calls.join(", ")
            ));
        }
        conditions.push(Condition {
            index: argument.index,
            mask,
            value,
        });
    }
    Ok(Decision { conditions, answer })
}

fn answer(name: &str) -> Option<Answer> {
    Some(match name {
        "allow" => Answer::Allow,
        "succeed" => Answer::Errno(0),
        "EPERM" => Answer::Errno(Errno::EPERM as i32),
        "ENOSYS" => Answer::Errno(Errno::ENOSYS as i32),
        "EAFNOSUPPORT" => Answer::Errno(Errno::EAFNOSUPPORT as i32),
        _ => return None,
    })
}

fn architecture(name: &str) -> Option<ScmpArch> {
    Some(match name {
        "x86_64" => ScmpArch::X8664,
        "x86" => ScmpArch::X86,
        "x32" => ScmpArch::X32,
        "aarch64" => ScmpArch::Aarch64,
        "arm" => ScmpArch::Arm,
        _ => return None,
    })
}
