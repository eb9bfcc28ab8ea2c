//! States and their words in listings. Source: moby `container/state.go`, `String`.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::exec::{End, Obstacle};
use shedbox_spec::size::human_duration;

/// What the daemon knows of a container beside the sandbox.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extra {
    /// It is waiting to be started again.
    pub restarting: bool,
    /// Health: `starting`, `healthy` or `unhealthy`, failures in a row, results as JSON; absent without a check.
    pub health: Option<Health>,
    /// What outlasts the daemon.
    pub kept: Kept,
}

/// What is kept with the container while it is there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// How often it was started again.
    pub restart_count: u64,
    /// A start that has failed, the last one that the API was asked for.
    pub failed_start: Option<FailedStart>,
    /// The policy after an update.
    pub restart_policy: Option<crate::body::RestartPolicy>,
}

/// Why a container could not be started.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FailedStart {
    /// The message.
    pub error: String,
    /// When it had been started before. Once this is another time, somebody else has started it.
    pub started_before: Option<String>,
}

/// State of a health check.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Health {
    /// The word.
    pub status: &'static str,
    /// Failures in a row.
    pub failing_streak: u64,
    /// The last results.
    pub log: Vec<serde_json::Value>,
}

/// The word.
pub fn word(info: &SandboxInfo, extra: &Extra) -> &'static str {
    match info.status {
        _ if extra.restarting => "restarting",
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Exited => "exited",
        Status::Removing => "removing",
    }
}

/// What stands for the exit code of a main process that never was. Source: moby `daemon/start.go`, `containerStart`.
const NOT_STARTED: u8 = 128;

/// The failed start that nothing has come after.
fn failed_start<'a>(info: &SandboxInfo, extra: &'a Extra) -> Option<&'a FailedStart> {
    (extra.kept.failed_start.as_ref()).filter(|failed| failed.started_before == info.started_at)
}

/// Why the container could not be started; empty when it could.
pub fn error<'a>(info: &SandboxInfo, extra: &'a Extra) -> &'a str {
    failed_start(info, extra).map_or("", |failed| &failed.error)
}

/// The exit code: of the last end, unless it says nothing and a start has failed since. Of what keeps a main process from
/// being started, dockerd has codes of their own for its program alone.
pub fn exit_code(info: &SandboxInfo, extra: &Extra) -> u8 {
    if let Some(End::NotStarted(why)) = info.result.as_ref().map(|result| &result.end)
        && why.obstacle == Obstacle::User
    {
        return NOT_STARTED;
    }
    match info.exit_code {
        0 if failed_start(info, extra).is_some() => NOT_STARTED,
        code => code,
    }
}

/// A sentence for listings.
pub fn sentence(info: &SandboxInfo, extra: &Extra, now: Timestamp) -> String {
    let since = |at: &Option<String>| {
        let at: Timestamp = at.as_ref()?.parse().ok()?;
        let seconds = now.as_second().saturating_sub(at.as_second());
        Some(human_duration(Duration::from_secs(
            u64::try_from(seconds).unwrap_or(0),
        )))
    };
    let up = || since(&info.started_at).unwrap_or_default();
    let ago = || since(&info.finished_at).unwrap_or_default();
    match info.status {
        _ if extra.restarting => format!("Restarting ({}) {} ago", exit_code(info, extra), ago()),
        Status::Created => "Created".to_owned(),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited => format!("Exited ({}) {} ago", exit_code(info, extra), ago()),
        Status::Paused => format!("Up {} (Paused)", up()),
        Status::Running => match &extra.health {
            Some(health) if health.status == "starting" => {
                format!("Up {} (health: starting)", up())
            }
            Some(health) => format!("Up {} ({})", up(), health.status),
            None => format!("Up {}", up()),
        },
    }
}
