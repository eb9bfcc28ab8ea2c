//! `shedbox egress`.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use clap::Subcommand;
use shedbox_client::Client;
use shedbox_linux::inotify::DirectoryWatch;
use shedbox_spec::Error;
use shedbox_spec::network::egress::EgressRule;

use super::logs::lines;
use crate::audit::{AuditLog, Wanted};
use crate::network_options::EgressOptions;
use crate::render::{self, Format};
use crate::time;

/// How often a follower looks whether the sandbox is still there.
const LOOK: Duration = Duration::from_millis(250);

/// Say what sandboxes may reach outside of their networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a policy in force, in the place of the one before; connections that it does not allow end
    Set {
        #[command(flatten)]
        policy: EgressOptions,
        /// Put none in force
        #[arg(long, conflicts_with_all = ["egress", "egress_allow", "egress_deny"])]
        clear: bool,
        /// Name or id
        #[arg(value_name = "SANDBOX")]
        sandbox: String,
    },
    /// Show the policy in force
    Show {
        /// How to show it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Name or id
        #[arg(value_name = "SANDBOX")]
        sandbox: String,
    },
    /// Show what was let through and what was refused: a JSON object a line
    Log(LogArgs),
}

#[derive(Debug, clap::Args)]
struct LogArgs {
    /// Go on until the sandbox is removed; without one until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only so many lines from the end, or `all`
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Only what happened since: a time, or how long ago (`10m`)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Name or id; all sandboxes without one, those that were removed too
    #[arg(value_name = "SANDBOX")]
    sandbox: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    let client = Client::shared();
    match args.command {
        Command::Set {
            policy,
            clear,
            sandbox,
        } => {
            let policy = policy.policy()?;
            if policy.is_none() && !clear {
                return Err(Error::invalid("no policy was given")
                    .with_hint(
                        "for example `--egress deny --egress-allow pypi.org:443`, or `--clear`",
                    )
                    .into());
            }
            client.sandbox(&sandbox)?.set_egress(policy)?;
        }
        Command::Show { format, sandbox } => {
            let policy = client.sandbox(&sandbox)?.info()?.egress;
            if format == Format::Json {
                render::json(&policy)?;
            } else {
                let policy = policy.unwrap_or_default();
                render::line(&format!("default {}", policy.default.as_str()))?;
                for (word, rules) in [("allow", &policy.allow), ("deny", &policy.deny)] {
                    for rule in rules.iter().map(EgressRule::to_string) {
                        render::line(&format!("{word} {rule}"))?;
                    }
                }
            }
        }
        Command::Log(args) => log(client, &args)?,
    }
    Ok(0)
}

fn log(client: &Client, args: &LogArgs) -> Result<()> {
    let tail = lines(&args.tail)?;
    let since_ns = args
        .since
        .as_deref()
        .map(|text| time::parse_ns(text, SystemTime::now()))
        .transpose()?;
    let sandbox = match &args.sandbox {
        Some(name) => Some(Client::shared().sandbox(name)?.info()?.id),
        None => None,
    };
    let home = sandbox
        .as_ref()
        .map(|id| client.paths().sandboxes().join(id.as_str()));
    let path = client.paths().audit();
    let wanted = Wanted {
        sandbox: sandbox.map(|id| id.to_string()),
        since_ns,
    };
    let mut log = AuditLog::new(path.clone(), wanted);
    let cannot_read = || format!("cannot read {}", path.display());
    print(&log.read(tail).with_context(cannot_read)?)?;
    if !args.follow {
        return Ok(());
    }
    // Without one (the directory is made with the first network, and a user has only so many) the log is looked at now
    // and then.
    let watch = path.parent().and_then(|dir| DirectoryWatch::new(dir).ok());
    let mut gone = false;
    loop {
        let found = log.read_on().with_context(cannot_read)?;
        print(&found)?;
        // The gateway's last lines about it may come a moment after it has gone.
        if gone && found.is_empty() {
            return Ok(());
        }
        gone = home
            .as_ref()
            .is_some_and(|home| matches!(home.try_exists(), Ok(false)));
        pause(watch.as_ref())?;
    }
}

/// Until the log has changed, or until it is time to see whether the sandbox is still there.
fn pause(watch: Option<&DirectoryWatch>) -> Result<()> {
    match watch {
        Some(watch) => {
            watch.wait(Some(LOOK))?;
        }
        #[expect(clippy::disallowed_methods, reason = "there is nothing to wait for")]
        None => std::thread::sleep(LOOK),
    }
    Ok(())
}

fn print(lines: &[String]) -> Result<()> {
    lines.iter().try_for_each(|line| render::line(line))
}
