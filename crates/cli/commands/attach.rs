//! `shedbox attach`.

use anyhow::Result;
use shedbox_client::{Client, Follow, Stdio};
use shedbox_spec::exec::StdinMode;

use crate::foreground::{self, Ending, Foreground};

/// Join the main process of a sandbox that runs: its output from now on, its input, its exit status
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not pass on standard input
    #[arg(long)]
    no_stdin: bool,
    /// Keys that leave without ending the main process
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Name or id
    sandbox: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let keys = foreground::keys(args.detach_keys.as_deref())?;
    let sandbox = Client::shared().sandbox(&args.sandbox)?;
    let spec = sandbox.info()?.spec;
    let interactive = !args.no_stdin && spec.stdin == StdinMode::Pipe;
    let mut foreground = Foreground::prepare(spec.tty, interactive)?;
    let mut running = sandbox.follow(Follow {
        start: false,
        stdin: if interactive {
            Stdio::inherit()
        } else {
            Stdio::null()
        },
        stdout: Stdio::inherit(),
        stderr: if spec.tty {
            Stdio::null()
        } else {
            Stdio::inherit()
        },
        tty: foreground.size(),
        detach_keys: interactive.then_some(keys),
    })?;
    let ending = foreground.drive(&mut running, interactive)?;
    if matches!(ending, Ending::Detached) {
        running.detach()?;
    }
    Ok(foreground::status(&ending))
}
