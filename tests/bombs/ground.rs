//! Where a bomb goes off: a home with a neighbour in it, and what everything cost before.

use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::support::wait::pause;
use crate::support::{Home, Kinship, eventually, patience};

/// One bomb at a time.
static TURN: Mutex<()> = Mutex::new(());

/// What things cost here while nothing happens. Measured once in a process, since every bomb meets the same machine.
static USUAL: OnceLock<Usual> = OnceLock::new();

/// What other work on the machine may add to a single measurement: a few turns of the scheduler.
const NOISE: Duration = Duration::from_millis(40);
/// How many times its usual time anything may take while a bomb is going off: at the worst, and in half of the cases.
const UNDER_FIRE_WORST: u32 = 1000;
const UNDER_FIRE_HALF: u32 = 50;
/// The same when it is over, after this time.
const AFTERWARDS: u32 = 5;
const RECOVERY: Duration = Duration::from_secs(20);

/// The trash is empty after this time; a million files take a part of it.
const TRASH: Duration = Duration::from_mins(2);

/// Times of a quiet machine.
#[derive(Debug)]
struct Usual {
    /// A program of the host.
    host: Duration,
    /// A command in a sandbox.
    exec: Duration,
    /// The slowest of some resets.
    reset: Duration,
    /// The slowest of some removals.
    remove: Duration,
}

/// A home with a neighbour.
pub(crate) struct Ground {
    kinship: Kinship,
    home: Home,
    memory: Vec<(String, u64)>,
    _turn: MutexGuard<'static, ()>,
}

/// The sandboxes' image: the host's own programs, which need no pull.
const IMAGE: &str = "host";

impl Ground {
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let kinship = Kinship::begin();
        let home = Home::new();
        home.run(["run", "--detach", "--idle", "--name", "neighbour", IMAGE]);
        let mut ground = Self {
            kinship,
            home,
            memory: Vec::new(),
            _turn: turn,
        };
        let usual = USUAL.get_or_init(|| ground.measure());
        println!("usual times: {usual:?}");
        ground.memory = ground.servants();
        ground
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Starts the sandbox that the bomb goes off in.
    pub(crate) fn start(&self, options: &[&str]) {
        let mut arguments = vec!["run", "--detach", "--idle", "--name", "victim"];
        arguments.extend(options);
        arguments.push(IMAGE);
        self.home.run(&arguments);
        self.settle();
    }

    fn measure(&self) -> Usual {
        let host = median((0..5).map(|_| probe_host()));
        let exec = median((0..5).map(|_| self.probe_neighbour()));
        let mut reset = Duration::ZERO;
        let mut remove = Duration::ZERO;
        for _ in 0..3 {
            self.start(&[]);
            reset = reset.max(self.reset());
            self.settle();
            remove = remove.max(self.remove());
        }
        Usual {
            host,
            exec,
            reset,
            remove,
        }
    }

    /// Lets the daemon build the next spare, as it would between the commands of any client.
    fn settle(&self) {
        eventually("a spare is ready", || {
            self.home
                .run(["inspect", "victim"])
                .contains("\"spare\": true")
        });
    }

    pub(crate) fn reset(&self) -> Duration {
        timed(|| drop(self.home.run(["reset", "victim"])))
    }

    pub(crate) fn remove(&self) -> Duration {
        timed(|| drop(self.home.run(["rm", "-f", "victim"])))
    }

    fn probe_neighbour(&self) -> Duration {
        timed(|| assert_eq!(self.home.run(["exec", "neighbour", "echo", "here"]), "here"))
    }

    /// While it goes off: a look at the host and at the neighbour. Slower is allowed, standing still is not.
    pub(crate) fn look(&self, looks: &mut Vec<(Duration, Duration)>) {
        looks.push((probe_host(), self.probe_neighbour()));
    }

