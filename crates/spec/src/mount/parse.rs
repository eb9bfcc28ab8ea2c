//! The three ways to write a mount: `--volume`, `--mount` and `--tmpfs`.

use super::{Access, Mount, MountArg, VolumeArg, normalise_target, unsupported};
use crate::{Error, Result};

/// Parses `source:target[:options]`, options being `ro`, `rw` or `cow`, and Docker's `z`, `Z` (SELinux labels, which a
/// rootless sandbox cannot set: accepted and without effect), `cached`, `delegated`, `consistent`, `private`,
/// `rprivate` and `rbind` (what happens anyway).
///
/// A source is a host path: absolute, or relative and starting with `.`. Paths with a colon cannot be written this way.
pub fn parse_volume(text: &str) -> Result<VolumeArg> {
    let invalid =
        |why: &str| Error::invalid(format!("invalid volume `{}`: {why}", text.escape_debug()));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] if target.starts_with('/') => {
            return Err(unsupported(format!("volume `{text}`: anonymous volumes are not supported"))
                .with_hint(format!(
                    "paths inside are shed by a reset anyway; for memory use `--tmpfs {target}`, to keep data use `HOST_DIR:{target}`"
                )));
        }
        [source, target] => (source, target, ""),
        [source, target, options] if !options.starts_with('/') => (source, target, options),
        [_] => {
            return Err(
                invalid("it has no target").with_hint("write it as `source:target[:ro|rw|cow]`")
            );
        }
        _ => {
            return Err(invalid("too many colons").with_hint(
                "write it as `source:target[:ro|rw|cow]`; for a path with a colon use `--mount type=bind,source=…,target=…`",
            ));
        }
    };
    check_source(source, text)?;
    let target = normalise_target(target)?;
    let mut access = None;
    for option in options.split(',').filter(|_| !options.is_empty()) {
        let chosen = match option {
            "ro" => Access::Ro,
            "rw" => Access::Rw,
            "cow" => Access::Cow,
            "z" | "Z" | "cached" | "delegated" | "consistent" | "private" | "rprivate"
            | "rbind" => continue,
            "shared" | "rshared" | "slave" | "rslave" | "U" | "idmap" | "nocopy" | "copy" => {
                return Err(unsupported(format!(
                    "volume `{text}`: option `{option}` is not supported"
                )));
            }
            _ => {
                return Err(invalid(&format!("unknown option `{option}`"))
                    .with_hint("the options are `ro`, `rw` and `cow`"));
            }
        };
        if access
            .replace(chosen)
            .is_some_and(|before| before != chosen)
        {
            return Err(invalid("more than one of `ro`, `rw` and `cow`"));
        }
    }
    Ok(VolumeArg {
        source: source.to_owned(),
        target,
        access: access.unwrap_or_default(),
    })
}

fn check_source(source: &str, whole: &str) -> Result<()> {
    if source.is_empty() || source.contains('\0') {
        return Err(Error::invalid(format!(
            "invalid volume `{}`: it has no source",
            whole.escape_debug()
        )));
    }
    if source.starts_with('/')
        || source == "."
        || source == ".."
        || source.starts_with("./")
        || source.starts_with("../")
    {
        return Ok(());
    }
    if source.contains('/') || source.starts_with(['.', '~']) {
        return Err(Error::invalid(format!(
            "invalid volume `{whole}`: source `{source}` is neither an absolute path nor one that starts with `./`"
        ))
        .with_hint(format!("for a directory below this one write `./{source}`")));
    }
    Err(unsupported(format!(
        "volume `{whole}`: named volumes (`{source}`) are not supported"
    ))
    .with_hint(format!(
        "use a host directory: `./{source}` or an absolute path"
    )))
}

/// Parses `type=bind,source=…,target=…[,readonly|cow]` or `type=tmpfs,target=…[,tmpfs-size=…][,tmpfs-mode=…]`.
///
/// Fields are comma-separated as in CSV: one that holds a comma is put in double quotes as a whole. Source: Docker's
/// `--mount`. `cow`, and `readonly` for a tmpfs, are additions of ours.
pub fn parse_mount(text: &str) -> Result<MountArg> {
    let invalid =
        |why: String| Error::invalid(format!("invalid mount `{}`: {why}", text.escape_debug()));
    let mut fields = Fields::default();
    for field in split_csv(text)
        .ok_or_else(|| invalid("a quote is not closed or not at the ends of a field".into()))?
    {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let flag = || match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "1" | "t") => Ok(true),
            Some("false" | "0" | "f") => Ok(false),
            Some(other) => Err(invalid(format!("`{other}` is not a value of `{key}`"))),
        };
        let text_value = || value.ok_or_else(|| invalid(format!("`{key}` needs a value")));
        match key.as_str() {
            "type" => fields.kind = Some(text_value()?.to_ascii_lowercase()),
            "source" | "src" => fields.source = Some(text_value()?.to_owned()),
            "target" | "destination" | "dst" => fields.target = Some(text_value()?.to_owned()),
            "readonly" | "ro" => fields.read_only = flag()?,
            "cow" => fields.cow = flag()?,
            "tmpfs-size" => fields.size = Some(crate::size::parse_bytes(text_value()?)?),
            "tmpfs-mode" => fields.mode = Some(parse_mode(text_value()?, text)?),
            // What happens anyway, or has no effect on Linux.
            "consistency" => {}
            "bind-propagation" if matches!(value, Some("private" | "rprivate")) => {}
            "bind-recursive" if value == Some("enabled") => {}
            "bind-propagation" | "bind-recursive" | "bind-nonrecursive" | "bind-create-src" => {
                return Err(unsupported(format!(
                    "mount `{text}`: option `{field}` is not supported"
                )));
            }
            key if key.starts_with("volume-") || key.starts_with("image-") => {
                return Err(unsupported(format!(
                    "mount `{text}`: option `{field}` is not supported"
                )));
            }
            _ => {
                return Err(invalid(format!("unknown option `{field}`")).with_hint(
                    "the options are type, source, target, readonly, cow, tmpfs-size and tmpfs-mode",
                ));
            }
        }
    }
    fields.finish(text)
}

