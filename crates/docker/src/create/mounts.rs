//! Volumes, binds and memory file systems.

use std::collections::BTreeSet;

use shedbox_spec::mount::{Access, Mount, parse_tmpfs};
use shedbox_spec::{Error, Result};

use crate::body::{self, ContainerCreate, means_something};

/// A volume that a container wants to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeWanted {
    /// Its name; one of its own, made up and removed with the container, when absent.
    pub name: Option<String>,
    /// Path inside.
    pub target: String,
    /// It stays empty, whatever the image has there.
    pub no_copy: bool,
    /// Labels, when it is made.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// All mounts of a container.
pub(super) fn mounts(
    body: &ContainerCreate,
    volume: &mut dyn FnMut(&VolumeWanted) -> Result<String>,
) -> Result<Vec<Mount>> {
    let host = &body.host_config;
    let mut mounts = Vec::new();
    for text in &host.binds {
        mounts.push(bind(text, volume)?);
    }
    for entry in &host.mounts {
        mounts.push(mount(entry, volume)?);
    }
    for (target, options) in &host.tmpfs {
        let text = if options.is_empty() {
            target.clone()
        } else {
            format!("{target}:{options}")
        };
        mounts.push(parse_tmpfs(&text)?);
    }
    // Anonymous ones of the request, where nothing is mounted yet.
    let taken: BTreeSet<String> = mounts.iter().map(|mount| clean(mount.target())).collect();
    for target in body.volumes.keys() {
        if !taken.contains(&clean(target)) {
            mounts.push(of_volume(None, target, Access::Rw, false, volume)?);
        }
    }
    let mut targets = BTreeSet::new();
    for mount in &mounts {
        if !targets.insert(clean(mount.target())) {
            return Err(Error::invalid(format!(
                "Duplicate mount point: {}",
                mount.target()
            )));
        }
    }
    Ok(mounts)
}

fn clean(path: &str) -> String {
    path.trim_end_matches('/').to_owned()
}

/// `source:target[:options]`, or an anonymous volume's target alone.
fn bind(text: &str, volume: &mut dyn FnMut(&VolumeWanted) -> Result<String>) -> Result<Mount> {
    let invalid = || Error::invalid(format!("invalid volume specification: '{text}'"));
    let mut parts = text.split(':');
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(invalid());
    }
    let (source, target, options) = match (first, second, third) {
        (Some(target), None, None) => (None, target, ""),
        (Some(source), Some(target), options) => (Some(source), target, options.unwrap_or("")),
        _ => return Err(invalid()),
    };
    if !target.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"{}\": invalid mount path: \
             '{target}' mount path must be absolute",
            if source.is_some_and(|source| source.starts_with('/')) {
                "bind"
            } else {
                "volume"
            }
        )));
    }
    let (mut access, mut no_copy) = (Access::Rw, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => access = Access::Ro,
            "rw" => access = Access::Rw,
            "cow" => access = Access::Cow,
            // Without a meaning here, or what happens anyway.
            "nocopy" => no_copy = true,
            "z" | "Z" | "copy" | "cached" | "delegated" | "consistent" | "private" | "rprivate"
            | "rbind" | "slave" | "rslave" | "shared" | "rshared" => {}
            other => {
                return Err(Error::invalid(format!("invalid mode: {other}")));
            }
        }
    }
    match source {
        Some(source) if source.starts_with('/') => Ok(Mount::Bind {
            source: source.to_owned(),
            target: target.to_owned(),
            access,
        }),
        Some("") => Err(invalid()),
        name => of_volume(name, target, access, no_copy, volume),
    }
}

fn of_volume(
    name: Option<&str>,
    target: &str,
    access: Access,
    no_copy: bool,
    volume: &mut dyn FnMut(&VolumeWanted) -> Result<String>,
) -> Result<Mount> {
    Ok(Mount::Bind {
        source: volume(&VolumeWanted {
            name: name.map(str::to_owned),
            target: target.to_owned(),
            no_copy,
            labels: std::collections::BTreeMap::new(),
        })?,
        target: target.to_owned(),
        access,
    })
}

fn mount(
    entry: &body::Mount,
    volume: &mut dyn FnMut(&VolumeWanted) -> Result<String>,
) -> Result<Mount> {
    let refused = |what: String| {
        Error::invalid(format!(
            "invalid mount config for type \"{}\": {what}",
            entry.kind
        ))
    };
    if !entry.target.starts_with('/') {
        return Err(refused(format!(
            "invalid mount path: '{}' mount path must be absolute",
            entry.target
        )));
    }
    if let Some((field, _)) = entry
        .rest
        .iter()
        .find(|(field, value)| *field != "Consistency" && means_something(value))
    {
        return Err(refused(format!("field {field} is not supported")));
    }
    let access = if entry.read_only {
        Access::Ro
    } else {
        Access::Rw
    };
    match entry.kind.as_str() {
        "bind" if entry.source.is_empty() => {
            Err(refused("field Source must not be empty".to_owned()))
        }
        "bind" => Ok(Mount::Bind {
            source: entry.source.clone(),
            target: entry.target.clone(),
            access,
        }),
        "volume" => {
            if !entry.volume_options.subpath.is_empty() {
                return Err(refused("Subpath is not supported".to_owned()));
            }
            Ok(Mount::Bind {
                source: volume(&VolumeWanted {
                    name: (!entry.source.is_empty()).then(|| entry.source.clone()),
                    target: entry.target.clone(),
                    no_copy: entry.volume_options.no_copy,
                    labels: entry.volume_options.labels.clone(),
                })?,
                target: entry.target.clone(),
                access,
            })
        }
        "tmpfs" => Ok(Mount::Tmpfs {
            target: entry.target.clone(),
            size: super::positive(entry.tmpfs_options.size_bytes),
            mode: (entry.tmpfs_options.mode != 0).then_some(entry.tmpfs_options.mode),
            read_only: entry.read_only,
            exec: false,
        }),
        _ => Err(refused("mount type unknown".to_owned()).with_hint("use bind, volume or tmpfs")),
    }
}
