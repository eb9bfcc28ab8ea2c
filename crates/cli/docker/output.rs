//! What goes out: templates, tables, the lines of streams, errors in Docker's words.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};

use anyhow::{Result, anyhow};
use serde_json::{Map, Value};
use shedbox_client::{Body, Client, Error as ClientError, Target};
use shedbox_spec::exec::{NotStarted, Obstacle};
use shedbox_template::{MissingKey, Table, Template};

/// The engine's version that this command says it has, too.
pub(super) const ENGINE_VERSION: &str = "27.5.1";

/// Asks for a value.
pub(super) fn get<'a>(segments: impl IntoIterator<Item = &'a str>) -> Result<Value> {
    fetch(&Target::docker(segments))
}

/// The same of a target with a query.
pub(super) fn fetch(target: &Target) -> Result<Value> {
    Ok(Client::shared().docker_json("GET", target, None)?)
}

/// Has something done.
pub(super) fn post(target: &Target, body: Option<&Value>) -> Result<Value> {
    Ok(Client::shared().docker_json("POST", target, body)?)
}

/// Has something removed.
pub(super) fn delete(target: &Target) -> Result<Value> {
    Ok(Client::shared().docker_json("DELETE", target, None)?)
}

/// Writes what a template makes of a value, as `inspect` and `version` do: a line.
pub(super) fn template(format: &str, value: &Value, missing: MissingKey) -> Result<()> {
    let text = if format == "json" {
        serde_json::to_string(value)?
    } else {
        Template::parse(format)
            .map_err(|error| anyhow!("template parsing error: {error}"))?
            .with_missing_key(missing)
            .render(value)
            .map_err(|error| anyhow!("template parsing error: {error}"))?
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}

/// A listing: which fields a row may have, with their headers, and the format when none was given.
pub(super) struct Listing {
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) default: &'static str,
    /// The field of `--quiet`.
    pub(super) quiet: &'static str,
}

impl Listing {
    pub(super) fn print(&self, format: Option<&str>, quiet: bool, rows: &[Value]) -> Result<()> {
        let format = match format {
            None | Some("" | "table") if quiet => self.quiet.to_owned(),
            None | Some("" | "table") => format!("table {}", self.default),
            Some(format) => format.to_owned(),
        };
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(field, header)| ((*field).to_owned(), Value::from(*header)))
            .collect();
        let text = Table::parse(&format)
            .and_then(|table| table.render(&headers, rows))
            .map_err(|error| anyhow!("template parsing error: {error}"))?;
        io::stdout().lock().write_all(text.as_bytes())?;
        Ok(())
    }
}

/// What every listing takes.
#[derive(Debug, clap::Args)]
pub(super) struct ListFlags {
    /// Those that fit
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// `table`, `json`, or a template
    #[arg(long)]
    pub(super) format: Option<String>,
    /// Ids or names alone
    #[arg(short, long)]
    quiet: bool,
}

impl ListFlags {
    /// Asks for what fits these filters and some more.
    pub(super) fn fetch(&self, target: Target, more: &[String]) -> Result<Value> {
        fetch(&filtered(target, &[&self.filter, more].concat())?)
    }

    /// Writes the rows. The exit status.
    pub(super) fn print(&self, listing: &Listing, rows: &[Value]) -> Result<u8> {
        listing.print(self.format.as_deref(), self.quiet, rows)?;
        Ok(0)
    }
}

/// The query of filters: `key=value` each.
pub(super) fn filters(list: &[String]) -> Result<Option<String>> {
    let mut filters: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in list {
        let (key, value) = filter.split_once('=').ok_or_else(|| {
            anyhow!(
                "invalid argument \"{filter}\" for \"-f, --filter\" flag: invalid filter '{filter}'"
            )
        })?;
        // `label!=x` is a key of its own.
        let (key, value) = match key.strip_suffix('!') {
            Some("label") => ("label!", value),
            _ => (key, value),
        };
        filters.entry(key.trim()).or_default().insert(value, true);
    }
    if filters.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(&filters)?))
}

/// Adds filters to a target.
pub(super) fn filtered(target: Target, list: &[String]) -> Result<Target> {
    Ok(match filters(list)? {
        Some(text) => target.query("filters", text),
        None => target,
    })
}

/// Values of a stream, one a line.
pub(super) fn lines(body: Body, mut act: impl FnMut(&Value) -> Result<()>) -> Result<()> {
    for line in BufReader::new(body).lines() {
        let line = line?;
        if !line.trim().is_empty() {
            act(&serde_json::from_str(&line)?)?;
        }
    }
    Ok(())
}

