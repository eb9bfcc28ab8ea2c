//! What is under way when something is killed.

use std::path::PathBuf;
use std::process::Command;

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
                        let script = format!("printf {token} > /next && mv /next /file");
                        home.command(["exec", name, "sh", "-c", &script])
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
