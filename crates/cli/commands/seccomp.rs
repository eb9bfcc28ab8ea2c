//! `shedbox seccomp`.

use anyhow::Result;
use shedbox_client::Client;
use shedbox_engine::filter::learned::{self, DeniedCall};
use shedbox_spec::Error;

use crate::render::{self, Format, Table};

/// Show what the default filter would have denied in a sandbox that was made with `--security-opt seccomp=log`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a profile in Docker's JSON that allows it, for `--security-opt seccomp=FILE`
    #[arg(long, conflicts_with = "format")]
    profile: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Name or id
    sandbox: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let sandbox = Client::shared().sandbox(&args.sandbox)?;
    let denials = sandbox.denials()?.ok_or_else(|| {
        Error::conflict(format!("sandbox `{}` does not log its calls", args.sandbox))
            .with_hint("make it with `--security-opt seccomp=log`")
    })?;
    let security = sandbox.info()?.spec.security;
    if args.profile {
        render::json(&learned::profile(&security, &denials)?)?;
        return Ok(0);
    }
    let calls = learned::named(&security, &denials)?;
    match args.format {
        Format::Json => render::json(&calls)?,
        Format::Table => table(&calls).print()?,
    }
    Ok(0)
}

fn table(calls: &[DeniedCall]) -> Table {
    let mut table = Table::new(&["CALL", "ABI", "COUNT", "ANSWER", "ARGUMENTS"]);
    for call in calls {
        let arguments: Vec<String> = call
            .arguments
            .iter()
            .map(|[a, b, c]| format!("{a:#x},{b:#x},{c:#x}"))
            .collect();
        table.row([
            call.call.clone(),
            call.abi.clone(),
            call.count.to_string(),
            call.answer.clone(),
            arguments.join(" "),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call() {
        let call = DeniedCall {
            call: "socket".into(),
            abi: "x86_64".into(),
            count: 3,
            answer: "EAFNOSUPPORT".into(),
            arguments: vec![[40, 1, 0]],
        };
        insta::assert_snapshot!(table(&[call]).to_text(), @r"
        CALL     ABI      COUNT   ANSWER         ARGUMENTS
        socket   x86_64   3       EAFNOSUPPORT   0x28,0x1,0x0
        ");
    }
}
