//! Sandboxes that are made for something else: a step of a build, a look into an image.

use std::sync::Arc;

use shedbox_spec::api::{AuthSources, CreateRequest, PullPolicy};
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Result, SandboxSpec};

use super::{Docker, now};

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
