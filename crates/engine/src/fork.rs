//! Fork: new sandboxes with the spec of another one, whose files lie on one of its snapshots.
//!
//! 1. the snapshot: a named one, or one of now    2. for each: record with another identity, then as a create
//!
//! Forks share the snapshot read-only and keep it alive. What can be had only once is had anew: names, addresses, ports of
//! the host. Processes are not copied: the main process starts anew over the files.

use std::sync::Arc;

use shedbox_spec::api::SandboxInfo;
use shedbox_spec::api::snapshot::ForkRequest;
use shedbox_spec::network::Network;
use shedbox_spec::{Error, SandboxSpec, id};

use crate::Engine;
use crate::create::{Start, owner};
use crate::error::Result;
use crate::sandbox::Sandbox;
use crate::snapshot::Snapshot;

/// Most forks of one request.
const MAX_COUNT: usize = 1000;

impl Engine {
    /// Makes sandboxes from the files of another one: all that were asked for, or none. `caller` is the pid of who asked.
    pub fn fork(
        &self,
        name: &str,
        request: &ForkRequest,
        caller: Option<i32>,
    ) -> Result<Vec<SandboxInfo>> {
        let _activity = self.background.activity();
        let count = count(request)?;
        let parent = self.find(name)?;
        self.require_room()?;
        let snapshot = match &request.tag {
            Some(tag) => parent.bases().tagged(tag, &parent.name())?,
            None => self.take_nameless(&parent)?,
        };
        let mut made: Vec<SandboxInfo> = Vec::with_capacity(count);
        for number in 0..count {
            let name = request.names.get(number).map(String::as_str);
            match self.fork_one(&parent, &snapshot, name, request, caller) {
                Ok(info) => made.push(info),
                Err(error) => {
                    // Nobody has been told of them.
                    for info in made {
                        if let Err(error) = self.remove(info.id.as_str(), true) {
                            tracing::warn!(sandbox = %info.id, error = shedbox_spec::error::chain(&error), "cannot remove");
                        }
                    }
                    drop(snapshot);
                    self.sweep_snapshots();
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn fork_one(
        &self,
        parent: &Sandbox,
        snapshot: &Arc<Snapshot>,
        name: Option<&str>,
        request: &ForkRequest,
        caller: Option<i32>,
    ) -> Result<SandboxInfo> {
        let before = parent.record_now();
        let mut spec = once_more(before.spec);
        spec.name = name.map(str::to_owned);
        if spec.egress.is_some() || !spec.network.attachments().is_empty() {
            // It may have been switched since.
            spec.egress.clone_from(&parent.wire().egress);
        }
        let owner = owner(request.owned, caller)?;
        let mut new = self.found(before.image)?.into_new(spec, self.new_id()?)?;
        new.record.owner = owner;
        new.record.base = Some(snapshot.id.clone());
        new.record.name = self.reserve_name(name, &new.record.id)?;
        let how = Start {
            start: request.start,
            hold_main: false,
        };
        self.bring_up(new, None, Some(Arc::clone(snapshot)), how)
    }
}

/// How many are asked for; every name has to be one.
fn count(request: &ForkRequest) -> Result<usize> {
    for name in &request.names {
        id::validate_name(name)?;
    }
    let count = request.count.unwrap_or(request.names.len().max(1));
    if count == 0 || count > MAX_COUNT {
        return Err(Error::invalid(format!(
            "{count} forks cannot be made at once: at least 1, at most {MAX_COUNT}"
        ))
        .into());
    }
    if count < request.names.len() {
        return Err(Error::invalid(format!(
            "{} names for {count} forks",
            request.names.len()
        ))
        .with_hint("leave the number out, or give fewer names: those that are missing are generated")
        .into());
    }
    Ok(count)
}

/// The spec without what only one sandbox can have.
fn once_more(mut spec: SandboxSpec) -> SandboxSpec {
    for port in &mut spec.ports {
        port.host = None;
    }
    if let Network::Bridge(attachments) = &mut spec.network {
        for attachment in attachments {
            attachment.ip = None;
            attachment.ip6 = None;
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_are_names() {
        let request = |names: &[&str], count| ForkRequest {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            count,
            ..ForkRequest::default()
        };
        for (names, wanted, expected) in [
            (&[][..], None, Some(1)),
            (&["aa", "bb"], None, Some(2)),
            (&["aa"], Some(3), Some(3)),
            (&["aa", "bb"], Some(1), None),
            (&[], Some(0), None),
            (&[], Some(MAX_COUNT + 1), None),
            (&["a b"], None, None),
        ] {
            assert_eq!(
                count(&request(names, wanted)).ok(),
                expected,
                "{names:?} {wanted:?}"
            );
        }
    }
}
