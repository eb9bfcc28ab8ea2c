//! `shedbox fork`.

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::api::snapshot::ForkRequest;

use crate::render;

/// Make sandboxes that start from the files of another one, and print their names
///
/// They have its spec, but names, addresses and ports of the host of their own. The files are those of a snapshot, or of a
/// new one without a name; all forks share them. The main process starts anew. A reset of a fork goes back to these files.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many [default: as many as there are names, at least one]
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<usize>,
    /// Do not start them
    #[arg(long)]
    no_start: bool,
    /// Name or id, and a snapshot of it
    #[arg(value_name = "SANDBOX[:TAG]")]
    sandbox: String,
    /// Names of the new ones; generated where they are missing
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let (sandbox, tag) = match args.sandbox.split_once(':') {
        Some((sandbox, tag)) => (sandbox, Some(tag.to_owned())),
        None => (args.sandbox.as_str(), None),
    };
    let client = Client::shared();
    let forks = client.sandbox(sandbox)?.fork_with(&ForkRequest {
        tag,
        names: args.names.clone(),
        count: args.count,
        start: !args.no_start,
        owned: false,
    })?;
    for fork in forks {
        render::line(fork.name_or_id())?;
    }
    Ok(0)
}
