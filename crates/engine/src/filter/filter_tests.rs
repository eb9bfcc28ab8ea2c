use super::emulator::{AARCH64, ALLOW, I386, NOTIFY, X32, X86_64, evaluate};
use super::*;
use libseccomp::{ScmpArch, ScmpSyscall};
use shedbox_spec::capability;
use shedbox_spec::security::DEFAULT_CAPABILITIES;

const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const FAMILY: u32 = 0x0005_0061;
const SUCCESS: u32 = 0x0005_0000;
/// What the kernel does not look at in an `int`.
const HIGH: u64 = 1 << 32;

fn default_set() -> u64 {
    capability::set(DEFAULT_CAPABILITIES)
}

fn with(capabilities: &[Capability]) -> u64 {
    default_set() | capability::set(capabilities)
}

/// A profile compiled for `machine`, whatever this one is.
fn compiled(machine: &'static str, name: &str, capabilities: u64, single_map: bool) -> Vec<u64> {
    let plan = Plan::on(machine, name, capabilities, single_map).unwrap();
    compile(&plan, Mode::default()).unwrap()
}

/// A filter for one machine, asked by the name of a call.
struct Asked {
    filter: Vec<u64>,
    token: u32,
    arch: ScmpArch,
}

impl Asked {
    fn on(machine: &'static str, name: &str, capabilities: u64) -> Self {
        let (token, arch) = match machine {
            "x86_64" => (X86_64, ScmpArch::X8664),
            _ => (AARCH64, ScmpArch::Aarch64),
        };
        Self {
            filter: compiled(machine, name, capabilities, false),
            token,
            arch,
        }
    }

    /// `None` when this machine does not have the call.
    fn ask(&self, call: &str, arguments: [u64; 6]) -> Option<u32> {
        let number = ScmpSyscall::from_name_by_arch(call, self.arch).map_or_else(
            |_| newer::number(call).expect("a known call"),
            ScmpSyscall::as_raw_syscall,
        );
        (number >= 0).then(|| evaluate(&self.filter, self.token, number as u32, arguments).0)
    }
}

fn first(value: u64) -> [u64; 6] {
    [value, 0, 0, 0, 0, 0]
}

fn second(value: u64) -> [u64; 6] {
    [0, value, 0, 0, 0, 0]
}

const MACHINES: [&str; 2] = ["x86_64", "aarch64"];
const NEWUSER: u64 = 0x1000_0000;

