//! `RUN --mount=type=cache,target=/root/.cache`.

use crate::Problem;

/// What is mounted while one RUN runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A file that is given to the build and stays out of the image.
    Secret,
}

impl MountKind {
    /// The value of `type=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Bind, Self::Cache, Self::Tmpfs, Self::Secret]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What two builds do that use the same cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Both write.
    Shared,
    /// Each has its own.
    Private,
    /// One waits.
    Locked,
}

/// One `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What it is.
    pub kind: MountKind,
    /// The stage or image it comes from; none is the context.
    pub from: Option<String>,
    /// The path there; for secrets their id.
    pub source: Option<String>,
    /// Where it is mounted.
    pub target: Option<String>,
    /// The variable that a secret is put into.
    pub env: Option<String>,
    /// The name of a cache or secret.
    pub id: Option<String>,
    /// Whether writing is refused.
    pub read_only: bool,
    /// Whether a missing secret is an error.
    pub required: bool,
    /// How a cache is shared.
    pub sharing: Option<Sharing>,
    /// Largest size of a tmpfs in bytes.
    pub size: Option<u64>,
    /// Mode of a new cache or of a secret.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
}

impl Mount {
    /// Parses the value of `--mount` without replacing variables.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::parse_with(text, &mut |value| Ok(value.to_owned()))
    }

    /// Parses the value of `--mount`; `expand` replaces the variables in each value.
    pub fn parse_with(
        text: &str,
        expand: &mut dyn FnMut(&str) -> Result<String, Problem>,
    ) -> Result<Self, Problem> {
        let mut mount = Self {
            kind: MountKind::Bind,
            from: None,
            source: None,
            target: None,
            env: None,
            id: None,
            read_only: false,
            required: false,
            sharing: None,
            size: None,
            mode: None,
            uid: None,
            gid: None,
        };
        let mut read_only = None;
        for field in comma_fields(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(expand(value)?)),
                None => (field.to_ascii_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("readonly" | "ro", value) => read_only = Some(flag_value(&key, value)?),
                ("readwrite" | "rw", value) => read_only = Some(!flag_value(&key, value)?),
                ("required", value) => {
                    mount.only_for(&key, MountKind::Secret)?;
                    mount.required = flag_value(&key, value)?;
                }
                (_, None) => return Err(Problem::MountField(field)),
                (_, Some(value)) => mount.set(&key, value, &field)?,
            }
        }
        mount.read_only =
            read_only.unwrap_or(matches!(mount.kind, MountKind::Bind | MountKind::Secret));
        mount.check()?;
        Ok(mount)
    }

    /// What can be said about a `--mount` before its variables have values.
    pub(crate) fn check_unexpanded(text: &str) -> Result<(), Problem> {
        if Self::from_of(text)?.is_some_and(|from| from.contains('$')) {
            let rule = "'from' doesn't support variable expansion, define alias stage instead";
            return Err(Problem::MountRule(rule));
        }
        if text.contains('$') {
            Ok(())
        } else {
            Self::parse(text).map(drop)
        }
    }

    /// The stage or image that the value of a `--mount` names; variables are not allowed there.
    pub(crate) fn from_of(text: &str) -> Result<Option<String>, Problem> {
        let fields = comma_fields(text)?;
        let mut values = fields.iter().filter_map(|field| field.split_once('='));
        let from = values.rfind(|(key, _)| key.eq_ignore_ascii_case("from"));
        Ok(from
            .map(|(_, value)| value.to_owned())
            .filter(|value| !value.is_empty()))
    }

    fn set(&mut self, key: &str, value: String, field: &str) -> Result<(), Problem> {
        match key {
            "type" => {
                let lower = value.to_ascii_lowercase();
                self.kind = MountKind::from_name(&lower).ok_or(Problem::MountType(value))?;
            }
            "from" => self.from = Some(value).filter(|from| !from.is_empty()),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "env" => {
                self.only_for(key, MountKind::Secret)?;
                self.env = Some(value);
            }
            "id" => self.id = Some(value),
            "sharing" => {
                self.sharing = Some(match value.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(Problem::MountSharing(value)),
                });
            }
            "size" => {
                self.only_for(key, MountKind::Tmpfs)?;
                let size = bytes(&value).ok_or_else(|| Problem::MountValue {
                    key: key.to_owned(),
                    value,
                })?;
                self.size = Some(size);
            }
            "mode" => self.mode = Some(number("mode", value, 8)?),
            "uid" => self.uid = Some(number("uid", value, 10)?),
            "gid" => self.gid = Some(number("gid", value, 10)?),
            _ => {
                return Err(Problem::MountKey {
                    key: key.to_owned(),
                    field: field.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn only_for(&self, key: &str, kind: MountKind) -> Result<(), Problem> {
        if self.kind == kind {
            return Ok(());
        }
        Err(Problem::MountKeyForType {
            key: key.to_owned(),
            kind: self.kind.name(),
        })
    }

    /// The rules that need all keys.
    fn check(&self) -> Result<(), Problem> {
        if matches!(self.kind, MountKind::Bind | MountKind::Tmpfs) {
            let owner = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
            if let Some((key, _)) = owner.into_iter().find(|(_, value)| value.is_some()) {
                return Err(Problem::MountOwner {
                    key,
                    kind: self.kind.name(),
                });
            }
        }
        if self.kind == MountKind::Secret {
            if self.from.is_some() {
                return Err(Problem::MountRule("secret mount should not have a from"));
            }
            if self.sharing.is_some() {
                return Err(Problem::MountRule("secret mount should not define sharing"));
            }
            if self.source.is_none() && self.target.is_none() && self.id.is_none() {
                return Err(Problem::MountRule(
                    "invalid secret mount. one of source, target required",
                ));
            }
            if self.source.is_some() && self.id.is_some() {
                return Err(Problem::MountRule("both source and id can't be set"));
            }
        } else if self.sharing.is_some() && self.kind != MountKind::Cache {
            return Err(Problem::MountRule(
                "invalid cache sharing set for mount that is no cache",
            ));
        } else if self.target.as_deref().unwrap_or_default().is_empty() {
            return Err(Problem::MountRule("target is required"));
        }
        Ok(())
    }
}

/// Fields between commas; a field in double quotes may hold commas, and `""` there is one quote.
fn comma_fields(text: &str) -> Result<Vec<String>, Problem> {
    let broken = || Problem::MountFields(text.to_owned());
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(mut quoted) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (field, after) = rest.split_at(end);
            if field.contains('"') {
                return Err(broken());
            }
            fields.push(field.to_owned());
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        loop {
            let (part, after) = quoted.split_once('"').ok_or_else(broken)?;
            field.push_str(part);
            let Some(next) = after.strip_prefix('"') else {
                quoted = after;
                break;
            };
            field.push('"');
            quoted = next;
        }
        fields.push(field);
        match quoted.strip_prefix(',') {
            Some(next) => rest = next,
            None if quoted.is_empty() => return Ok(fields),
            None => return Err(broken()),
        }
    }
}

fn flag_value(key: &str, value: Option<String>) -> Result<bool, Problem> {
    match value.as_deref() {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(Problem::MountValue {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
    }
}

fn number(key: &'static str, value: String, radix: u32) -> Result<u32, Problem> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(&value, radix)
        .ok()
        .filter(|_| digits)
        .ok_or(Problem::MountNumber { key, value })
}

/// Sizes as `64m`, `2GiB`, `1024`: units are powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