    /// What was seen while it went off is bounded by what is usual here.
    pub(crate) fn answered_under_fire(looks: &[(Duration, Duration)]) {
        let usual = USUAL.get().expect("measured");
        let hosts = looks.iter().map(|look| look.0);
        let execs = looks.iter().map(|look| look.1);
        for (what, times, usual) in [
            ("the host", hosts.collect::<Vec<_>>(), usual.host),
            ("the neighbour", execs.collect(), usual.exec),
        ] {
            let (Some(worst), false) = (times.iter().max().copied(), times.is_empty()) else {
                continue; // it was over at once
            };
            let half = median(times.into_iter());
            println!("{what} under fire: {half:?}, at worst {worst:?}, usually {usual:?}");
            within(what, half, usual, UNDER_FIRE_HALF);
            within(what, worst, usual, UNDER_FIRE_WORST);
        }
    }

    /// When it is over: the machine and the neighbour answer as before soon, and daemon, keeper and inits have not grown.
    pub(crate) fn answers_as_before(&self) {
        let usual = USUAL.get().expect("measured");
        let end = Instant::now() + patience(RECOVERY);
        loop {
            let host = median((0..3).map(|_| probe_host()));
            let exec = median((0..3).map(|_| self.probe_neighbour()));
            if host <= usual.host * AFTERWARDS && exec <= usual.exec * AFTERWARDS {
                break;
            }
            assert!(
                Instant::now() < end,
                "afterwards the host takes {host:?} and the neighbour {exec:?}, usually {usual:?}"
            );
        }
        for (who, peak) in self.servants() {
            let before = self.memory.iter().find(|(name, _)| *name == who);
            // A debug build's daemon has 20 MB; a kilobyte for each of 10,000 things would be seen.
            let room = if who == "daemon" { 16 << 10 } else { 2 << 10 };
            let before = before.map_or(2 << 10, |(_, before)| *before);
            assert!(
                peak <= before + room,
                "{who} had {before} KiB before and {peak} KiB at its peak"
            );
        }
    }

    /// Whether a reset and a removal took no more than `factor` times their usual time.
    pub(crate) fn in_time(reset: Duration, remove: Duration, factor: u32) -> Result<(), String> {
        let usual = USUAL.get().expect("measured");
        let slow = |what: &str, took: Duration, usual: Duration| {
            (took > usual * factor + NOISE)
                .then(|| format!("{what} took {took:?}, usually {usual:?}"))
        };
        match slow("reset", reset, usual.reset).or(slow("rm", remove, usual.remove)) {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }

    /// The victim has gone with everything it had: the neighbour alone is inside.
    pub(crate) fn nothing_is_left(&self) {
        // Deletion is in the background and takes its time; a removal does not wait for it.
        eventually("only the neighbour lives, with its spare", || {
            self.kinship
                .inside()
                .iter()
                .all(|kin| kin.inner_pid == Some(1))
                && self.kinship.inits().len() <= 2
        });
        let end = Instant::now() + patience(TRASH);
        while let Some(leak) = self.trash() {
            assert!(Instant::now() < end, "not deleted after {TRASH:?}: {leak}");
            pause();
        }
    }

    fn trash(&self) -> Option<String> {
        let mut leaks = self.home.leaks().into_iter();
        leaks.find(|leak| leak.starts_with("trash") || leak.starts_with("ingest"))
    }

    /// Peak resident memory in KiB of daemon, keeper and inits, by what they are. `status` of proc_pid_status(5) can be
    /// read of everybody.
    fn servants(&self) -> Vec<(String, u64)> {
        let mut list = Vec::new();
        for kin in self.kinship.all() {
            let who = if kin.inner_pid == Some(1) {
                "init"
            } else if kin.name == "shedbox-keeper" {
                "keeper"
            } else if kin.command.contains(" daemon") {
                "daemon"
            } else {
                continue;
            };
            if let Some(peak) = peak_memory(kin.pid) {
                list.push((who.to_owned(), peak));
            }
        }
        list
    }
}

/// VmHWM of proc_pid_status(5), in KiB.
pub(crate) fn peak_memory(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A program of the host, from start to end.
fn probe_host() -> Duration {
    timed(|| {
        let status = Command::new("true").stdin(Stdio::null()).status();
        assert!(status.expect("run true").success());
    })
}

fn within(what: &str, took: Duration, usual: Duration, factor: u32) {
    assert!(
        took <= usual * factor,
        "{what}: {took:?}, usually {usual:?}"
    );
}

pub(crate) fn timed(action: impl FnOnce()) -> Duration {
    let began = Instant::now();
    action();
    began.elapsed()
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}
