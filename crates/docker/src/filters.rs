//! Filters of listings: `{"label":{"a=b":true}}` as Go sends them, or `{"label":["a=b"]}` as Python does.
//!
//! Values of `label` must all fit; values of another key are alternatives.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use shedbox_spec::api::SandboxInfo;
use shedbox_spec::{Error, Result};

use crate::inspect;
use crate::status::{self, Extra};

/// Largest regular expression of a name, compiled, in bytes.
const PATTERN_MAX: usize = 1 << 20;

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    values: BTreeMap<String, Vec<String>>,
    /// Those of `name`, compiled.
    names: Vec<Regex>,
}

/// Filters of containers.
pub const CONTAINERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
/// Of images.
pub const IMAGES: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];
/// Of networks.
pub const NETWORKS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];
/// Of volumes.
pub const VOLUMES: &[&str] = &["dangling", "driver", "label", "name"];
/// Of prunes.
pub const PRUNE: &[&str] = &["all", "dangling", "label", "label!", "until"];
/// Of events.
pub const EVENTS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

impl Filters {
    /// Reads the value of the query; `known` are the keys that make sense.
    pub fn parse(text: Option<&str>, known: &[&str]) -> Result<Self> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        let invalid = || Error::invalid(format!("invalid filters: {text}"));
        let value: Value = serde_json::from_str(text).map_err(|_| invalid())?;
        let mut filters = BTreeMap::new();
        for (key, values) in value.as_object().ok_or_else(invalid)? {
            if !known.contains(&key.as_str()) {
                return Err(Error::invalid(format!("invalid filter '{key}'")));
            }
            let values: Vec<String> = match values {
                Value::Array(list) => list.iter().map(word).collect(),
                Value::Object(set) => set
                    .iter()
                    .filter(|(_, on)| on.as_bool().unwrap_or(true))
                    .map(|(value, _)| value.clone())
                    .collect(),
                other => vec![word(other)],
            };
            if known == CONTAINERS {
                for value in &values {
                    check(key, value)?;
                }
            }
            filters.insert(key.clone(), values);
        }
        let names = filters.get("name").into_iter().flatten();
        Ok(Self {
            names: names.map(|text| pattern(text)).collect::<Result<_>>()?,
            values: filters,
        })
    }

    /// Values of a key.
    pub fn get(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// Nothing was asked for by this key, or one of the values fits.
    pub fn any(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|value| fits(value))
    }

    /// Whether a name fits, which containers have with a slash before it and without.
    pub fn name(&self, name: &str) -> bool {
        let fits = |name: &str| self.names.iter().any(|pattern| pattern.is_match(name));
        self.names.is_empty() || fits(name) || fits(name.trim_start_matches('/'))
    }

    /// A flag such as `dangling`; `None` when it is not there.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key).first().map(String::as_str) {
            None => Ok(None),
            Some("1" | "true" | "True" | "t") => Ok(Some(true)),
            Some("0" | "false" | "False" | "f") => Ok(Some(false)),
            Some(other) => Err(Error::invalid(format!("invalid filter '{key}={other}'"))),
        }
    }

    /// Labels that have to be there, and (`label!`) those that must not.
    pub fn labels<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => get(key) == Some(value),
            None => get(wanted).is_some(),
        };
        self.get("label").iter().all(has) && !self.get("label!").iter().any(has)
    }

    /// `until`: seconds since 1970 before which something must have been made.
    pub fn until(&self, now: Timestamp) -> Result<Option<i64>> {
        match self.get("until").first() {
            None => Ok(None),
            Some(text) => Ok(crate::time::nanoseconds(text, now)?
                .map(|nanoseconds| (nanoseconds / 1_000_000_000) as i64)),
        }
    }

    /// Whether a container fits, all keys but `before`, `since` and `ancestor`, which need the others, and `expose`, which
    /// needs its image.
    pub fn container(&self, info: &SandboxInfo, extra: &Extra) -> bool {
        let id = info.id.as_str();
        let state = status::word(info, extra);
        let networks = inspect::networks(info);
        let health = extra.health.as_ref().map_or("none", |health| health.status);
        let published = || {
            let ports = info.ports.iter();
            ports.map(|port| (port.host_port, port.protocol.as_str()))
        };
        self.labels(|key| info.labels.get(key).map(String::as_str))
            && self.any("id", |wanted| id.starts_with(wanted))
            && self.name(&format!("/{}", info.name))
            && self.any("status", |wanted| wanted == state)
            && self.any("health", |wanted| wanted == health)
            && self.any("exited", |wanted| {
                state == "exited" && wanted.parse() == Ok(status::exit_code(info, extra))
            })
            && self.any("network", |wanted| {
                networks.iter().any(|(name, entry)| {
                    name == wanted
                        || entry["NetworkID"]
                            .as_str()
                            .is_some_and(|id| wanted.len() >= 12 && id.starts_with(wanted))
                })
            })
            && self.any("volume", |wanted| {
                info.spec.mounts.iter().any(|mount| {
                    mount.target() == wanted
                        || matches!(mount, shedbox_spec::mount::Mount::Bind { source, .. }
                            if source == wanted || source.ends_with(&format!("/{wanted}/_data")))
                })
            })
            && self.any("publish", |wanted| is_among(wanted, published()))
    }

    /// Whether one of the ports that a container exposes (`80/tcp`) was asked for.
    pub fn exposes(&self, ports: &[String]) -> bool {
        let ports = || {
            ports.iter().filter_map(|text| {
                let (port, protocol) = text.split_once('/')?;
                Some((port.parse().ok()?, protocol))
            })
        };
        self.any("expose", |wanted| is_among(wanted, ports()))
    }

    /// A filter by status shows those that do not run, too.
    pub fn implies_all(&self) -> bool {
        !self.get("status").is_empty()
    }
}

