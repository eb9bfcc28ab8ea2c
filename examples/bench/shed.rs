//! shedbox itself, through its Rust API.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use shedbox_client::spec::api::{AuthSources, PullPolicy, PullRequest};
use shedbox_client::{Client, Image, Sandbox, SandboxSpec};

use crate::options::Options;

/// A warm daemon and an image that is present.
pub(crate) struct Shed {
    client: Arc<Client>,
    image: String,
    lower: Vec<String>,
}

/// One sandbox of it.
pub(crate) struct Shelter(Sandbox);

impl Shed {
    /// Starts the daemon and pulls the image of the rounds.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let client = Client::new();
        let layers = Image::pull(&options.image)?.detail()?.layers;
        let store = client.paths().store().join("layers");
        let lower = layers
            .iter()
            .rev()
            .map(|layer| {
                let text = layer.to_string();
                let hex = text.strip_prefix("sha256:").context("a sha256 digest")?;
                let path = store.join(hex).join("diff");
                Ok(path.to_str().context("a UTF-8 path")?.to_owned())
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            client,
            image: options.image.clone(),
            lower,
        })
    }

    /// The layers of the image on disk, uppermost first: the floor program stands on the same.
    pub(crate) fn lower(&self) -> &[String] {
        &self.lower
    }

    /// Where Docker's API is.
    pub(crate) fn api_socket(&self) -> PathBuf {
        self.client.paths().api_socket()
    }

    /// A sandbox with a private network namespace; an exec is possible when this returns.
    pub(crate) fn create(&self) -> anyhow::Result<Shelter> {
        self.create_from(self.spec())
    }

    /// What [`create`](Self::create) makes.
    pub(crate) fn spec(&self) -> SandboxSpec {
        SandboxSpec::image(&self.image)
    }

    /// Any sandbox.
    pub(crate) fn create_from(&self, spec: SandboxSpec) -> anyhow::Result<Shelter> {
        Ok(Shelter(self.client.create(spec)?))
    }

    /// Fetches an image that is not in the store.
    pub(crate) fn pull(&self, reference: &str) -> anyhow::Result<()> {
        let request = PullRequest {
            reference: reference.to_owned(),
            platform: None,
            policy: PullPolicy::Always,
            auth: AuthSources::default(),
        };
        self.client.pull(&request, &mut |_| {})?;
        Ok(())
    }

    /// Removes it with its layers.
    pub(crate) fn remove_image(&self, reference: &str) -> anyhow::Result<()> {
        self.client.remove_image(reference, true)?;
        Ok(())
    }

    /// Waits until what was removed has been deleted.
    pub(crate) fn wait_until_quiet(&self) -> anyhow::Result<()> {
        let trash = self.client.paths().trash();
        wait("the trash is empty", || {
            Ok(std::fs::read_dir(&trash)?.next().is_none())
        })
    }

    /// Memory of all processes of this data directory: proportional set size in KiB.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<f64> {
        let mut total = 0.0;
        for process in self.processes()? {
            total += pss_kib(&process).unwrap_or_default();
        }
        Ok(total)
    }

    /// The most that the daemon has ever had resident, in KiB.
    pub(crate) fn daemon_peak_kib(&self) -> anyhow::Result<f64> {
        let pid = self.client.version()?.pid;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Directories in /proc of daemon, keeper and inits: what carries this SHEDBOX_ROOT, or has mounts below it.
    fn processes(&self) -> anyhow::Result<Vec<PathBuf>> {
        let root = self
            .client
            .paths()
            .root
            .to_str()
            .context("a UTF-8 path")?
            .to_owned();
        let own = PathBuf::from(format!("/proc/{}", std::process::id()));
        Ok(std::fs::read_dir("/proc")?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| *path != own)
            .filter(|path| {
                ["environ", "mountinfo"].iter().any(|name| {
                    std::fs::read(path.join(name))
                        .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&root))
                })
            })
            .filter(|path| {
                // Not the script that runs this, nor the registry it has started.
                std::fs::read_to_string(path.join("comm"))
                    .is_ok_and(|name| name.starts_with("shedbox"))
            })
            .collect())
    }
}

impl Shelter {
    /// Runs `/bin/true`, result in hand.
    pub(crate) fn exec_true(&self) -> anyhow::Result<()> {
        self.exec(&["/bin/true"])
    }

    /// Runs a command that must succeed.
    pub(crate) fn exec(&self, argv: &[&str]) -> anyhow::Result<()> {
        self.output(argv).map(drop)
    }

    /// The same, and what it says.
    pub(crate) fn output(&self, argv: &[&str]) -> anyhow::Result<String> {
        let output = self.0.command(argv[0]).args(&argv[1..]).output()?;
        if !output.status.success() {
            bail!(
                "{argv:?}: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The same through the command line program, as a whole process.
    pub(crate) fn cli_exec_true(&self) -> anyhow::Result<()> {
        let program = std::env::var_os("SHEDBOX_BIN").context("SHEDBOX_BIN is not set")?;
        let status = Command::new(program)
            .args(["exec", self.0.id().as_str(), "/bin/true"])
            .stdin(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("shedbox exec: {status}");
        }
        Ok(())
    }

    pub(crate) fn reset(&self) -> anyhow::Result<()> {
        self.0.reset()?;
        Ok(())
    }

    pub(crate) fn snapshot(&self, tag: &str) -> anyhow::Result<()> {
        self.0.snapshot(Some(tag))?;
        Ok(())
    }

    pub(crate) fn remove_snapshot(&self, tag: &str) -> anyhow::Result<()> {
        Ok(self.0.remove_snapshot(tag)?)
    }

    pub(crate) fn restore(&self, tag: &str) -> anyhow::Result<()> {
        self.0.restore(tag)?;
        Ok(())
    }

    pub(crate) fn fork(&self, tag: &str) -> anyhow::Result<Self> {
        let forks = self.0.fork(Some(tag), 1)?;
        forks
            .into_iter()
            .next()
            .map(Self)
            .context("one fork was asked for")
    }

    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        Ok(self.0.stop(Some(Duration::ZERO))?)
    }

    pub(crate) fn start(&self) -> anyhow::Result<()> {
        self.0.start()?;
        Ok(())
    }

    pub(crate) fn remove(self) -> anyhow::Result<()> {
        self.0.remove()?;
        Ok(())
    }

    /// Waits until the next reset has a generation ready.
    pub(crate) fn wait_for_spare(&self) -> anyhow::Result<()> {
        wait("a spare is ready", || Ok(self.0.info()?.spare))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no event for what the daemon does on the side"
)]
pub(crate) fn wait(
    what: &str,
    mut condition: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_mins(2);
    while !condition()? {
        if Instant::now() > end {
            bail!("not after two minutes: {what}");
        }
        // Longer than the time after which the daemon counts as quiet and builds spares.
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Pss of one process; its resident set where the kernel does not tell.
fn pss_kib(process: &std::path::Path) -> Option<f64> {
    if let Ok(text) = std::fs::read_to_string(process.join("smaps_rollup")) {
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        return line.trim().trim_end_matches(" kB").parse().ok();
    }
    let statm = std::fs::read_to_string(process.join("statm")).ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4.0)
}
