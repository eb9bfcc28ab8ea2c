//! The processes that a test's homes have started, however far away: daemon, keeper, inits, commands.
//!
//! Keeper and init are not dumpable, so an ordinary user can read neither their environment nor their mounts. Who
//! their parent is, everybody can read: a test that adopts orphans is the ancestor of all of them, and stays it when
//! those in between are killed.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Home;

/// Tests of one program that look at their kin take turns, because they share it.
static TURN: Mutex<()> = Mutex::new(());

/// The right to call every descendant of this process one's own.
pub(crate) struct Kinship {
    _turn: MutexGuard<'static, ()>,
}

/// A living descendant of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kin {
    /// Its pid, as seen by the tests.
    pub(crate) pid: i32,
    /// Its parent.
    pub(crate) parent: i32,
    /// What it calls itself: `comm` of proc_pid_comm(5).
    pub(crate) name: String,
    /// Its command line.
    pub(crate) command: String,
    /// Its pid in its own pid namespace, when it has one of its own.
    pub(crate) inner_pid: Option<i32>,
}

impl Kinship {
    /// Adopts orphans from now on. Before anything is started.
    pub(crate) fn begin() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        shedbox_linux::orphans::adopt().expect("adopt orphans");
        Self { _turn: turn }
    }

    /// All descendants. Zombies do not count.
    #[expect(
        clippy::unused_self,
        reason = "who has begun is who adopts orphans and so sees all"
    )]
    pub(crate) fn all(&self) -> Vec<Kin> {
        let mut children: HashMap<i32, Vec<Kin>> = HashMap::new();
        for entry in std::fs::read_dir("/proc").expect("read /proc") {
            let pid = entry
                .ok()
                .and_then(|entry| entry.file_name().to_str()?.parse().ok());
            if let Some(kin) = pid.and_then(describe) {
                children.entry(kin.parent).or_default().push(kin);
            }
        }
        let mut found = Vec::new();
        let mut parents = vec![std::process::id() as i32];
        while let Some(parent) = parents.pop() {
            for kin in children.remove(&parent).into_iter().flatten() {
                parents.push(kin.pid);
                found.push(kin);
            }
        }
        // A zombie's children have been given away already, so none is missed by leaving it out last.
        found.retain(|kin| !kin.command.is_empty());
        found
    }

    /// The daemon of a home: who has written its pid into the lock, if that lives.
    pub(crate) fn daemon(&self, home: &Home) -> Option<Kin> {
        let text = std::fs::read_to_string(home.root().join("lock")).ok()?;
        let pid: i32 = text.trim().parse().ok()?;
        self.all()
            .into_iter()
            .find(|kin| kin.pid == pid && kin.command.contains(" daemon"))
    }

    /// Keepers.
    pub(crate) fn keepers(&self) -> Vec<Kin> {
        self.pick(|kin| kin.name == "shedbox-keeper" && kin.inner_pid.is_none())
    }

    /// Inits of generations, spares among them.
    pub(crate) fn inits(&self) -> Vec<Kin> {
        self.pick(|kin| kin.inner_pid == Some(1))
    }

    /// Everything that lives in a pid namespace of its own.
    pub(crate) fn inside(&self) -> Vec<Kin> {
        self.pick(|kin| kin.inner_pid.is_some())
    }

    fn pick(&self, fits: impl Fn(&Kin) -> bool) -> Vec<Kin> {
        let mut all = self.all();
        all.retain(fits);
        all
    }
}

impl Kin {
    /// SIGKILL. It may have just ended.
    pub(crate) fn kill(&self) {
        let _ = shedbox_linux::process::signal(self.pid, 9);
    }

    /// A descriptor of it, so that it can be killed later and nobody else in its place. `None` when it has ended.
    pub(crate) fn pidfd(&self) -> Option<OwnedFd> {
        shedbox_linux::pidfd::open(self.pid).ok()
    }

    /// Its open descriptors, when they may be counted: those of another dumpable process of the same user, or any for
    /// root.
    pub(crate) fn open_files(&self) -> Option<usize> {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid))
            .ok()
            .map(Iterator::count)
    }
}

/// A process that is no zombie has a command line; a zombie gets an empty one here.
fn describe(pid: i32) -> Option<Kin> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (head, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let name = head.split_once('(')?.1.to_owned();
    let command = if zombie {
        String::new()
    } else {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        match text.trim() {
            "" => format!("[{name}]"),
            text => text.to_owned(),
        }
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    let pids = pids.split_whitespace().skip(1);
    Some(Kin {
        pid,
        parent: fields.next()?.parse().ok()?,
        name,
        command,
        inner_pid: pids.last().and_then(|pid| pid.parse().ok()),
    })
}
