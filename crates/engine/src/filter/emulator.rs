//! What the kernel would make of a filter. Source: the classic BPF of bpf(4), as far as seccomp(2) allows it.

pub(super) const X86_64: u32 = 0xc000_003e;
pub(super) const I386: u32 = 0x4000_0003;
pub(super) const AARCH64: u32 = 0xc000_00b7;
/// Added to the number of an x32 call.
pub(super) const X32: u32 = 0x4000_0000;

/// The kernel's own answer.
pub(super) const ALLOW: u32 = 0x7fff_0000;
/// Whoever holds the listener is asked.
pub(super) const NOTIFY: u32 = 0x7fc0_0000;

/// The answer of `filter`, and how many instructions it took.
pub(super) fn evaluate(filter: &[u64], arch: u32, call: u32, arguments: [u64; 6]) -> (u32, usize) {
    let mut data = Vec::new();
    data.extend(call.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend(0u64.to_le_bytes());
    for argument in arguments {
        data.extend(argument.to_le_bytes());
    }
    let (mut accumulator, mut at, mut steps) = (0u32, 0usize, 0);
    loop {
        let word = filter[at];
        let (code, k) = (word as u16, (word >> 32) as u32);
        let jump = |taken: bool| {
            usize::from(if taken {
                (word >> 16) as u8
            } else {
                (word >> 24) as u8
            })
        };
        at += 1;
        steps += 1;
        match code {
            0x20 => {
                let offset = k as usize;
                accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            0x06 => return (k, steps),
            other => panic!("instruction {other:#x}"),
        }
    }
}
