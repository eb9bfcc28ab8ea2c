//! Image configuration + spec → what runs: Docker's rules for Entrypoint, Cmd, Env, WorkingDir, User and Labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shedbox_image::config::ImageDefaults;
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Result, SandboxSpec, signal};

/// The PATH of an image that sets none. Docker's.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is in force in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resolved {
    /// Entrypoint and Cmd; empty for an idle sandbox.
    pub(crate) argv: Vec<String>,
    /// Environment.
    pub(crate) env: Vec<String>,
    /// Working directory, absolute.
    pub(crate) workdir: String,
    /// User; empty means root.
    pub(crate) user: String,
    /// The user is the image's wish, not the caller's: it may fall back to root on a single-id map.
    pub(crate) user_may_fall_back: bool,
    /// Number of the stop signal.
    pub(crate) stop_signal: i32,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Merges the two. Fails when there is nothing to run in a sandbox that is not idle.
pub(crate) fn merge(image: &ImageDefaults, spec: &SandboxSpec, hostname: &str) -> Result<Resolved> {
    let argv = if spec.idle {
        Vec::new()
    } else {
        merge_argv(image, spec)
    };
    if argv.is_empty() && !spec.idle {
        let what = match &spec.source {
            Source::Image(reference) => {
                format!("image `{reference}` names no command and none was given")
            }
            Source::Rootfs(_) | Source::Host => "no command was given".to_owned(),
        };
        return Err(shedbox_spec::Error::invalid(what).with_hint(
            "give a command, or make the sandbox idle and run commands in it with exec",
        ));
    }
    let stop_signal = match spec.stop_signal.as_ref().or(image.stop_signal.as_ref()) {
        Some(text) => signal::parse(text)?,
        None => signal::TERM,
    };
    let mut labels = image.labels.clone();
    labels.extend(spec.labels.clone());
    Ok(Resolved {
        argv,
        env: merge_env(&image.env, &spec.env, hostname),
        workdir: spec
            .workdir
            .clone()
            .or_else(|| image.workdir.clone())
            .unwrap_or_else(|| "/".to_owned()),
        user: spec
            .user
            .clone()
            .or_else(|| image.user.clone())
            .unwrap_or_default(),
        user_may_fall_back: spec.user.is_none(),
        stop_signal,
        labels,
    })
}

/// An entrypoint of the caller drops the image's Cmd; `[]` drops the image's entrypoint alone, `[""]` drops both, as
/// `docker run --entrypoint ""` does.
fn merge_argv(image: &ImageDefaults, spec: &SandboxSpec) -> Vec<String> {
    let given = spec.entrypoint.as_deref();
    let command = match given {
        Some([_, ..]) => &spec.command,
        _ if spec.command.is_empty() => &image.cmd,
        _ => &spec.command,
    };
    let entrypoint = match given {
        Some([only]) if only.is_empty() => &[][..],
        Some(list) => list,
        None => &image.entrypoint,
    };
    entrypoint.iter().chain(command).cloned().collect()
}

/// Later entries replace earlier ones of the same name in place; an entry of the spec without `=` removes the name.
fn merge_env(image: &[String], spec: &[String], hostname: &str) -> Vec<String> {
    let mut merged = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    for entry in image.iter().chain(spec) {
        let (name, has_value) = match entry.split_once('=') {
            Some((name, _)) => (name, true),
            None => (entry.as_str(), false),
        };
        let place = merged.iter().position(|old| {
            old.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        });
        match (place, has_value) {
            (Some(place), true) => merged[place].clone_from(entry),
            (Some(place), false) => drop(merged.remove(place)),
            (None, true) => merged.push(entry.clone()),
            (None, false) => {}
        }
    }
    merged
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
