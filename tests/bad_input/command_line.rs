//! Command lines: what cannot be run, and what cannot be meant.

use crate::support::{Home, scratch};
use crate::{assert_empty, refused, require};

/// No sandbox, no name, no socket.
#[track_caller]
fn nothing_left(home: &Home) {
    crate::support::eventually("nothing is left", || home.leaks().is_empty());
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
}

#[test]
fn commands_that_cannot_be_run() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    for (arguments, status, part) in [
        (
            &["no-such-program"][..],
            127,
            "executable file not found in $PATH",
        ),
        (&["/no/such/program"], 127, "no such file or directory"),
        (&["/etc/image"], 126, "permission denied"),
        (&["/etc"], 126, "permission denied"),
        (&[""], 126, "no command"),
    ] {
        for options in [&[][..], &["--rm"], &["--detach"], &["--name=named", "--rm"]] {
            let line = [&["run"], options, &[image.as_str()], arguments].concat();
            refused(&home, &line, status, &[part]);
            nothing_left(&home);
        }
    }
}

#[test]
fn users_that_nobody_knows() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    for (user, parts) in [
        ("nobody-knows", &["unable to find user nobody-knows"][..]),
        (
            "root:no-such-group",
            &["unable to find group no-such-group"],
        ),
        ("4294967295", &["4294967295"]),
        ("99999999999", &["99999999999"]),
    ] {
        let option = format!("--user={user}");
        let output = home
            .shedbox(["run", "--rm", &option, &image, "true"])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(125 | 126)),
            "{user}: {stderr}"
        );
        for part in parts {
            assert!(stderr.contains(part), "{user}: no `{part}` in {stderr}");
        }
        nothing_left(&home);
    }
}

#[test]
fn options_that_cannot_be_meant() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let file = tempfile::NamedTempFile::new_in(crate::support::scratch_base()).unwrap();
    let cow = format!("--volume={}:/f:cow", file.path().display());
    for (option, parts) in [
        ("--no-such-option", &["--no-such-option"][..]),
        ("--volume=/tmp:relative", &["relative", "absolute"]),
        (
            "--volume=/no/such/source:/data",
            &["/no/such/source", "does not exist", "hint: "],
        ),
        ("--volume=/tmp:/data:wx", &["wx"]),
        ("--volume=/tmp", &["/tmp"]),
        ("--volume=:/data", &["invalid"]),
        ("--volume=/tmp:/", &["`/`"]),
        ("--volume=/tmp:/a/../b", &["`..`"]),
        ("--volume=/tmp:/proc", &["/proc"]),
        ("--volume=/tmp:/dev", &["/dev"]),
        (&cow, &["cow", "not a directory", "hint: "]),
        ("--mount=type=volume,source=x,target=/x", &["volume"]),
        ("--mount=type=bind,target=/x", &["source"]),
        ("--mount=nonsense", &["nonsense"]),
        ("--tmpfs=relative", &["relative"]),
        ("--tmpfs=/x:size=much", &["much"]),
        ("--shm-size=much", &["much"]),
        ("--ulimit=nofile", &["nofile"]),
        ("--ulimit=nonsense=1", &["nonsense"]),
        ("--ulimit=nofile=10:5", &["nofile"]),
        ("--env==value", &["=value"]),
        ("--env-file=/no/such/file", &["/no/such/file"]),
        ("--workdir=relative", &["relative", "absolute"]),
        ("--hostname=not a name", &["not a name"]),
        ("--network=a b", &["a b", "hint: "]),
        ("--stop-signal=NOPE", &["NOPE"]),
        ("--stop-timeout=soon", &["soon"]),
        ("--platform=linux/", &["linux/", "hint: "]),
        ("--platform=linux/s390x", &["linux/s390x"]),
        ("--label==value", &["=value"]),
        ("--name=not/a/name", &["not/a/name"]),
        ("--ttl=never", &["never"]),
        ("--add-host=nonsense", &["nonsense"]),
        ("--pull=sometimes", &["sometimes"]),
        ("--cidfile=/no/such/dir/file", &["/no/such/dir/file"]),
    ] {
        refused(&home, &["run", "--rm", option, &image, "true"], 125, parts);
        refused(&home, &["create", option, &image, "true"], 125, parts);
    }
    refused(
        &home,
        &["run", "--volume=/tmp:/a", "--tmpfs=/a", &image, "true"],
        125,
        &["duplicate", "/a"],
    );
    refused(&home, &["run"], 125, &["IMAGE"]);
    refused(&home, &["no-such-command"], 125, &["no-such-command"]);
    refused(
        &home,
        &["run", "--rootfs=/no/such/dir", "true"],
        125,
        &["/no/such/dir"],
    );
    nothing_left(&home);
}

#[test]
fn a_working_directory_that_is_missing_is_made() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    assert_eq!(
        home.run(["run", "--rm", "--workdir=/a/b/c", &image, "pwd"]),
        "/a/b/c"
    );
    refused(
        &home,
        &["run", "--rm", "--workdir=/etc/passwd", &image, "pwd"],
        126,
        &["/etc/passwd", "not a directory"],
    );
    nothing_left(&home);
}

#[test]
fn names_that_are_taken() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    home.run(["create", "--name=taken", &image, "true"]);
    refused(
        &home,
        &["run", "--name=taken", &image, "true"],
        125,
        &["taken", "hint: "],
    );
    home.run(["rm", "taken"]);
    assert_eq!(
        home.run(["run", "--rm", "--name=taken", &image, "echo", "free"]),
        "free"
    );
    nothing_left(&home);
}

#[test]
fn sandboxes_that_do_not_exist() {
    require!(userns);
    let home = Home::new();
    let dir = scratch();
    let host = dir.path().join("copy");
    let host = host.to_str().unwrap();
    for (arguments, status) in [
        (&["exec", "nobody", "true"][..], 125),
        (&["start", "nobody"], 1),
        (&["stop", "nobody"], 1),
        (&["kill", "nobody"], 1),
        (&["reset", "nobody"], 1),
        (&["rm", "nobody"], 1),
        (&["logs", "nobody"], 1),
        (&["wait", "nobody"], 1),
        (&["diff", "nobody"], 1),
        (&["attach", "nobody"], 125),
        (&["cp", "nobody:/etc/passwd", host], 1),
        (&["cp", "/etc/passwd", "nobody:/tmp/"], 1),
        (&["stats", "--no-stream", "nobody"], 1),
    ] {
        refused(&home, arguments, status, &["nobody"]);
    }
    assert!(!std::path::Path::new(host).exists());
    // Removing by force what is not there is no failure, as in docker.
    home.run(["rm", "--force", "nobody"]);
    assert_empty(&home);
}

#[test]
fn a_configuration_that_is_wrong() {
    require!(userns);
    for (toml, part) in [
        ("pull_jobs = \"many\"", "pull_jobs"),
        ("no_such_setting = 1", "no_such_setting"),
        ("[", "config.toml"),
        (
            "[network]\ndefault = \"container:web\"",
            "invalid network name `container:web`",
        ),
        (
            "[network]\ndefault = \"a b\"",
            "`default` is `none`, `host`, `bridge` or the name of a network",
        ),
    ] {
        let home = Home::new();
        home.configure(toml);
        let output = home.shedbox(["ps"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains(part) && stderr.contains("config.toml"),
            "{toml}: {stderr}"
        );
    }
}
