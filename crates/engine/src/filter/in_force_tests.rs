//! Filters in the kernel: what it takes, what it answers, and that programs live with it.

use super::*;
use shedbox_linux::seccomp;
use shedbox_spec::capability;
use shedbox_spec::security::DEFAULT_CAPABILITIES;

fn filter(profile: SeccompProfile, single_map: bool) -> Vec<u64> {
    let set = capability::set(DEFAULT_CAPABILITIES);
    let filters = filters_for(&Seccomp::Profile(profile), set, single_map, false).unwrap();
    filters.init.clone()
}

/// Runs a program under a filter. Filters bind a thread and its children, so the test process goes on without it.
fn under(filter: Vec<u64>, program: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir("/tmp");
    std::thread::spawn(move || {
        seccomp::no_new_privs().unwrap();
        seccomp::install(&filter).unwrap();
        command.output().unwrap()
    })
    .join()
    .unwrap()
}

/// Makes system calls by number and says of each `0` or its errno. perl-base is on every Debian and Ubuntu.
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
    // keyctl(KEYCTL_GET_KEYRING_ID), add_key, ioctl(TIOCSTI), the same with high bits, socket(AF_ALG), (AF_VSOCK), (AF_UNIX),
    // clone3, statmount, unshare(CLONE_NEWUSER), open_by_handle_at
    let calls = "[250, 0, -3, 0], [248, 0, 0, 0, 0, 0], [16, 0, 0x5412, 0], [16, 0, 0x100005412, 0], \
                 [41, 38, 5, 0], [41, 40, 1, 0], [41, 1, 1, 0], [435, 0, 0], [457, 0, 0, 0, 0], [272, 0x10000000], \
                 [304, 0, 0, 0]";
    let refused = "1 1 1 1 97 97 0 38 38 1 1";
    for profile in [
        SeccompProfile::Strict,
        SeccompProfile::Default,
        SeccompProfile::Dev,
    ] {
        for single_map in [false, true] {
            assert_eq!(errnos(filter(profile, single_map), calls), refused);
        }
    }
    // fchown(-1), setgroups, mknod of a device and of a FIFO at a path that cannot be made
    let emulated = "[93, -1, 5, 5], [116, 1, 0], [133, '/no/such/dir/x', 020666, 0x103], [133, '/no/such/dir/x', 010666, 0]";
    let default = |single_map| filter(SeccompProfile::Default, single_map);
    assert_eq!(errnos(default(true), emulated), "0 0 0 2");
    assert_eq!(
        errnos(default(false), emulated).split(' ').next(),
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
    // The profile that lets a namespace be made under it.
    let run = |single_map| {
        under(
            filter(SeccompProfile::Nested, single_map),
            "unshare",
            &["--user", "--map-root-user", "sh", "-c", SCRIPT],
        )
    };
    let emulated = run(true);
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
    let plain = run(false);
    assert!(String::from_utf8_lossy(&plain.stderr).contains("Cannot change ownership"));
}

/// A figure for docs/seccomp.md: what a command would pay if it installed the filter itself.
#[test]
fn installing_takes_little() {
    for profile in [SeccompProfile::Strict, SeccompProfile::Default] {
        let filter = filter(profile, false);
        let times: Vec<_> = (0..20)
            .map(|_| {
                let filter = filter.clone();
                std::thread::spawn(move || {
                    seccomp::no_new_privs().unwrap();
                    let start = std::time::Instant::now();
                    seccomp::install(&filter).unwrap();
                    start.elapsed()
                })
                .join()
                .unwrap()
            })
            .collect();
        let median = {
            let mut sorted = times.clone();
            sorted.sort();
            sorted[10]
        };
        println!(
            "{profile:?}: {} instructions, installed in {median:?}",
            filter.len()
        );
        assert!(median.as_millis() < 20, "{times:?}");
    }
}
