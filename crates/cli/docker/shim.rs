//! `shedbox docker-shim`: the link by which this program is called `docker`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use shedbox_client::Client;

use crate::render;

/// Have programs that want Docker find shedbox
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a link named `docker` to this program, and print two lines for the shell
    Install {
        /// Directory for the link; `~/.local/share/shedbox/docker` when absent
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Remove that link
    Uninstall {
        /// Directory of the link
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Start the daemon, and print the line for the shell that names its socket
    Env,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::Install { dir } => install(&directory(dir.as_deref())?)?,
        Command::Uninstall { dir } => uninstall(&directory(dir.as_deref())?)?,
        Command::Env => {
            stay()?;
            render::line(&host())?;
        }
    }
    Ok(0)
}

fn directory(dir: Option<&Path>) -> Result<PathBuf> {
    match dir {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => std::env::var_os("HOME")
            .map(|home| PathBuf::from(home).join(".local/share/shedbox/docker"))
            .ok_or_else(|| anyhow!("HOME is not set: name a directory")),
    }
}

fn host() -> String {
    format!(
        "export DOCKER_HOST=unix://{}",
        Client::shared().paths().api_socket().display()
    )
}

fn install(dir: &Path) -> Result<()> {
    let program = std::env::current_exe().context("cannot find this program")?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let link = dir.join("docker");
    match std::fs::read_link(&link) {
        Ok(target) if target == program => {}
        Ok(_) => {
            std::fs::remove_file(&link)
                .with_context(|| format!("cannot replace {}", link.display()))?;
            make(&program, &link)?;
        }
        Err(_) if link.exists() => {
            return Err(anyhow!(
                "{} is there and no link: it may be Docker's own command; choose another directory",
                link.display()
            ));
        }
        Err(_) => make(&program, &link)?,
    }
    stay()?;
    render::line(&format!("export PATH={}:$PATH", dir.display()))?;
    render::line(&host())
}

/// Starts the daemon and has it stay: programs that speak to the socket cannot start who listens there.
fn stay() -> Result<()> {
    let target = shedbox_client::Target::docker(["_ping"]).query("stay", 1);
    Client::shared().docker("GET", &target, None)?;
    Ok(())
}

fn make(program: &Path, link: &Path) -> Result<()> {
    std::os::unix::fs::symlink(program, link)
        .with_context(|| format!("cannot make the link {}", link.display()))
}

fn uninstall(dir: &Path) -> Result<()> {
    let link = dir.join("docker");
    match std::fs::read_link(&link) {
        Ok(_) => {
            std::fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))
        }
        Err(_) => Err(anyhow!("there is no link {}", link.display())),
    }
}
