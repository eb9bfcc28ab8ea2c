//! The command line of the harness.

use std::path::PathBuf;

use anyhow::{Context, bail};

/// What to measure, and with what.
#[derive(Debug)]
pub(crate) struct Options {
    /// Rounds of everything that is quick.
    pub(crate) rounds: usize,
    /// Sandboxes alive at once.
    pub(crate) many: usize,
    /// Parts to run: rounds, snapshots, walls, network, api, full, scale, pull; all when empty.
    only: Vec<String>,
    /// The floor program.
    pub(crate) floor: PathBuf,
    /// Reference of the image of the rounds.
    pub(crate) image: String,
    /// Reference of the image that is pulled.
    pub(crate) big_image: Option<String>,
    /// The OCI layout of the same image.
    pub(crate) big_layout: Option<PathBuf>,
    /// A directory on a real file system.
    pub(crate) dir: PathBuf,
    /// The socket of a dockerd to compare with.
    pub(crate) docker: Option<PathBuf>,
    /// Compare with podman.
    pub(crate) podman: bool,
    /// Environments of programs that use Docker, as tests/docker/clients/setup.sh makes them.
    pub(crate) clients: Option<PathBuf>,
    /// The program of system call loops.
    pub(crate) loops: Option<PathBuf>,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 100,
            many: 1000,
            only: Vec::new(),
            floor: PathBuf::new(),
            image: String::new(),
            big_image: None,
            big_layout: None,
            dir: PathBuf::from("/var/tmp"),
            docker: None,
            podman: false,
            clients: None,
            loops: None,
        };
        while let Some(option) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{option} needs a value"))
            };
            match option.as_str() {
                "--rounds" => options.rounds = value()?.parse()?,
                "--many" => options.many = value()?.parse()?,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--floor" => options.floor = value()?.into(),
                "--image" => options.image = value()?,
                "--big-image" => options.big_image = Some(value()?),
                "--big-layout" => options.big_layout = Some(value()?.into()),
                "--dir" => options.dir = value()?.into(),
                "--docker" => options.docker = Some(value()?.into()),
                "--clients" => options.clients = Some(value()?.into()),
                "--loops" => options.loops = Some(value()?.into()),
                "--podman" => options.podman = true,
                other => bail!("unknown option {other}; this is run by scripts/bench"),
            }
        }
        if options.image.is_empty() || options.rounds == 0 {
            bail!("--image and a number of --rounds are needed; this is run by scripts/bench");
        }
        Ok(options)
    }

    /// Whether a part is to be run.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
