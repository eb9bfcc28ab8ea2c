//! What sandboxes look like from outside.

use std::sync::Arc;

use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::exec::End;
use shedbox_spec::{Error, Result as SpecResult, SandboxSpec};

use crate::Engine;
use crate::disk_limit::disk_use;
use crate::error::Result;
use crate::sandbox::Sandbox;

/// Which sandboxes a listing shows; Docker's filters. Values of one kind are alternatives, but for labels, which all
/// have to fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Also those that do not run. A filter by status implies it.
    pub all: bool,
    /// `key` or `key=value`.
    pub labels: Vec<String>,
    /// Parts of names.
    pub names: Vec<String>,
    /// Beginnings of ids.
    pub ids: Vec<String>,
    /// Statuses.
    pub statuses: Vec<Status>,
}

impl Filter {
    /// Reads one `key=value` of a query.
    pub fn add(&mut self, key: &str, value: &str) -> SpecResult<()> {
        match key {
            "all" => self.all = matches!(value, "" | "1" | "true"),
            "label" => self.labels.push(value.to_owned()),
            "name" => self.names.push(value.to_owned()),
            "id" => self.ids.push(value.to_owned()),
            "status" => self.statuses.push(match value {
                "created" => Status::Created,
                "running" => Status::Running,
                "paused" => Status::Paused,
                "exited" => Status::Exited,
                "removing" => Status::Removing,
                other => {
                    return Err(Error::invalid(format!("unknown status `{other}`"))
                        .with_hint("use created, running, paused, exited or removing"));
                }
            }),
            other => {
                return Err(Error::invalid(format!("unknown filter `{other}`"))
                    .with_hint("use all, label, name, id or status"));
            }
        }
        Ok(())
    }

    fn fits(&self, info: &SandboxInfo) -> bool {
        let label = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => info.labels.get(key).is_some_and(|found| found == value),
            None => info.labels.contains_key(wanted),
        };
        let shown = if self.statuses.is_empty() {
            self.all || matches!(info.status, Status::Running | Status::Paused)
        } else {
            self.statuses.contains(&info.status)
        };
        let name = self.names.is_empty()
            || self
                .names
                .iter()
                .any(|part| info.name.contains(part.trim_start_matches('/')));
        let id = self.ids.is_empty()
            || self
                .ids
                .iter()
                .any(|start| info.id.as_str().starts_with(start));
        shown && name && id && self.labels.iter().all(label)
    }
}

impl Engine {
    /// One sandbox.
    pub fn inspect(&self, name: &str) -> Result<SandboxInfo> {
        Ok(info(self, &*self.find(name)?))
    }

    /// The sandboxes that fit, newest first.
    pub fn list(&self, filter: &Filter) -> Vec<SandboxInfo> {
        let sandboxes = self.registry().all();
        let mut list: Vec<_> = sandboxes
            .iter()
            .map(|sandbox| info(self, sandbox))
            .filter(|info| filter.fits(info))
            .collect();
        list.sort_by(|a, b| b.created_at.cmp(&a.created_at));
        list
    }

    /// How many sandboxes there are, and how many of them run.
    pub fn count(&self) -> (usize, usize) {
        let sandboxes: Vec<Arc<Sandbox>> = self.registry().all();
        let running = sandboxes
            .iter()
            .filter(|sandbox| sandbox.state().life.status == Status::Running)
            .count();
        (sandboxes.len(), running)
    }
}

impl Engine {
    /// The warning for groups that were asked for and cannot be had. Nothing is out of reach for the want of them: on a
    /// single-id map every process and every file belongs to root.
    fn no_groups(&self, spec: &SandboxSpec) -> Option<String> {
        (self.host.deny_setgroups && !spec.groups.is_empty()).then(|| {
            format!(
                "supplementary groups ({}) are left out: this user has no subordinate ids, so everything belongs to root",
                spec.groups.join(", ")
            )
        })
    }
}

