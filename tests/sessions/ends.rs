//! How sessions end, and who does not end them.

use shedbox_client::spec::exec::End;
use shedbox_client::spec::session::{SessionCreate, SessionRun, SessionStatus};

use crate::require;
use crate::scene::{SHELLS, Scene};
use crate::support::eventually;

#[test]
fn exit_ends_the_session_with_its_status() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        for command in [
            "echo bye; exit 3",
            "set -e; echo bye; (exit 3); echo no",
            "exec sh -c 'echo bye; exit 3'",
        ] {
            let scene = Scene::of(image, shell);
            scene.run("setsid sleep 3456 & sleep 3456 &");
            let result = scene.run(command);
            let left = || {
                let list = scene.sandbox.processes().unwrap().processes;
                list.iter().any(|process| process.command == "sleep 3456")
            };
            eventually("what it has left ends with it", || !left());
            assert_eq!(result.exit_code, 3, "{shell}: `{command}`: {result:?}");
            assert_eq!(result.stdout, "bye\n", "{shell}: `{command}`");
            assert_eq!(result.ended, Some(End::Exited { code: 3 }), "{shell}");
            assert!(!result.timed_out);
            let error = scene.refused("echo x");
            assert!(
                error.contains("has ended: its shell exited with status 3"),
                "{error}"
            );
            let list = scene.sandbox.sessions().unwrap();
            assert_eq!((list.len(), list[0].status), (1, SessionStatus::Ended));
        }
    }
}

#[test]
fn a_reset_ends_it_also_in_the_middle_of_a_command() {
    require!(userns, image "tiny");
    let scene = Scene::of("tiny", "sh");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| scene.refused("echo > /tmp/begun; sleep 1000"));
        eventually("it has begun", || {
            let look = scene.sandbox.command("test").args(["-e", "/tmp/begun"]);
            look.status().unwrap().success()
        });
        let busy = scene.refused("echo x");
        assert!(busy.contains("is running a command"), "{busy}");
        scene.sandbox.reset().unwrap();
        let error = running.join().unwrap();
        assert!(
            error.contains("has ended: the sandbox was reset"),
            "{error}"
        );
    });
    let error = scene.refused("echo x");
    assert!(
        error.contains("has ended: the sandbox was reset"),
        "{error}"
    );
    scene.sandbox.stop(None).unwrap();
    let error = scene
        .sandbox
        .create_session(&SessionCreate::default())
        .unwrap_err();
    assert!(error.to_string().contains("is not running"), "{error}");
}

#[test]
fn it_outlives_its_client_and_not_the_daemon() {
    require!(userns, image "tiny");
    let scene = Scene::private("tiny", "sh");
    let name = scene.sandbox.info().unwrap().name;
    // The program has ended when the next one goes on.
    let home = &scene.home;
    home.run(["session", "run", &name, &scene.session, "X=1; cd /tmp"]);
    assert_eq!(
        home.run(["session", "run", &name, &scene.session, "echo $X; pwd"]),
        "1\n/tmp"
    );
    // A client that leaves in the middle.
    let words = [
        "session",
        "run",
        &name,
        &scene.session,
        "sleep 1; Y=2; echo > /tmp/done",
    ];
    let mut client = home.command(words).spawn().unwrap();
    eventually("it runs", || {
        scene.sandbox.sessions().unwrap()[0].status == SessionStatus::Running
    });
    client.kill().unwrap();
    client.wait().unwrap();
    eventually("its command went on", || {
        scene.sandbox.sessions().unwrap()[0].status == SessionStatus::Idle
    });
    assert_eq!(scene.says("ls /tmp/done; echo $Y"), "/tmp/done\n2\n");

    scene.run("sleep 4321 &");
    let daemon = home.client().version().unwrap().pid;
    shedbox_linux::process::signal(daemon, 9).unwrap();
    eventually("what came of the shell has ended", || {
        let look = scene
            .sandbox
            .command("sh")
            .args(["-c", "ps -o args | grep -v grep | grep -q 'sleep 4321'"]);
        !look.status().unwrap().success()
    });
    home.run(["ps", "--quiet"]);
    let error = scene.refused("echo x");
    assert!(error.contains("has no session"), "{error}");
    assert_eq!(scene.sandbox.sessions().unwrap(), []);
}

#[test]
fn removing_it_ends_what_it_left() {
    require!(userns, image "tiny");
    let scene = Scene::of("tiny", "sh");
    scene.run("setsid sleep 5432 & sleep 5432 &");
    scene.sandbox.remove_session(&scene.session).unwrap();
    eventually("nothing of it runs", || {
        scene
            .sandbox
            .processes()
            .unwrap()
            .processes
            .iter()
            .all(|process| !process.command.contains("5432"))
    });
    let run = SessionRun::default();
    let error = scene
        .sandbox
        .run_in_session(&scene.session, &run)
        .unwrap_err();
    assert!(error.to_string().contains("has no session"), "{error}");
}
