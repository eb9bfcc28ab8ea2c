//! Commit: what a sandbox has written becomes a layer of a new image.
//!
//! 1. pin the image that the sandbox was made from    2. stop its commands, when that is asked for and possible
//! 3. copy the upper directory (the turn is held: neither reset nor start moves it)    4. let the commands go on
//! 5. digest and commit of the layer, new image, names
//!
//! A crash leaves a directory in `store/ingest`, which the next daemon takes away, or a layer without an image, which a
//! prune finds. Commands that were stopped are adopted as paused.

use std::sync::Arc;

use serde_json::Value;
use shedbox_image::{Derivation, NewLayer, Step};
use shedbox_spec::api::Status;
use shedbox_spec::error::chain;
use shedbox_spec::{Digest, Error, Kind, Reference};
use shedbox_store::{ImageRecord, UpperCopy};

use crate::Engine;
use crate::disk_limit;
use crate::error::Result;
use crate::output::hidden_paths;
use crate::sandbox::Sandbox;

/// How a sandbox becomes an image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommitOptions {
    /// Names of the new image; none is possible.
    pub references: Vec<String>,
    /// Docker's `Config` object for the new image; `None` keeps that of the sandbox's image.
    pub config: Option<Value>,
    /// What its history says. Without `created_by` it says the sandbox's command.
    pub step: Step,
    /// Stop the commands of a running sandbox while it is read. Without a control group, it is read as it runs.
    pub pause: bool,
}

impl Engine {
    /// Makes an image of the sandbox's image and what the sandbox has written, and gives its id. One that has written
    /// nothing shares all layers.
    ///
    /// Volumes, memory file systems and what is mounted at /proc, /sys and /dev are no part of it; sockets and device nodes
    /// are left out with a warning in the log.
    pub fn commit(&self, name: &str, options: CommitOptions) -> Result<Digest> {
        let _activity = self.background.activity();
        let references = self.parse_tags(&options.references)?;
        let sandbox = self.find(name)?;
        let record = &sandbox.record;
        let parent = image_of(&sandbox)?;
        self.require_room()?;
        let _pin = self.store.pin(parent.digests());
        let copy = self.copy_written(&sandbox, options.pause)?;
        for warning in copy.warnings() {
            tracing::warn!(sandbox = %record.id, "commit: {warning}");
        }
        let layer = if copy.is_empty() {
            drop(copy);
            None
        } else {
            Some(copy.into_layer()?)
        };
        let mut step = options.step;
        step.created_by
            .get_or_insert_with(|| record.resolved.argv.join(" "));
        let image = self.images.derive(Derivation {
            parent: Some(parent),
            layer: layer.as_ref().map(|(layer, _pin)| NewLayer::from(layer)),
            config: options.config,
            step,
            references: &references,
        })?;
        Ok(image.config.clone())
    }

    /// Makes an image that has the layers of another one (`base`, an image id) or none, and another configuration.
    pub fn commit_empty(&self, base: Option<&Digest>, config: Value, step: Step) -> Result<Digest> {
        let _activity = self.background.activity();
        let base = base
            .map(|base| self.images.find(base.as_str()))
            .transpose()?;
        let image = self.images.derive(Derivation {
            parent: base.as_deref(),
            config: Some(config),
            step,
            ..Derivation::default()
        })?;
        Ok(image.config.clone())
    }

    pub(crate) fn parse_tags(&self, names: &[String]) -> Result<Vec<Reference>> {
        names
            .iter()
            .map(|name| Ok(self.images.parse_tag(name)?))
            .collect()
    }

    /// Steps 2 to 4. What the sandbox stands on belongs to its changes of the image.
    fn copy_written(&self, sandbox: &Arc<Sandbox>, pause: bool) -> Result<UpperCopy<'_>> {
        let _turn = sandbox.turn();
        sandbox.state().life.may_reset(&sandbox.name())?;
        let base = sandbox.bases().live.clone();
        let mut uppers = vec![sandbox.layout.live().join("upper")];
        uppers.extend(base.iter().flat_map(|base| base.uppers()));
        let copied = self.read_still(sandbox, pause, || {
            let lowers = self.lowers(&sandbox.record)?;
            let hidden = hidden_paths(&sandbox.record);
            Ok(self.store.copy_uppers(&uppers, &lowers, &hidden)?)
        });
        Ok(copied?.0)
    }

    /// Reads what a sandbox has written while its commands stand still, when that is asked for and possible: the second
    /// value says whether nothing was written meanwhile. Preconditions: the turn.
    pub(crate) fn read_still<T>(
        &self,
        sandbox: &Sandbox,
        pause: bool,
        read: impl FnOnce() -> Result<T>,
    ) -> Result<(T, bool)> {
        let live = {
            let state = sandbox.state();
            state
                .live
                .clone()
                .filter(|_| state.life.status == Status::Running)
        };
        let still = live.as_ref().is_none_or(|init| init.is_paused());
        let halted = live.filter(|init| pause && !init.is_paused() && init.cgroup.is_some());
        if let Some(init) = &halted
            && let Err(error) = self.halt(sandbox, init)
            && !init.has_ended()
        {
            return Err(error);
        }
        let outcome = read();
        if let Some(init) = &halted
            && let Err(error) = Self::thaw(sandbox, init)
        {
            // One that has ended meanwhile is no reason to give up what was read.
            if !init.has_ended() {
                return Err(error);
            }
            tracing::debug!(sandbox = %sandbox.record.id, error = chain(&error), "ended while it was read");
        }
        Ok((outcome?, still || halted.is_some()))
    }
}

/// The image of a sandbox whose upper directory can be read, with the image's own layers below it.
fn image_of(sandbox: &Sandbox) -> Result<&ImageRecord> {
    let name = sandbox.name();
    let Some(image) = &sandbox.record.image else {
        return Err(Error::new(
            Kind::Unsupported,
            format!("`{name}` was not made from an image: there is nothing its changes could be a layer of"),
        )
        .with_hint("export its file system and import that as an image")
        .into());
    };
    if disk_limit::is_in_memory(&sandbox.record) {
        return Err(Error::new(
            Kind::Unsupported,
            format!("what `{name}` has written is in memory, inside of it alone"),
        )
        .with_hint("export its file system and import that as an image, or use another backing for its disk limit")
        .into());
    }
    Ok(image)
}
