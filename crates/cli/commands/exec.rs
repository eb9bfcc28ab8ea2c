//! `shedbox exec`: straight to the sandbox, without the daemon.

use std::ffi::OsString;

use anyhow::Result;
use shedbox_client::{Client, Stdio};
use shedbox_spec::user::UserSpec;
use shedbox_spec::{Error, size};

use crate::exec_env;
use crate::foreground::{self, Ending, Foreground};

/// Run a command in a sandbox that runs
///
/// The command's exit status is this program's; 124 after a time-out. Signals are passed on to the command, and it ends
/// when this program is killed.
#[derive(Debug, clap::Args)]
#[command(override_usage = "shedbox exec [OPTIONS] SANDBOX COMMAND [ARG]...")]
pub(crate) struct Args {
    /// Leave it running in the background, without output
    #[arg(short, long)]
    detach: bool,
    /// Pass on standard input
    #[arg(short, long)]
    interactive: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set an environment variable; a name alone passes on your own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Run as this user
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]")]
    user: Option<String>,
    /// End the command and all it has started after this time: SIGTERM, then SIGKILL
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Time between that SIGTERM and SIGKILL
    #[arg(long, value_name = "TIME", requires = "timeout")]
    grace: Option<String>,
    /// Keys that leave an interactive terminal without ending the command
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Name or id of the sandbox, then the command and its arguments
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_names = ["SANDBOX", "COMMAND"])]
    words: Vec<OsString>,
}

impl Args {
    /// The program as it was typed.
    pub(crate) fn program(&self) -> String {
        let program = self.words.get(1).cloned().unwrap_or_default();
        program.to_string_lossy().into_owned()
    }
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    let keys = foreground::keys(args.detach_keys.as_deref())?;
    let env = exec_env::collect(&args.env_file, &args.env, exec_env::own)?;
    if let Some(user) = &args.user {
        UserSpec::parse(user)?;
    }
    let [name, program, arguments @ ..] = args.words.as_slice() else {
        return Err(Error::invalid("no command was given").into());
    };
    let name = name
        .to_str()
        .ok_or_else(|| Error::not_found(format!("no such sandbox: `{}`", name.display())))?;
    let sandbox = Client::shared().sandbox(name)?;
    let mut exec = sandbox.command(program).args(arguments);
    for entry in &env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        exec = exec.env(name, value);
    }
    if let Some(dir) = args.workdir {
        exec = exec.current_dir(dir);
    }
    if let Some(user) = args.user {
        exec = exec.user(user);
    }
    if let Some(timeout) = &args.timeout {
        exec = exec.timeout(size::parse_duration(timeout)?);
    }
    if let Some(grace) = &args.grace {
        exec = exec.grace(size::parse_duration(grace)?);
    }
    if args.detach {
        if args.tty {
            exec = exec.tty(shedbox_client::TtySize { rows: 24, cols: 80 });
        }
        exec.spawn_detached()?;
        return Ok(0);
    }
    let mut foreground = Foreground::prepare(args.tty, args.interactive)?;
    if args.interactive {
        exec = exec.stdin(Stdio::inherit());
    }
    if let Some(size) = foreground.size() {
        exec = exec.tty(size);
        if args.interactive {
            exec = exec.detach_keys(keys);
        }
    }
    let mut running = exec.start()?;
    let ending = foreground.drive(&mut running, args.interactive)?;
    if matches!(ending, Ending::Detached) {
        running.detach()?;
    }
    Ok(foreground::status(&ending))
}
