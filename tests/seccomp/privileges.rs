//! Programs that gain privileges by being executed.

use crate::require;
use crate::support::{Case, Lane};

/// The group is changed first, because that takes the bit away.
const COPY: &str =
    "cp /usr/bin/id /suid && chown 0:0 /suid && chmod 4755 /suid && stat -c %a /suid";

#[test]
fn a_setuid_program_gains_nothing() {
    require!(userns, many_ids, image "debian");
    Case::image("debian")
        .sh(COPY)
        .stdout("4755")
        .with("--user=app")
        .sh("/suid -u")
        .stdout("1000");
}

#[test]
fn without_no_new_privileges_it_gains_what_the_map_has() {
    require!(userns, many_ids, image "debian");
    Case::image("debian")
        .option("--security-opt=no-new-privileges=false")
        .sh(COPY)
        .stdout("4755")
        .with("--user=app")
        .sh("/suid -u; grep NoNewPrivs /proc/self/status | tr -d '\\t'")
        .stdout("0\nNoNewPrivs:0")
        // No more than root inside has, and the filter all the same.
        .with("--user=app")
        .sh("grep CapBnd /proc/self/status | tr -d '\\t'")
        .stdout("CapBnd:00000000800005fb")
        .with("--user=app")
        .sh("unshare --user true 2>&1 | grep -o 'Operation not permitted'")
        .stdout("Operation not permitted");
}

/// A filter that init could not live with goes on each command: before it loses the capability that this takes.
#[test]
fn a_filter_of_the_callers_without_no_new_privileges() {
    require!(userns, image "debian");
    let dir = crate::support::scratch();
    let file = dir.path().join("profile.json");
    std::fs::write(
        &file,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#,
    )
    .unwrap();
    let case = Case::image("debian")
        .option("--security-opt=no-new-privileges=false")
        .option(format!("--security-opt=seccomp={}", file.display()))
        .sh("mkdir /d 2>&1 | grep -o 'No space left on device'; grep ^NoNewPrivs /proc/self/status | tr -d '\\t'")
        .stdout("No space left on device\nNoNewPrivs:0");
    if Lane::current() != Lane::Single {
        case.with("--user=app")
            .sh("mkdir /tmp/d 2>&1 | grep -o 'No space left on device'")
            .stdout("No space left on device");
    }
}
