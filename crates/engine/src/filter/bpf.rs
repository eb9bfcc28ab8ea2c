//! The instructions of a filter that are written here and not by libseccomp. Source: bpf(4), seccomp(2).

use libseccomp::{ScmpAction, ScmpArch};

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

fn instruction(code: u16, jump_true: u8, jump_false: u8, k: u32) -> u64 {
    u64::from(code) | u64::from(jump_true) << 16 | u64::from(jump_false) << 24 | u64::from(k) << 32
}

fn load(offset: u32) -> u64 {
    instruction(0x20, 0, 0, offset) // BPF_LD | BPF_W | BPF_ABS
}

/// Loads the number of the call.
pub(super) fn load_number() -> u64 {
    load(NUMBER)
}

/// Loads the ABI that the call was made by.
pub(super) fn load_architecture() -> u64 {
    load(ARCHITECTURE)
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
    let offset = match half {
        Half::Low => 0,
        Half::High => 4,
    };
    load(ARGUMENTS + 8 * index + offset)
}

/// Keeps the bits of a mask.
pub(super) fn and(mask: u32) -> u64 {
    instruction(0x54, 0, 0, mask) // BPF_ALU | BPF_AND | BPF_K
}

/// Goes on when the value is `k`, else passes over `over` instructions.
pub(super) fn unless_equal(k: u32, over: u8) -> u64 {
    instruction(0x15, 0, over, k) // BPF_JMP | BPF_JEQ | BPF_K
}

/// Passes over one instruction when the value is `k`.
pub(super) fn if_equal_pass_one(k: u32) -> u64 {
    instruction(0x15, 1, 0, k)
}

/// Passes over `over` instructions when the value is at least `k`.
pub(super) fn if_at_least(k: u32, over: u8) -> u64 {
    instruction(0x35, over, 0, k) // BPF_JMP | BPF_JGE | BPF_K
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
        ScmpAction::Allow => 0x7fff_0000,
        ScmpAction::Notify => 0x7fc0_0000,
        ScmpAction::Errno(errno) => 0x0005_0000 | (errno as u32 & 0xffff),
        _ => 0x8000_0000,
    };
    instruction(0x06, 0, 0, value) // BPF_RET | BPF_K
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
