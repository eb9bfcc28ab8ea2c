//! Images to registries.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::AuthSources;
use crate::{Digest, Error};

/// A login that comes with a request instead of from a file; Docker's X-Registry-Auth. Empty texts are absent.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryCredentials {
    /// User name.
    pub username: String,
    /// Password or access token.
    pub password: String,
    /// A refresh token, which the registry's token service exchanges.
    pub identity_token: String,
    /// A token that goes to the registry as it is.
    pub registry_token: String,
}

impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryCredentials(<redacted>)")
    }
}

/// Send an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRequest {
    /// The reference as typed, which names the image here and there; `latest` when it has no tag.
    pub reference: String,
    /// How to log in.
    #[serde(default)]
    pub auth: AuthSources,
}

/// What has been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResult {
    /// The full reference.
    pub reference: String,
    /// Digest of the manifest that it names at the registry.
    pub digest: Digest,
    /// Bytes of that manifest.
    pub size: u64,
}

/// One line of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum PushEvent {
    /// What is to be sent.
    Started {
        /// The full reference.
        reference: String,
        /// Diff ids, lowest first, each once.
        layers: Vec<Digest>,
    },
    /// A layer makes progress.
    Layer {
        /// Its diff id here.
        diff_id: Digest,
        /// What it is doing.
        state: PushState,
    },
    /// Something is worth saying and does not stop the push.
    Warning {
        /// What.
        message: String,
    },
    /// The registry has it all.
    Done {
        /// What.
        result: PushResult,
    },
    /// It failed; the last line.
    Failed {
        /// Why.
        error: Error,
    },
}

/// What a layer of a push is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PushState {
    /// The registry is asked for it; when it has none, it is packed.
    Preparing,
    /// Others are being packed and sent.
    Waiting,
    /// So much of the compressed blob has been sent.
    Pushing {
        /// Bytes sent.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The connection broke; trying again from where it stopped.
    Retrying {
        /// Which attempt comes, from 2.
        attempt: u32,
        /// Bytes that need not be sent again.
        resumed_at: u64,
    },
    /// It has been sent.
    Pushed,
    /// The repository has it already.
    Exists,
    /// The registry has taken it from another repository of its own.
    Mounted {
        /// That repository.
        from: String,
    },
}
