//! The loop: create, exec, reset, pull, load, copy, stop, start, remove; and a kill at a random moment of each round.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use shedbox_client::Client;
use shedbox_client::spec::api::Status;

use super::invariants;
use super::model::{Content, Deed, Slot};
use super::timed::{Beside, let_pass, told};
use crate::require;
use crate::support::{Home, Kinship, Lane, Random, Registry, eventually, images, seed, unique};

/// Names in play.
const SLOTS: usize = 6;
/// Images that come and go: name, and a command with its output that only a whole image gives.
const IMAGES: [(&str, &str, &str); 2] = [
    ("deep", "cat /deep/last; ls /deep | wc -l", "127\n127"),
    (
        "manylayers",
        "cat /etc/image",
        "built by scripts/test-images",
    ),
];

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Daemon,
    Keeper,
    /// Of a sandbox or of a spare.
    Init,
    /// Daemon and keeper.
    Servants,
}

const VICTIMS: [Victim; 8] = [
    Victim::Client,
    Victim::Daemon,
    Victim::Daemon,
    Victim::Daemon,
    Victim::Keeper,
    Victim::Init,
    Victim::Init,
    Victim::Servants,
];

/// What is under way in a round.
enum Task {
    /// On the sandbox of a slot, with the token it writes.
    Slot(usize, Deed, String),
    Pull(usize),
    Load(usize),
    Unload(usize),
    /// `run --rm`, which must leave nothing whatever happens.
    Passing(String),
}

struct Storm {
    home: Home,
    kin: Kinship,
    random: Random,
    slots: Vec<Slot>,
    tiny: String,
    /// Whether each of [`IMAGES`] is in the store; `None` when either is possible.
    images: [Option<bool>; 2],
    scratch: tempfile::TempDir,
    round: usize,
    /// Commands that were under way, and those of them that were not answered.
    commands: usize,
    cut_short: usize,
}

#[test]
fn killed_at_random_moments() {
    require!(userns, image "tiny", image "deep", image "manylayers");
    let rounds = std::env::var("SHEDBOX_TEST_KILLS").map_or_else(
        |_| match Lane::current() {
            Lane::Subids => 320,
            Lane::Single | Lane::Root => 60,
        },
        |text| text.parse().expect("SHEDBOX_TEST_KILLS is a number"),
    );
    let mut storm = Storm::begin();
    for round in 0..rounds {
        storm.round = round;
        storm.one_round();
    }
    storm.end();
}

impl Storm {
    fn begin() -> Self {
        let random = Random(seed());
        let kin = Kinship::begin();
        let home = Home::new();
        let tiny = home.image("tiny");
        let slots = (0..SLOTS).map(|_| Slot::new(unique("storm"))).collect();
        Self {
            home,
            kin,
            random,
            slots,
            tiny,
            images: [Some(false); 2],
            scratch: crate::support::scratch(),
            round: 0,
            commands: 0,
            cut_short: 0,
        }
    }

    fn one_round(&mut self) {
        let tasks = self.choose_tasks();
        let victim = *self.random.pick(&VICTIMS);
        let moment = self.choose_moment(&tasks);
        let mut running: Vec<(Task, Beside)> = tasks
            .into_iter()
            .map(|task| {
                let beside = Beside::start(self.command(&task));
                (task, beside)
            })
            .collect();
        let_pass(moment);
        self.strike(victim, &mut running);
        for (task, beside) in running {
            self.learn(task, beside, victim);
        }
        let few = self.round % 8 != 7;
        self.look(few);
    }

