//! Output: apart, bounded, never in the way.

use shedbox_client::spec::session::SessionRun;

use crate::require;
use crate::scene::{SHELLS, Scene};
use crate::support::eventually;

#[test]
fn streams_are_apart_and_nothing_in_them_is_taken_for_an_end() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        let result =
            scene.run("echo out; echo err >&2; printf 'x 0 /\\000'; exec 5>&1; echo five >&5");
        assert_eq!(result.stdout, "out\nx 0 /\0five\n", "{shell}");
        assert_eq!(result.stderr, "err\n", "{shell}");
        assert!(!result.truncated);
        assert_eq!(scene.says("echo next"), "next\n", "{shell}");
    }
}

#[test]
fn much_output_keeps_its_head_and_its_tail() {
    require!(userns, image "tiny");
    let scene = Scene::of("tiny", "sh");
    let result = scene.run_with(SessionRun {
        command: "seq 1 200000; echo problem >&2".into(),
        output_limit: Some(1000),
        ..SessionRun::default()
    });
    let whole: usize = (1..=200_000).map(|n: u32| n.to_string().len() + 1).sum();
    assert_eq!(result.stdout_cut, whole as u64 - 1000);
    assert_eq!((result.truncated, result.stderr_cut), (true, 0));
    assert!(result.stdout.starts_with("1\n2\n3\n"), "{}", result.stdout);
    assert!(result.stdout.ends_with("\n199999\n200000\n"));
    let note = format!("\n[{} bytes left out]\n", result.stdout_cut);
    assert!(result.stdout.contains(&note), "{}", result.stdout);
    assert_eq!(result.stderr, "problem\n");
    let all = scene.run_with(SessionRun {
        command: "seq 1 200000".into(),
        output_limit: Some(16 << 20),
        ..SessionRun::default()
    });
    assert_eq!((all.stdout.len(), all.truncated), (whole, false));
}

#[test]
fn what_stays_in_the_background_does_not_hold_an_answer_up() {
    require!(userns, image "tiny", image "debian");
    for (image, shell) in SHELLS {
        let scene = Scene::of(image, shell);
        let result = scene.run("sleep 1000 & echo $! > /tmp/pid");
        assert_eq!(result.exit_code, 0, "{shell}");
        assert_eq!(
            scene.says("kill -0 $(cat /tmp/pid) && echo lives"),
            "lives\n"
        );
        // More than a pipe holds, while nobody asks for anything.
        scene.run("(sleep 0.2; seq 1 50000; touch /tmp/written) &");
        eventually("the writer was not held up", || {
            let look = scene.sandbox.command("test").args(["-e", "/tmp/written"]);
            look.status().unwrap().success()
        });
        let later = scene.run("echo asked");
        assert!(
            later.stdout.starts_with("1\n2\n") && later.stdout.ends_with("50000\nasked\n"),
            "{shell}: {} bytes",
            later.stdout.len()
        );
        // Children that end while the shell reads: more than busybox takes for ends of its input.
        scene.run("for i in $(seq 10 79); do sleep 0.$i & done 2>/dev/null");
        eventually("all of them have ended", || {
            let processes = scene.sandbox.processes().unwrap().processes;
            !processes
                .iter()
                .any(|process| process.command.starts_with("sleep 0."))
        });
        let said = scene.run("echo still there");
        assert_eq!(said.stdout, "still there\n", "{shell}: {said:?}");
        assert_eq!(said.ended, None, "{shell}");
    }
}