/// The default profile, the same on both machines; calls that one of them lacks are left out there.
#[test]
fn answers_of_the_default() {
    for machine in MACHINES {
        let asked = Asked::on(machine, "default", default_set());
        for (call, arguments, answer) in [
            ("read", [0; 6], ALLOW),
            ("execve", [0; 6], ALLOW),
            ("openat2", [0; 6], ALLOW),
            ("ptrace", [0; 6], ALLOW),
            ("landlock_restrict_self", [0; 6], ALLOW),
            // Unknown to everybody, and known but not named.
            ("clone3", [0; 6], ENOSYS),
            ("statmount", [0; 6], ENOSYS),
            ("listmount", [0; 6], ENOSYS),
            ("listns", [0; 6], ENOSYS),
            ("file_getattr", [0; 6], ENOSYS),
            ("io_uring_setup", [0; 6], ENOSYS),
            ("io_uring_enter", [0; 6], ENOSYS),
            ("process_vm_readv", [0; 6], ENOSYS),
            // Denied on purpose.
            ("keyctl", [0; 6], EPERM),
            ("add_key", [0; 6], EPERM),
            ("request_key", [0; 6], EPERM),
            ("bpf", [0; 6], EPERM),
            ("perf_event_open", [0; 6], EPERM),
            ("userfaultfd", [0; 6], EPERM),
            ("kexec_load", [0; 6], EPERM),
            ("kexec_file_load", [0; 6], EPERM),
            ("init_module", [0; 6], EPERM),
            ("finit_module", [0; 6], EPERM),
            ("delete_module", [0; 6], EPERM),
            ("open_by_handle_at", [0; 6], EPERM),
            ("mount", [0; 6], EPERM),
            ("umount2", [0; 6], EPERM),
            ("fsopen", [0; 6], EPERM),
            ("fsmount", [0; 6], EPERM),
            ("fsconfig", [0; 6], EPERM),
            ("fspick", [0; 6], EPERM),
            ("open_tree", [0; 6], EPERM),
            ("move_mount", [0; 6], EPERM),
            ("mount_setattr", [0; 6], EPERM),
            ("pivot_root", [0; 6], EPERM),
            ("chroot", [0; 6], EPERM),
            ("setns", [0; 6], EPERM),
            ("unshare", first(NEWUSER), EPERM),
            ("unshare", first(NEWUSER | HIGH), EPERM),
            ("unshare", first(0x80), EPERM), // CLONE_NEWTIME
            ("unshare", first(0x600), ALLOW),
            ("memfd_secret", [0; 6], EPERM),
            ("vmsplice", [0; 6], EPERM),
            ("kcmp", [0; 6], EPERM),
            ("pidfd_getfd", [0; 6], EPERM),
            ("syslog", [0; 6], EPERM),
            ("reboot", [0; 6], EPERM),
            ("swapon", [0; 6], EPERM),
            ("acct", [0; 6], EPERM),
            ("quotactl", [0; 6], EPERM),
            ("quotactl_fd", [0; 6], EPERM),
            ("fanotify_init", [0; 6], EPERM),
            ("settimeofday", [0; 6], EPERM),
            ("clock_settime", [0; 6], EPERM),
            ("sethostname", [0; 6], EPERM),
            ("setdomainname", [0; 6], EPERM),
            ("move_pages", [0; 6], EPERM),
            // By argument, in 32 bits.
            ("clone", first(0x0120_0011), ALLOW), // fork
            ("clone", first(0x003d_0f00), ALLOW), // pthread_create
            ("clone", first(NEWUSER | 0x11), EPERM),
            ("clone", first(0x0002_0011), EPERM),
            ("clone", first(0x0200_0011), EPERM),
            ("clone", first(0x0400_0011), EPERM),
            ("clone", first(0x0800_0011), EPERM),
            ("clone", first(0x2000_0011), EPERM),
            ("clone", first(0x4000_0011), EPERM),
            ("clone", first(HIGH | 0x11), ALLOW),
            ("clone", first(HIGH | NEWUSER), EPERM),
            ("ioctl", second(0x5412), EPERM),
            ("ioctl", second(HIGH | 0x5412), EPERM),
            ("ioctl", second(0xffff_ffff_0000_5412), EPERM),
            ("ioctl", second(0x541c), EPERM),
            ("ioctl", second(HIGH | 0x541c), EPERM),
            ("ioctl", second(0x5401), ALLOW),
            ("ioctl", second(0x5413), ALLOW),
            ("ioctl", second(HIGH | 0x5413), ALLOW),
            ("ioctl", second(0x8000_5412), ALLOW),
            ("ioctl", second(0), ALLOW),
            ("prlimit64", [0, 7, 1 << 40, 0, 0, 0], ALLOW),
            ("prlimit64", [HIGH, 7, 1 << 40, 0, 0, 0], ALLOW), // a process's own: the id is an int
            ("prlimit64", [1, 7, 0, 1 << 40, 0, 0], ALLOW),
            ("prlimit64", [1, 7, 1 << 40, 0, 0, 0], EPERM),
            ("prlimit64", [1, 7, 8, 0, 0, 0], EPERM),
            ("personality", first(0), ALLOW),
            ("personality", first(8), ALLOW),
            ("personality", first(0x2_0000), ALLOW),
            ("personality", first(0x2_0008), ALLOW),
            ("personality", first(0xffff_ffff), ALLOW),
            ("personality", first(0x4_0000), EPERM),
            ("personality", first(0x40_0000), EPERM),
            ("personality", first(HIGH | 0x4_0000), EPERM),
        ] {
            if let Some(found) = asked.ask(call, arguments) {
                assert_eq!(
                    found, answer,
                    "{machine}: {call} {arguments:x?}: {found:#x}"
                );
            }
        }
    }
}

