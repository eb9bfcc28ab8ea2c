//! `shedbox start`.

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::Error;

use super::for_each_sandbox;
use super::run::{follow, settle};
use crate::foreground;

/// Start sandboxes that were created or stopped
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Stay with the main process: its output and its exit status
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Pass on standard input; implies `--attach`
    #[arg(short, long)]
    interactive: bool,
    /// Keys that leave an interactive terminal without ending the command
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

impl Args {
    /// As `docker start --attach` has it.
    pub(crate) fn attached(
        interactive: bool,
        detach_keys: Option<String>,
        sandboxes: Vec<String>,
    ) -> Self {
        Self {
            attach: true,
            interactive,
            detach_keys,
            sandboxes,
        }
    }
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    if !args.attach && !args.interactive {
        return for_each_sandbox(&args.sandboxes, |sandbox| {
            sandbox.start()?;
            Ok(())
        });
    }
    let [name] = args.sandboxes.as_slice() else {
        return Err(Error::invalid("only one sandbox can be attached to").into());
    };
    let keys = foreground::keys(args.detach_keys.as_deref())?;
    let sandbox = Client::shared().sandbox(name)?;
    let info = sandbox.start_with(true)?;
    let ending = follow(&sandbox, info.spec.tty, args.interactive, keys)?;
    settle(&sandbox, &ending);
    Ok(foreground::status(&ending))
}
