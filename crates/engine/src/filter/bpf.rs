//! The instructions of a filter that are written here and not by libseccomp. Source: bpf(4), seccomp(2).

use libseccomp::{ScmpAction, ScmpArch};
pub(super) use shedbox_linux::bpf::and;
use shedbox_linux::bpf::{self, instruction, load};

/// Loads the number of the call.
pub(super) fn load_number() -> u64 {
    load(bpf::NUMBER)
}

/// Loads the ABI that the call was made by.
pub(super) fn load_architecture() -> u64 {
    load(bpf::ARCHITECTURE)
}

/// Which 32 bits of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// What the kernel looks at in an `int`.
    Low,
    High,
}

/// Loads half of an argument. The machines of the profiles are little-endian.
pub(super) fn load_argument(index: u32, half: Half) -> u64 {
    load(match half {
        Half::Low => bpf::low(index),
        Half::High => bpf::high(index),
    })
}

/// Goes on when the value is `k`, else passes over `over` instructions.
pub(super) fn unless_equal(k: u32, over: u8) -> u64 {
    bpf::if_equal(k, 0, over)
}

/// Passes over one instruction when the value is `k`.
pub(super) fn if_equal_pass_one(k: u32) -> u64 {
    bpf::if_equal(k, 1, 0)
}

/// Passes over `over` instructions when the value is at least `k`.
pub(super) fn if_at_least(k: u32, over: u8) -> u64 {
    bpf::if_at_least(k, over, 0)
}

/// Goes on when the value is above `k`, else passes over `over` instructions.
pub(super) fn unless_above(k: u32, over: u8) -> u64 {
    instruction(0x25, 0, over, k) // BPF_JMP | BPF_JGT | BPF_K
}

/// Passes over any number of instructions.
pub(super) fn pass(over: usize) -> u64 {
    instruction(0x05, 0, 0, over as u32) // BPF_JMP | BPF_JA
}

/// The end. Only the actions that plans have; anything else would be a slip, and the safest answer to one is to end the
/// process.
pub(super) fn answer(action: ScmpAction) -> u64 {
    let value = match action {
        ScmpAction::Allow => bpf::ALLOW,
        ScmpAction::Notify => 0x7fc0_0000,
        ScmpAction::Errno(errno) => bpf::ERRNO | (errno as u32 & 0xffff),
        _ => 0x8000_0000,
    };
    bpf::answer(value)
}

/// The kernel's name of an ABI, AUDIT_ARCH_*.
pub(super) fn token(architecture: ScmpArch) -> u32 {
    match architecture {
        ScmpArch::X86 => 0x4000_0003,
        ScmpArch::Arm => 0x4000_0028,
        ScmpArch::Aarch64 => 0xc000_00b7,
        // x32 calls are those of x86_64 with a bit set in their numbers.
        _ => 0xc000_003e,
    }
}
