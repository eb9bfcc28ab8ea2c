use proptest::prelude::*;

use super::*;
use crate::filter::emulator::{ALLOW, I386, X32, X86_64, evaluate};
use shedbox_spec::capability::Capability;

/// In Docker's shape, of our own writing.
const PROFILE: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO",
  "defaultErrnoRet": 1,
  "archMap": [
    { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
    { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] }
  ],
  "comment": "ignored",
  "syscalls": [
    { "names": ["read", "write", "execve", "exit_group", "futex_waitv"], "action": "SCMP_ACT_ALLOW" },
    { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
    { "names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
    { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
    { "names": ["getpid"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "99.1" } },
    { "names": ["getppid"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["s390x"] } },
    { "names": ["getuid"], "action": "SCMP_ACT_ALLOW", "excludes": { "arches": ["s390x"] } },
    { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
    { "names": ["no_such_call"], "action": "SCMP_ACT_ALLOW" },
    { "name": "personality", "action": "SCMP_ACT_ALLOW",
      "args": [{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }] },
    { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
      "args": [{ "index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
    { "names": ["socket"], "action": "SCMP_ACT_ALLOW",
      "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }, { "index": 0, "value": 2, "op": "SCMP_CMP_EQ" }] }
  ]
}"#;

fn answer(filter: &[u64], arch: u32, call: u32, first: u64) -> u32 {
    evaluate(filter, arch, call, [first, 0, 0, 0, 0, 0]).0
}

#[test]
#[cfg(target_arch = "x86_64")]
fn words_of_docker() {
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;
    const EACCES: u32 = 0x0005_000d;
    let plain = filter(PROFILE, 0).unwrap();
    let admin = filter(PROFILE, Capability::SysAdmin.bit()).unwrap();
    for (what, call, first, expected) in [
        ("read", 0, 0, ALLOW),
        ("open", 2, 0, EPERM),
        ("mount", 165, 0, EACCES),
        ("ptrace", 101, 0, ALLOW),
        ("getpid", 39, 0, EPERM),
        ("getppid", 110, 0, EPERM),
        ("getuid", 102, 0, ALLOW),
        ("clone3", 435, 0, ENOSYS),
        ("personality 8", 135, 8, ALLOW),
        ("personality 0", 135, 0, EPERM),
        ("clone", 56, 0x11, ALLOW),
        ("clone NEWUSER", 56, 0x1000_0011, EPERM),
        // Several conditions on one argument are alternatives.
        ("socket 1", 41, 1, ALLOW),
        ("socket 2", 41, 2, ALLOW),
        ("socket 3", 41, 3, EPERM),
        // 64 bits are compared, as in Docker.
        ("socket, high bits", 41, 1 << 32 | 1, EPERM),
        // The newest call that is named is futex_waitv, 449.
        ("futex_waitv", 449, 0, ALLOW),
        ("landlock_add_rule", 445, 0, EPERM),
        ("set_mempolicy_home_node", 450, 0, ENOSYS),
        ("of the future", 700, 0, ENOSYS),
    ] {
        assert_eq!(answer(&plain, X86_64, call, first), expected, "{what}");
    }
    assert_eq!(answer(&admin, X86_64, 165, 0), ALLOW);
    assert_eq!(answer(&plain, I386, 3, 0), ALLOW, "i386 read");
    assert_eq!(answer(&plain, I386, 5, 0), EPERM, "i386 open");
    assert_eq!(answer(&plain, X86_64, X32, 0), ALLOW, "x32 read");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn an_abi_that_is_not_named_is_not_there() {
    let filter = filter(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, 0).unwrap();
    assert_eq!(answer(&filter, X86_64, 0, 0), ALLOW);
    assert_eq!(answer(&filter, I386, 3, 0), 0x0005_0026);
    assert_eq!(answer(&filter, X86_64, X32, 0), 0x0005_0026);
}

#[test]
fn complaints_say_where() {
    let rule = |rule: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["read"],"action":"SCMP_ACT_LOG"}},{rule}]}}"#
        )
    };
    for (text, part) in [
        (String::new(), "EOF"),
        ("[]".into(), "invalid"),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#.into(), "errnoRet 5000"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#.into(),
            "`architectures` and `archMap`",
        ),
        (rule("7"), "rule 2: invalid type"),
        (rule(r#"{"action":"SCMP_ACT_ALLOW"}"#), "rule 2 has neither"),
        (rule(r#"{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}"#), "rule 2 has `name` and `names`"),
        (rule(r#"{"names":["mkdir"]}"#), "rule 2: missing field `action`"),
        (rule(r#"{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}"#), "rule 2 (mkdir): SCMP_ACT_NOTIFY"),
        (rule(r#"{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":-1}"#), "rule 2: invalid value"),
        (
            rule(r#"{"names":["mkdir"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"EQ"}]}"#),
            "rule 2 (mkdir): unknown comparison `EQ`",
        ),
        (
            rule(r#"{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","includes":{"minKernel":"six"}}"#),
            "rule 2 (mkdir): `six` is no kernel version",
        ),
    ] {
        let error = filter(&text, 0).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// Pieces of profiles, right and wrong.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_NOTIFY",
        "SCMP_CMP_EQ",
        "SCMP_CMP_NE",
        "SCMP_CMP_MASKED_EQ",
        "SCMP_CMP_LT",
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X32",
        "SCMP_ARCH_AARCH64",
        "read",
        "socket",
        "clone",
        "ioctl",
        "socketcall",
        "ipc",
        "mmap2",
        "mseal",
        "",
        "\u{0}",
        "CAP_SYS_ADMIN",
        "4.8",
        "amd64",
    ])
    .prop_map(str::to_owned)
}

fn argument() -> impl Strategy<Value = String> {
    (0u32..8, any::<u64>(), any::<u64>(), word()).prop_map(|(index, value, two, op)| {
        format!(
            r#"{{"index":{index},"value":{value},"valueTwo":{two},"op":{}}}"#,
            serde_json::Value::from(op)
        )
    })
}

fn profile() -> impl Strategy<Value = String> {
    let rule = (
        prop::collection::vec(word(), 0..4),
        word(),
        prop::option::of(any::<u16>()),
        prop::collection::vec(argument(), 0..4),
        prop::collection::vec(word(), 0..2),
    )
        .prop_map(|(names, action, errno, args, caps)| {
            let errno = errno.map_or(String::new(), |errno| format!(r#""errnoRet":{errno},"#));
            format!(
                r#"{{"names":{},"action":{},{errno}"args":[{}],"includes":{{"caps":{}}}}}"#,
                serde_json::Value::from(names),
                serde_json::Value::from(action),
                args.join(","),
                serde_json::Value::from(caps),
            )
        });
    (
        word(),
        prop::collection::vec(word(), 0..3),
        prop::collection::vec(rule, 0..6),
    )
        .prop_map(|(default, architectures, rules)| {
            format!(
                r#"{{"defaultAction":{},"architectures":{},"syscalls":[{}]}}"#,
                serde_json::Value::from(default),
                serde_json::Value::from(architectures),
                rules.join(","),
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    /// Whatever comes in, what comes out is an error or a filter that ends with an answer for every call.
    #[test]
    fn profiles_made_of_pieces(text in profile(), call in any::<u32>(), first in any::<u64>()) {
        if let Ok(filter) = filter(&text, 0) {
            answer(&filter, X86_64, call, first);
            answer(&filter, I386, call & 511, first);
        }
    }

    /// A whole profile with a few bytes replaced.
    #[test]
    fn profiles_with_slips(slips in prop::collection::vec((0..PROFILE.len(), any::<u8>()), 1..6)) {
        let mut bytes = PROFILE.as_bytes().to_vec();
        for (at, byte) in slips {
            bytes[at] = byte;
        }
        if let Ok(filter) = filter(&String::from_utf8_lossy(&bytes), 0) {
            answer(&filter, X86_64, 0, 0);
        }
    }

    /// Any text at all.
    #[test]
    fn no_profiles(text in ".{0,200}") {
        prop_assert!(filter(&text, 0).is_err());
    }
}