#[derive(Default)]
struct Fields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    cow: bool,
    size: Option<u64>,
    mode: Option<u32>,
}

impl Fields {
    fn finish(self, text: &str) -> Result<MountArg> {
        let invalid =
            |why: &str| Error::invalid(format!("invalid mount `{}`: {why}", text.escape_debug()));
        let target = self.target.ok_or_else(|| invalid("it has no target"))?;
        let target = normalise_target(&target)?;
        match self.kind.as_deref() {
            Some("bind") => {
                if self.size.is_some() || self.mode.is_some() {
                    return Err(invalid("tmpfs options on a bind mount"));
                }
                let access = match (self.read_only, self.cow) {
                    (true, true) => return Err(invalid("both `readonly` and `cow`")),
                    (true, false) => Access::Ro,
                    (false, true) => Access::Cow,
                    (false, false) => Access::Rw,
                };
                let source = self.source.ok_or_else(|| invalid("it has no source"))?;
                check_source(&source, text)?;
                Ok(MountArg::Bind(VolumeArg {
                    source,
                    target,
                    access,
                }))
            }
            Some("tmpfs") => {
                if self.source.is_some() || self.cow {
                    return Err(invalid("a tmpfs has no source and no `cow`"));
                }
                Ok(MountArg::Tmpfs(Mount::Tmpfs {
                    target,
                    size: self.size,
                    mode: self.mode,
                    read_only: self.read_only,
                    exec: false,
                }))
            }
            None | Some("volume") => Err(unsupported(format!(
                "mount `{text}`: volumes (`type=volume`, Docker's default) are not supported"
            ))
            .with_hint("add `type=bind` and use a host directory, or `type=tmpfs`")),
            Some(kind @ ("image" | "cluster" | "npipe")) => Err(unsupported(format!(
                "mount `{text}`: `type={kind}` is not supported"
            ))),
            Some(kind) => Err(invalid(&format!("unknown type `{kind}`"))
                .with_hint("use `type=bind` or `type=tmpfs`")),
        }
    }
}

/// Splits at commas; a field that starts with a double quote runs to the closing one, with `""` for a quote inside.
fn split_csv(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut inside = quoted;
            loop {
                let (part, after) = inside.split_once('"')?;
                field.push_str(part);
                let Some(more) = after.strip_prefix('"') else {
                    rest = after;
                    break;
                };
                field.push('"');
                inside = more;
            }
            fields.push(field);
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None if rest.is_empty() => return Some(fields),
                None => return None,
            }
        } else {
            let (field, next) = match rest.split_once(',') {
                Some((field, next)) => (field, Some(next)),
                None => (rest, None),
            };
            if field.contains('"') {
                return None;
            }
            fields.push(field.to_owned());
            match next {
                Some(next) => rest = next,
                None => return Some(fields),
            }
        }
    }
}

/// Parses `target[:options]`, options being `size=`, `mode=` (octal), `ro`, `rw`, `exec`, `noexec`, and `nosuid` and
/// `nodev`, which are always in force.
pub fn parse_tmpfs(text: &str) -> Result<Mount> {
    let invalid =
        |why: String| Error::invalid(format!("invalid tmpfs `{}`: {why}", text.escape_debug()));
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = normalise_target(target)?;
    let (mut size, mut mode, mut read_only, mut exec) = (None, None, false, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option
            .split_once('=')
            .map_or((option, None), |(key, value)| (key, Some(value)))
        {
            ("ro", None) => read_only = true,
            ("rw", None) => read_only = false,
            ("exec", None) => exec = true,
            ("noexec", None) => exec = false,
            (
                "nosuid" | "nodev" | "noatime" | "relatime" | "nodiratime" | "private" | "rprivate",
                None,
            ) => {}
            ("size", Some(value)) => size = Some(crate::size::parse_bytes(value)?),
            ("mode", Some(value)) => mode = Some(parse_mode(value, text)?),
            ("suid" | "dev", None)
            | ("uid" | "gid" | "nr_inodes" | "nr_blocks" | "huge" | "mpol", Some(_)) => {
                return Err(unsupported(format!(
                    "tmpfs `{text}`: option `{option}` is not supported"
                )));
            }
            _ => {
                return Err(invalid(format!("unknown option `{option}`")).with_hint(
                    "the options are `size=`, `mode=`, `ro`, `rw`, `exec` and `noexec`",
                ));
            }
        }
    }
    Ok(Mount::Tmpfs {
        target,
        size,
        mode,
        read_only,
        exec,
    })
}

fn parse_mode(digits: &str, whole: &str) -> Result<u32> {
    let octal = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if octal && mode <= 0o7777 => Ok(mode),
        _ => Err(Error::invalid(format!(
            "invalid mode `{digits}` in `{}`",
            whole.escape_debug()
        ))
        .with_hint("a mode is octal, for example 1777")),
    }
}
