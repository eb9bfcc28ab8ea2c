//! Filters of listings: `{"label":{"a=b":true}}` as Go sends them, or `{"label":["a=b"]}` as Python does.
//!
//! Values of `label` must all fit; values of another key are alternatives.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use shedbox_spec::api::SandboxInfo;
use shedbox_spec::{Error, Result};

use crate::inspect;
use crate::status::{self, Extra};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

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
        Ok(Self(filters))
    }

    /// Values of a key.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Nothing was asked for by this key, or one of the values fits.
    pub fn any(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|value| fits(value))
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

    /// Whether a container fits, all keys but `before`, `since` and `ancestor`, which need the others.
    pub fn container(&self, info: &SandboxInfo, extra: &Extra) -> bool {
        let id = info.id.as_str();
        let name = format!("/{}", info.name);
        let state = status::word(info, extra);
        let networks = inspect::networks(info);
        let health = extra.health.as_ref().map_or("none", |health| health.status);
        let port = |wanted: &str, ports: &[(u16, &str)]| {
            let (port, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
            let (first, last) = port.split_once('-').unwrap_or((port, port));
            let range = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
            range.is_some_and(|(first, last)| {
                ports
                    .iter()
                    .any(|(port, of)| (first..=last).contains(port) && *of == protocol)
            })
        };
        let inside: Vec<(u16, &str)> = info
            .spec
            .ports
            .iter()
            .map(|port| (port.container, port.protocol.as_str()))
            .collect();
        let outside: Vec<(u16, &str)> = info
            .ports
            .iter()
            .map(|port| (port.host_port, port.protocol.as_str()))
            .collect();
        self.labels(|key| info.labels.get(key).map(String::as_str))
            && self.any("id", |wanted| id.starts_with(wanted))
            && self.any("name", |wanted| pattern(wanted, &name))
            && self.any("status", |wanted| wanted == state)
            && self.any("health", |wanted| wanted == health)
            && self.any("exited", |wanted| {
                state == "exited" && wanted.parse() == Ok(info.exit_code)
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
            && self.any("expose", |wanted| port(wanted, &inside))
            && self.any("publish", |wanted| port(wanted, &outside))
    }

    /// A filter by status shows those that do not run, too.
    pub fn implies_all(&self) -> bool {
        !self.get("status").is_empty()
    }
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

/// A name's pattern: part of the name, or `^` and `$` at its ends. Names have no characters that mean something in regular
/// expressions but the dot, and nobody was seen to use more than the two anchors.
pub fn pattern(wanted: &str, name: &str) -> bool {
    let (wanted, begins) = match wanted.strip_prefix('^') {
        Some(rest) => (rest, true),
        None => (wanted, false),
    };
    let (wanted, ends) = match wanted.strip_suffix('$') {
        Some(rest) => (rest, true),
        None => (wanted, false),
    };
    let wanted = wanted.replace("\\.", ".").replace("\\-", "-");
    let bare = name.trim_start_matches('/');
    let fits = |name: &str| match (begins, ends) {
        (true, true) => name == wanted,
        (true, false) => name.starts_with(&wanted),
        (false, true) => name.ends_with(&wanted),
        (false, false) => name.contains(&wanted),
    };
    fits(name) || fits(bare)
}

/// A reference's pattern (`repo`, `repo:tag`, with `*` and `?`) against a familiar reference. Source: Docker's
/// `reference.FamiliarMatch`.
pub fn reference(wanted: &str, familiar: &str) -> bool {
    let repository = match familiar.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => familiar,
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
        assert_eq!(go, parse(r#"{"label":["a=b","c"]}"#).unwrap());
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
        ] {
            assert_eq!(pattern(wanted, name), fits, "{wanted}");
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
        ] {
            assert_eq!(reference(wanted, familiar), fits, "{wanted}");
        }
    }
}