/// Families of sockets: every one up to the last, and the same with high bits.
#[test]
fn families_of_sockets() {
    for machine in MACHINES {
        let plain = Asked::on(machine, "default", default_set());
        let raw = Asked::on(machine, "default", with(&[Capability::NetRaw]));
        let admin = Asked::on(machine, "default", with(&[Capability::NetAdmin]));
        let strict = Asked::on(machine, "strict", default_set());
        for family in (0..64).chain([0x1_0001, 0x8000_0002, u64::from(u32::MAX)]) {
            for high in [0, HIGH, u64::MAX << 32] {
                for protocol in [0, 4, 9, 0x1_0000, HIGH] {
                    let arguments = [high | family, 3, protocol, 0, 0, 0];
                    let route = protocol as u32 == 0;
                    for (asked, allowed) in [
                        (
                            &plain,
                            [1, 2, 10].contains(&family) || (family == 16 && route),
                        ),
                        (
                            &raw,
                            [1, 2, 10, 17].contains(&family) || (family == 16 && route),
                        ),
                        (&admin, [1, 2, 10, 16, 17].contains(&family)),
                        (&strict, [1, 2, 10].contains(&family)),
                    ] {
                        assert_eq!(
                            asked.ask("socket", arguments),
                            Some(if allowed { ALLOW } else { FAMILY }),
                            "{machine}: {arguments:x?}"
                        );
                    }
                    assert_eq!(
                        plain.ask("socketpair", arguments),
                        Some(if family == 1 { ALLOW } else { FAMILY })
                    );
                }
            }
        }
    }
}

/// i386 and x32 are not there on x86_64, nor 32-bit ARM on aarch64: not one call of them.
#[test]
fn foreign_abis_are_not_there() {
    for name in ["strict", "default", "nested"] {
        let filter = compiled("x86_64", name, default_set(), false);
        for call in 0..600 {
            let answer = |arch, call| evaluate(&filter, arch, call, [0; 6]).0;
            assert_eq!(answer(I386, call), ENOSYS, "{name} i386 {call}");
            assert_eq!(answer(X86_64, X32 | call), ENOSYS, "{name} x32 {call}");
        }
        let filter = compiled("aarch64", name, default_set(), false);
        for call in 0..600 {
            assert_eq!(evaluate(&filter, 0x4000_0028, call, [0; 6]).0, ENOSYS);
        }
    }
}

/// `dev` has i386, with the same conditions, and without the call that hides its arguments.
#[test]
fn i386_in_dev() {
    let filter = compiled("x86_64", "dev", default_set(), false);
    let answer = |call, arguments| evaluate(&filter, I386, call, arguments).0;
    assert_eq!(answer(3, [0; 6]), ALLOW, "read");
    assert_eq!(answer(102, first(1)), EPERM, "socketcall(SYS_SOCKET)");
    assert_eq!(answer(102, first(3)), EPERM, "socketcall(SYS_CONNECT)");
    assert_eq!(answer(359, first(1)), ALLOW, "socket(AF_UNIX)");
    assert_eq!(answer(359, first(40)), FAMILY, "socket(AF_VSOCK)");
    assert_eq!(answer(360, first(1)), ALLOW, "socketpair(AF_UNIX)");
    assert_eq!(answer(361, [0; 6]), ALLOW, "bind");
    assert_eq!(answer(395, [0; 6]), ALLOW, "shmget");
    assert_eq!(answer(288, [0; 6]), EPERM, "keyctl");
    assert_eq!(answer(54, second(0x5412)), EPERM, "ioctl(TIOCSTI)");
    assert_eq!(answer(120, first(NEWUSER)), EPERM, "clone(CLONE_NEWUSER)");
    assert_eq!(answer(21, [0; 6]), EPERM, "mount");
    assert_eq!(answer(425, [0; 6]), ENOSYS, "io_uring_setup");
    let x32 = evaluate(&filter, X86_64, X32, [0; 6]).0;
    assert_eq!(x32, ENOSYS, "x32 read");
}

