//! 64 clients, 200 sandboxes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use shedbox_client::spec::api::{CreateRequest, Status};
use shedbox_client::{Client, SandboxSpec, auth_sources};

use crate::require;
use crate::support::wait::pause;
use crate::support::{Home, Kin, Kinship, Random, eventually, seed, unique};

/// Clients at once.
const CLIENTS: usize = 64;
/// Rounds of each.
const ROUNDS: usize = 4;
/// Sandboxes alive at once.
const SANDBOXES: usize = 200;
/// Nothing may take longer, on two busy cores.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs `work` for each number on a thread of its own; fails when one of them is not done in time.
fn at_once(count: usize, work: impl Fn(usize) + Clone + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let workers: Vec<_> = (0..count)
        .map(|number| {
            let (work, done) = (work.clone(), done.clone());
            std::thread::spawn(move || {
                work(number);
                done.send(number).expect("the test waits");
            })
        })
        .collect();
    drop(done);
    let deadline = Instant::now() + PATIENCE;
    let mut waiting: HashSet<usize> = (0..count).collect();
    while !waiting.is_empty() {
        match finished.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(number) => waiting.remove(&number),
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("these hang: {waiting:?}"),
            // One has panicked; the joins below say why.
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
    }
    for worker in workers {
        if let Err(panic) = worker.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Open descriptors of daemon and keeper, by pid.
fn open_files(home: &Home, kin: &Kinship) -> Vec<(Kin, usize)> {
    kin.daemon(home)
        .into_iter()
        .chain(kin.keepers())
        .map(|kin| {
            let count = kin.open_files().expect("count its descriptors");
            (kin, count)
        })
        .collect()
}

/// Neither has more open than before, but for `slack`.
fn no_leak(home: &Home, kin: &Kinship, before: &[(Kin, usize)], slack: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let after = open_files(home, kin);
        let fits = after.len() == before.len()
            && after
                .iter()
                .zip(before)
                .all(|(now, then)| now.0.pid == then.0.pid && now.1 <= then.1 + slack);
        if fits {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "descriptors leak: before {before:#?}, after {after:#?}"
        );
        pause();
    }
}

fn request(spec: SandboxSpec) -> CreateRequest {
    CreateRequest {
        spec,
        start: true,
        hold_main: false,
        owned: false,
        pull: shedbox_client::spec::api::PullPolicy::Never,
        auth: auth_sources(),
    }
}

#[test]
fn sixty_four_clients_at_once() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Arc::new(Home::new());
    let image = home.image("tiny");
    // Everything that is opened once is open before the first count.
    home.run(["run", "--rm", &image, "true"]);
    home.run([
        "run", "--detach", "--name", "stays", &image, "sleep", "1000000",
    ]);
    home.run(["reset", "stays"]);
    eventually("the spare of the one that stays is there", || {
        has_spare(&home, "stays")
    });
    let before = open_files(&home, &kin);
    let seed = seed();
    {
        let home = Arc::clone(&home);
        at_once(CLIENTS, move |number| {
            // Every fourth is the program, the others are handles.
            if number % 4 == 0 {
                program(&home, &image, number);
            } else {
                handle(&home, &image, number, seed);
            }
        });
    }
    assert_eq!(
        home.run(["ps", "--all", "--quiet", "--no-trunc"])
            .lines()
            .count(),
        1
    );
    eventually("the spare of the one that stays is there", || {
        has_spare(&home, "stays")
    });
    no_leak(&home, &kin, &before, 2);
    eventually("only the one that stays is left", || kin.inits().len() == 2);
    home.run(["rm", "-f", "stays"]);
}

fn has_spare(home: &Home, name: &str) -> bool {
    let client = Client::with_paths(home.paths());
    client
        .sandbox(name)
        .and_then(|sandbox| sandbox.info())
        .is_ok_and(|info| info.spare)
}

