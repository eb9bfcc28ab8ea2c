//! Sandboxes that are made for something else: a step of a build, a look into an image.

use std::sync::Arc;

use shedbox_engine::Filter;
use shedbox_spec::api::{AuthSources, CreateRequest, PullPolicy};
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Result, SandboxSpec};

use super::{Docker, now};

/// Tells them apart from those of users when the daemon that made them has died.
const LABEL: &str = "shedbox.scratch";

/// One that was created and not started; removed when it is dropped.
pub(super) struct Scratch {
    docker: Arc<Docker>,
    pub(super) id: String,
}

impl Scratch {
    /// From an image, as `change` wants it.
    pub(super) fn make(
        docker: &Arc<Docker>,
        image: &str,
        change: impl FnOnce(&mut SandboxSpec),
    ) -> Result<Self> {
        let mut spec = SandboxSpec {
            source: Source::Image(image.to_owned()),
            entrypoint: Some(Vec::new()),
            ..SandboxSpec::default()
        };
        change(&mut spec);
        spec.labels.insert(LABEL.to_owned(), String::new());
        let request = CreateRequest {
            spec,
            start: false,
            hold_main: false,
            owned: false,
            pull: PullPolicy::Never,
            auth: AuthSources::default(),
        };
        let info = now(|| docker.engine.create(request, None))?;
        Ok(Self {
            docker: Arc::clone(docker),
            id: info.id.to_string(),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (docker, id) = (Arc::clone(&self.docker), std::mem::take(&mut self.id));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = docker.engine.remove(&id, true) {
                tracing::warn!(
                    sandbox = id,
                    error = shedbox_spec::error::chain(&error),
                    "a sandbox that was made for a moment stays"
                );
            }
        });
    }
}

/// Removes what a daemon has left that had no time to do so.
pub(super) fn sweep(docker: &Arc<Docker>) {
    let left = docker.engine.list(&Filter {
        all: true,
        labels: vec![LABEL.to_owned()],
        ..Filter::default()
    });
    for info in left {
        // As one of ours that is no longer used.
        drop(Scratch {
            docker: Arc::clone(docker),
            id: info.id.to_string(),
        });
    }
}
