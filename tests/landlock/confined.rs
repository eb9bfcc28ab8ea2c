//! `--isolation landlock`: what the command starts with, and what is refused.

use std::process::{Output, Stdio};

use crate::attempt::abi;
use crate::support::{Home, scratch_base};

/// Runs a command without a sandbox.
pub(crate) fn run(options: &[&str], command: &[&str]) -> Output {
    Home::shared()
        .command(
            ["run", "--isolation", "landlock"]
                .iter()
                .chain(options)
                .chain(&["host"])
                .chain(command),
        )
        .stdin(Stdio::null())
        .output()
        .expect("run shedbox")
}

/// What it says, when it succeeds.
#[track_caller]
pub(crate) fn said(options: &[&str], command: &[&str]) -> String {
    let output = run(options, command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[track_caller]
fn refused(options: &[&str], part: &str) {
    let output = run(options, &["true"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{options:?}: {stderr}");
    assert!(stderr.contains(part), "no `{part}` in {stderr}");
}

/// True where there is no Landlock, after checking that this is said.
pub(crate) fn impossible() -> bool {
    if abi() == 0 {
        refused(
            &[],
            "needs Landlock ABI 1 (Linux 5.13): this kernel has no Landlock, or it is switched off",
        );
    }
    abi() == 0
}

#[test]
fn the_status_is_the_commands() {
    if impossible() {
        return;
    }
    for (script, status) in [
        ("exit 0", 0),
        ("exit 42", 42),
        ("kill -9 $$", 137),
        ("kill -15 $$", 143),
    ] {
        assert_eq!(
            run(&[], &["sh", "-c", script]).status.code(),
            Some(status),
            "{script}"
        );
    }
    for (command, status, word) in [
        ("no-such-program", 127, "executable file not found"),
        ("/no/such/program", 127, "no such file"),
        ("/etc/passwd", 126, "permission denied"),
    ] {
        let output = run(&[], &[command]);
        assert_eq!(output.status.code(), Some(status), "{command}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(word),
            "{command}"
        );
    }
}

/// One line, each time, and nothing on standard output.
#[test]
fn it_says_that_it_is_weaker() {
    if impossible() {
        return;
    }
    let output = run(&[], &["true"]);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let start = format!("shedbox: weaker isolation: Landlock ABI {}", abi());
    assert!(stderr.starts_with(&start), "{stderr}");
    assert_eq!(stderr.contains("signal your other processes"), abi() < 6);
    assert_eq!(stderr.contains("cut off files"), abi() < 3);
    assert!(stderr.contains("modes, owners and times"));
    assert_eq!(output.stdout, b"");
}

#[test]
fn the_environment_is_clean() {
    if impossible() {
        return;
    }
    let output = Home::shared()
        .command([
            "run",
            "--isolation",
            "landlock",
            "--env=GIVEN=1",
            "host",
            "env",
        ])
        .env("LEAKED", "secret")
        .env("TERM", "vt100")
        .output()
        .expect("run shedbox");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["GIVEN", "HOME", "PATH", "TERM", "TMPDIR"]);
    assert!(text.contains("TERM=vt100"));
}

/// Whatever the caller had open is closed.
#[test]
fn descriptors_are_closed() {
    if impossible() {
        return;
    }
    let home = Home::shared();
    let program = home.command(["x"]).get_program().to_owned();
    let script = format!(
        "exec 7</etc/passwd; exec {} run --isolation landlock host python3 -c '
import os
for fd in range(256):
    try: os.fstat(fd)
    except OSError: continue
    print(fd)'",
        program.display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n");
}

#[test]
fn a_private_directory_comes_and_goes() {
    if impossible() {
        return;
    }
    let dir = said(
        &[],
        &[
            "sh",
            "-c",
            "test \"$HOME\" = \"$PWD\" && test \"$TMPDIR\" = \"$PWD\" && mkdir -p a/b && touch a/b/c && pwd",
        ],
    );
    let dir = std::path::Path::new(dir.trim_end());
    assert!(dir.is_absolute());
    assert!(!dir.exists() && !dir.parent().expect("a parent").exists());
}

#[test]
fn the_working_directory_may_be_written() {
    if impossible() {
        return;
    }
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    let path = dir.path().to_str().expect("UTF-8");
    let option = format!("--workdir={path}");
    assert_eq!(
        said(&[&option], &["sh", "-c", "pwd; umask; echo text > made"]),
        format!("{path}\n0022\n")
    );
    assert_eq!(
        std::fs::read_to_string(dir.path().join("made")).expect("read"),
        "text\n"
    );
}

#[test]
fn volumes_are_paths_where_they_are() {
    if impossible() {
        return;
    }
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    let part = |name: &str| {
        let part = dir.path().join(name);
        std::fs::create_dir(&part).expect("mkdir");
        std::fs::write(part.join("file"), name).expect("write");
        part.to_str().expect("UTF-8").to_owned()
    };
    let (ro, rw, other) = (part("ro"), part("rw"), part("other"));
    let script = format!(
        "cat {ro}/file {rw}/file; touch {ro}/new 2>/dev/null || echo -n ' ro'; touch {rw}/new && echo -n ' rw'; \
         cat {other}/file 2>/dev/null || echo -n ' closed'"
    );
    let options = [
        format!("--volume={ro}:{ro}:ro"),
        format!("--volume={rw}:{rw}"),
    ];
    assert_eq!(
        said(&[&options[0], &options[1]], &["sh", "-c", &script]),
        "rorw ro rw closed"
    );
    let options = [format!("--landlock-ro={ro}"), format!("--landlock-rw={rw}")];
    assert_eq!(
        said(
            &[&options[0], &options[1]],
            &["sh", "-c", &script.replace("touch", "truncate -s 0")]
        )
        .replace(" ro", ""),
        "rorw rw closed"
    );
}

#[test]
fn input_limits_and_capabilities() {
    if impossible() {
        return;
    }
    let mut child = Home::shared()
        .command([
            "run",
            "--isolation",
            "landlock",
            "--interactive",
            "--ulimit=nofile=77:77",
            "host",
        ])
        .args(["sh", "-c", "cat; ulimit -n; ulimit -c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run shedbox");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"input\n").expect("write");
    let output = child.wait_with_output().expect("wait");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "input\n77\n0\n");
    // Without `-i` there is no input.
    assert_eq!(said(&[], &["cat"]), "");
    let status = said(
        &[],
        &[
            "grep",
            "-E",
            "^(CapPrm|CapEff|CapInh|NoNewPrivs|Seccomp):",
            "/proc/self/status",
        ],
    );
    assert_eq!(
        status.split_whitespace().collect::<Vec<_>>(),
        [
            "CapInh:",
            "0000000000000000",
            "CapPrm:",
            "0000000000000000",
            "CapEff:",
            "0000000000000000",
            "NoNewPrivs:",
            "1",
            "Seccomp:",
            "2",
        ]
    );
}

#[test]
fn what_needs_a_sandbox_is_refused() {
    for (options, part) in [
        (&["--detach"][..], "`--detach` cannot be had"),
        (&["--cidfile=/tmp/none"], "`--cidfile` cannot be had"),
        (&["--name=a"], "cannot give the command a name"),
        (&["--user=1"], "another user"),
        (&["--hostname=a"], "a host name"),
        (&["--tmpfs=/t"], "a tmpfs"),
        (
            &["--volume=/usr:/other"],
            "`/usr` cannot appear as `/other`",
        ),
        (&["--volume=/usr:/usr:cow"], "a copy-on-write volume"),
        (&["--memory=1g"], "limits by cgroup"),
        (&["--cap-add=SYS_PTRACE"], "capabilities"),
        (&["--read-only"], "a read-only root"),
        (&["--landlock=off"], "would be no isolation"),
        (
            &["--workdir=/"],
            "would let the whole file system be written",
        ),
    ] {
        refused(options, part);
    }
    let home = Home::shared();
    home.refused(
        ["run", "--isolation=landlock", "debian", "true"],
        125,
        "it has no images",
    );
    home.refused(
        ["run", "--isolation=landlock", "host"],
        125,
        "no command was given",
    );
    home.refused(
        ["create", "--isolation=landlock", "host", "true"],
        125,
        "unexpected argument '--isolation'",
    );
}

#[test]
fn what_is_named_must_be_there() {
    if impossible() {
        return;
    }
    for option in ["--landlock-ro=/no/such", "--volume=/no/such:/no/such"] {
        let output = run(&[option], &["true"]);
        assert_eq!(output.status.code(), Some(126));
        assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such: no such file"));
    }
    if abi() < 4 {
        refused(
            &["--allow-tcp-connect=80"],
            "limiting TCP ports needs Landlock ABI 4 (Linux 6.7)",
        );
    }
    if abi() < 9 {
        refused(&["--landlock=require"], "needs Landlock ABI 9 (Linux 7.1)");
    }
}