#[test]
fn profiles_differ_as_they_say() {
    for machine in MACHINES {
        let of = |name| Asked::on(machine, name, default_set());
        let (strict, default, dev, nested) = (of("strict"), of("default"), of("dev"), of("nested"));
        for (call, arguments, answers) in [
            ("ptrace", [0; 6], [EPERM, ALLOW, ALLOW, ALLOW]),
            ("perf_event_open", [0; 6], [EPERM, EPERM, ALLOW, EPERM]),
            ("process_vm_writev", [0; 6], [ENOSYS, ENOSYS, ALLOW, ENOSYS]),
            ("personality", first(0x4_0000), [EPERM, EPERM, ALLOW, EPERM]),
            ("unshare", first(NEWUSER), [EPERM, EPERM, EPERM, ALLOW]),
            ("unshare", first(0x400), [EPERM, ALLOW, ALLOW, ALLOW]),
            ("clone", first(NEWUSER), [EPERM, EPERM, EPERM, ALLOW]),
            ("clone3", [0; 6], [ENOSYS, ENOSYS, ENOSYS, ALLOW]),
            ("mount", [0; 6], [EPERM, EPERM, EPERM, ALLOW]),
            ("chroot", [0; 6], [EPERM, EPERM, EPERM, ALLOW]),
            ("setns", [0; 6], [EPERM, EPERM, EPERM, ALLOW]),
            ("mbind", [0; 6], [EPERM, ALLOW, ALLOW, ALLOW]),
            ("io_setup", [0; 6], [ENOSYS, ALLOW, ALLOW, ALLOW]),
            ("splice", [0; 6], [ENOSYS, ALLOW, ALLOW, ALLOW]),
            ("vmsplice", [0; 6], [EPERM, EPERM, ALLOW, EPERM]),
            ("keyctl", [0; 6], [EPERM; 4]),
            ("bpf", [0; 6], [EPERM; 4]),
            ("io_uring_setup", [0; 6], [ENOSYS; 4]),
            ("open_by_handle_at", [0; 6], [EPERM; 4]),
            ("socket", first(40), [FAMILY; 4]),
            ("ioctl", second(0x5412), [EPERM; 4]),
            ("write", [0; 6], [ALLOW; 4]),
        ] {
            let found = [&strict, &default, &dev, &nested].map(|asked| asked.ask(call, arguments));
            assert_eq!(found, answers.map(Some), "{machine}: {call} {arguments:x?}");
        }
    }
}