    /// One to three tasks on different sandboxes and images.
    fn choose_tasks(&mut self) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut busy = BTreeSet::new();
        for number in 0..=self.random.below(3) {
            let token = format!("{}.{number}", self.round);
            match self.random.below(10) {
                0 | 1 => {
                    let index = self.random.below(2) as usize;
                    if busy.insert(SLOTS + index) {
                        tasks.push(match (self.images[index], self.random.below(2)) {
                            (Some(true), _) => Task::Unload(index),
                            (_, 0) => Task::Load(index),
                            _ => Task::Pull(index),
                        });
                    }
                }
                2 => tasks.push(Task::Passing(unique("passing"))),
                _ => {
                    let index = self.random.below(SLOTS as u64) as usize;
                    if busy.insert(index) {
                        let deed = *self.random.pick(self.slots[index].deeds());
                        tasks.push(Task::Slot(index, deed, token));
                    }
                }
            }
        }
        tasks
    }

    /// A moment within what the longest of the tasks takes, as a rule; early moments are as likely as late ones.
    fn choose_moment(&mut self, tasks: &[Task]) -> Duration {
        let longest = tasks.iter().map(|task| match task {
            Task::Slot(..) => 60_000,
            Task::Passing(_) => 90_000,
            Task::Pull(_) | Task::Load(_) => 900_000,
            Task::Unload(_) => 80_000,
        });
        let limit = longest.max().unwrap_or(60_000);
        let limit = match self.random.below(3) {
            0 => limit.min(20_000),
            1 => limit.min(60_000),
            _ => limit,
        };
        Duration::from_micros(self.random.below(limit))
    }

    fn command(&self, task: &Task) -> std::process::Command {
        let home = &self.home;
        match task {
            Task::Slot(index, deed, token) => {
                let name = self.slots[*index].name.as_str();
                match deed {
                    Deed::Create => {
                        home.command(["create", "--name", name, &self.tiny, "sleep", "1000000"])
                    }
                    Deed::Run => home.command([
                        "run", "--detach", "--name", name, &self.tiny, "sleep", "1000000",
                    ]),
                    Deed::Write => {
                        let script = format!("printf {token} > /next && mv /next /file");
                        home.command(["exec", name, "sh", "-c", &script])
                    }
                    Deed::CopyIn => {
                        let file = self.scratch.path().join(token);
                        std::fs::write(&file, token).expect("write the file to copy");
                        home.command(["cp", &text(file), &format!("{name}:/file")])
                    }
                    Deed::Reset => home.command(["reset", name]),
                    Deed::Stop => home.command(["stop", name]),
                    Deed::Start => home.command(["start", name]),
                    Deed::Remove => home.command(["rm", "-f", name]),
                }
            }
            Task::Pull(index) => home.command(["pull", "--quiet", &reference(*index)]),
            Task::Load(index) => {
                home.command(["load", "--input", &text(images::layout(IMAGES[*index].0))])
            }
            Task::Unload(index) => home.command(["rmi", "--force", &reference(*index)]),
            Task::Passing(name) => {
                home.command(["run", "--rm", "--name", name, &self.tiny, "echo", "passed"])
            }
        }
    }

    fn strike(&mut self, victim: Victim, running: &mut [(Task, Beside)]) {
        match victim {
            Victim::Client => {
                if !running.is_empty() {
                    let index = self.random.below(running.len() as u64) as usize;
                    running[index].1.kill();
                }
            }
            Victim::Daemon => self.kill_daemon(),
            Victim::Keeper => self
                .kin
                .keepers()
                .iter()
                .for_each(crate::support::Kin::kill),
            Victim::Servants => {
                self.kill_daemon();
                self.kin
                    .keepers()
                    .iter()
                    .for_each(crate::support::Kin::kill);
            }
            Victim::Init => {
                let inits = self.kin.inits();
                if !inits.is_empty() {
                    let init = self.random.pick(&inits).clone();
                    init.kill();
                    eventually("a killed init is gone", || {
                        !self.kin.inits().contains(&init)
                    });
                    // Whose it was is not known: it may be that of any sandbox, or a spare.
                    self.slots.iter_mut().for_each(Slot::lost_its_init);
                }
            }
        }
    }

    fn kill_daemon(&self) {
        if let Some(daemon) = self.kin.daemon(&self.home) {
            daemon.kill();
        }
    }

    fn learn(&mut self, task: Task, beside: Beside, victim: Victim) {
        let output = beside.end();
        let answered = output.status.success();
        self.commands += 1;
        self.cut_short += usize::from(!answered);
        let what = told(&output);
        let round = self.round;
        match task {
            Task::Slot(index, deed, token) => {
                let slot = &mut self.slots[index];
                slot.history
                    .push(format!("{round}: {deed:?} under {victim:?}: {what}"));
                // Daemon and keeper are not on the way of a command.
                let innocent = !matches!(victim, Victim::Client | Victim::Init);
                assert!(
                    answered || deed != Deed::Write || !innocent || slot.runs != Some(true),
                    "a command failed: {slot:?}"
                );
                slot.done(deed, &token, answered);
                if victim == Victim::Init {
                    slot.lost_its_init();
                }
            }
            Task::Pull(index) | Task::Load(index) => {
                // A load brings the image without our reference.
                self.images[index] = None;
            }
            Task::Unload(index) => self.images[index] = None,
            Task::Passing(_) => {
                if answered {
                    assert_eq!(output.stdout, b"passed\n", "{what}");
                }
            }
        }
    }

    /// Compares what is there with what may be; with `few` only those sandboxes of which something is unknown.
    fn look(&mut self, few: bool) {
        // Starts the daemon when it was killed.
        let client = self.home.client();
        let mut infos = Vec::new();
        // The daemon hears of the end of an init a moment after it.
        eventually("what is said to run has an init", || {
            infos = client.sandboxes(true, &[]).expect("list sandboxes");
            let inits: BTreeSet<i32> = self.kin.inits().iter().map(|kin| kin.pid).collect();
            let mut running = infos.iter().filter(|info| info.status == Status::Running);
            running.all(|info| info.init_pid.is_some_and(|pid| inits.contains(&pid)))
        });
        for slot in &mut self.slots {
            slot.listed(infos.iter().find(|info| info.name == slot.name));
        }
        for slot in &mut self.slots {
            if slot.there != Some(true) || (few && slot.contents.len() == 1) {
                continue;
            }
            if slot.runs == Some(false) {
                self.home.run(["start", &slot.name]);
                slot.runs = Some(true);
            }
            let content = read_file(&client, &slot.name);
            slot.holds(content);
        }
        self.look_at_images(&client);
        if !few {
            self.passing_sandboxes_have_gone(&client);
            invariants::disk(&self.home);
            invariants::listings(&self.home, &client);
        }
    }

    fn look_at_images(&mut self, client: &Client) {
        for index in 0..IMAGES.len() {
            if self.images[index].is_some() {
                continue;
            }
            let there = client.image(&reference(index)).is_ok();
            self.images[index] = Some(there);
            if there {
                let (_, script, expected) = IMAGES[index];
                let text = self.home.run([
                    "run",
                    "--rm",
                    "--pull",
                    "never",
                    &reference(index),
                    "sh",
                    "-c",
                    script,
                ]);
                assert_eq!(text, expected, "image {}", IMAGES[index].0);
            }
        }
    }

    /// A sandbox of `run --rm` goes with its main process or its client, whoever was killed.
    fn passing_sandboxes_have_gone(&self, client: &Client) {
        let known: BTreeSet<&str> = self.slots.iter().map(|slot| slot.name.as_str()).collect();
        invariants::soon(
            Duration::from_secs(20),
            "sandboxes of `run --rm` are gone",
            || {
                let infos = client.sandboxes(true, &[]).expect("list sandboxes");
                match infos
                    .iter()
                    .find(|info| !known.contains(info.name.as_str()))
                {
                    None => Ok(()),
                    Some(info) => Err(format!("{info:?}")),
                }
            },
        );
    }

    fn end(mut self) {
        self.look(false);
        println!(
            "{} of {} commands were not answered",
            self.cut_short, self.commands
        );
        // Otherwise the moments are badly chosen and the test shows nothing.
        assert!(
            self.cut_short * 10 > self.commands,
            "kills hit too few commands"
        );
        for slot in &self.slots {
            if slot.there == Some(true) {
                self.home.run(["reset", &slot.name]);
                assert_eq!(
                    self.home.run(["exec", &slot.name, "ls", "/bin/busybox"]),
                    "/bin/busybox"
                );
            }
        }
        let began = Instant::now();
        self.home.remove_sandboxes();
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "removal takes {:?}",
            began.elapsed()
        );
        invariants::disk(&self.home);
        invariants::nothing_is_left(&self.home, &self.kin);
    }
}

fn reference(index: usize) -> String {
    Registry::shared().reference(&format!("{}:latest", IMAGES[index].0))
}

fn read_file(client: &std::sync::Arc<Client>, name: &str) -> Content {
    let output = client
        .sandbox(name)
        .and_then(|sandbox| sandbox.command("cat").arg("/file").output())
        .unwrap_or_else(|error| panic!("read the file of {name}: {error:?}"));
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).expect("tokens are UTF-8"))
}

fn text(path: PathBuf) -> String {
    path.into_os_string()
        .into_string()
        .expect("scratch paths are UTF-8")
}