/// One client: a connection of its own, some sandboxes one after the other.
fn handle(home: &Home, image: &str, number: usize, seed: u64) {
    let mut random = Random(seed ^ number as u64);
    let client = Client::with_paths(home.paths());
    for round in 0..ROUNDS {
        let name = unique("many");
        let sandbox = client
            .create_with(&request(SandboxSpec::image(image).name(&name)))
            .expect("create");
        let token = format!("{number}.{round}");
        let sh = |script: &str| {
            let output = sandbox
                .command("sh")
                .args(["-c", script])
                .output()
                .expect("exec");
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        for _ in 0..=random.below(3) {
            assert_eq!(
                sh(&format!(
                    "test ! -e /file && echo {token} > /file; cat /file"
                )),
                (Some(0), format!("{token}\n"))
            );
            assert_eq!(sh("exit 3").0, Some(3));
            sandbox.reset().expect("reset");
        }
        assert_eq!(sh("cat /file").0, Some(1));
        if random.below(2) == 0 {
            sandbox.stop(None).expect("stop");
            sandbox.start().expect("start");
            assert_eq!(sh("cat /etc/image").0, Some(0));
        }
        sandbox.remove_with(true).expect("remove");
    }
}

/// The same by the program.
fn program(home: &Home, image: &str, number: usize) {
    let name = unique("many");
    for round in 0..ROUNDS {
        home.run([
            "run", "--detach", "--name", &name, image, "sleep", "1000000",
        ]);
        let token = format!("{number}.{round}");
        let script = format!("echo {token} > /file; cat /file");
        assert_eq!(home.run(["exec", &name, "sh", "-c", &script]), token);
        home.run(["reset", &name]);
        home.refused(["exec", &name, "cat", "/file"], 1, "No such file");
        home.run(["rm", "-f", &name]);
    }
}

#[test]
fn two_hundred_sandboxes_alive() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Arc::new(Home::new());
    let image = home.image("tiny");
    home.run(["run", "--rm", &image, "true"]);
    let before = open_files(&home, &kin);
    let names: Vec<String> = (0..SANDBOXES).map(|_| unique("alive")).collect();
    {
        let (home, names) = (Arc::clone(&home), names.clone());
        at_once(8, move |number| {
            let client = Client::with_paths(home.paths());
            for name in names.iter().skip(number).step_by(8) {
                client
                    .create_with(&request(SandboxSpec::image(&image).name(name)))
                    .expect("create");
            }
        });
    }
    let client = home.client();
    let infos = client.sandboxes(false, &[]).expect("list sandboxes");
    let ids: HashSet<_> = infos.iter().map(|info| &info.id).collect();
    let listed: HashSet<_> = infos.iter().map(|info| info.name.as_str()).collect();
    assert_eq!((ids.len(), listed.len()), (SANDBOXES, SANDBOXES));
    assert!(infos.iter().all(|info| info.status == Status::Running));
    // Each answers, and each is itself.
    {
        let (home, names) = (Arc::clone(&home), names.clone());
        at_once(8, move |number| {
            let client = Client::with_paths(home.paths());
            for name in names.iter().skip(number).step_by(8) {
                let sandbox = client.sandbox(name).expect("find");
                let write = format!("test ! -e /name && echo {name} > /name");
                let output = sandbox.command("sh").args(["-c", &write]).output();
                assert!(output.expect("exec").status.success(), "{name}");
            }
            for name in names.iter().skip(number).step_by(8) {
                let sandbox = client.sandbox(name).expect("find");
                let output = sandbox.command("cat").arg("/name").output().expect("exec");
                assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{name}\n"));
            }
        });
    }
    // A daemon that comes anew finds all of them.
    let inits: HashSet<_> = infos.iter().map(|info| info.init_pid).collect();
    kin.daemon(&home).expect("a daemon").kill();
    eventually("the daemon is gone", || kin.daemon(&home).is_none());
    let client = home.client();
    let adopted = client.sandboxes(false, &[]).expect("list sandboxes");
    assert_eq!(
        adopted
            .iter()
            .map(|info| info.init_pid)
            .collect::<HashSet<_>>(),
        inits
    );
    {
        let home = Arc::clone(&home);
        at_once(8, move |number| {
            let client = Client::with_paths(home.paths());
            for name in names.iter().skip(number).step_by(8) {
                let sandbox = client.sandbox(name).expect("find");
                sandbox.reset().expect("reset");
                let output = sandbox.command("cat").arg("/name").output().expect("exec");
                assert_eq!(output.status.code(), Some(1), "{name}");
                sandbox.remove_with(true).expect("remove");
            }
        });
    }
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
    eventually("no init is left", || kin.inside().is_empty());
    // The daemon is another one by now; the keeper is the same.
    let keeper: Vec<_> = before
        .into_iter()
        .map(|(kin_before, count)| match kin.daemon(&home) {
            Some(daemon) if kin_before.name != "shedbox-keeper" => (daemon, count),
            _ => (kin_before, count),
        })
        .collect();
    no_leak(&home, &kin, &keeper, 8);
}
