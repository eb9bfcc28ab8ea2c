//! Instructions of system call filters, packed as [`crate::seccomp`] takes them. Source: bpf(4), seccomp(2).

/// Offset of the number of the call in `struct seccomp_data`.
pub const NUMBER: u32 = 0;
/// Offset of the ABI that the call was made by.
pub const ARCHITECTURE: u32 = 4;

/// This machine's own ABI, AUDIT_ARCH_*.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: u32 = 0xc000_003e;
/// This machine's own ABI, AUDIT_ARCH_*.
#[cfg(target_arch = "aarch64")]
pub const NATIVE: u32 = 0xc000_00b7;
/// Calls from this number on are those of x32; no other architecture has them.
pub const X32: u32 = 0x4000_0000;

/// SECCOMP_RET_ALLOW.
pub const ALLOW: u32 = 0x7fff_0000;
/// SECCOMP_RET_ERRNO; the code is in the low half.
pub const ERRNO: u32 = 0x0005_0000;

/// Offset of the low half of an argument, on a little-endian machine.
pub const fn low(argument: u32) -> u32 {
    16 + 8 * argument
}

/// Offset of the high half.
pub const fn high(argument: u32) -> u32 {
    low(argument) + 4
}

/// `struct sock_filter` with its fields in memory order.
pub fn instruction(code: u16, jump_true: u8, jump_false: u8, k: u32) -> u64 {
    u64::from(code) | u64::from(jump_true) << 16 | u64::from(jump_false) << 24 | u64::from(k) << 32
}

/// Loads 32 bits of `struct seccomp_data`.
pub fn load(offset: u32) -> u64 {
    instruction(0x20, 0, 0, offset) // BPF_LD | BPF_W | BPF_ABS
}

/// Keeps the bits of a mask.
pub fn and(mask: u32) -> u64 {
    instruction(0x54, 0, 0, mask) // BPF_ALU | BPF_AND | BPF_K
}

/// Passes over `over` instructions when the value is `k`, over `else_over` when not.
pub fn if_equal(k: u32, over: u8, else_over: u8) -> u64 {
    instruction(0x15, over, else_over, k) // BPF_JMP | BPF_JEQ | BPF_K
}

/// The same for a value of at least `k`.
pub fn if_at_least(k: u32, over: u8, else_over: u8) -> u64 {
    instruction(0x35, over, else_over, k) // BPF_JMP | BPF_JGE | BPF_K
}

/// The end.
pub fn answer(action: u32) -> u64 {
    instruction(0x06, 0, 0, action) // BPF_RET | BPF_K
}

/// Instructions so far. A block that is entered by a jump ends by an answer, so it never comes back; it has at most 255.
#[derive(Debug, Default)]
pub(crate) struct Filter(pub(crate) Vec<u64>);

impl Filter {
    pub(crate) fn push(&mut self, instruction: u64) {
        self.0.push(instruction);
    }

    pub(crate) fn load(&mut self, offset: u32) {
        self.push(load(offset));
    }

    pub(crate) fn when_equal(&mut self, value: u32, block: &[u64]) {
        self.push(if_equal(value, 0, block.len() as u8));
        self.0.extend_from_slice(block);
    }

    pub(crate) fn unless_equal(&mut self, value: u32, block: &[u64]) {
        self.push(if_equal(value, block.len() as u8, 0));
        self.0.extend_from_slice(block);
    }

    pub(crate) fn when_at_least(&mut self, value: u32, block: &[u64]) {
        self.push(if_at_least(value, 0, block.len() as u8));
        self.0.extend_from_slice(block);
    }
}
