//! Calls whose answer depends on their arguments.
//!
//! libseccomp compares 64 bits unless told otherwise and cannot say "otherwise": written out as conditions that it takes,
//! the complement of a few values in 32 bits makes a filter of four thousand instructions. So these calls are decided
//! before its part, by their rules in order. Every block ends with an answer; other calls pass over all of them.

use libseccomp::{ScmpArch, ScmpSyscall};

use super::bpf::Half;
use super::compile::Mode;
use super::plan::{Decision, Plan};
use super::{bpf, newer};

/// The instructions that come before those of libseccomp.
pub(super) fn decide(plan: &Plan, mode: Mode) -> Vec<u64> {
    let mut all = Vec::new();
    for architecture in &plan.architectures {
        let mut section = vec![bpf::load_number()];
        for (call, rules) in &plan.calls {
            let conditional = rules.iter().any(|rule| !rule.conditions.is_empty());
            if let Some(number) = number(call, *architecture).filter(|_| conditional) {
                let block = block(call, rules, plan, mode);
                // Blocks are short: some thirty rules would have to be written for one call to reach the limit.
                section.push(bpf::if_equal_pass_one(number));
                section.push(bpf::pass(block.len()));
                section.extend(block);
            }
        }
        if section.len() > 1 {
            all.push(bpf::load_architecture());
            all.push(bpf::if_equal_pass_one(bpf::token(*architecture)));
            all.push(bpf::pass(section.len()));
            all.extend(section);
        }
    }
    all
}

/// One comparison: 32 bits of an argument under a mask.
#[derive(Clone, Copy)]
struct Test {
    place: (u32, Half, u32),
    value: u32,
}

fn tests(rule: &Decision) -> Vec<Test> {
    let halves = rule.conditions.iter().flat_map(|condition| {
        [(Half::Low, 0), (Half::High, 32)].map(|(half, shift)| Test {
            place: (condition.index, half, (condition.mask >> shift) as u32),
            value: (condition.value >> shift) as u32,
        })
    });
    halves.filter(|test| test.place.2 != 0).collect()
}

fn block(call: &str, rules: &[Decision], plan: &Plan, mode: Mode) -> Vec<u64> {
    let mut block = Vec::new();
    // What is loaded when a rule did not fit, where that is the same whichever of its tests failed.
    let mut loaded = None;
    let mut ends = false;
    for rule in rules {
        let tests = tests(rule);
        let mut parts: Vec<Vec<u64>> = Vec::new();
        for test in &tests {
            let (index, half, mask) = test.place;
            let mut part = Vec::new();
            if !parts.is_empty() || loaded != Some(test.place) {
                part.push(bpf::load_argument(index, half));
                if mask != u32::MAX {
                    part.push(bpf::and(mask));
                }
            }
            parts.push(part);
        }
        loaded = match tests.as_slice() {
            [only] => Some(only.place),
            _ => None,
        };
        // The comparison at the end of each part passes over the rest of the rule, its answer included.
        let mut rest = 1;
        for (part, test) in parts.iter_mut().zip(&tests).rev() {
            part.push(bpf::unless_equal(test.value, rest));
            rest += part.len() as u8;
        }
        block.extend(parts.into_iter().flatten());
        block.push(bpf::answer(mode.action(call, rule.answer)));
        ends = tests.is_empty();
    }
    if !ends {
        block.push(bpf::answer(mode.action(call, plan.otherwise)));
    }
    block
}

/// The number of a call as the kernel sees it in a call by `architecture`.
fn number(call: &str, architecture: ScmpArch) -> Option<u32> {
    match ScmpSyscall::from_name_by_arch(call, architecture) {
        // libseccomp knows them as parts of socketcall; they have been calls of their own since Linux 4.3.
        Ok(_) if architecture == ScmpArch::X86 && call == "socket" => Some(359),
        Ok(_) if architecture == ScmpArch::X86 && call == "socketpair" => Some(360),
        Ok(number) => u32::try_from(number.as_raw_syscall()).ok(),
        Err(_) => newer::number(call).map(|number| number as u32),
    }
}
