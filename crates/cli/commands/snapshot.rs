//! `shedbox snapshot`.

use std::time::SystemTime;

use anyhow::Result;
use clap::Subcommand;
use shedbox_client::Client;
use shedbox_spec::api::snapshot::{SnapshotCreate, SnapshotInfo};
use shedbox_spec::{id, size};

use crate::render::{self, Format, Table};
use crate::{report, time};

/// Keep the files of a sandbox as they are, to go back to them or to start others from them
///
/// What was written to volumes is no part of it, but for `cow` ones; processes are not either.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a snapshot, and print its tag
    ///
    /// Of a sandbox that does not run it is a rename. One that runs is copied while its processes stand still; they go on
    /// afterwards. Without a control group they cannot be held, and a file that changes meanwhile may be kept half.
    Create {
        /// End its processes first and start it again afterwards: a rename instead of a copy
        #[arg(long)]
        stop: bool,
        /// Name or id
        sandbox: String,
        /// Name of the snapshot; the next number when absent
        #[arg(value_parser = tag)]
        tag: Option<String>,
    },
    /// List snapshots, oldest first
    #[command(visible_alias = "list")]
    Ls {
        /// Only tags
        #[arg(short, long)]
        quiet: bool,
        /// How to show it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Name or id; all sandboxes when absent, and snapshots without a name that sandboxes stand on
        sandbox: Option<String>,
    },
    /// Show everything about snapshots, as one JSON array
    Inspect {
        /// Name or id
        sandbox: String,
        /// Names of snapshots
        #[arg(required = true, value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Remove snapshots
    ///
    /// The names go at once, the files with the last sandbox that stands on them.
    #[command(visible_alias = "remove")]
    Rm {
        /// Name or id
        sandbox: String,
        /// Names of snapshots
        #[arg(required = true, value_name = "TAG")]
        tags: Vec<String>,
    },
}

fn tag(text: &str) -> Result<String, shedbox_spec::Error> {
    id::validate_tag(text).map(|()| text.to_owned())
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    let client = Client::shared();
    match args.command {
        Command::Create { stop, sandbox, tag } => {
            let taken = client
                .sandbox(&sandbox)?
                .snapshot_with(&SnapshotCreate { tag, stop })?;
            for warning in &taken.warnings {
                report::say(&format!("warning: {warning}"));
            }
            if !taken.consistent {
                report::say(
                    "warning: the processes could not be held meanwhile, because there is no control group: files that \
                     they changed may be kept half",
                );
            }
            render::line(taken.tag.as_deref().unwrap_or_default())?;
        }
        Command::Ls {
            quiet,
            format,
            sandbox,
        } => {
            let list = match sandbox {
                Some(sandbox) => client.sandbox(&sandbox)?.snapshots()?,
                None => client.snapshots()?,
            };
            show(&list, quiet, format)?;
        }
        Command::Inspect { sandbox, tags } => {
            let sandbox = client.sandbox(&sandbox)?;
            let found = tags
                .iter()
                .map(|tag| Ok(sandbox.snapshot_info(tag)?))
                .collect::<Result<Vec<_>>>()?;
            render::json(&found)?;
        }
        Command::Rm { sandbox, tags } => {
            let sandbox = client.sandbox(&sandbox)?;
            return super::for_each(&tags, |tag| Ok(sandbox.remove_snapshot(tag)?));
        }
    }
    Ok(0)
}

fn show(list: &[SnapshotInfo], quiet: bool, format: Format) -> Result<()> {
    if quiet {
        for tag in list.iter().filter_map(|snapshot| snapshot.tag.as_deref()) {
            render::line(tag)?;
        }
        return Ok(());
    }
    if format == Format::Json {
        return render::json(&list);
    }
    let now = SystemTime::now();
    let name_of = |id: &shedbox_spec::SnapshotId| {
        let known = list.iter().find(|snapshot| snapshot.id == *id);
        known
            .and_then(|snapshot| snapshot.tag.clone())
            .unwrap_or_else(|| id.short().to_owned())
    };
    let mut table = Table::new(&[
        "SANDBOX",
        "TAG",
        "SNAPSHOT ID",
        "CREATED",
        "SIZE",
        "PARENT",
        "USED BY",
    ]);
    for snapshot in list {
        table.row([
            snapshot
                .sandbox
                .clone()
                .unwrap_or_else(|| "<none>".to_owned()),
            snapshot.tag.clone().unwrap_or_else(|| "<none>".to_owned()),
            snapshot.id.short().to_owned(),
            time::ago(Some(&snapshot.created_at), now),
            snapshot.bytes.map_or_else(String::new, size::format_bytes),
            snapshot.parent.as_ref().map_or_else(String::new, name_of),
            snapshot.used_by.len().to_string(),
        ]);
    }
    table.print()
}
