//! What is under way when something is killed.

use std::path::PathBuf;
use std::process::Command;

use super::kept::Keeping;
use super::model::{Deed, Slot};
use crate::support::{Home, Registry, images};

/// Images that come and go: name, and a command with its output that only a whole image gives.
pub(crate) const IMAGES: [(&str, &str, &str); 2] = [
    ("deep", "cat /deep/last; ls /deep | wc -l", "127\n127"),
    (
        "manylayers",
        "cat /etc/image",
        "built by scripts/test-images",
    ),
];

/// What a write does: many files, then by one rename the file that says that they are there.
const WRITE: &str = "mkdir -p /all.$T && for i in $(seq 30); do echo $T >/all.$T/$i || exit; done && \
    printf $T >/next && mv /next /file && for d in /all.*; do [ $d = /all.$T ] || rm -r $d; done";

/// Says what the file holds, and that not all is there where that is so.
pub(crate) const READ: &str = "t=$(cat /file) || exit; printf %s \"$t\"; [ ! -d /all.$t ] || \
    [ \"$(cat /all.$t/* | grep -cx \"$t\")\" = 30 ] || printf ', but not all'; \
    case $t in w*) [ -d /all.$t ] || printf ', and nothing else';; esac";

/// Where tasks take place.
pub(crate) struct Ground {
    /// The home under fire.
    pub(crate) home: Home,
    /// The image of its sandboxes, which stays.
    tiny: String,
    /// For files to be copied in.
    scratch: tempfile::TempDir,
}

/// What is under way in a round.
pub(crate) enum Task {
    /// On the sandbox of a slot, with the token it writes.
    Slot(usize, Deed, String),
    /// What has to do with a snapshot of the sandbox of a slot.
    Keep(usize, Keeping),
    Pull(usize),
    Load(usize),
    Unload(usize),
    /// `run --rm`, which must leave nothing whatever happens.
    Passing(String),
}

impl Task {
    /// A name for all tasks that take about as long.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Slot(_, deed, _) => deed.name(),
            Self::Keep(_, keeping) => keeping.name(),
            Self::Pull(_) => "pull",
            Self::Load(_) => "load",
            Self::Unload(_) => "rmi",
            Self::Passing(_) => "run --rm",
        }
    }

    /// The program that does it.
    pub(crate) fn command(&self, ground: &Ground, slots: &[Slot]) -> Command {
        let Ground { home, tiny, .. } = ground;
        match self {
            Self::Slot(index, deed, token) => {
                let name = slots[*index].name.as_str();
                match deed {
                    Deed::Create => {
                        home.command(["create", "--name", name, tiny, "sleep", "1000000"])
                    }
                    Deed::Run => {
                        home.command(["run", "--detach", "--name", name, tiny, "sleep", "1000000"])
                    }
                    Deed::Write => {
                        let token = format!("T={token}");
                        home.command(["exec", "--env", &token, name, "sh", "-c", WRITE])
                    }
                    Deed::CopyIn => {
                        let file = ground.scratch.path().join(token);
                        std::fs::write(&file, token).expect("write the file to copy");
                        home.command(["cp", &text(file), &format!("{name}:/file")])
                    }
                    Deed::Reset => home.command(["reset", name]),
                    Deed::Stop => home.command(["stop", name]),
                    Deed::Start => home.command(["start", name]),
                    Deed::Remove => home.command(["rm", "-f", name]),
                }
            }
            Self::Keep(index, keeping) => home.command(keeping.arguments(*index, slots)),
            Self::Pull(index) => home.command(["pull", "--quiet", &reference(*index)]),
            Self::Load(index) => {
                home.command(["load", "--input", &text(images::layout(IMAGES[*index].0))])
            }
            Self::Unload(index) => home.command(["rmi", "--force", &reference(*index)]),
            Self::Passing(name) => {
                home.command(["run", "--rm", "--name", name, tiny, "echo", "passed"])
            }
        }
    }
}

impl Ground {
    /// A new home with the image that stays.
    pub(crate) fn new() -> Self {
        let home = Home::new();
        let tiny = home.image("tiny");
        Self {
            home,
            tiny,
            scratch: crate::support::scratch(),
        }
    }
}

/// The reference of one of [`IMAGES`].
pub(crate) fn reference(index: usize) -> String {
    Registry::shared().reference(&format!("{}:latest", IMAGES[index].0))
}

fn text(path: PathBuf) -> String {
    path.into_os_string()
        .into_string()
        .expect("scratch paths are UTF-8")
}
