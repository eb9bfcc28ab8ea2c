//! Credential files: what they say about a registry. Pure; reading them and running helpers is
//! [`crate::credentials`].
//!
//! One format serves docker's `config.json` and podman's `auth.json`. Keys are registries or, as podman writes them,
//! registry and namespace; the longest key that is a prefix of the wanted repository wins.
//! Source: containers-auth.json(5), docker-login(1).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;

/// How to prove to a registry who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password or access token.
        password: String,
    },
    /// A refresh token that the registry's token service exchanges (`identitytoken`).
    IdentityToken(String),
    /// A token that goes to the registry as it is (`registrytoken`).
    RegistryToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(<redacted>)",
            Self::IdentityToken(_) => "IdentityToken(<redacted>)",
            Self::RegistryToken(_) => "RegistryToken(<redacted>)",
        })
    }
}

impl Credential {
    /// From Docker's X-Registry-Auth header: JSON in URL-safe base64. `None` when it holds no secret.
    ///
    /// Source: Docker Engine API, "Authentication". Clients send both alphabets, with and without padding.
    pub fn from_header(value: &str) -> Result<Option<Self>, String> {
        let value = value.trim();
        if value.is_empty() {
            return Ok(None);
        }
        let bytes = [&URL_SAFE, &URL_SAFE_NO_PAD, &STANDARD, &STANDARD_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(value).ok())
            .ok_or_else(|| "it is not base64".to_owned())?;
        // serde's error may quote a secret.
        let entry: Entry = serde_json::from_slice(&bytes)
            .map_err(|_| "it is not an object of texts".to_owned())?;
        entry.credential()
    }

    /// From a login that came with a request; `None` when it holds no secret.
    pub fn from_request(login: &shedbox_spec::api::RegistryCredentials) -> Option<Self> {
        let set = |token: &String| Some(token.clone()).filter(|token| !token.is_empty());
        if let Some(token) = set(&login.identity_token) {
            return Some(Self::IdentityToken(token));
        }
        if let Some(token) = set(&login.registry_token) {
            return Some(Self::RegistryToken(token));
        }
        Self::from_login(login.username.clone(), login.password.clone())
    }

    /// From a user name and a secret; the name `<token>` marks an identity token (docker-credential-helpers).
    pub fn from_login(username: String, secret: String) -> Option<Self> {
        match (username.as_str(), secret.as_str()) {
            (_, "") | ("", _) => None,
            ("<token>", _) => Some(Self::IdentityToken(secret)),
            _ => Some(Self::Basic {
                username,
                password: secret,
            }),
        }
    }
}

/// A parsed credential file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuthFile {
    auths: BTreeMap<String, Option<Entry>>,
    #[serde(rename = "credsStore")]
    creds_store: String,
    #[serde(rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    #[serde(alias = "identityToken")]
    identitytoken: String,
    #[serde(alias = "registryToken")]
    registrytoken: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(<redacted>)")
    }
}

/// Where the credential for a repository is to be had, in the order to try.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// Ask `docker-credential-<name>` about `server`.
    Helper {
        /// Name of the helper, without the prefix.
        name: String,
        /// What to ask it about, as the docker client would.
        server: String,
    },
    /// It is in the file.
    Here(Credential),
}

impl AuthFile {
    /// Parses the text of a credential file. The error says what is wrong, never what the file holds.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| {
            // serde's own text may quote a value, which may be a secret.
            format!(
                "{} at line {} column {}",
                match error.classify() {
                    serde_json::error::Category::Data => "a field has the wrong type",
                    serde_json::error::Category::Eof => "the file ends early",
                    _ => "not JSON",
                },
                error.line(),
                error.column()
            )
        })
    }

    /// Sources for `registry`/`repository`, best first. Fails when the entry that applies cannot be decoded.
    pub fn sources(&self, registry: &str, repository: &str) -> Result<Vec<Source>, String> {
        let keys = lookup_keys(registry, repository);
        let mut sources = Vec::new();
        let server = || server_name(registry).to_owned();
        if let Some(name) = find(&self.cred_helpers, &keys) {
            // An empty name turns the credsStore off for this registry.
            if !name.is_empty() {
                sources.push(Source::Helper {
                    name: name.clone(),
                    server: server(),
                });
            }
        } else if !self.creds_store.is_empty() {
            sources.push(Source::Helper {
                name: self.creds_store.clone(),
                server: server(),
            });
        }
        if let Some(Some(entry)) = find(&self.auths, &keys)
            && let Some(credential) = entry.credential()?
        {
            sources.push(Source::Here(credential));
        }
        Ok(sources)
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identitytoken.clone())));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::RegistryToken(self.registrytoken.clone())));
        }
        if self.auth.is_empty() {
            // Docker leaves an empty entry where a helper holds the secret.
            return Ok(Credential::from_login(
                self.username.clone(),
                self.password.clone(),
            ));
        }
        let text = self.auth.trim();
        let bytes = STANDARD
            .decode(text)
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .map_err(|_| "`auth` is not base64".to_owned())?;
        let text = String::from_utf8(bytes).map_err(|_| "`auth` is not UTF-8".to_owned())?;
        let (username, password) = text
            .split_once(':')
            .ok_or_else(|| "`auth` is not `user:password`".to_owned())?;
        // Docker pads old files with NULs.
        let password = password.trim_end_matches('\0');
        Ok(Credential::from_login(
            username.to_owned(),
            password.to_owned(),
        ))
    }
}

/// `registry/a/b`, `registry/a`, `registry`: the order in which keys are tried.
fn lookup_keys(registry: &str, repository: &str) -> Vec<String> {
    let registry = normalise(registry);
    let mut key = format!("{registry}/{repository}");
    let mut keys = vec![key.clone()];
    while let Some(cut) = key.rfind('/') {
        key.truncate(cut);
        keys.push(key.clone());
    }
    keys
}

fn find<'a, T>(map: &'a BTreeMap<String, T>, keys: &[String]) -> Option<&'a T> {
    keys.iter().find_map(|wanted| {
        map.get(wanted).or_else(|| {
            map.iter()
                .find_map(|(key, value)| (normalise(key) == *wanted).then_some(value))
        })
    })
}

/// A key without what docker's history put around it: scheme, `/v1/`, `/v2/`, and the three names of Docker Hub.
fn normalise(key: &str) -> String {
    let (bare, had_scheme) = match key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
    {
        Some(bare) => (bare, true),
        None => (key, false),
    };
    // A URL names a server, never a namespace.
    let bare = if had_scheme {
        bare.split('/').next().unwrap_or(bare)
    } else {
        let bare = bare.trim_end_matches('/');
        bare.strip_suffix("/v1")
            .or_else(|| bare.strip_suffix("/v2"))
            .unwrap_or(bare)
    };
    let (host, rest) = bare.split_once('/').unwrap_or((bare, ""));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    if rest.is_empty() {
        host.to_owned()
    } else {
        format!("{host}/{rest}")
    }
}

/// What helpers store a registry's credential under: docker uses a URL for Docker Hub alone.
fn server_name(registry: &str) -> &str {
    if normalise(registry) == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        registry
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
