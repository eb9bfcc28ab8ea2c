//! One process of ours is killed, and what goes on without it.

use std::io::Read;
use std::time::{Duration, Instant};

use shedbox_client::spec::api::{SandboxInfo, Status};

use super::timed::{Beside, let_pass, told};
use crate::require;
use crate::support::{Home, Kinship, eventually, unique};

/// A home with one sandbox that runs and has written a file.
struct Scene {
    home: Home,
    kin: Kinship,
    tiny: String,
    name: String,
}

impl Scene {
    fn new() -> Self {
        let kin = Kinship::begin();
        let home = Home::new();
        let tiny = home.image("tiny");
        let name = unique("box");
        home.run([
            "run", "--detach", "--name", &name, &tiny, "sleep", "1000000",
        ]);
        home.run(["exec", &name, "sh", "-c", "echo kept > /file"]);
        Self {
            home,
            kin,
            tiny,
            name,
        }
    }

    fn info(&self) -> SandboxInfo {
        self.home
            .client()
            .sandbox(&self.name)
            .and_then(|sandbox| sandbox.info())
            .expect("look at the sandbox")
    }

    fn kill_daemon(&self) -> i32 {
        let daemon = self.kin.daemon(&self.home).expect("a daemon");
        daemon.kill();
        eventually("the daemon is gone", || {
            self.kin.daemon(&self.home).is_none()
        });
        daemon.pid
    }

    fn kill_keeper(&self) -> i32 {
        let keepers = self.kin.keepers();
        assert_eq!(keepers.len(), 1, "{keepers:?}");
        keepers[0].kill();
        eventually("the keeper is gone", || self.kin.keepers().is_empty());
        keepers[0].pid
    }

    /// Everything that can be done to a sandbox can be done to this one.
    fn works(&self) {
        let (home, name) = (&self.home, self.name.as_str());
        let before = self.info();
        assert_eq!(before.status, Status::Running);
        assert_eq!(home.run(["exec", name, "cat", "/file"]), "kept");
        home.run(["stop", name]);
        home.run(["start", name]);
        assert_eq!(home.run(["exec", name, "cat", "/file"]), "kept");
        for _ in 0..3 {
            home.run(["exec", name, "sh", "-c", "echo new > /file"]);
            home.run(["reset", name]);
            home.refused(["exec", name, "cat", "/file"], 1, "No such file");
        }
        let after = self.info();
        assert_eq!(
            (&after.id, after.generation),
            (&before.id, before.generation + 4)
        );
        home.run(["rm", "-f", name]);
        assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
        home.run([
            "run", "--detach", "--name", name, &self.tiny, "sleep", "1000000",
        ]);
        assert_ne!(self.info().id, before.id);
    }
}

#[test]
fn a_command_does_not_notice_that_the_daemon_goes() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let mut command = scene.home.command([
        "exec",
        &scene.name,
        "sh",
        "-c",
        "echo begin; while ! test -e /go; do sleep 0.05; done; echo end; exit 7",
    ]);
    let mut client = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("start shedbox");
    let mut stdout = client.stdout.take().expect("stdout is piped");
    let mut begin = [0; 6];
    stdout.read_exact(&mut begin).expect("its first line");
    assert_eq!(&begin, b"begin\n");
    scene.kill_daemon();
    scene.kill_keeper();
    // Neither is needed for the next command either.
    scene.home.run(["exec", &scene.name, "touch", "/go"]);
    assert!(
        scene.kin.daemon(&scene.home).is_none(),
        "a command started a daemon"
    );
    let mut rest = String::new();
    stdout
        .read_to_string(&mut rest)
        .expect("the rest of its output");
    assert_eq!(rest, "end\n");
    assert_eq!(client.wait().expect("wait for shedbox").code(), Some(7));
    scene.works();
}

#[test]
fn the_next_daemon_adopts_what_lives() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let before = scene.info();
    let killed = scene.kill_daemon();
    let after = scene.info();
    assert_ne!(
        scene.kin.daemon(&scene.home).map(|daemon| daemon.pid),
        Some(killed)
    );
    assert_eq!(
        (
            &after.id,
            after.generation,
            after.status,
            after.init_pid,
            &after.started_at
        ),
        (
            &before.id,
            before.generation,
            Status::Running,
            before.init_pid,
            &before.started_at
        )
    );
    scene.works();
}

#[test]
fn sandboxes_go_on_without_the_keeper_and_a_new_one_comes() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let killed = scene.kill_keeper();
    assert_eq!(
        scene.home.run(["exec", &scene.name, "cat", "/file"]),
        "kept"
    );
    let other = unique("other");
    scene.home.run([
        "run",
        "--detach",
        "--name",
        &other,
        &scene.tiny,
        "sleep",
        "1000000",
    ]);
    // A process that makes a spare meanwhile has the keeper's name for a moment.
    eventually("one new keeper", || {
        let keepers = scene.kin.keepers();
        keepers.len() == 1 && keepers[0].pid != killed
    });
    scene.home.run(["rm", "-f", &other]);
    scene.works();
}

