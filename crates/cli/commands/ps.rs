//! `shedbox ps`.

use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Error, size};

use crate::render::{self, Format, Table, shorten};
use crate::time;

/// List sandboxes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Only those that fit: `name=`, `id=`, `label=`, `status=`, `ancestor=`
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let filter = Filter::parse(&args.filter)?;
    // Asking for a status asks for sandboxes in it.
    let all = args.all || !filter.statuses.is_empty();
    let mut list = Client::shared().sandboxes(all, &filter.labels)?;
    list.retain(|info| filter.fits(info));
    let id = |info: &SandboxInfo| {
        if args.no_trunc {
            info.id.to_string()
        } else {
            info.id.short().to_owned()
        }
    };
    if args.quiet {
        for info in &list {
            render::line(&id(info))?;
        }
    } else if args.format == Format::Json {
        render::json(&list)?;
    } else {
        let now = SystemTime::now();
        let mut table = Table::new(&[
            "SANDBOX ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAME",
        ]);
        for info in &list {
            let command = if info.argv.is_empty() {
                "-".to_owned()
            } else {
                info.argv.join(" ")
            };
            let command = if args.no_trunc {
                command
            } else {
                shorten(&command, 30)
            };
            let created = time::ago(Some(&info.created_at), now);
            table.row([
                id(info),
                image(info),
                command,
                created,
                status(info, now),
                ports(info),
                info.name.clone(),
            ]);
        }
        table.print()?;
    }
    Ok(0)
}

fn image(info: &SandboxInfo) -> String {
    match &info.spec.source {
        Source::Image(reference) => reference.clone(),
        Source::Rootfs(dir) => dir.clone(),
        Source::Host => "host".to_owned(),
    }
}

/// As Docker shows them: where each port is reached.
fn ports(info: &SandboxInfo) -> String {
    let shown: Vec<_> = info
        .ports
        .iter()
        .map(|port| {
            let host = SocketAddr::new(port.host_ip, port.host_port);
            format!("{host}->{}/{}", port.container, port.protocol)
        })
        .collect();
    shown.join(", ")
}

/// In Docker's words.
fn status(info: &SandboxInfo, now: SystemTime) -> String {
    match info.status {
        Status::Created => "Created".to_owned(),
        Status::Removing => "Removing".to_owned(),
        Status::Running | Status::Paused => {
            let up = match time::age(info.started_at.as_deref(), now) {
                Some(age) => format!("Up {}", size::human_duration(age)),
                None => "Up".to_owned(),
            };
            if info.status == Status::Paused {
                format!("{up} (Paused)")
            } else {
                up
            }
        }
        Status::Exited => format!(
            "Exited ({}) {}",
            info.exit_code,
            time::ago(info.finished_at.as_deref(), now)
        )
        .trim_end()
        .to_owned(),
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Exited => "exited",
        Status::Removing => "removing",
    }
}

/// Conditions of one name are alternatives, except labels, which must all be there; different names must all fit.
#[derive(Debug, Default, PartialEq)]
struct Filter {
    names: Vec<String>,
    ids: Vec<String>,
    statuses: Vec<String>,
    ancestors: Vec<String>,
    labels: Vec<String>,
}

impl Filter {
    fn parse(texts: &[String]) -> Result<Self, Error> {
        let mut filter = Self::default();
        for text in texts {
            let (name, value) = text.split_once('=').ok_or_else(|| {
                Error::invalid(format!("invalid filter `{text}`"))
                    .with_hint("write it as `NAME=VALUE`")
            })?;
            let list = match name {
                "name" => &mut filter.names,
                "id" => &mut filter.ids,
                "label" => &mut filter.labels,
                "ancestor" => &mut filter.ancestors,
                "status" => {
                    if !["created", "running", "paused", "exited", "removing"].contains(&value) {
                        return Err(Error::invalid(format!("unknown status `{value}`"))
                            .with_hint("use created, running, paused, exited or removing"));
                    }
                    &mut filter.statuses
                }
                _ => {
                    return Err(Error::invalid(format!("unknown filter `{name}`"))
                        .with_hint("use name, id, label, status or ancestor"));
                }
            };
            list.push(value.to_owned());
        }
        Ok(filter)
    }

    fn fits(&self, info: &SandboxInfo) -> bool {
        let any = |list: &[String], fits: &dyn Fn(&str) -> bool| {
            list.is_empty() || list.iter().any(|value| fits(value))
        };
        any(&self.names, &|part| info.name.contains(part))
            && any(&self.ids, &|prefix| info.id.as_str().starts_with(prefix))
            && any(&self.statuses, &|status| word(info.status) == status)
            && any(&self.ancestors, &|ancestor| {
                image(info) == ancestor
                    || info
                        .image
                        .as_ref()
                        .is_some_and(|id| id.as_str() == ancestor || id.hex().starts_with(ancestor))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SandboxInfo {
        serde_json::from_value(serde_json::json!({
            "id": "ab".repeat(32), "name": "web1", "spec": {"source": {"image": "debian:12"}},
            "image": format!("sha256:{}", "cd".repeat(32)), "status": "exited", "generation": 1, "spare": false,
            "argv": ["true"], "env": [], "workdir": "/", "user": "", "labels": {}, "created_at": "1970-01-01T00:00:00Z",
            "started_at": null, "finished_at": "1970-01-01T00:00:10Z", "init_pid": null, "result": null, "exit_code": 3,
            "warnings": [], "socket": "", "dir": "", "expires_at": null,
        }))
        .unwrap()
    }

    #[test]
    fn filters() {
        let fits = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Filter::parse(&texts).unwrap().fits(&info())
        };
        for texts in [
            &["name=web"][..],
            &["name=x", "name=eb1"],
            &["id=abab", "status=exited"],
            &["status=running", "status=exited"],
            &["ancestor=debian:12"],
            &["ancestor=cdcd"],
        ] {
            assert!(fits(texts), "{texts:?}");
        }
        for texts in [
            &["name=db"][..],
            &["name=web", "status=running"],
            &["id=cd"],
            &["ancestor=debian"],
        ] {
            assert!(!fits(texts), "{texts:?}");
        }
        let paused = SandboxInfo {
            status: Status::Paused,
            ..info()
        };
        let filter = Filter::parse(&["status=paused".to_owned()]).unwrap();
        assert!(filter.fits(&paused) && !filter.fits(&info()));
        for bad in ["name", "x=y", "status=dead"] {
            assert!(Filter::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn how_a_status_reads() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(20);
        assert_eq!(status(&info(), now), "Exited (3) 10 seconds ago");
        let running = SandboxInfo {
            status: Status::Running,
            started_at: Some("1970-01-01T00:00:19Z".into()),
            ..info()
        };
        assert_eq!(status(&running, now), "Up 1 second");
    }
}