/// The lines of a pull, push, load or build, on this writer. A failure at their end is an error.
pub(super) fn progress(body: Body, quiet: bool, out: &mut dyn Write) -> Result<()> {
    let terminal = io::stdout().is_terminal();
    lines(body, |line| {
        if let Some(message) = line["error"].as_str() {
            return Err(anyhow!("{message}"));
        }
        if quiet {
            return Ok(());
        }
        if let Some(text) = line["stream"].as_str() {
            out.write_all(text.as_bytes())?;
        } else if let Some(status) = line["status"].as_str() {
            // Bars are for terminals; a log has the beginnings and ends.
            let moving = line["progressDetail"]["current"].is_u64();
            match line["id"].as_str() {
                Some(_) if moving && !terminal => {}
                Some(_) if moving => {}
                Some(id) => writeln!(out, "{id}: {status}")?,
                None => writeln!(out, "{status}")?,
            }
        }
        out.flush()?;
        Ok(())
    })
}

/// Does something to each of several things: prints the name of each that went well, reports each that did not, and goes
/// on.
pub(super) fn for_each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let mut status = 0;
    for name in names {
        match act(name) {
            Ok(()) => crate::render::line(name)?,
            Err(error) => status = report(&error, 1, ""),
        }
    }
    Ok(status)
}

/// A command that was not started, in runc's words.
pub(super) fn not_started(error: anyhow::Error, program: &str) -> anyhow::Error {
    match error.downcast::<ClientError>() {
        Ok(ClientError::NotStarted(why)) => ClientError::NotStarted(NotStarted {
            message: shedbox_docker::exec::not_started(&why, program),
            ..why
        })
        .into(),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// The two streams of a container's output; one when it has a terminal.
pub(super) fn streams(mut body: Body, terminal: bool) -> Result<()> {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    if terminal {
        io::copy(&mut body, &mut out)?;
        return Ok(());
    }
    let mut header = [0; shedbox_docker::frame::HEADER];
    loop {
        match body.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut piece = (&mut body).take(u64::from(length));
        if header[0] == 2 {
            io::copy(&mut piece, &mut err)?;
        } else {
            io::copy(&mut piece, &mut out)?;
            out.flush()?;
        }
    }
}

/// An archive to a file, or to standard output when that is no terminal.
pub(super) fn archive(mut body: Body, file: Option<&str>) -> Result<()> {
    match file {
        Some(path) => {
            let mut file = std::fs::File::create(path)
                .map_err(|error| anyhow!("failed to save to {path}: {error}"))?;
            io::copy(&mut body, &mut file)?;
        }
        None if io::stdout().is_terminal() => {
            return Err(anyhow!(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect"
            ));
        }
        None => drop(io::copy(&mut body, &mut io::stdout().lock())?),
    }
    Ok(())
}

/// Writes an error as Docker's command does; the exit status.
pub(super) fn report(error: &anyhow::Error, failed: u8, prefix: &str) -> u8 {
    if let Some(error) = error.downcast_ref::<io::Error>()
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return 0; // our reader has seen enough
    }
    let mut status = failed;
    let text = match super::from_daemon(error) {
        Some(refused) => {
            if prefix == "docker: " {
                status = status_of(&refused.message, failed);
            }
            format!("{prefix}Error response from daemon: {}", refused.message)
        }
        None => match error.downcast_ref::<ClientError>() {
            // Of an exec the text alone: dockerd sends it down the stream.
            Some(ClientError::NotStarted(why)) if prefix.is_empty() => {
                status = why.code;
                why.message.clone()
            }
            Some(ClientError::NotStarted(why)) => {
                // dockerd looks users up itself, before it asks runc.
                if why.obstacle != Obstacle::User {
                    status = why.code;
                }
                format!("{prefix}Error response from daemon: {}", why.message)
            }
            Some(error) => format!("{prefix}{error}"),
            None => format!("{prefix}{error:#}"),
        },
    };
    // Nobody is left to be told when standard error cannot be written.
    let _ = writeln!(io::stderr(), "{text}");
    status
}

/// Docker's command takes its status from the text. Source: docker/cli, `cli/command/container/run.go`.
fn status_of(message: &str, failed: u8) -> u8 {
    if message.contains("executable file not found")
        || message.contains("no such file or directory")
    {
        127
    } else if message.contains("permission denied") || message.contains("is a directory") {
        126
    } else {
        failed
    }
}

/// The first 12 digits of an id, without what stands before a colon.
pub(super) fn short(id: &str) -> &str {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_as_go_sends_them() {
        let list = [
            "label=a=b".to_owned(),
            "label=c".to_owned(),
            "label!=d".to_owned(),
        ];
        assert_eq!(
            filters(&list).unwrap().unwrap(),
            r#"{"label":{"a=b":true,"c":true},"label!":{"d":true}}"#
        );
        assert_eq!(filters(&[]).unwrap(), None);
        assert!(filters(&["x".to_owned()]).is_err());
    }

    #[test]
    fn statuses_and_ids() {
        assert_eq!(
            status_of("exec: \"x\": executable file not found in $PATH", 125),
            127
        );
        assert_eq!(status_of("exec: \"/etc\": is a directory", 125), 126);
        assert_eq!(status_of("No such image", 125), 125);
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("abc"), "abc");
    }
}