/// A capability opens the calls that it is for, as in Docker.
#[test]
fn capabilities_open_calls() {
    use Capability::{
        Bpf, DacReadSearch, Perfmon, SysAdmin, SysBoot, SysChroot, SysModule, SysPacct, SysPtrace,
        SysRawio, SysTime, SysTtyConfig, Syslog,
    };
    for machine in MACHINES {
        let plain = Asked::on(machine, "default", default_set());
        for (capability, calls) in [
            (
                SysAdmin,
                &[
                    "mount",
                    "umount2",
                    "fsopen",
                    "move_mount",
                    "pivot_root",
                    "setns",
                    "clone3",
                    "bpf",
                    "perf_event_open",
                    "quotactl",
                    "sethostname",
                    "fanotify_init",
                    "syslog",
                ][..],
            ),
            (
                SysPtrace,
                &["process_vm_readv", "kcmp", "pidfd_getfd", "process_madvise"],
            ),
            (SysChroot, &["chroot"]),
            (Bpf, &["bpf"]),
            (Perfmon, &["perf_event_open"]),
            (DacReadSearch, &["open_by_handle_at"]),
            (SysModule, &["init_module", "finit_module", "delete_module"]),
            (SysPacct, &["acct"]),
            (SysRawio, &["iopl", "ioperm"]),
            (SysTime, &["settimeofday", "clock_settime"]),
            (SysTtyConfig, &["vhangup"]),
            (Syslog, &["syslog"]),
            (SysBoot, &["reboot"]),
        ] {
            let opened = Asked::on(machine, "default", with(&[capability]));
            for call in calls {
                if let Some(answer) = opened.ask(call, [0; 6]) {
                    assert_eq!(answer, ALLOW, "{machine}: {call} with {capability:?}");
                    assert_ne!(plain.ask(call, [0; 6]), Some(ALLOW), "{machine}: {call}");
                }
            }
            // None of them opens what no capability is meant for.
            for call in ["keyctl", "io_uring_setup", "userfaultfd", "kexec_load"] {
                assert_ne!(opened.ask(call, [0; 6]), Some(ALLOW), "{machine}: {call}");
            }
        }
        let admin = Asked::on(machine, "default", with(&[SysAdmin]));
        assert_eq!(admin.ask("unshare", first(NEWUSER)), Some(ALLOW));
        assert_eq!(admin.ask("clone", first(NEWUSER)), Some(ALLOW));
        // strict keeps its word but for the capability itself.
        let strict = Asked::on(machine, "strict", with(&[SysPtrace]));
        assert_eq!(strict.ask("ptrace", [0; 6]), Some(ALLOW));
    }
}

/// On a map with one id every profile answers what needs another one.
#[test]
fn root_emulation_on_every_profile() {
    let device = second(0o020_666);
    for name in ["strict", "default", "dev", "nested"] {
        let plain = compiled("x86_64", name, default_set(), false);
        let emulating = compiled("x86_64", name, default_set(), true);
        for (what, call, arguments, without, with) in [
            ("chown", 92, [0; 6], ALLOW, SUCCESS),
            ("fchown", 93, [0; 6], ALLOW, SUCCESS),
            ("lchown", 94, [0; 6], ALLOW, SUCCESS),
            ("fchownat", 260, [0; 6], ALLOW, SUCCESS),
            ("setgroups", 116, [0; 6], ALLOW, SUCCESS),
            ("setuid", 105, [0; 6], ALLOW, SUCCESS),
            ("setresgid", 119, [0; 6], ALLOW, SUCCESS),
            ("setfsuid", 122, [0; 6], ALLOW, ALLOW),
            ("mknod device", 133, device, ALLOW, SUCCESS),
            ("mknod block", 133, second(0o060_666), ALLOW, SUCCESS),
            ("mknod fifo", 133, second(0o010_666), ALLOW, ALLOW),
            ("mknod file", 133, second(0o100_666), ALLOW, ALLOW),
            ("mknod socket", 133, second(0o140_666), ALLOW, ALLOW),
            (
                "mknodat device",
                259,
                [0, 0, 0o020_666, 0, 0, 0],
                ALLOW,
                SUCCESS,
            ),
            (
                "mknodat fifo",
                259,
                [0, 0, 0o010_666, 0, 0, 0],
                ALLOW,
                ALLOW,
            ),
            ("keyctl", 250, [0; 6], EPERM, EPERM),
            ("read", 0, [0; 6], ALLOW, ALLOW),
        ] {
            let answer = |filter: &[u64]| evaluate(filter, X86_64, call, arguments).0;
            assert_eq!(answer(&plain), without, "{name}: {what}");
            assert_eq!(answer(&emulating), with, "{name}: {what} emulating");
        }
    }
    // Without a profile, and under one of the caller's: init's filter has nothing but the emulation.
    let custom = Seccomp::Custom(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.into());
    for seccomp in [Seccomp::Profile(SeccompProfile::Unconfined), custom] {
        let filters = filters_for(&seccomp, default_set(), true, false).unwrap();
        if cfg!(target_arch = "x86_64") {
            assert_eq!(evaluate(&filters.init, X86_64, 92, [0; 6]).0, SUCCESS);
            assert_eq!(evaluate(&filters.init, X86_64, 250, [0; 6]).0, ALLOW);
            assert_eq!(evaluate(&filters.init, I386, 182, [0; 6]).0, SUCCESS);
        }
        let without = filters_for(&seccomp, default_set(), false, false).unwrap();
        assert!(without.init.is_empty());
    }
}

