//! The five capability sets, as the kernel shows them.

use crate::require;
use crate::support::{Case, Home, Lane};

const LOOK: &str =
    "grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr -d '\\t' | tr '\\n' ' ' | sed 's/ $//'";

/// What is expected: permitted and effective, then the bounding set. Inheritable and ambient are always empty
/// (CVE-2022-24769).
fn sets(held: u64, bounding: u64) -> String {
    format!(
        "CapInh:{0:016x} CapPrm:{held:016x} CapEff:{held:016x} CapBnd:{bounding:016x} CapAmb:{0:016x} NoNewPrivs:1",
        0
    )
}

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SETFCAP.
const DEFAULT: u64 = 0x8000_05fb;
const ALL: u64 = (1 << 41) - 1;

#[test]
fn of_root() {
    require!(userns, image "tiny");
    for (options, expected) in [
        (&[][..], DEFAULT),
        (&["--cap-add=SYS_PTRACE"], DEFAULT | 1 << 19),
        (
            &["--cap-add=cap_net_raw", "--cap-drop=Chown"],
            (DEFAULT | 1 << 13) & !1,
        ),
        (&["--cap-drop=ALL"], 0),
        (&["--cap-drop=all", "--cap-add=KILL"], 1 << 5),
        (&["--cap-add=ALL"], ALL),
        (&["--cap-add=ALL", "--cap-drop=SYS_ADMIN"], ALL & !(1 << 21)),
    ] {
        if expected == ALL && Lane::current() == Lane::Root {
            continue; // see `sys_admin_is_not_had_where_mounts_are_walls`
        }
        let mut case = Case::image("tiny");
        for option in options {
            case = case.option(*option);
        }
        case.sh(LOOK).stdout(&sets(expected, expected));
    }
}

#[test]
fn of_another_user_are_empty() {
    require!(userns, image "tiny");
    if Lane::current() == Lane::Single {
        // There is no other user; that one cannot be had is tested with the lanes.
        Case::image("tiny").sh(LOOK).stdout(&sets(DEFAULT, DEFAULT));
        return;
    }
    for (options, bounding) in [
        (&["--cap-add=NET_RAW"][..], DEFAULT | 1 << 13),
        (&["--cap-add=ALL", "--cap-drop=SYS_ADMIN"], ALL & !(1 << 21)),
    ] {
        options
            .iter()
            .fold(Case::image("tiny"), |case, option| case.option(*option))
            .with("--user=app")
            .sh(LOOK)
            .stdout(&sets(0, bounding));
    }
}

/// One path into a sandbox is as good as another.
#[test]
fn of_the_main_process_and_on_a_terminal() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--cap-drop=ALL")
        .sh("tr -d '\\t' </proc/2/status | grep ^CapEff; test \"$(tr '\\0' ' ' </proc/2/cmdline)\" = 'sleep 1000000 '")
        .stdout("CapEff:0000000000000000")
        .with("--tty")
        .sh("tr -d '\\t' </proc/self/status | grep ^CapEff | tr -d '\\r'")
        .stdout("CapEff:0000000000000000\r");
}

#[test]
fn sys_admin_is_not_had_where_mounts_are_walls() {
    require!(userns);
    let home = Home::new();
    let refused = |options: &[&str], part| {
        let words = ["run", "--rm", "--cap-add=SYS_ADMIN"];
        let command = ["host", "true"];
        let words = words.iter().chain(options).chain(&command);
        home.refused(words, 125, part);
    };
    if Lane::current() == Lane::Root {
        refused(&[], "would hand the host");
    } else {
        refused(&["--mask=/etc/hostname"], "could see what is to be hidden");
        refused(
            &["--volume=/usr/share:/v:ro"],
            "could write to read-only volumes",
        );
    }
    assert_eq!(home.run(["ps", "-aq"]), "");
}

#[test]
fn sys_admin_mounts_and_names() {
    require!(userns, ordinary, image "debian");
    // A host name is the sandbox's own; SYS_ADMIN and the filter both let it be set.
    Case::image("debian")
        .option("--cap-add=SYS_ADMIN")
        .sh("hostname mine && hostname && mount -t tmpfs none /mnt && echo mounted")
        .stdout("mine\nmounted");
}

#[test]
fn they_do_what_they_are_for() {
    require!(userns, image "debian");
    Case::image("debian")
        .option("--cap-add=SYS_CHROOT")
        .sh("chroot / echo in")
        .stdout("in");
    Case::image("debian").sh("chroot / true").status(125);
    Case::image("debian")
        .option("--cap-drop=CHOWN")
        .sh("touch /f; chown 0:7 /f && stat -c %g /f")
        // A single id: the call is answered, and nothing is done.
        .status(i32::from(Lane::current() != Lane::Single));
}
