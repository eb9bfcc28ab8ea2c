//! `shedbox session`.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use clap::Subcommand;
use shedbox_client::Client;
use shedbox_spec::session::{SessionCreate, SessionRun};
use shedbox_spec::user::UserSpec;
use shedbox_spec::{Error, size};

use super::for_each;
use crate::exec_env;
use crate::render::{self, Format, Table};
use crate::report;

/// Keep a shell in a sandbox: directory, variables and functions last from one command to the next
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a shell that stays, and print its id
    Create(CreateArgs),
    /// Run a command in a session; its exit status is this program's, 124 after a time-out
    Run(RunArgs),
    /// List the sessions of a sandbox
    #[command(visible_alias = "list")]
    Ls {
        /// How to show it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Name or id
        sandbox: String,
    },
    /// End sessions, with all that they left in the background
    #[command(visible_alias = "remove")]
    Rm {
        /// Name or id
        sandbox: String,
        /// Names or ids
        #[arg(required = true, value_name = "SESSION")]
        sessions: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// A name for it
    #[arg(long)]
    name: Option<String>,
    /// The shell: bash, dash, busybox ash or one like them; bash where the image has it, else sh
    #[arg(long, value_name = "PROGRAM")]
    shell: Option<String>,
    /// Run as this user
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]")]
    user: Option<String>,
    /// Working directory to begin in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Set an environment variable; a name alone passes on your own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Name or id
    sandbox: String,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Interrupt the command after this time: SIGINT, then SIGKILL for what it has started
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Time between that SIGINT and SIGKILL
    #[arg(long, value_name = "TIME", requires = "timeout")]
    grace: Option<String>,
    /// Pass on standard input
    #[arg(short, long)]
    interactive: bool,
    /// Keep so much of each stream, half of its beginning and half of its end; 1 MiB unless set
    #[arg(long, value_name = "BYTES")]
    output_limit: Option<String>,
    /// How to show it: everything that is known as JSON
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Name or id
    sandbox: String,
    /// Name or id
    session: String,
    /// What the shell is to run; several words are joined by blanks
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    words: Vec<String>,
}

impl Args {
    /// Passes on the exit status of a command.
    pub(crate) fn is_run(&self) -> bool {
        matches!(self.command, Command::Run(_))
    }
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    let client = Client::shared();
    match args.command {
        Command::Create(args) => create(args),
        Command::Run(args) => run_one(args),
        Command::Ls { format, sandbox } => {
            let sessions = client.sandbox(&sandbox)?.sessions()?;
            if format == Format::Json {
                render::json(&sessions)?;
                return Ok(0);
            }
            let mut table = Table::new(&["ID", "NAME", "SHELL", "STATUS", "COMMANDS", "DIRECTORY"]);
            for session in sessions {
                table.row([
                    session.id,
                    session.name.unwrap_or_default(),
                    session.shell,
                    session.status.as_str().to_owned(),
                    session.commands.to_string(),
                    render::printable(&session.cwd),
                ]);
            }
            table.print()?;
            Ok(0)
        }
        Command::Rm { sandbox, sessions } => {
            let sandbox = client.sandbox(&sandbox)?;
            for_each(&sessions, |session| Ok(sandbox.remove_session(session)?))
        }
    }
}

fn create(args: CreateArgs) -> Result<u8> {
    if let Some(user) = &args.user {
        UserSpec::parse(user)?;
    }
    let env = exec_env::collect(&[], &args.env, exec_env::own)?;
    let wanted = SessionCreate {
        name: args.name,
        shell: args.shell,
        user: args.user,
        workdir: args.workdir,
        env: env
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    let session = Client::shared()
        .sandbox(&args.sandbox)?
        .create_session(&wanted)?;
    render::line(&session.id)?;
    Ok(0)
}

fn run_one(args: RunArgs) -> Result<u8> {
    let millis = |text: &Option<String>| -> Result<Option<u64>> {
        let time = text.as_deref().map(size::parse_duration).transpose()?;
        Ok(time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    };
    let stdin = if args.interactive {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Error::invalid("standard input is not UTF-8")
                .with_hint("`shedbox exec --interactive` takes any bytes")
        })?;
        Some(text)
    } else {
        None
    };
    let run = SessionRun {
        command: args.words.join(" "),
        stdin,
        timeout_ms: millis(&args.timeout)?,
        grace_ms: millis(&args.grace)?,
        output_limit: args
            .output_limit
            .as_deref()
            .map(size::parse_bytes)
            .transpose()?,
    };
    let sandbox = Client::shared().sandbox(&args.sandbox)?;
    let result = sandbox.run_in_session(&args.session, &run)?;
    if args.format == Format::Json {
        render::json(&result)?;
        return Ok(result.exit_code);
    }
    std::io::stdout().write_all(result.stdout.as_bytes())?;
    std::io::stderr().write_all(result.stderr.as_bytes())?;
    if result.timed_out {
        report::say("shedbox: the command ran out of time");
    }
    if result.ended.is_some() {
        report::say("shedbox: the shell has ended, and the session with it");
    }
    Ok(result.exit_code)
}
