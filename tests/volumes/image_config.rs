//! What an image asks for: Entrypoint, Cmd, Env, WorkingDir, User, StopSignal, Labels.

use std::process::Command;

use crate::require;
use crate::support::{Home, Lane, images, scratch};

/// `tiny` with options of `umoci config`, in the store of `home`.
fn configured(home: &Home, options: &[&str]) -> String {
    let dir = scratch();
    let layout = dir.path().join("app");
    let copy = Command::new("cp")
        .arg("-rL")
        .arg(images::layout("tiny"))
        .arg(&layout)
        .status()
        .unwrap();
    assert!(copy.success());
    let output = Command::new("umoci")
        .args(["config", "--no-history", "--image"])
        .arg(format!("{}:latest", layout.display()))
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = home.run(["load", "--quiet", "--input", layout.to_str().unwrap()]);
    said.rsplit(": ").next().unwrap().to_owned()
}

#[test]
fn entrypoint_and_command() {
    require!(userns, program "umoci", image "tiny");
    let home = Home::new();
    let image = configured(
        &home,
        &[
            "--config.entrypoint=echo",
            "--config.entrypoint=entry",
            "--clear=config.cmd",
            "--config.cmd=one",
            "--config.cmd=two words",
        ],
    );
    let run = |options: &[&str], arguments: &[&str]| {
        let line: Vec<&str> = ["run", "--rm"]
            .into_iter()
            .chain(options.iter().copied())
            .chain([image.as_str()])
            .chain(arguments.iter().copied())
            .collect();
        home.run(line)
    };
    assert_eq!(run(&[], &[]), "entry one two words");
    assert_eq!(run(&[], &["mine", "-n"]), "entry mine -n");
    assert_eq!(run(&["--entrypoint=printf"], &["%s-", "a", "b"]), "a-b-");
    // An entrypoint of the caller's drops the image's command, too.
    assert_eq!(run(&["--entrypoint=pwd"], &[]), "/");
    assert_eq!(run(&["--entrypoint="], &["echo", "bare"]), "bare");
    home.refused(["run", "--rm", "--entrypoint=", &image], 125, "command");
}

#[test]
fn environment_directory_labels() {
    require!(userns, program "umoci", image "tiny");
    let home = Home::new();
    let image = configured(
        &home,
        &[
            "--config.env=A=image",
            "--config.env=B=image",
            "--config.workingdir=/srv/app",
            "--config.label=who=image",
            "--config.label=what=test",
        ],
    );
    let text = home.run([
        "run",
        "--rm",
        "--env=B=mine",
        &image,
        "sh",
        "-c",
        "echo $A $B; pwd; stat -c %u:%a .",
    ]);
    assert_eq!(text, "image mine\n/srv/app\n0:755");
    assert_eq!(
        home.run(["run", "--rm", "--workdir=/tmp", &image, "pwd"]),
        "/tmp"
    );
    home.run(["create", "--name=box", "--label=who=mine", &image]);
    let value: serde_json::Value = serde_json::from_str(&home.run(["inspect", "box"])).unwrap();
    assert_eq!(
        value[0]["labels"],
        serde_json::json!({"who": "mine", "what": "test", "shedbox.test": "tiny"})
    );
    assert_eq!(value[0]["workdir"], "/srv/app");
    home.run(["rm", "box"]);
}

#[test]
fn the_images_user() {
    require!(userns, program "umoci", image "tiny");
    let home = Home::new();
    for (user, expected) in [
        ("app", "1000:1000 /home/app"),
        ("1000:2000", "1000:2000 /home/app"),
        ("app:nogroup", "1000:65534 /home/app"),
        ("4242", "4242:0 /"),
    ] {
        let image = configured(&home, &[&format!("--config.user={user}")]);
        let text = home.run([
            "run",
            "--rm",
            &image,
            "sh",
            "-c",
            "echo $(id -u):$(id -g) $HOME",
        ]);
        match Lane::current() {
            // There is nobody but root; the image's wish is not the caller's: docs/lanes.md.
            Lane::Single => {
                let home = expected.split_once(' ').unwrap().1;
                assert_eq!(text, format!("0:0 {home}"), "{user}");
            }
            Lane::Subids | Lane::Root => assert_eq!(text, expected, "{user}"),
        }
        assert_eq!(
            home.run(["run", "--rm", "--user=root", &image, "id", "-u"]),
            "0"
        );
    }
    let image = configured(&home, &["--config.user=nobody-knows"]);
    home.refused(
        ["run", "--rm", &image, "true"],
        126,
        "unable to find user nobody-knows",
    );
}

#[test]
fn the_images_stop_signal() {
    require!(userns, program "umoci", image "tiny");
    let home = Home::new();
    let image = configured(&home, &["--config.stopsignal=SIGINT"]);
    let script = "trap 'exit 5' INT; trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done";
    home.run(["run", "--detach", "--name=box", &image, "sh", "-c", script]);
    crate::support::eventually("it is up", || home.run(["logs", "box"]) == "up");
    home.run(["stop", "box"]);
    assert_eq!(home.run(["wait", "box"]), "5");
    home.run(["rm", "box"]);
}

/// Accounts are those of the sandbox as it is, not of the image as it was.
#[test]
fn a_user_that_the_sandbox_has_made() {
    require!(userns, many_ids, image "tiny");
    crate::support::Case::image("tiny")
        .sh("echo late:x:1500:1500::/tmp:/bin/sh >>/etc/passwd")
        .ok()
        .with("--user=late")
        .sh("id -u; echo $HOME")
        .stdout("1500\n/tmp")
        .reset()
        .with("--user=late")
        .exec(["true"])
        .stderr("unable to find user late")
        .status(126);
}
