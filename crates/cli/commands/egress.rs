//! `shedbox egress`.

use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};
use clap::Subcommand;
use shedbox_client::Client;
use shedbox_spec::Error;
use shedbox_spec::network::egress::EgressRule;

use crate::network_options::EgressOptions;
use crate::render::{self, Format};

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
    Log {
        /// Name or id
        #[arg(value_name = "SANDBOX")]
        sandbox: String,
    },
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
        Command::Log { sandbox } => log(client, &sandbox)?,
    }
    Ok(0)
}

/// The older file first.
fn log(client: &Client, sandbox: &str) -> Result<()> {
    let id = Client::shared().sandbox(sandbox)?.info()?.id.to_string();
    let path = client.paths().audit();
    for path in [path.with_extension("jsonl.1"), path] {
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        for line in BufReader::new(file).lines() {
            let line = line?;
            if line.contains(&id) {
                render::line(&line)?;
            }
        }
    }
    Ok(())
}
