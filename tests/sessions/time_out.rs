//! Commands that take too long: they end, the shell stays.

use std::time::{Duration, Instant};

use shedbox_client::spec::session::{SessionResult, SessionRun};

use crate::require;
use crate::scene::{SHELLS, Scene};
use crate::support::{eventually, patience};

fn limited(scene: &Scene, command: &str) -> SessionResult {
    let began = Instant::now();
    let result = scene.run_with(SessionRun {
        command: command.to_owned(),
        timeout_ms: Some(300),
        grace_ms: Some(300),
        ..SessionRun::default()
    });
    let limit = patience(Duration::from_secs(8));
    assert!(
        began.elapsed() < limit,
        "`{command}` took {:?}",
        began.elapsed()
    );
    result
}

#[test]
fn a_command_that_takes_too_long_ends_and_the_shell_stays() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        scene.run("cd /tmp; A=kept; (while :; do sleep 0.05; done) & echo $! > /tmp/earlier");
        for command in [
            "echo first; sleep 100; echo never",
            "echo first; while :; do :; done",
            "echo first; while :; do sleep 1; done",
            "echo first; sleep 100 | cat",
            "echo first; setsid sleep 100 & sleep 100",
            "echo first; sh -c 'trap \"\" INT; sleep 100'; true",
            "echo first; (trap '' INT; while :; do sleep 1; done)",
        ] {
            let result = limited(&scene, command);
            assert!(result.timed_out, "{shell}: `{command}`");
            assert_eq!(
                (result.exit_code, result.stdout.as_str(), &result.ended),
                (124, "first\n", &None),
                "{shell}: `{command}`"
            );
            assert_eq!(result.cwd, "/tmp", "{shell}: `{command}`");
            assert_eq!(
                scene.says("echo $A"),
                "kept\n",
                "{shell}: after `{command}`"
            );
            eventually("nothing that the command has started is left", || {
                let processes = scene.sandbox.processes().unwrap().processes;
                let of_it = |text: &str| matches!(text, "sleep 1" | "sleep 100");
                !processes.iter().any(|process| of_it(&process.command))
            });
        }
        // What was left in the background before is not the command's.
        assert_eq!(
            scene.says("kill -0 $(cat /tmp/earlier) && echo lives"),
            "lives\n",
            "{shell}"
        );
        let quick = limited(&scene, "echo quick");
        assert_eq!((quick.timed_out, quick.exit_code), (false, 0), "{shell}");
    }
}

#[test]
fn a_shell_that_does_not_come_back_is_given_up() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        let result = limited(&scene, "trap '' INT; while :; do :; done");
        assert!(
            result.timed_out && result.ended.is_some(),
            "{shell}: {result:?}"
        );
        assert_eq!(result.exit_code, 124);
        let error = scene.refused("echo x");
        assert!(
            error.contains("has ended: its shell was ended by signal 9"),
            "{shell}: {error}"
        );
    }
}

/// The second interrupt is sent while the shell is on its way back from the first.
#[test]
fn no_interrupt_is_left_for_the_next_command() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        for round in 0..25 {
            let result = scene.run_with(SessionRun {
                command: "sleep 100".to_owned(),
                timeout_ms: Some(20),
                grace_ms: Some(round % 5),
                ..SessionRun::default()
            });
            assert!(result.timed_out, "{shell}: {result:?}");
            assert_eq!(scene.says("echo next"), "next\n", "{shell}");
        }
    }
}