/// What a sandbox looks like now.
pub(crate) fn info(engine: &Engine, sandbox: &Sandbox) -> SandboxInfo {
    let record = &sandbox.record;
    let networks = engine.endpoints(sandbox);
    let (ports, egress) = {
        let wire = sandbox.wire();
        let ports = wire.attached.map(|_| wire.published.clone());
        (ports.unwrap_or_default(), wire.egress.clone())
    };
    let base = sandbox.bases().live.as_ref().map(|base| base.id.clone());
    let resolved = &record.resolved;
    let state = sandbox.state();
    let life = &state.life;
    SandboxInfo {
        id: record.id.clone(),
        name: sandbox.name().to_string(),
        spec: SandboxSpec {
            limits: sandbox.limits(),
            ..record.spec.clone()
        },
        image: record.image_id().cloned(),
        status: match &state.live {
            Some(live) if live.is_paused() && life.status == Status::Running => Status::Paused,
            _ => life.status,
        },
        generation: life.generation,
        spare: state.spare.is_some(),
        argv: resolved.argv.clone(),
        env: resolved.env.clone(),
        workdir: resolved.workdir.clone(),
        user: resolved.user.clone(),
        labels: resolved.labels.clone(),
        created_at: record.created_at.to_string(),
        started_at: life.started_at.map(|at| at.to_string()),
        finished_at: life.finished_at.map(|at| at.to_string()),
        init_pid: state.live.as_ref().map(|init| init.pid),
        result: life.result.clone(),
        exit_code: life.exit_code(sandbox.has_main()),
        warnings: state
            .warnings
            .iter()
            .cloned()
            .chain(engine.no_groups(&record.spec))
            .collect(),
        networks,
        ports,
        egress,
        socket: sandbox.socket.display().to_string(),
        dir: sandbox.layout.dir.display().to_string(),
        expires_at: record.expires_at.map(|at| at.to_string()),
        cgroup: state
            .live
            .as_ref()
            .and_then(|init| init.cgroup.as_ref())
            .map(|lease| lease.path().display().to_string()),
        oom_killed: life
            .result
            .as_ref()
            .is_some_and(|result| matches!(result.end, End::OutOfMemory { .. })),
        disk: disk_use(sandbox, state.live.as_ref().map(|init| init.pid)),
        base,
        forked_from: record.base.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::{Kind, SandboxId};

    fn info(name: &str, status: Status, labels: &[(&str, &str)]) -> SandboxInfo {
        SandboxInfo {
            id: SandboxId::from_bytes(&[0xab; 32]),
            name: name.into(),
            spec: SandboxSpec::default(),
            image: None,
            status,
            generation: 1,
            spare: false,
            argv: vec![],
            env: vec![],
            workdir: "/".into(),
            user: String::new(),
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            created_at: String::new(),
            started_at: None,
            finished_at: None,
            init_pid: None,
            result: None,
            exit_code: 0,
            warnings: vec![],
            networks: vec![],
            ports: vec![],
            egress: None,
            socket: String::new(),
            dir: String::new(),
            expires_at: None,
            cgroup: None,
            oom_killed: false,
            disk: None,
            base: None,
            forked_from: None,
        }
    }

    fn filter(query: &[(&str, &str)]) -> Filter {
        let mut filter = Filter::default();
        for (key, value) in query {
            filter.add(key, value).unwrap();
        }
        filter
    }

    /// A query, and whether the running and the stopped sandbox fit it.
    type Row<'a> = (&'a [(&'a str, &'a str)], bool, bool);

    #[test]
    fn filters() {
        let running = info("web_one", Status::Running, &[("team", "a")]);
        let exited = info("db", Status::Exited, &[("team", "b"), ("x", "")]);
        let table: &[Row<'_>] = &[
            (&[], true, false),
            (&[("all", "1")], true, true),
            (&[("all", "false")], true, false),
            (&[("status", "exited")], false, true),
            (&[("all", "true"), ("label", "team")], true, true),
            (&[("all", "true"), ("label", "team=b")], false, true),
            (
                &[("all", "true"), ("label", "team"), ("label", "x")],
                false,
                true,
            ),
            (&[("name", "one")], true, false),
            (&[("all", "1"), ("name", "one"), ("name", "d")], true, true),
            (&[("all", "1"), ("id", "abab")], true, true),
            (&[("all", "1"), ("id", "c")], false, false),
        ];
        for (query, first, second) in table {
            let filter = filter(query);
            assert_eq!(
                (filter.fits(&running), filter.fits(&exited)),
                (*first, *second),
                "{query:?}"
            );
        }
        assert_eq!(
            Filter::default().add("status", "asleep").unwrap_err().kind,
            Kind::Invalid
        );
        assert_eq!(
            Filter::default().add("colour", "red").unwrap_err().kind,
            Kind::Invalid
        );
    }
}
