//! Messages of the Docker Engine API and what they mean in shedbox's own words. Pure functions: the daemon does the
//! talking.
//!
//! ```text
//! request body → [`body`] → [`create`] → shedbox_spec::SandboxSpec, warnings
//! SandboxInfo, [`stored::Stored`] → [`inspect`] → answer
//! ```
//!
//! Answers are built as JSON values: they are read by others only, and their shape is best seen as such. Source: Docker
//! Engine API 1.24 to 1.47, and what clients were seen to rely on (docs/docker.md).

pub mod body;
pub mod create;
pub mod error;
pub mod exec;
pub mod filters;
pub mod frame;
pub mod image;
pub mod inspect;
pub mod login;
pub mod network;
pub mod path_stat;
pub mod progress;
pub mod status;
pub mod stored;
pub mod time;
pub mod top;
pub mod version;
