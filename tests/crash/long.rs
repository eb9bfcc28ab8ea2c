//! The loop: create, exec, reset, pull, load, copy, stop, start, remove, snapshot, restore, fork; and a kill at a random
//! moment of each round.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use shedbox_client::spec::api::Status;
use shedbox_client::{Client, Sandbox};

use super::invariants;
use super::kept::Keeping;
use super::model::{Content, Deed, Slot};
use super::strike::{VICTIMS, Victim};
use super::task::{Ground, IMAGES, READ, Task, reference};
use super::timed::{Beside, let_pass, told};
use crate::require;
use crate::support::{Kin, Kinship, Lane, Random, eventually, seed, unique};

/// Names in play.
const SLOTS: usize = 6;

/// What is there, what is known of it, and what was seen.
pub(crate) struct Storm {
    pub(crate) ground: Ground,
    pub(crate) kin: Kinship,
    pub(crate) random: Random,
    pub(crate) slots: Vec<Slot>,
    /// Whether each of [`IMAGES`] is in the store; `None` when either is possible.
    images: [Option<bool>; 2],
    round: usize,
    /// How long each kind of task takes when nobody is killed.
    typical: BTreeMap<&'static str, Duration>,
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
    storm.calibrate();
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
        let ground = Ground::new();
        let slots = (0..SLOTS).map(|_| Slot::new(unique("storm"))).collect();
        Self {
            ground,
            kin,
            random,
            slots,
            images: [Some(false); 2],
            round: 0,
            typical: BTreeMap::new(),
            commands: 0,
            cut_short: 0,
        }
    }

    /// Each kind of task once, undisturbed.
    fn calibrate(&mut self) {
        let token = || "calibration".to_owned();
        let mut tasks = vec![
            Task::Pull(0),
            Task::Load(1),
            Task::Unload(0),
            Task::Passing(unique("passing")),
        ];
        for deed in [
            Deed::Run,
            Deed::Write,
            Deed::CopyIn,
            Deed::Reset,
            Deed::Stop,
            Deed::Start,
        ] {
            tasks.push(Task::Slot(0, deed, token()));
        }
        tasks.extend(Keeping::one_of_each().map(|keeping| Task::Keep(0, keeping)));
        for (index, deed) in [
            (1, Deed::Remove),
            (0, Deed::Remove),
            (0, Deed::Create),
            (0, Deed::Remove),
        ] {
            tasks.push(Task::Slot(index, deed, token()));
        }
        for task in tasks {
            let (output, took) = Beside::start(task.command(&self.ground, &self.slots)).end_timed();
            assert!(
                output.status.success(),
                "{}: {}",
                task.kind(),
                told(&output)
            );
            self.typical.insert(task.kind(), took);
        }
        println!("{:?}", self.typical);
    }

    fn one_round(&mut self) {
        let tasks = self.choose_tasks();
        let victim = *self.random.pick(&VICTIMS);
        // Found now, because looking takes longer than what is to be hit.
        let targets = self.find(victim);
        let moment = self.choose_moment(&tasks);
        self.note(victim, &targets, &tasks);
        let began = Instant::now();
        let mut running: Vec<(Task, Beside)> = tasks
            .into_iter()
            .map(|task| {
                let beside = Beside::start(task.command(&self.ground, &self.slots));
                (task, beside)
            })
            .collect();
        let_pass(moment.saturating_sub(began.elapsed()));
        let over: Vec<bool> = running
            .iter_mut()
            .map(|(_, beside)| beside.has_ended())
            .collect();
        self.strike(victim, &targets, &mut running);
        for ((task, beside), over) in running.into_iter().zip(over) {
            self.learn(task, beside, over, victim);
        }
        if victim == Victim::Client {
            self.settle();
        }
        let few = self.round % 8 != 7;
        self.look(few);
    }

    /// For the messages of a failure: what everybody is about to see.
    fn note(&mut self, victim: Victim, targets: &[(Kin, OwnedFd)], tasks: &[Task]) {
        let pids: Vec<i32> = targets.iter().map(|(kin, _)| kin.pid).collect();
        let kinds: Vec<&str> = tasks.iter().map(Task::kind).collect();
        println!("round {}: {kinds:?} under {victim:?} {pids:?}", self.round);
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
                    if !busy.insert(index) {
                        continue;
                    }
                    if let Some(keeping) = self.choose_keeping(index, &mut busy, &token) {
                        tasks.push(Task::Keep(index, keeping));
                        continue;
                    }
                    let deed = *self.random.pick(self.slots[index].deeds());
                    // The reader expects more of a write than of a copied file.
                    let kind = if deed == Deed::Write { "w" } else { "" };
                    tasks.push(Task::Slot(index, deed, format!("{kind}{token}")));
                }
            }
        }
        tasks
    }

    /// A moment while one of the tasks is under way, as a rule its second half: before it, little but the client's own
    /// start happens. At times after its end, when the daemon tidies up and builds spares.
    fn choose_moment(&mut self, tasks: &[Task]) -> Duration {
        let typical = match tasks.len() as u64 {
            0 => Duration::from_millis(5),
            count => {
                let kind = tasks[self.random.below(count) as usize].kind();
                self.typical.get(kind).copied().unwrap_or_default()
            }
        };
        let percent = match self.random.below(10) {
            0 | 1 => self.random.below(30),
            2 | 3 => 100 + self.random.below(60),
            _ => 30 + self.random.below(70),
        };
        typical * percent as u32 / 100
    }

    /// `over`: it had ended before the strike.
    fn learn(&mut self, task: Task, beside: Beside, over: bool, victim: Victim) {
        let (output, took) = beside.end_timed();
        let answered = output.status.success();
        self.commands += 1;
        self.cut_short += usize::from(!answered);
        if answered && !over {
            // The machine may be busier by now.
            let typical = self.typical.entry(task.kind()).or_insert(took);
            *typical = (*typical * 3 + took) / 4;
        }
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
            Task::Keep(index, keeping) => {
                let done = format!("{round}: {keeping:?} under {victim:?}: {what}");
                self.has_kept(index, &keeping, answered, &done);
                if victim == Victim::Init {
                    self.slots.iter_mut().for_each(Slot::lost_its_init);
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
        let client = self.ground.home.client();
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
                self.ground.home.run(["start", &slot.name]);
                slot.runs = Some(true);
            }
            let sandbox = client.sandbox(&slot.name).expect("find a sandbox");
            slot.holds(read_file(&sandbox));
        }
        self.look_at_snapshots(&client, few);
        self.look_at_images(&client);
        if !few {
            self.passing_sandboxes_have_gone(&client);
            invariants::disk(&self.ground.home);
            invariants::listings(&self.ground.home, &client);
        }
    }

    fn look_at_images(&mut self, client: &Client) {
        for (index, (name, script, expected)) in IMAGES.iter().enumerate() {
            if self.images[index].is_some() {
                continue;
            }
            let there = client.image(&reference(index)).is_ok();
            self.images[index] = Some(there);
            if there {
                let text = self.ground.home.run([
                    "run",
                    "--rm",
                    "--pull",
                    "never",
                    &reference(index),
                    "sh",
                    "-c",
                    script,
                ]);
                assert_eq!(text, *expected, "image {name}");
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
            self.cut_short * 50 > self.commands,
            "kills hit too few commands"
        );
        for slot in &self.slots {
            if slot.there == Some(true) {
                self.ground.home.run(["reset", &slot.name]);
                assert_eq!(
                    self.ground
                        .home
                        .run(["exec", &slot.name, "ls", "/bin/busybox"]),
                    "/bin/busybox"
                );
            }
        }
        let began = Instant::now();
        self.ground.home.remove_sandboxes();
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "removal takes {:?}",
            began.elapsed()
        );
        invariants::disk(&self.ground.home);
        invariants::nothing_is_left(&self.ground.home, &self.kin);
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.ground.home.root().join("daemon.log"));
            let log = log.unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(60).collect();
            println!("round {}; the last words of the daemon:", self.round);
            last.iter().rev().for_each(|line| println!("    {line}"));
        }
    }
}

/// What the file of a sandbox says, and whether all that was written before it is there.
pub(crate) fn read_file(sandbox: &Sandbox) -> Content {
    let output = sandbox
        .command("sh")
        .args(["-c", READ])
        .output()
        .unwrap_or_else(|error| panic!("read the file of {}: {error:?}", sandbox.name_or_id()));
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).expect("tokens are UTF-8"))
}
