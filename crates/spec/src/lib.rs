//! Words, specs and messages: pure data and parsing, no I/O.
//!
//! Everything that two processes of shedbox say to each other is a type in this crate, and every string that a person
//! writes (an image reference, a volume, a user, a size) is parsed here, once.

pub mod api;
mod builder;
pub mod capability;
pub mod config;
pub mod confined;
pub mod control;
pub mod detach_keys;
pub mod digest;
pub mod env_file;
pub mod error;
pub mod exec;
pub mod features;
pub mod gateway;
pub mod generation;
pub mod hosts;
pub mod id;
pub mod landlock;
pub mod limits;
pub mod mount;
pub mod network;
pub mod paths;
pub mod reference;
pub mod sandbox;
pub mod security;
pub mod security_option;
pub mod session;
pub mod signal;
pub mod size;
pub mod sysctl;
pub mod ulimit;
pub mod user;

pub use digest::Digest;
pub use error::{Error, Kind, Result};
pub use id::{SandboxId, SnapshotId};
pub use reference::Reference;
pub use sandbox::SandboxSpec;
