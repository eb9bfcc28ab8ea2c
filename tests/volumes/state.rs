//! What can be asked of a sandbox: changes, use of resources, how it ended.

use std::process::Stdio;

use serde_json::Value;

use crate::require;
use crate::support::{Case, Home, eventually};

#[test]
fn changes_since_the_image() {
    require!(userns, image "tiny");
    let case = Case::image("tiny")
        .sh("echo x >>/etc/image; rm /etc/group; mkdir -p /new/sub; echo y >/new/sub/file; rm -r /home; mkdir /home; touch /home/own; chmod 700 /var; ln -s x /link; rm /bin/ash; mv /bin/arch /bin/moved")
        .ok();
    let (home, name) = (case.get_home(), case.name());
    let expected = [
        "A /bin/moved",
        "A /home/own",
        "A /link",
        "A /new",
        "A /new/sub",
        "A /new/sub/file",
        "C /bin",
        "C /etc",
        "C /etc/image",
        "C /home",
        "C /var",
        "D /bin/arch",
        "D /bin/ash",
        "D /etc/group",
        "D /home/app",
    ];
    let mut found: Vec<String> = home
        .run(["diff", name])
        .lines()
        .map(str::to_owned)
        .collect();
    found.sort();
    assert_eq!(found, expected);
    let json: Value = serde_json::from_str(&home.run(["diff", "--format=json", name])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), expected.len());
    let case = case.reset();
    assert_eq!(case.get_home().run(["diff", case.name()]), "");
}

#[test]
fn a_stopped_sandbox_keeps_its_changes() {
    require!(userns, image "tiny");
    let case = Case::image("tiny")
        .sh("echo x >/new")
        .ok()
        .command(["stop"])
        .ok();
    assert_eq!(case.get_home().run(["diff", case.name()]), "A /new");
    case.command(["start"]).ok().sh("cat /new").stdout("x");
}

#[test]
fn exit_statuses_of_run() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    for (script, status) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 125", 125),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -ABRT $$", 134),
    ] {
        let output = home
            .shedbox(["run", "--name=box", &image, "sh", "-c", script])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{script}: {output:?}");
        assert_eq!(home.run(["wait", "box"]), status.to_string());
        let value: Value = serde_json::from_str(&home.run(["inspect", "box"])).unwrap();
        assert_eq!(value[0]["exit_code"], status, "{script}");
        assert_eq!(value[0]["status"], "exited");
        // At once: whoever was told that it has ended finds it ended.
        home.run(["rm", "box"]);
    }
}

#[test]
fn standard_input_of_run() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let bytes: Vec<u8> = (0..=255u8).cycle().take(200_000).collect();
    let output = home
        .shedbox(["run", "--rm", "-i", &image, "cat"])
        .write_stdin(bytes.clone())
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stdout == bytes,
        "{} bytes came back",
        output.stdout.len()
    );
    let output = home
        .shedbox(["run", "--rm", &image, "wc", "-c"])
        .write_stdin("ignored")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"0\n");
    let output = home
        .shedbox([
            "run",
            "--rm",
            &image,
            "sh",
            "-c",
            "echo out; echo err >&2; exit 4",
        ])
        .output()
        .unwrap();
    assert_eq!(
        (
            output.status.code(),
            output.stdout.as_slice(),
            output.stderr.as_slice()
        ),
        (Some(4), &b"out\n"[..], &b"err\n"[..])
    );
}

#[test]
fn signals_to_the_main_process() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let script =
        "trap 'echo usr1' USR1; trap 'echo hup; exit 9' HUP; echo up; while :; do sleep 0.05; done";
    home.run(["run", "--detach", "--name=box", &image, "sh", "-c", script]);
    let says = |text: &str| eventually(text, || home.run(["logs", "box"]).ends_with(text));
    says("up");
    home.run(["kill", "--signal=USR1", "box"]);
    says("usr1");
    home.run(["kill", "-s", "1", "box"]);
    assert_eq!(home.run(["wait", "box"]), "9");
    home.refused(["kill", "box"], 1, "box");
    home.refused(["exec", "box", "true"], 125, "not running");
    home.run(["start", "box"]);
    home.run(["kill", "box"]);
    assert_eq!(home.run(["wait", "box"]), "137");
    home.run(["rm", "box"]);
}

#[test]
fn removal_by_itself() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    assert_eq!(home.run(["run", "--rm", &image, "echo", "x"]), "x");
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
    home.run([
        "run",
        "--rm",
        "--detach",
        "--name=box",
        &image,
        "sleep",
        "0.3",
    ]);
    eventually("it has gone", || {
        home.run(["ps", "--all", "--quiet"]).is_empty()
    });
    home.run(["run", "--detach", "--name=box", &image, "sleep", "1000"]);
    home.refused(["rm", "box"], 1, "running");
    home.run(["rm", "--force", "box"]);
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
}

#[test]
fn use_of_resources() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    home.run([
        "run",
        "--detach",
        "--name=busy",
        &image,
        "sh",
        "-c",
        "sleep 1000 & while :; do :; done",
    ]);
    let usage = || -> Value {
        serde_json::from_str(&home.run(["stats", "--no-stream", "--format=json"])).unwrap()
    };
    eventually("it computes", || {
        usage()[0]["cpu_percent"]
            .as_f64()
            .is_some_and(|percent| percent > 5.0)
    });
    let found = usage();
    assert_eq!(
        (&found[0]["name"], &found[0]["pids"]),
        (&"busy".into(), &2.into()),
        "{found}"
    );
    assert!(found[0]["memory"].as_u64().unwrap() > 4096, "{found}");
    let top = home.run(["top", "busy"]);
    assert!(top.contains("sleep 1000"), "{top}");
    home.run(["rm", "--force", "busy"]);
}

#[test]
fn logs_as_they_come() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let script = "echo 1; echo 2 >&2; read line; echo $line; printf unfinished";
    home.run(["create", "--name=box", "-i", &image, "sh", "-c", script]);
    let mut start = home
        .command(["start", "-i", "box"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it has begun", || {
        home.shedbox(["logs", "box"]).output().unwrap().stdout == b"1\n"
    });
    let follower = home
        .command(["logs", "--follow", "box"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut start.stdin.take().unwrap(), b"three\n").unwrap();
    assert!(start.wait().unwrap().success());
    let output = follower.wait_with_output().unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"1\nthree\nunfinished"[..], &b"2\n"[..])
    );
    assert_eq!(home.run(["logs", "--tail=1", "box"]), "unfinished");
    home.run(["rm", "box"]);
}
