//! The environment that `--env` and `--env-file` describe, in Docker's order: files first, then variables.

use anyhow::{Context, Result};
use shedbox_spec::env_file;

/// `NAME=VALUE` entries, and names alone that take a variable away; `caller` looks up this process's own environment.
pub(crate) fn collect(
    files: &[String],
    variables: &[String],
    caller: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let mut list = Vec::new();
    for file in files {
        let content =
            std::fs::read(file).with_context(|| format!("cannot read the env file {file}"))?;
        list.extend(env_file::parse(&content, file, &caller)?);
    }
    for variable in variables {
        list.push(env_file::parse_argument(variable, &caller)?);
    }
    Ok(list)
}

/// This process's own environment.
pub(crate) fn own(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
