//! Containers that are started again: restart policies.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shedbox_engine::Filter;
use shedbox_spec::api::{SandboxInfo, Status, WaitResult};
use shedbox_spec::exec::{End, Killer};
use tokio::task::AbortHandle;

use super::{Docker, lifecycle, lock, stored};

/// The first wait; each further one is twice as long. Source: moby `restartmanager`.
const FIRST: Duration = Duration::from_millis(100);
/// The longest one.
const LONGEST: Duration = Duration::from_mins(1);
/// A container that has run so long begins with the first wait again.
const STEADY: Duration = Duration::from_secs(10);

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Restarts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, Entry>,
    /// Stopped in order to be started again by somebody else.
    held: HashSet<String>,
}

#[derive(Debug)]
struct Entry {
    /// Restarts in a row, for `on-failure:N`.
    attempts: i64,
    delay: Duration,
    since: Instant,
    task: Option<AbortHandle>,
}

impl Restarts {
    /// Somebody has taken the container into their own hands.
    pub(super) fn forget(&self, id: &str) {
        if let Some(entry) = lock(&self.0).entries.remove(id)
            && let Some(task) = entry.task
        {
            task.abort();
        }
    }

    /// No restart for now.
    pub(super) fn hold(&self, id: &str) {
        lock(&self.0).held.insert(id.to_owned());
    }

    /// Again.
    pub(super) fn release(&self, id: &str) {
        lock(&self.0).held.remove(id);
    }
}

impl Docker {
    /// A main process has ended: it is started again when its policy says so.
    pub(super) fn after_end(self: &Arc<Self>, id: &str, result: &WaitResult, stopped: bool) {
        let Ok(info) = self.engine.inspect(id) else {
            return;
        };
        let policy = self
            .extra(&info)
            .kept
            .restart_policy
            .unwrap_or_else(|| stored(&info).restart_policy());
        let failed = result.exit_code != 0;
        let wanted = match policy.name.as_str() {
            "always" | "unless-stopped" => !stopped,
            "on-failure" => failed && !stopped,
            _ => false,
        };
        if !wanted || info.spec.auto_remove {
            return;
        }
        let mut inner = lock(&self.restarts.0);
        if inner.held.contains(id) {
            return;
        }
        let entry = inner.entries.entry(id.to_owned()).or_insert(Entry {
            attempts: 0,
            delay: FIRST,
            since: Instant::now(),
            task: None,
        });
        if entry.since.elapsed() > STEADY + entry.delay {
            entry.attempts = 0;
            entry.delay = FIRST;
        }
        let most = policy.maximum_retry_count;
        if policy.name == "on-failure" && most > 0 && entry.attempts >= most {
            return;
        }
        entry.attempts += 1;
        entry.since = Instant::now();
        let delay = entry.delay;
        entry.delay = (delay * 2).min(LONGEST);
        self.change(id, |extra| {
            extra.restarting = true;
            extra.kept.restart_count += 1;
        });
        let docker = Arc::clone(self);
        let id = id.to_owned();
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            docker.start_again(&id).await;
        });
        entry.task = Some(task.abort_handle());
    }

    async fn start_again(self: &Arc<Self>, id: &str) {
        let Ok(info) = self.engine.inspect(id) else {
            return;
        };
        if matches!(info.status, Status::Running | Status::Paused) {
            return;
        }
        if let Err(error) = lifecycle::start_it(self, &info).await {
            tracing::warn!(container = id, "not started again: {}", error.message);
        }
    }

    /// What earlier daemons knew, and what ended while there was none.
    pub(super) fn resume(self: &Arc<Self>) {
        let everything = Filter {
            all: true,
            ..Filter::default()
        };
        for info in self.engine.list(&everything) {
            self.remember(info.id.as_str());
            if info.spec.auto_remove {
                self.volumes
                    .goes_with(info.id.as_str(), &stored(&info).volumes);
            }
            match info.status {
                Status::Running => self.watch_health(info.id.as_str()),
                Status::Exited if !was_stopped(&info) => {
                    let result = WaitResult {
                        exit_code: info.exit_code,
                        result: info.result.clone(),
                    };
                    self.after_end(info.id.as_str(), &result, false);
                }
                _ => {}
            }
        }
    }

    /// Nothing of a container that has gone is kept.
    pub(super) fn forget(&self, id: &str) {
        self.restarts.forget(id);
        self.health.end(id);
        self.extras().remove(id);
        self.execs.forget(id);
        drop(self.waiting.take(id));
        self.volumes.container_gone(id);
    }
}

/// Somebody asked for its end.
fn was_stopped(info: &SandboxInfo) -> bool {
    info.result.as_ref().is_some_and(|result| {
        matches!(
            result.end,
            End::Stopped
                | End::Signaled {
                    by: Killer::Stop | Killer::Client,
                    ..
                }
        )
    })
}
