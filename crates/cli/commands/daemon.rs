//! `shedbox daemon`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use shedbox_daemon::{DaemonOptions, load_config, run as serve};
use shedbox_linux::{fd, process};
use shedbox_spec::paths::Paths;

use crate::exec_env;

/// Serve the API in front of the store and the sandboxes
///
/// Other commands start one when there is none; it leaves when it has been idle for a while. Writes `ready` to standard
/// output when it serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Stay in the session and log to standard error
    #[arg(long)]
    foreground: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
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
        foreground: args.foreground,
    });
    Ok(u8::from(status != ExitCode::SUCCESS))
}
