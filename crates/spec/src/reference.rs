//! Image references, without regular expressions.
//!
//! ```text
//! reference  = [registry "/"] path [":" tag] ["@" digest]
//! registry   = host [":" port]          host = domain name, IPv4 address or "[" IPv6 address "]"
//! path       = component *("/" component)
//! component  = 1*alnum *(separator 1*alnum)    separator = "_" / "." / "__" / 1*"-", alnum = a-z 0-9
//! tag        = word char, then up to 127 of word char "." "-"
//! ```
//!
//! Short names are completed as Docker completes them: a first component that has no dot, no colon and no upper-case
//! letter and is not `localhost` belongs to the path; without a registry it is `docker.io`, and a single component
//! there is below `library/`. Source: distribution's reference grammar and its "normalized" form.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Result};

/// The registry of names without one.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// Other names of the default registry that Docker rewrites to it.
const LEGACY_DEFAULT_REGISTRY: &str = "index.docker.io";
/// Where single-component names of the default registry are.
const OFFICIAL_PREFIX: &str = "library/";
/// The tag of names that have neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
/// Longest repository path in bytes.
pub const MAX_REPOSITORY_LENGTH: usize = 255;
/// Longest tag in bytes.
pub const MAX_TAG_LENGTH: usize = 128;

/// A complete image reference: registry, repository, and a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference as typed and completes it as Docker does.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with_default(text, DEFAULT_REGISTRY)
    }

    /// The same with another registry for names without one. Only Docker's own has `library/`.
    pub fn parse_with_default(text: &str, default_registry: &str) -> Result<Self> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(invalid(text, &format!("`{scheme}://` does not belong to a reference"))
                .with_hint(format!("write `{rest}`; whether a registry speaks plain HTTP is said in the configuration file")));
        }
        let (named, digest) = match text.split_once('@') {
            None => (text, None),
            Some((named, digest)) => {
                let digest = Digest::parse(digest).map_err(|error| {
                    invalid(text, &error.message)
                        .with_hint("a digest is `sha256:` and 64 lower-case hex digits")
                })?;
                (named, Some(digest))
            }
        };
        // A colon before the last slash belongs to a registry's port.
        let last = named.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match named[last..].split_once(':') {
            None => (named, None),
            Some((component, tag)) => (&named[..last + component.len()], Some(tag)),
        };
        let (registry, path) = split_registry(name, default_registry);
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Error::invalid(format!(
                "invalid reference format: repository name ({path}) must be lowercase"
            ))
            .with_hint(format!("try `{}`", text.to_ascii_lowercase())));
        }
        check_registry(registry).map_err(|why| invalid(text, why))?;
        check_path(path).map_err(|why| invalid(text, why))?;
        if let Some(tag) = tag {
            check_tag(tag).map_err(|why| invalid(text, why))?;
        }
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            if is_hex(path) && path.len() == 64 {
                return Err(Error::invalid(format!(
                    "invalid repository name ({path}), cannot specify 64-byte hexadecimal strings"
                ))
                .with_hint(format!("an image id is written `sha256:{path}`")));
            }
            format!("{OFFICIAL_PREFIX}{path}")
        } else {
            path.to_owned()
        };
        if repository.len() > MAX_REPOSITORY_LENGTH {
            return Err(invalid(
                text,
                "repository name must not be more than 255 characters",
            ));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }

    /// The registry host, with its port when it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path at that registry, `library/` included.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository: what tags and digests are added to.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The short name as Docker lists it: `docker.io/library/debian` is `debian`, `docker.io/a/b` is `a/b`.
    pub fn familiar_name(&self) -> String {
        self.familiar_name_with(DEFAULT_REGISTRY)
    }

    /// The short form as Docker lists it, with tag and digest.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// The short form where `default_registry` is the one of names without registry; the inverse of
    /// [`Self::parse_with_default`].
    pub fn familiar_with(&self, default_registry: &str) -> String {
        self.with_suffix(self.familiar_name_with(default_registry))
    }

    /// `name@digest` in short form, as Docker lists repository digests.
    pub fn repo_digest(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.familiar_name())
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The same repository with this tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        check_tag(tag).map_err(|why| invalid(tag, why))?;
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    fn familiar_name_with(&self, default_registry: &str) -> String {
        if self.registry != canonical_registry(default_registry) {
            return self.name();
        }
        let short = if self.registry == DEFAULT_REGISTRY {
            match self.repository.strip_prefix(OFFICIAL_PREFIX) {
                Some(rest) if !rest.contains('/') => rest,
                _ => &self.repository,
            }
        } else {
            &self.repository
        };
        // A path whose first component looks like a registry cannot be shortened.
        match short.split_once('/') {
            Some((first, _)) if is_registry(first) => self.name(),
            _ => short.to_owned(),
        }
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(digest.as_str());
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl std::str::FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// The hex digits of an image id or of a prefix of one: `sha256:` and 1 to 64 lower-case hex digits, or these digits
/// alone. `None` for anything else.
///
/// A bare prefix such as `cafe` may also be a repository: look it up as a reference first, as Docker does.
pub fn id_prefix(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    ((1..=64).contains(&digits.len()) && is_hex(digits)).then_some(digits)
}

/// True when `text` can only be a whole image id: 64 hex digits, with or without `sha256:`.
pub fn is_full_id(text: &str) -> bool {
    id_prefix(text).is_some_and(|digits| digits.len() == 64)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn canonical_registry(registry: &str) -> &str {
    if registry == LEGACY_DEFAULT_REGISTRY {
        DEFAULT_REGISTRY
    } else {
        registry
    }
}

fn is_registry(component: &str) -> bool {
    component.contains(['.', ':'])
        || component == "localhost"
        || component.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn split_registry<'a>(name: &'a str, default_registry: &'a str) -> (&'a str, &'a str) {
    match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (canonical_registry(first), rest),
        _ => (canonical_registry(default_registry), name),
    }
}

fn invalid(text: &str, why: &str) -> Error {
    Error::invalid(format!("invalid reference format `{text}`: {why}"))
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    let port = if let Some(rest) = registry.strip_prefix('[') {
        let (address, port) = rest
            .split_once(']')
            .ok_or("the IPv6 address of the registry has no closing bracket")?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("the registry is not an IPv6 address in brackets");
        }
        port
    } else {
        let (host, port) = registry.split_at(registry.find(':').unwrap_or(registry.len()));
        let component_ok = |component: &str| {
            let bytes = component.as_bytes();
            bytes.first().is_some_and(u8::is_ascii_alphanumeric)
                && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
                && bytes
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        };
        if !host.split('.').all(component_ok) {
            return Err("the registry is not a host name");
        }
        port
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(digits)
            if digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok() =>
        {
            Ok(())
        }
        _ => Err("the registry's port is not a number up to 65535"),
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("it has no repository name");
    }
    if path.split('/').all(component_ok) {
        Ok(())
    } else {
        Err(
            "a repository name is made of a-z, 0-9 and single separators (`.`, `_`, `__` or `-`) between them",
        )
    }
}

/// `1*alnum *(separator 1*alnum)`.
fn component_ok(component: &str) -> bool {
    let alnum = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = component.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| alnum(byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|byte| !alnum(byte)).count();
        match &rest[..separator] {
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

pub(crate) fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    if tag.len() > MAX_TAG_LENGTH {
        Err("a tag must not be more than 128 characters")
    } else if bytes.next().is_some_and(word) && bytes.all(|b| word(b) || b == b'.' || b == b'-') {
        Ok(())
    } else {
        Err("a tag starts with a letter, digit or `_`, followed by these, `.` and `-`")
    }
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
