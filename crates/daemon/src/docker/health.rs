//! Health checks: a command in the container, now and then.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_docker::body::Healthcheck;
use shedbox_docker::status::Health;
use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::exec::ExecRequest;
use tokio::task::AbortHandle;

use super::{Docker, exec, lock, stored};

/// Docker's defaults. Source: Dockerfile reference, HEALTHCHECK.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u64 = 3;
/// Results that are kept, and bytes of each.
const KEPT: usize = 5;
const OUTPUT: usize = 4096;

/// Containers that run, with what checks them.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<HashMap<String, Watch>>);

/// Of one start.
#[derive(Debug)]
struct Watch {
    started_at: Option<String>,
    /// None of a container without a check.
    task: Option<AbortHandle>,
}

impl Checks {
    /// No more of them.
    pub(super) fn end(&self, id: &str) {
        self.put(id, None);
    }

    fn put(&self, id: &str, watch: Option<Watch>) {
        let mut all = lock(&self.0);
        let before = match watch {
            Some(watch) => all.insert(id.to_owned(), watch),
            None => all.remove(id),
        };
        if let Some(task) = before.and_then(|before| before.task) {
            task.abort();
        }
    }

    fn knows(&self, info: &SandboxInfo) -> bool {
        lock(&self.0)
            .get(info.id.as_str())
            .is_some_and(|watch| watch.started_at == info.started_at)
    }
}

/// A check with its defaults filled in.
#[derive(Debug, Clone)]
struct Plan {
    argv: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: u64,
}

impl Docker {
    /// Begins to check a container that has started, when it has a check. A start that is told twice, by who asked for it and
    /// by its event, is one.
    pub(super) fn watch_health(self: &Arc<Self>, id: &str) {
        let Ok(info) = self.engine.inspect(id) else {
            return;
        };
        if self.health.knows(&info) {
            return;
        }
        let watch = |task| Watch {
            started_at: info.started_at.clone(),
            task,
        };
        let Some(plan) = self.plan(&info) else {
            return self.health.put(id, Some(watch(None)));
        };
        self.extras().entry(id.to_owned()).or_default().health = Some(Health {
            status: "starting",
            ..Health::default()
        });
        let (docker, own) = (Arc::downgrade(self), id.to_owned());
        let task = tokio::spawn(async move {
            let began = Instant::now();
            loop {
                let starting = began.elapsed() < plan.start_period;
                tokio::time::sleep(if starting {
                    plan.start_interval
                } else {
                    plan.interval
                })
                .await;
                let Some(docker) = docker.upgrade() else {
                    return;
                };
                let Ok(info) = docker.engine.inspect(&own) else {
                    return;
                };
                match info.status {
                    Status::Running => docker.check(&info, &plan, began).await,
                    Status::Paused => {}
                    _ => return,
                }
            }
        });
        self.health.put(id, Some(watch(Some(task.abort_handle()))));
    }

    fn plan(&self, info: &SandboxInfo) -> Option<Plan> {
        let own = stored(info).healthcheck();
        let of_image = || -> Option<Healthcheck> {
            let value = self.image_config(info).get("Healthcheck")?.clone();
            shedbox_docker::body::from_value(value).ok()
        };
        // An own one without a test has the image's.
        let check = match own {
            Some(mut own) if own.test.is_empty() => {
                own.test = of_image()?.test;
                own
            }
            Some(own) => own,
            None => of_image()?,
        };
        let argv = match check.test.split_first() {
            Some((word, rest)) if word == "CMD" => rest.to_vec(),
            Some((word, rest)) if word == "CMD-SHELL" => {
                let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned()];
                argv.extend(rest.iter().cloned());
                argv
            }
            _ => return None, // NONE
        };
        let time = |nanoseconds: i64, default| match u64::try_from(nanoseconds) {
            Ok(number @ 1..) => Duration::from_nanos(number),
            _ => default,
        };
        Some(Plan {
            argv,
            interval: time(check.interval, INTERVAL),
            timeout: time(check.timeout, TIMEOUT),
            start_period: time(check.start_period, Duration::ZERO),
            start_interval: time(check.start_interval, START_INTERVAL),
            retries: u64::try_from(check.retries)
                .ok()
                .filter(|count| *count > 0)
                .unwrap_or(RETRIES),
        })
    }

    async fn check(&self, info: &SandboxInfo, plan: &Plan, began: Instant) {
        let start = Timestamp::now();
        let request = ExecRequest {
            argv: plan
                .argv
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect(),
            ..ExecRequest::default()
        };
        let outcome = exec::run(Path::new(&info.socket), request, plan.timeout, OUTPUT).await;
        let (code, output) = match outcome {
            Ok((124, _)) => (
                -1,
                format!("Health check exceeded timeout ({:?})", plan.timeout),
            ),
            Ok((code, output)) => (
                i64::from(code),
                String::from_utf8_lossy(&output).into_owned(),
            ),
            Err(error) => (-1, error.message),
        };
        let result = json!({
            "Start": start.to_string(), "End": Timestamp::now().to_string(), "ExitCode": code, "Output": output,
        });
        let in_grace = began.elapsed() < plan.start_period;
        if let Some(status) = self.note(info, result, code == 0, in_grace, plan.retries) {
            self.events
                .container(info, &format!("health_status: {status}"), &[]);
        }
    }

    /// Gives the status when it has changed.
    fn note(
        &self,
        info: &SandboxInfo,
        result: Value,
        good: bool,
        in_grace: bool,
        retries: u64,
    ) -> Option<&'static str> {
        let mut extras = self.extras();
        let health = extras.get_mut(info.id.as_str())?.health.as_mut()?;
        health.log.push(result);
        if health.log.len() > KEPT {
            health.log.remove(0);
        }
        let before = health.status;
        if good {
            health.failing_streak = 0;
            health.status = "healthy";
        } else if !(in_grace && health.status == "starting") {
            health.failing_streak += 1;
            if health.failing_streak >= retries {
                health.status = "unhealthy";
            }
        }
        (health.status != before).then_some(health.status)
    }
}