/// `PORT[-PORT][/PROTOCOL]`.
fn port_range(text: &str) -> Option<(RangeInclusive<u16>, &str)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    Some((first.parse().ok()?..=last.parse().ok()?, protocol))
}

/// Whether a port is in `wanted`.
fn is_among<'a>(wanted: &str, mut ports: impl Iterator<Item = (u16, &'a str)>) -> bool {
    port_range(wanted).is_some_and(|(range, protocol)| {
        ports.any(|(port, of)| range.contains(&port) && of == protocol)
    })
}

/// Values of filters of containers that can be wrong. Source: moby `daemon/list.go`, `foldFilter`.
fn check(key: &str, value: &str) -> Result<()> {
    let known = match key {
        "status" => STATES.contains(&value),
        "health" if !["none", "starting", "healthy", "unhealthy"].contains(&value) => {
            return Err(Error::invalid(format!(
                "Unrecognised filter value for health: {value}"
            )));
        }
        "exited" if value.parse::<i64>().is_err() => {
            return Err(Error::invalid(format!(
                "strconv.Atoi: parsing \"{value}\": invalid syntax"
            )));
        }
        "expose" | "publish" => port_range(value).is_some_and(|(ports, protocol)| {
            !ports.is_empty() && matches!(protocol, "tcp" | "udp" | "sctp")
        }),
        _ => true,
    };
    if known {
        Ok(())
    } else {
        Err(Error::invalid(format!("invalid filter '{key}={value}'")))
    }
}

const STATES: &[&str] = &[
    "created",
    "dead",
    "exited",
    "paused",
    "removing",
    "restarting",
    "running",
];

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A name's pattern: a regular expression, as in Docker.
fn pattern(text: &str) -> Result<Regex> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_MAX)
        .build()
        .map_err(|error| {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default();
            Error::invalid(format!(
                "invalid filter 'name={text}': {}",
                reason.trim_start_matches("error: ")
            ))
            .with_hint("names are regular expressions")
        })
}

/// A reference's pattern (`repo`, `repo:tag`, with `*` and `?`) against a familiar reference. Source: Docker's
/// `reference.FamiliarMatch`.
pub fn reference(wanted: &str, familiar: &str) -> bool {
    let named = familiar.split_once('@').map_or(familiar, |(name, _)| name);
    let repository = match named.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => named,
    };
    glob(wanted.as_bytes(), familiar.as_bytes()) || glob(wanted.as_bytes(), repository.as_bytes())
}

/// `*` and `?`, neither of which stands for a slash. Linear in each star.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(b'?') if text[t] != b'/' => {
                p += 1;
                t += 1;
                continue;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((at, from)) if text[from] != b'/' => {
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_unknown_keys() {
        let parse = |text: &str| Filters::parse(Some(text), CONTAINERS);
        let go = parse(r#"{"label":{"a=b":true,"c":true}}"#).unwrap();
        assert_eq!(
            go.get("label"),
            parse(r#"{"label":["a=b","c"]}"#).unwrap().get("label")
        );
        assert!(go.labels(|key| Some(if key == "a" { "b" } else { "" })));
        assert!(!go.labels(|key| (key == "a").then_some("b")));
        assert!(
            parse(r#"{"colour":["red"]}"#)
                .unwrap_err()
                .message
                .contains("invalid filter 'colour'")
        );
        for wrong in [
            "[",
            "[]",
            "1",
            r#"{"status":["sleepy"]}"#,
            r#"{"exited":["many"]}"#,
            r#"{"health":["ill"]}"#,
            r#"{"name":["web["]}"#,
            r#"{"publish":["many"]}"#,
            r#"{"expose":["90-80"]}"#,
            r#"{"expose":["80/icmp"]}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(Filters::parse(None, &[]).unwrap().get("x").is_empty());
    }

    #[test]
    fn patterns() {
        for (wanted, name, fits) in [
            ("web", "/web1", true),
            ("^web$", "/web1", false),
            ("^/web1$", "/web1", true),
            ("^web1$", "/web1", true),
            ("b1$", "/web1", true),
            ("web[2-9]", "/web1", false),
            ("web[1-9]|db", "/web1", true),
        ] {
            let filters = Filters::parse(Some(&format!(r#"{{"name":["{wanted}"]}}"#)), CONTAINERS);
            assert_eq!(filters.unwrap().name(name), fits, "{wanted}");
        }
        let ports = ["80/tcp".to_owned(), "90/udp".to_owned()];
        for (wanted, fits) in [
            ("80", true),
            ("80/udp", false),
            ("85-95/udp", true),
            ("85-95", false),
        ] {
            let filters =
                Filters::parse(Some(&format!(r#"{{"expose":["{wanted}"]}}"#)), CONTAINERS).unwrap();
            assert_eq!(filters.exposes(&ports), fits, "{wanted}");
        }
        for (wanted, familiar, fits) in [
            ("busybox", "busybox:latest", true),
            ("busy*", "busybox:latest", true),
            ("busybox:l*", "busybox:latest", true),
            ("*", "a/b:c", false),
            ("*/*", "a/b:c", true),
            ("a/?", "a/b:c", true),
            ("busybox:1", "busybox:latest", false),
            ("localhost:5000/x", "localhost:5000/x", true),
            ("localhost:5000/x", "localhost:5000/x@sha256:ab", true),
            ("x", "localhost:5000/x@sha256:ab", false),
        ] {
            assert_eq!(reference(wanted, familiar), fits, "{wanted}");
        }
    }
}
