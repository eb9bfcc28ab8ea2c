//! Images in and out of the store: the only network code.
//!
//! ```text
//! reference -> manifest (registry, platform) -> config -> layers: download | verify | decompress | extract -> record
//! ```
//!
//! [`ImageService`] is what the daemon holds: [`ImageService::pull`] runs on tokio; [`ImageService::load`],
//! [`ImageService::load_path`] and [`ImageService::save`] block. What is present is never asked of a registry, and no
//! HTTP client is made before one is needed.

pub mod archive;
pub mod auth;
pub mod config;
pub mod credentials;
pub mod error;
pub mod manifest;
pub mod platform;
pub mod registry;

mod chunks;
mod derive;
mod history;
mod import;
mod layer;
mod once;
mod progress;
mod pull;
mod push;
mod service;

pub use archive::save::Format;
pub use auth::Credential;
pub use derive::{Derivation, NewLayer, Step};
pub use error::{Error, Result};
pub use progress::Events;
pub use pull::Described;
pub use service::ImageService;
