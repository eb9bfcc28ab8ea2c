use super::*;

#[cfg(target_arch = "x86_64")]
const X86_64: u32 = 0xc000_003e;
#[cfg(target_arch = "x86_64")]
const I386: u32 = 0x4000_0003;
#[cfg(target_arch = "x86_64")]
const ALLOW: u32 = 0x7fff_0000;

#[cfg(target_arch = "x86_64")]
fn errno(number: Errno) -> u32 {
    0x0005_0000 | number as u32
}

/// What the kernel would make of `filter`. Source: the classic BPF of bpf(4), as far as seccomp(2) allows it.
#[cfg(target_arch = "x86_64")]
fn evaluate(filter: &[u64], arch: u32, call: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(call.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend(0u64.to_le_bytes());
    for argument in arguments {
        data.extend(argument.to_le_bytes());
    }
    let (mut accumulator, mut at) = (0u32, 0usize);
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
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn answers_by_architecture() {
    const X32: u32 = 0x4000_0000;
    const HIGH: u64 = 1 << 32;
    let plain = default_filter(false).unwrap();
    let emulating = default_filter(true).unwrap();
    let (eperm, enosys, family) = (
        errno(Errno::EPERM),
        errno(Errno::ENOSYS),
        errno(Errno::EAFNOSUPPORT),
    );
    let success = 0x0005_0000;
    let one = |index: usize, value: u64| {
        let mut arguments = [0; 6];
        arguments[index] = value;
        arguments
    };
    for (what, arch, call, arguments, without, with) in [
        ("read", X86_64, 0, [0; 6], ALLOW, ALLOW),
        ("keyctl", X86_64, 250, [0; 6], eperm, eperm),
        ("add_key", X86_64, 248, [0; 6], eperm, eperm),
        ("request_key", X86_64, 249, [0; 6], eperm, eperm),
        ("keyctl", I386, 288, [0; 6], eperm, eperm),
        ("keyctl", X86_64, X32 + 250, [0; 6], eperm, eperm),
        ("ioctl TIOCSTI", X86_64, 16, one(1, 0x5412), eperm, eperm),
        (
            "ioctl TIOCSTI, high bits",
            X86_64,
            16,
            one(1, HIGH + 0x5412),
            eperm,
            eperm,
        ),
        ("ioctl TIOCSTI", I386, 54, one(1, 0x5412), eperm, eperm),
        (
            "ioctl TIOCSTI",
            X86_64,
            X32 + 514,
            one(1, 0x5412),
            eperm,
            eperm,
        ),
        ("ioctl TIOCLINUX", X86_64, 16, one(1, 0x541c), eperm, eperm),
        ("ioctl TIOCGWINSZ", X86_64, 16, one(1, 0x5413), ALLOW, ALLOW),
        ("socket AF_UNIX", X86_64, 41, one(0, 1), ALLOW, ALLOW),
        ("socket AF_ALG", X86_64, 41, one(0, 38), family, family),
        (
            "socket AF_ALG, high bits",
            X86_64,
            41,
            one(0, HIGH + 38),
            family,
            family,
        ),
        ("socket AF_VSOCK", X86_64, 41, one(0, 40), family, family),
        (
            "socket AF_VSOCK",
            X86_64,
            X32 + 41,
            one(0, 40),
            family,
            family,
        ),
        ("socket AF_UNIX", I386, 359, one(0, 1), ALLOW, ALLOW),
        ("socket AF_ALG", I386, 359, one(0, 38), family, family),
        (
            "socketcall SYS_SOCKET",
            I386,
            102,
            one(0, 1),
            enosys,
            enosys,
        ),
        ("socketcall SYS_CONNECT", I386, 102, one(0, 3), ALLOW, ALLOW),
        ("io_uring_setup", X86_64, 425, [0; 6], enosys, enosys),
        ("chown", X86_64, 92, [0; 6], ALLOW, success),
        ("fchown", X86_64, 93, [0; 6], ALLOW, success),
        ("lchown", X86_64, 94, [0; 6], ALLOW, success),
        ("fchownat", X86_64, 260, [0; 6], ALLOW, success),
        ("chown", I386, 182, [0; 6], ALLOW, success),
        ("chown32", I386, 212, [0; 6], ALLOW, success),
        ("lchown", I386, 16, [0; 6], ALLOW, success),
        ("setgroups32", I386, 206, [0; 6], ALLOW, success),
        ("setgroups", X86_64, 116, [0; 6], ALLOW, success),
        ("setuid", X86_64, 105, [0; 6], ALLOW, success),
        ("setresuid", X86_64, 117, [0; 6], ALLOW, success),
        ("setresgid", X86_64, X32 + 119, [0; 6], ALLOW, success),
        ("setfsuid", X86_64, 122, [0; 6], ALLOW, ALLOW),
        (
            "mknod character",
            X86_64,
            133,
            one(1, 0o020_666),
            ALLOW,
            success,
        ),
        (
            "mknod block",
            X86_64,
            133,
            one(1, 0o060_666),
            ALLOW,
            success,
        ),
        ("mknod fifo", X86_64, 133, one(1, 0o010_666), ALLOW, ALLOW),
        (
            "mknod regular",
            X86_64,
            133,
            one(1, 0o100_666),
            ALLOW,
            ALLOW,
        ),
        ("mknod socket", X86_64, 133, one(1, 0o140_666), ALLOW, ALLOW),
        (
            "mknodat character",
            X86_64,
            259,
            one(2, 0o020_666),
            ALLOW,
            success,
        ),
        (
            "mknodat character",
            I386,
            297,
            one(2, 0o020_666),
            ALLOW,
            success,
        ),
        // A call that is newer than libseccomp.
        ("file_setattr", X86_64, 469, [0; 6], ALLOW, ALLOW),
    ] {
        assert_eq!(
            evaluate(&plain, arch, call, arguments),
            without,
            "{what} {arch:#x} plain"
        );
        assert_eq!(
            evaluate(&emulating, arch, call, arguments),
            with,
            "{what} {arch:#x} emulating"
        );
    }
}

/// Runs a program under a filter. Filters bind a thread and its children, so the test process goes on without it.
fn under(filter: Vec<u64>, program: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir("/tmp");
    std::thread::spawn(move || {
        shedbox_linux::seccomp::no_new_privs().unwrap();
        shedbox_linux::seccomp::install(&filter).unwrap();
        command.output().unwrap()
    })
    .join()
    .unwrap()
}

/// Makes system calls by number and says of each `0` or its errno. perl-base is on every Debian and Ubuntu.
#[cfg(target_arch = "x86_64")]
fn errnos(filter: Vec<u64>, calls: &str) -> String {
    let script = format!(
        "for my $c ({calls}) {{ my ($n, @a) = @$c; print syscall($n, @a) == -1 ? $!+0 : 0, ' ' }}"
    );
    let output = under(filter, "perl", &["-e", &script]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn in_force() {
    // keyctl(KEYCTL_GET_KEYRING_ID), add_key, ioctl(TIOCSTI), the same with high bits, socket(AF_ALG), (AF_VSOCK), (AF_UNIX)
    let refused = "[250, 0, -3, 0], [248, 0, 0, 0, 0, 0], [16, 0, 0x5412, 0], [16, 0, 0x100005412, 0], \
                   [41, 38, 5, 0], [41, 40, 1, 0], [41, 1, 1, 0]";
    assert_eq!(
        errnos(default_filter(false).unwrap(), refused),
        "1 1 1 1 97 97 0"
    );
    assert_eq!(
        errnos(default_filter(true).unwrap(), refused),
        "1 1 1 1 97 97 0"
    );
    // fchown(-1), setgroups, mknod of a device and of a FIFO at a path that cannot be made
    let emulated = "[93, -1, 5, 5], [116, 1, 0], [133, '/no/such/dir/x', 020666, 0x103], [133, '/no/such/dir/x', 010666, 0]";
    assert_eq!(errnos(default_filter(true).unwrap(), emulated), "0 0 0 2");
    assert_eq!(
        errnos(default_filter(false).unwrap(), emulated)
            .split(' ')
            .next(),
        Some("9")
    );
}

/// What package managers run as root, on a map that has root alone. The second line of output is a call that no filter
/// can make work: the program sees that it is still root.
#[test]
fn tools_of_package_managers_as_the_only_user() {
    const SCRIPT: &str = r#"
set -e
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
mkdir in out
echo hello > in/file
tar --owner=4321:4321 --group=8765:8765 -cf a.tar in
tar --same-owner -xpf a.tar -C out
test "$(cat out/in/file)" = hello
install -o daemon -g 7 in/file out/installed
chown -R www-data:www-data out
chown -h 33:33 out/in
cp -a out copy
mknod out/null c 1 3
mkfifo out/fifo
test -p out/fifo
setpriv --reuid=33 --regid=33 --clear-groups id -u
"#;
    let run = |filter| {
        under(
            filter,
            "unshare",
            &["--user", "--map-root-user", "sh", "-c", SCRIPT],
        )
    };
    let emulated = run(default_filter(true).unwrap());
    let complaint = String::from_utf8_lossy(&emulated.stderr);
    if complaint.contains("unshare failed") {
        assert!(
            std::env::var_os("SHEDBOX_TEST_STRICT").is_none(),
            "no user namespaces: {complaint}"
        );
        eprintln!("SKIPPED: no user namespaces here: {complaint}");
        return;
    }
    assert!(emulated.status.success(), "{complaint}");
    assert_eq!(String::from_utf8_lossy(&emulated.stdout), "0\n");
    // Without the emulation the first of these fails.
    let plain = run(default_filter(false).unwrap());
    assert!(String::from_utf8_lossy(&plain.stderr).contains("Cannot change ownership"));
}

#[test]
fn profiles_must_say_why() {
    let text = r#"{"description":"","default":"allow","architectures":{"x86_64":["x86_64"],"aarch64":["aarch64"]},"rules":[RULE]}"#;
    for (rule, complaint) in [
        (
            r#"{"calls":["read"],"errno":"EPERM","reason":""}"#,
            "has no reason",
        ),
        (
            r#"{"calls":["reed"],"errno":"EPERM","reason":"x"}"#,
            "unknown call `reed`",
        ),
        (
            r#"{"calls":["read"],"errno":"EWRONG","reason":"x"}"#,
            "unknown errno `EWRONG`",
        ),
        (
            r#"{"calls":["read"],"errno":"0","reason":"x","arguments":[{"index":0,"mask":"9","value":"0x1"}]}"#,
            "`9` is not a hexadecimal number",
        ),
        (
            r#"{"calls":["read"],"errno":"0","reason":"x","wrong":1}"#,
            "unknown field `wrong`",
        ),
    ] {
        let text: &'static str = Box::leak(text.replace("RULE", rule).into_boxed_str());
        let error = compile(&[("test", text)]).unwrap_err();
        assert!(error.to_string().contains(complaint), "{error}");
    }
}

#[test]
fn compiled_once() {
    assert_eq!(
        default_filter(false).unwrap(),
        default_filter(false).unwrap()
    );
    assert!(default_filter(true).unwrap().len() > default_filter(false).unwrap().len());
}
