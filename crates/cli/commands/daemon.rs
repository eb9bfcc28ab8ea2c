//! `shedbox daemon`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use shedbox_client::Client;
use shedbox_daemon::{DaemonOptions, load_config, run as serve};
use shedbox_linux::{fd, process};
use shedbox_spec::paths::Paths;

use crate::{exec_env, report};

/// Serve the API in front of the store and the sandboxes
///
/// Other commands start one when there is none; it leaves when it has been idle for a while. Writes `ready` to standard
/// output when it serves.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Stay in the session and log to standard error
    #[arg(long)]
    foreground: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// End the daemon; sandboxes go on, and the next command starts another one
    ///
    /// The next one has the configuration, the limits and the subordinate ids of then. The ids it has only when no sandbox
    /// runs: the user namespace of those that do stays.
    Stop,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    match args.command {
        None => serve_requests(args.foreground),
        Some(Command::Stop) => {
            if !Client::shared().stop_daemon()? {
                report::say("no daemon runs");
            }
            Ok(0)
        }
    }
}

fn serve_requests(foreground: bool) -> Result<u8> {
    // What the first client's caller had open would be held open for as long as the daemon lives.
    if std::env::var_os("LISTEN_FDS").is_none() {
        fd::close_all_but_stdio().context("cannot close inherited descriptors")?;
    }
    let paths = Paths::resolve(process::own_uid(), exec_env::own);
    let config = match load_config(&paths.config) {
        Ok(config) => config,
        Err(error) => {
            // Whoever started us reads standard output until `ready`.
            let hint = error
                .hint
                .as_deref()
                .map_or_else(String::new, |hint| format!("\nhint: {hint}"));
            crate::render::line(&format!("error: {error}{hint}"))?;
            return Err(error.into());
        }
    };
    let status = serve(DaemonOptions {
        paths,
        config,
        foreground,
    });
    Ok(u8::from(status != ExitCode::SUCCESS))
}
