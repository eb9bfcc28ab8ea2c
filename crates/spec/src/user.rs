//! Users: what `--user` says, and the passwd and group files that give it meaning.
//!
//! Looking up works on the bytes of the rootfs's own files and allocates only for the result: init does it on each
//! exec. Lines that are malformed (too few fields, no number where one belongs, ids that the kernel does not have) are
//! passed over; names need not be UTF-8.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Largest id that is accepted, as runc and Docker have it.
pub const MAX_ID: u32 = i32::MAX as u32;

/// The value of `--user` or of the image's `User`: `name|uid[:group|gid]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// User name or number.
    pub user: NameOrId,
    /// Group name or number; the user's own groups when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<NameOrId>,
}

/// A name to look up, or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameOrId {
    /// To be looked up in the rootfs's passwd or group file.
    Name(String),
    /// Taken as it is.
    Id(u32),
}

/// What a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id inside the sandbox.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, the primary one included.
    pub groups: Vec<u32>,
    /// Home directory; `/` when passwd has no such user.
    pub home: String,
}

impl NameOrId {
    /// A group on top of the user's own, as `--group-add` takes it.
    pub fn parse_group(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid("a group has no name").with_hint("write it as `group|gid`"));
        }
        Self::parse(text, text)
    }

    fn parse(text: &str, whole: &str) -> Result<Self> {
        if text.contains(['\n', '\0', ':']) {
            return Err(
                Error::invalid(format!("invalid user `{}`", whole.escape_debug()))
                    .with_hint("write it as `name|uid[:group|gid]`"),
            );
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Name(text.to_owned()));
        }
        match text.parse() {
            Ok(id) if id <= MAX_ID => Ok(Self::Id(id)),
            _ => Err(Error::invalid(format!(
                "invalid user `{whole}`: uids and gids must be in range 0-{MAX_ID}"
            ))),
        }
    }
}

impl fmt::Display for NameOrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

impl UserSpec {
    /// Parses `name|uid[:group|gid]`. What is empty is root's, as in Docker: an empty text is uid 0 with its own groups.
    pub fn parse(text: &str) -> Result<Self> {
        let (user, group) = match text.split_once(':') {
            None => (text, ""),
            Some((user, group)) => (user, group),
        };
        Ok(Self {
            user: match user {
                "" => NameOrId::Id(0),
                user => NameOrId::parse(user, text)?,
            },
            group: match group {
                "" => None,
                group => Some(NameOrId::parse(group, text)?),
            },
        })
    }
}

impl fmt::Display for UserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.user.fmt(f)?;
        match &self.group {
            Some(group) => write!(f, ":{group}"),
            None => Ok(()),
        }
    }
}

/// Gives a user its numbers, from the contents of the rootfs's `/etc/passwd` and `/etc/group` (empty when missing).
///
/// A number need not be in passwd: its group is then 0 and its home `/`. A name must be. Groups that list the user are
/// added, unless a group was named. Source: runc's `GetExecUser`.
pub fn resolve(spec: &UserSpec, passwd: &[u8], group: &[u8]) -> Result<ResolvedUser> {
    let entry = passwd_entries(passwd).find(|entry| match &spec.user {
        NameOrId::Name(name) => entry.name == name.as_bytes(),
        NameOrId::Id(id) => entry.uid == *id,
    });
    let (uid, mut gid, home) = match (&entry, &spec.user) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home),
        (None, NameOrId::Id(id)) => (*id, 0, &b""[..]),
        (None, NameOrId::Name(name)) => {
            return Err(Error::invalid(format!(
                "unable to find user {name}: no matching entries in passwd file"
            ))
            .with_hint("use a user of the image's /etc/passwd, or a number"));
        }
    };
    let mut groups = Vec::new();
    match &spec.group {
        Some(NameOrId::Id(id)) => gid = *id,
        Some(NameOrId::Name(name)) => {
            gid = find_group(name, group)?;
        }
        None => {
            if let Some(user) = &entry {
                groups.extend(
                    group_entries(group)
                        .filter(|entry| {
                            entry
                                .members
                                .split(|byte| *byte == b',')
                                .any(|member| member == user.name)
                        })
                        .map(|entry| entry.gid),
                );
            }
        }
    }
    groups.insert(0, gid);
    keep_first(&mut groups);
    Ok(ResolvedUser {
        uid,
        gid,
        groups,
        home: match home {
            b"" => "/".to_owned(),
            home => String::from_utf8_lossy(home).into_owned(),
        },
    })
}

impl ResolvedUser {
    /// Adds groups by name or number. A number need not be in the group file; a name must be. Source: runc's
    /// `GetAdditionalGroups`.
    pub fn add_groups(&mut self, more: &[NameOrId], group: &[u8]) -> Result<()> {
        for wanted in more {
            self.groups.push(match wanted {
                NameOrId::Id(id) => *id,
                NameOrId::Name(name) => find_group(name, group)?,
            });
        }
        keep_first(&mut self.groups);
        Ok(())
    }
}

/// First come, first kept; an image may list a user thousands of times.
fn keep_first(groups: &mut Vec<u32>) {
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
}

fn find_group(name: &str, group: &[u8]) -> Result<u32> {
    let found = group_entries(group).find(|entry| entry.name == name.as_bytes());
    found.map(|entry| entry.gid).ok_or_else(|| {
        Error::invalid(format!(
            "unable to find group {name}: no matching entries in group file"
        ))
        .with_hint("use a group of the image's /etc/group, or a number")
    })
}

struct PasswdEntry<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

struct GroupEntry<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

/// Source: passwd(5), `name:password:uid:gid:gecos:home:shell`.
fn passwd_entries(text: &[u8]) -> impl Iterator<Item = PasswdEntry<'_>> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = number(fields.nth(1)?)?;
        let gid = number(fields.next()?)?;
        let home = fields.nth(1).unwrap_or_default();
        Some(PasswdEntry {
            name,
            uid,
            gid,
            home,
        })
    })
}

/// Source: group(5), `name:password:gid:members`.
fn group_entries(text: &[u8]) -> impl Iterator<Item = GroupEntry<'_>> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = number(fields.nth(1)?)?;
        let members = fields.next().unwrap_or_default();
        Some(GroupEntry { name, gid, members })
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii)
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= MAX_ID).then_some(number)
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