#[test]
fn the_next_daemon_re_enters_the_namespace_of_a_sandbox() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let namespace =
        |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/user")).expect("its namespace");
    let before = namespace(scene.kin.daemon(&scene.home).expect("a daemon").pid);
    let init = scene.info().init_pid;
    scene.kill_daemon();
    scene.kill_keeper();
    let after = scene.info();
    assert_eq!((after.status, after.init_pid), (Status::Running, init));
    assert_eq!(
        namespace(scene.kin.daemon(&scene.home).expect("a daemon").pid),
        before
    );
    scene.works();
}

#[test]
fn a_sandbox_whose_init_was_killed_is_shown_exited_and_starts_again() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let init = scene.info().init_pid.expect("an init");
    shedbox_linux::process::signal(init, 9).expect("kill init");
    let waited = scene.home.run(["wait", &scene.name]);
    assert_eq!(waited, "137");
    let info = scene.info();
    assert_eq!(
        (info.status, info.exit_code, info.init_pid),
        (Status::Exited, 137, None)
    );
    eventually("nothing of it runs", || scene.kin.inside().is_empty());
    scene
        .home
        .refused(["exec", &scene.name, "true"], 125, "is not running");
    scene.home.run(["start", &scene.name]);
    scene.works();
}

#[test]
fn after_the_end_of_everything_sandboxes_start_again() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    scene.kill_daemon();
    scene.kill_keeper();
    for init in scene.kin.inits() {
        init.kill();
    }
    eventually("all inits are gone", || scene.kin.inside().is_empty());
    let info = scene.info();
    assert_eq!(
        (info.status, info.exit_code, info.init_pid),
        (Status::Exited, 137, None)
    );
    scene.home.run(["start", &scene.name]);
    scene.works();
}

#[test]
fn who_waits_for_a_daemon_that_dies_is_told() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let waiting = ["wait", "logs"].map(|verb| {
        let arguments: &[&str] = match verb {
            "wait" => &["wait", &scene.name],
            _ => &["logs", "--follow", &scene.name],
        };
        Beside::start(scene.home.command(arguments))
    });
    let_pass(Duration::from_millis(300));
    scene.kill_daemon();
    for client in waiting {
        let output = client.end();
        assert!(!output.status.success(), "{}", told(&output));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_killed_client_takes_its_own_command_and_nothing_else() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let (home, name) = (&scene.home, scene.name.as_str());
    let mut doomed =
        Beside::start(home.command(["exec", name, "sh", "-c", "sleep 3001 & sleep 3001"]));
    let other = Beside::start(home.command([
        "exec",
        name,
        "sh",
        "-c",
        "while ! test -e /go; do sleep 0.05; done; echo done",
    ]));
    let count = || {
        home.run([
            "exec",
            name,
            "sh",
            "-c",
            "ps | grep -c '[s]leep 3001$'; true",
        ])
    };
    eventually("both processes run", || count() == "2");
    doomed.kill();
    doomed.end();
    eventually("both processes have gone", || count() == "0");
    home.run(["exec", name, "touch", "/go"]);
    assert_eq!(other.end().stdout, b"done\n");
}

#[test]
fn the_second_daemon_says_who_is_first_and_leaves() {
    require!(userns, image "tiny");
    let scene = Scene::new();
    let first = scene.kin.daemon(&scene.home).expect("a daemon").pid;
    let began = Instant::now();
    let output = Beside::start(scene.home.command(["daemon", "--foreground"])).end();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(
        told(&output).contains(&first.to_string()),
        "{}",
        told(&output)
    );
    assert!(told(&output).contains("hint:"), "{}", told(&output));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(
        scene.kin.daemon(&scene.home).map(|daemon| daemon.pid),
        Some(first)
    );
    scene.works();
}

#[test]
fn many_first_clients_start_one_daemon() {
    require!(userns);
    let kin = Kinship::begin();
    let home = Home::new();
    let clients: Vec<Beside> = (0..16)
        .map(|_| Beside::start(home.command(["ps", "--all"])))
        .collect();
    for client in clients {
        let output = client.end();
        assert!(output.status.success(), "{}", told(&output));
    }
    let all = kin.all();
    let daemons = all.iter().filter(|kin| kin.command.contains(" daemon"));
    assert_eq!((daemons.count(), kin.keepers().len()), (1, 1), "{all:#?}");
}
