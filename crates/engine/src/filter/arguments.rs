//! Calls whose answer depends on their arguments.
//!
//! libseccomp compares 64 bits unless told otherwise and cannot say "otherwise": written out as conditions that it takes,
//! the complement of a few values in 32 bits makes a filter of four thousand instructions. So these calls are decided
//! before its part, by their rules in order. Every block ends with an answer; other calls pass over all of them.

use libseccomp::{ScmpArch, ScmpSyscall};

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

fn block(call: &str, rules: &[Decision], plan: &Plan, mode: Mode) -> Vec<u64> {
    let mut block = Vec::new();
    // What is loaded when a rule did not fit, where that is the same whichever of its conditions failed.
    let mut loaded = None;
    let mut ends = false;
    for rule in rules {
        let mut tests: Vec<Vec<u64>> = Vec::new();
        for condition in &rule.conditions {
            let here = Some((condition.index, condition.mask));
            let mut test = Vec::new();
            if !tests.is_empty() || loaded != here {
                test.push(bpf::load_argument(condition.index));
                if condition.mask != u32::MAX {
                    test.push(bpf::and(condition.mask));
                }
            }
            test.push(u64::from(condition.value));
            tests.push(test);
        }
        loaded = match rule.conditions.as_slice() {
            [only] => Some((only.index, only.mask)),
            _ => None,
        };
        // The comparison at the end of each test passes over the rest of the rule.
        let mut rest = 1;
        let mut written = Vec::new();
        for test in tests.into_iter().rev() {
            let length = test.len();
            let mut test = test;
            if let Some(value) = test.pop() {
                test.push(bpf::unless_equal(value as u32, rest));
            }
            rest += length as u8;
            written.push(test);
        }
        block.extend(written.into_iter().rev().flatten());
        block.push(bpf::answer(mode.action(call, rule.answer)));
        ends = rule.conditions.is_empty();
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