/// Where init has to use clone3 its filter allows that and nothing else, and a short one takes it from the commands.
#[test]
fn init_may_use_clone3_and_commands_may_not() {
    let token = if cfg!(target_arch = "x86_64") {
        X86_64
    } else {
        AARCH64
    };
    let answer = |filter: &[u64], call| evaluate(filter, token, call, [0; 6]).0;
    for seccomp in [
        Seccomp::Profile(SeccompProfile::Strict),
        Seccomp::Profile(SeccompProfile::Default),
        Seccomp::Profile(SeccompProfile::Dev),
        Seccomp::Log,
    ] {
        let one = filters_for(&seccomp, default_set(), false, false).unwrap();
        assert!(one.command.is_empty());
        let two = filters_for(&seccomp, default_set(), false, true).unwrap();
        assert_eq!(two.asks, seccomp == Seccomp::Log);
        assert_eq!(two.command.len(), 4);
        for call in 0..500 {
            let [init, command] = [&two.init, &two.command].map(|filter| answer(filter, call));
            if call == 435 {
                assert_eq!([init, command], [ALLOW, ENOSYS], "clone3");
            } else {
                assert_eq!(init, answer(&one.init, call), "{call}");
                assert_eq!(command, ALLOW, "{call}");
            }
        }
    }
    // A profile that allows clone3 needs no second filter.
    let seccomp = Seccomp::Profile(SeccompProfile::Nested);
    let nested = filters_for(&seccomp, default_set(), false, true).unwrap();
    assert!(nested.command.is_empty());
    assert_eq!(answer(&nested.init, 435), ALLOW);
}

/// In the log mode what would be denied is asked about, and nothing that init needs is.
#[test]
fn the_log_mode_asks_instead_of_denying() {
    if !cfg!(target_arch = "x86_64") {
        return; // the table has numbers of x86_64
    }
    for clone3 in [false, true] {
        let filters = filters_for(&Seccomp::Log, default_set(), false, clone3).unwrap();
        assert!(filters.asks);
        let answer = |arch, call, arguments| evaluate(&filters.init, arch, call, arguments).0;
        assert_eq!(answer(X86_64, 0, [0; 6]), ALLOW, "read");
        assert_eq!(answer(X86_64, 250, [0; 6]), NOTIFY, "keyctl");
        assert_eq!(answer(X86_64, 425, [0; 6]), NOTIFY, "io_uring_setup");
        assert_eq!(answer(X86_64, 999, [0; 6]), NOTIFY, "unknown");
        assert_eq!(answer(X86_64, 41, first(38)), NOTIFY, "socket(AF_ALG)");
        assert_eq!(answer(X86_64, 41, first(2)), ALLOW, "socket(AF_INET)");
        assert_eq!(answer(X86_64, 16, second(0x5412)), NOTIFY, "TIOCSTI");
        assert_eq!(answer(I386, 20, [0; 6]), NOTIFY, "i386 getpid");
        assert_eq!(answer(X86_64, X32 + 39, [0; 6]), NOTIFY, "x32 getpid");
        let expected = if clone3 { ALLOW } else { ENOSYS };
        assert_eq!(answer(X86_64, 435, [0; 6]), expected, "clone3");
    }
}

