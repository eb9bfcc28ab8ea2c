#![cfg(target_arch = "x86_64")]

use super::*;
use crate::filter::emulator::{ALLOW, I386, X86_64, evaluate};

fn denial(architecture: u32, call: i32, arguments: &[[u32; 3]]) -> Denial {
    Denial {
        architecture,
        call,
        count: arguments.len() as u64,
        arguments: arguments.to_vec(),
        more_arguments: false,
    }
}

fn seen() -> Vec<Denial> {
    vec![
        denial(X86_64, 250, &[[0, 0, 0], [1, 0, 0]]), // keyctl
        denial(X86_64, 41, &[[40, 1, 0]]),            // socket(AF_VSOCK)
        denial(X86_64, 272, &[[0x1000_0000, 0, 0]]),  // unshare(CLONE_NEWUSER)
        denial(X86_64, 425, &[[8, 0, 0]]),            // io_uring_setup
        denial(X86_64, 457, &[[0, 0, 0]]),            // statmount
        denial(X86_64, 999, &[[0, 0, 0]]),
        denial(I386, 20, &[[0, 0, 0]]), // getpid
    ]
}

#[test]
fn calls_have_names_and_answers() {
    let calls = named(&Security::default(), &seen()).unwrap();
    let words: Vec<_> = calls
        .iter()
        .map(|call| (call.call.as_str(), call.abi.as_str(), call.answer.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            ("keyctl", "x86_64", "EPERM"),
            ("#999", "x86_64", "ENOSYS"),
            ("getpid", "x86", "ENOSYS"),
            ("io_uring_setup", "x86_64", "ENOSYS"),
            ("socket", "x86_64", "EAFNOSUPPORT"),
            ("statmount", "x86_64", "ENOSYS"),
            ("unshare", "x86_64", "EPERM"),
        ]
    );
    // The type of a socket does not decide, its family and protocol do.
    assert_eq!(calls[4].arguments, [[40, 0, 0]]);
}

/// The profile that is written allows what was seen and is the default otherwise.
#[test]
fn the_profile_is_the_default_and_what_was_seen() {
    let security = Security::default();
    let text = profile(&security, &seen()).unwrap().to_string();
    let capabilities = capabilities::of(&security).unwrap();
    let learned = crate::filter::custom::filter(&text, capabilities).unwrap();
    let answer = |arch, call, arguments: [u64; 6]| evaluate(&learned, arch, call, arguments).0;
    for denial in seen().iter().filter(|denial| denial.call != 999) {
        for [a, b, c] in &denial.arguments {
            let arguments = [u64::from(*a), u64::from(*b), u64::from(*c), 0, 0, 0];
            let found = answer(denial.architecture, denial.call as u32, arguments);
            assert_eq!(found, ALLOW, "{denial:?}");
        }
    }
    // Every call of the default profile that its arguments do not decide, and values of those that they do.
    let plan = base(&security).unwrap();
    let default = crate::filter::compile::compile(&plan, Mode::default()).unwrap();
    let learned_calls = [250, 41, 272, 425, 457];
    for call in 0..470 {
        if !learned_calls.contains(&call) && ![16, 56, 53, 135, 302].contains(&call) {
            let expected = evaluate(&default, X86_64, call, [0; 6]).0;
            assert_eq!(answer(X86_64, call, [0; 6]), expected, "call {call}");
        }
    }
    let is_allowed = |call, index: usize, value: u64| {
        let mut arguments = [0; 6];
        arguments[index] = value;
        let found = answer(X86_64, call, arguments) == ALLOW;
        let before = evaluate(&default, X86_64, call, arguments).0 == ALLOW;
        (found, before)
    };
    for request in (0x5400..0x5430).chain([0, 1 << 31, 0x1_0000_5412, 0x1_0000_5413]) {
        let (found, before) = is_allowed(16, 1, request);
        assert_eq!(found, before, "ioctl {request:#x}");
    }
    for family in 0..64 {
        let (found, before) = is_allowed(41, 0, family);
        assert_eq!(found, before || family == 40, "socket {family}");
        let (found, before) = is_allowed(53, 0, family);
        assert_eq!(found, before, "socketpair {family}");
    }
    for flags in [0x11, 0x1000_0011, 0x0002_0000, 0x4000_0000] {
        let (found, before) = is_allowed(56, 0, flags);
        assert_eq!(found, before, "clone {flags:#x}");
    }
    // prlimit64: what the pointer is decides in all of its 64 bits.
    for limit in [0, 8, 1 << 40, u64::MAX] {
        let arguments = [7, 0, limit, 0, 0, 0];
        let before = evaluate(&default, X86_64, 302, arguments).0 == ALLOW;
        assert_eq!(
            answer(X86_64, 302, arguments) == ALLOW,
            before,
            "{limit:#x}"
        );
    }
    assert_eq!(is_allowed(272, 0, 0x1000_0000), (true, false));
    assert_eq!(is_allowed(272, 0, 0x4000_0000), (false, false));
}

#[test]
fn too_many_arguments_open_the_call() {
    let mut denial = denial(X86_64, 41, &[[40, 1, 0]]);
    denial.more_arguments = true;
    let text = profile(&Security::default(), &[denial])
        .unwrap()
        .to_string();
    let learned = crate::filter::custom::filter(&text, 0).unwrap();
    assert_eq!(evaluate(&learned, X86_64, 41, [38, 0, 0, 0, 0, 0]).0, ALLOW);
}
