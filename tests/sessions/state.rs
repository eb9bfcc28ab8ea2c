//! What lasts, and what does not.

use shedbox_client::spec::session::{SessionCreate, SessionRun, SessionStatus};

use crate::require;
use crate::scene::{SHELLS, Scene};
use crate::support::Lane;

#[test]
fn directory_variables_and_functions_last() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        let first = scene.run("cd /tmp; export A='x y'; B=2; f() { echo \"f of $1\"; }; umask 077");
        assert_eq!(
            (first.exit_code, first.cwd.as_str()),
            (0, "/tmp"),
            "{shell}"
        );
        assert_eq!(
            scene.says("pwd; sh -c 'echo $A'; echo $B; f it; umask"),
            "/tmp\nx y\n2\nf of it\n0077\n",
            "{shell}"
        );
        assert_eq!(scene.run("false").exit_code, 1);
        assert_eq!(scene.says("echo $?"), "1\n", "{shell}");
        assert_eq!(scene.says("echo $?"), "0\n");
        assert_eq!(
            scene.says("for i in 1 2\ndo\n  echo \"it's $i\"\ndone"),
            "it's 1\nit's 2\n"
        );
        assert_eq!(
            scene.says("echo 'a!b' \"c\\d!e\" '$A' \\'"),
            "a!b c\\d!e $A '\n"
        );
        let named = scene.run("mkdir '/tmp/a b\nc'; cd '/tmp/a b\nc'");
        assert_eq!(named.cwd, "/tmp/a b\nc", "{shell}");
        // Errors that end a shell which reads a script.
        for (command, part) in [
            ("if", "yntax error"),
            ("echo ${nope?gone}; echo no", "gone"),
        ] {
            let failed = scene.run(command);
            assert_ne!(failed.exit_code, 0, "{shell}: {command}");
            assert!(failed.stderr.contains(part), "{shell}: {failed:?}");
            assert_eq!(
                (failed.stdout.as_str(), failed.ended),
                ("", None),
                "{shell}"
            );
        }
        scene.run("PS1='prompt> '; PS2='more> '");
        assert_eq!(
            scene.says("echo no\necho prompt"),
            "no\nprompt\n",
            "{shell}"
        );
        assert_eq!(
            scene.says("exec 3>/tmp/own; echo taken"),
            "taken\n",
            "{shell}"
        );
        assert_eq!(scene.says("f again"), "f of again\n", "{shell}");
    }
}

#[test]
fn standard_input_is_the_commands_own() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        assert_eq!(scene.says("cat; echo end"), "end\n", "{shell}: nothing");
        let with = |command: &str, stdin: &str| {
            scene.run_with(SessionRun {
                command: command.to_owned(),
                stdin: Some(stdin.to_owned()),
                ..SessionRun::default()
            })
        };
        let text = "one $HOME `date` \\\n'two'\n";
        assert_eq!(with("cat", text).stdout, text, "{shell}");
        assert_eq!(
            with("read a; read b; echo \"$b.$a\"", "1\n2").stdout,
            "2.1\n"
        );
        assert_eq!(with("cat", "").stdout, "", "{shell}");
        let long = "0123456789abcde\n".repeat(20_000);
        assert_eq!(with("wc -c", &long).stdout.trim(), "320000", "{shell}");
        assert_eq!(scene.says("echo after"), "after\n", "{shell}");
        let error = scene.refused("echo a\0b");
        assert!(
            error.contains("command of a session has a NUL byte"),
            "{error}"
        );
    }
}

#[test]
fn commands_do_not_have_the_shells_descriptors() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        let list = "for fd in /proc/self/fd/*; do readlink $fd; done | grep -c pipe: ; sh -c 'echo x 0 / >&3' 2>&1 | wc -l";
        // Of the loop: its output, which is the pipe to grep, and standard error.
        let said = scene.says(list);
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        assert_eq!(lines[1], "1", "{shell}: number 3 is closed: {said}");
        let child = scene.says("sh -c 'ls /proc/self/fd | wc -l'");
        // 0, 1, 2 and the directory that ls reads.
        assert_eq!(child.trim(), "4", "{shell}");
    }
}

#[test]
fn made_as_it_was_asked_for() {
    require!(userns, image "tiny");
    let scene = Scene::empty("tiny");
    let wanted = SessionCreate {
        name: Some("work".into()),
        workdir: Some("/usr".into()),
        env: [("GREETING".to_owned(), "hello = you".to_owned())].into(),
        ..SessionCreate::default()
    };
    let made = scene.sandbox.create_session(&wanted).unwrap();
    assert_eq!(
        (made.shell.as_str(), made.cwd.as_str()),
        ("sh", "/usr"),
        "no bash there"
    );
    let run = |session: &str, command: &str| {
        let run = SessionRun {
            command: command.into(),
            ..SessionRun::default()
        };
        scene.sandbox.run_in_session(session, &run).unwrap().stdout
    };
    assert_eq!(run("work", "echo $GREETING; X=1"), "hello = you\n");
    assert_eq!(run(&made.id, "echo $X"), "1\n");
    let taken = scene
        .sandbox
        .create_session(&wanted)
        .unwrap_err()
        .to_string();
    assert!(
        taken.contains("the name `work` is taken by another session"),
        "{taken}"
    );
    if Lane::current() != Lane::Single {
        let user = SessionCreate {
            user: Some("1000".into()),
            ..SessionCreate::default()
        };
        let other = scene.sandbox.create_session(&user).unwrap();
        assert_eq!(run(&other.id, "id -u"), "1000\n");
        scene.sandbox.remove_session(&other.id).unwrap();
    }
    let list = scene.sandbox.sessions().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].status, list[0].commands), (SessionStatus::Idle, 2));
    for (shell, part) in [
        ("nope", "executable file not found"),
        ("cat", "does not work as the shell"),
    ] {
        let bad = SessionCreate {
            shell: Some(shell.into()),
            ..SessionCreate::default()
        };
        let error = scene.sandbox.create_session(&bad).unwrap_err().to_string();
        assert!(error.contains(part), "{shell}: {error}");
    }
    assert_eq!(
        scene.sandbox.sessions().unwrap().len(),
        1,
        "nothing is left of them"
    );
}

#[test]
fn the_command_does_it_too() {
    require!(userns, image "tiny");
    let scene = Scene::empty("tiny");
    let name = scene.sandbox.info().unwrap().name;
    let name = name.as_str();
    let home = &scene.home;
    let id = home.run(["session", "create", "--name", "work", "--env", "A=1", name]);
    assert_eq!(
        home.run(["session", "run", name, "work", "cd /tmp; echo $A"]),
        "1"
    );
    assert_eq!(home.run(["session", "run", name, &id, "pwd"]), "/tmp");
    let failed = home
        .shedbox(["session", "run", name, "work", "echo err >&2; (exit 7)"])
        .output()
        .unwrap();
    assert_eq!(
        (failed.status.code(), failed.stderr.as_slice()),
        (Some(7), &b"err\n"[..])
    );
    let listed = home.run(["session", "ls", name]);
    assert!(
        listed.contains(&id) && listed.contains("idle") && listed.contains("/tmp"),
        "{listed}"
    );
    home.run(["session", "rm", name, "work"]);
    home.refused(
        ["session", "run", name, "work", "true"],
        125,
        "has no session `work`",
    );
}