/// What a command pays for the filter: figures for docs/seccomp.md, and bounds with slack.
#[test]
fn length_and_way() {
    for name in ["strict", "default", "dev", "nested"] {
        let start = std::time::Instant::now();
        let filter = compiled("x86_64", name, default_set(), false);
        println!("{name}: compiled in {:?}", start.elapsed());
        let way = |call, arguments| evaluate(&filter, X86_64, call, arguments).1;
        let (getpid, read, openat) = (way(39, [0; 6]), way(0, [0; 6]), way(257, [0; 6]));
        let tty = way(16, second(0x5401));
        let thread = way(56, first(0x003d_0f00));
        println!(
            "{name}: {} instructions; getpid {getpid}, read {read}, openat {openat}, ioctl {tty}, clone {thread}",
            filter.len()
        );
        assert!(filter.len() < 1500, "{name}: {}", filter.len());
        for way in [getpid, read, openat] {
            assert!(way < 45, "{name}: {way}");
        }
    }
}

#[test]
fn profiles_must_say_why() {
    let text = r#"{"description":"x","otherwise":"allow","architectures":{"x86_64":["x86_64"],"aarch64":["aarch64"]},"rules":[RULE]}"#;
    for (rule, complaint) in [
        (
            r#"{"calls":["read"],"action":"EPERM","reason":""}"#,
            "has no reason",
        ),
        (
            r#"{"calls":["reed"],"action":"EPERM","reason":"x"}"#,
            "unknown call `reed`",
        ),
        (
            r#"{"calls":["read"],"action":"EWRONG","reason":"x"}"#,
            "unknown answer `EWRONG`",
        ),
        (
            r#"{"calls":["read"],"action":"succeed","reason":"x","arguments":[{"index":0,"mask":"9","value":"0x1"}]}"#,
            "`9` is not a hexadecimal number",
        ),
        (
            r#"{"calls":["read"],"action":"succeed","reason":"x","arguments":[{"index":0,"mask":"0xe","value":"0x1"}]}"#,
            "can never hold",
        ),
        (
            r#"{"calls":["read"],"action":"allow","reason":"x","wrong":1}"#,
            "unknown field `wrong`",
        ),
        (
            r#"{"calls":["read"],"with":["SYS_ADMON"],"action":"allow","reason":"x"}"#,
            "SYS_ADMON",
        ),
    ] {
        let made = profile::parse("test", &text.replace("RULE", rule))
            .and_then(|profile| {
                let chain = [("test".to_owned(), profile)];
                Plan::from_profiles(std::env::consts::ARCH, &chain, None, 0)
            })
            .and_then(|plan| compile(&plan, Mode::default()));
        let error = made.unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

/// Every call on which the default differs from Docker's is in the documentation.
#[test]
fn differences_from_docker_are_documented() {
    let page = include_str!("../../../../docs/seccomp.md");
    let (blocked, allowed) = page.split_once("Allowed here, blocked there").unwrap();
    let (_, blocked) = blocked.split_once("Blocked here, allowed there").unwrap();
    let mut seen = 0;
    for rule in profile::load("default").unwrap().rules {
        let table = match rule.docker {
            None => continue,
            Some(profile::Docker::Allows) => blocked,
            Some(profile::Docker::Denies) => allowed,
        };
        for call in rule.calls {
            assert!(table.contains(&format!("`{call}`")), "{call}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

/// The list of newer calls agrees with libseccomp where that knows them.
#[test]
fn numbers_of_newer_calls() {
    for name in ["landlock_add_rule", "memfd_secret", "futex_waitv", "mseal"] {
        let number = newer::number(name).unwrap();
        if let Ok(known) = ScmpSyscall::from_name(name) {
            assert_eq!(known.as_raw_syscall(), number, "{name}");
        }
    }
}

#[test]
fn compiled_once() {
    let of = |capabilities| filters_for(&Seccomp::default(), capabilities, false, false).unwrap();
    assert!(Arc::ptr_eq(&of(default_set()), &of(default_set())));
    // A capability that no rule asks for makes no other filter; one that does, does.
    assert!(Arc::ptr_eq(
        &of(default_set()),
        &of(with(&[Capability::Kill, Capability::Lease]))
    ));
    assert!(!Arc::ptr_eq(
        &of(default_set()),
        &of(with(&[Capability::SysPtrace]))
    ));
}
