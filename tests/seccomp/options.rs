//! Options as people type them.

use crate::require;
use crate::support::Home;

fn refused(options: &[&str]) -> String {
    let home = Home::new();
    let mut arguments = vec!["run", "--rm"];
    arguments.extend(options);
    arguments.extend(["host", "true"]);
    let output = home.shedbox(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    stderr
}

#[test]
fn what_cannot_be_had_says_what_can() {
    require!(userns);
    for (option, part, hint) in [
        (
            "--privileged",
            "--privileged",
            "--security-opt seccomp=nested",
        ),
        (
            "--cap-add=SYS_ADMON",
            "unknown capability `SYS_ADMON`",
            "capabilities(7)",
        ),
        (
            "--security-opt=seccomp=nope",
            "cannot read the seccomp profile `nope`",
            "strict, default",
        ),
        (
            "--security-opt=apparmor=mine",
            "AppArmor profile `mine`",
            "hint:",
        ),
        (
            "--security-opt=label=type:x",
            "no SELinux labels",
            "label=disable",
        ),
        (
            "--security-opt=systempaths=unconfined",
            "cannot be opened",
            "hint:",
        ),
        (
            "--security-opt=other",
            "unknown security option `other`",
            "no-new-privileges",
        ),
        ("--mask=relative", "not absolute", "slash"),
    ] {
        let stderr = refused(&[option]);
        assert!(stderr.contains(part) && stderr.contains(hint), "{stderr}");
    }
}

#[test]
fn what_dockers_clients_say_is_accepted() {
    require!(userns);
    let home = Home::new();
    for option in [
        "seccomp=builtin",
        "seccomp:default",
        "no-new-privileges",
        "no-new-privileges:true",
        "label=disable",
        "apparmor=unconfined",
    ] {
        let option = format!("--security-opt={option}");
        home.run(["run", "--rm", &option, "host", "true"]);
    }
}
