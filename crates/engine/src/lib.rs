//! What the daemon does, without sockets of its own: sandboxes from creation to removal. Blocking and thread-safe.
//!
//! ```text
//! create   directories → generation → visible by one rename → activate → main process
//! reset    next generation (a spare, or built on the spot) → exchange directories → end the old one → activate
//! remove   end the generation → directory into the trash
//! ```
//!
//! [`Engine::open`] recovers what an earlier daemon left before it returns.

mod background;
mod blanks;
mod capabilities;
pub mod cgroup;
mod commit;
mod companion;
mod create;
mod disk_limit;
mod disown;
pub mod doctor;
mod engine;
mod error;
pub mod events;
mod export;
mod features;
mod files;
pub mod filter;
mod fork;
mod generation;
mod host_rootfs;
#[cfg(test)]
mod hostile_init_tests;
mod images;
mod init;
mod inspect;
mod keeper;
mod life;
mod lifecycle;
pub mod logs;
mod make_room;
mod merge;
mod network;
mod note;
mod observe;
mod output;
mod owner;
mod record;
mod recover;
mod recycle;
mod registry;
mod remove;
mod rename;
mod reset;
mod sandbox;
mod session;
mod snapshot;
mod spare;
mod validate;
mod watcher;

pub use commit::CommitOptions;
pub use engine::{Engine, EngineOptions};
pub use error::{EngineError, Result};
pub use inspect::Filter;
pub use keeper::{Greeting, greet};
pub use recover::parent_namespace;
pub use sandbox::Notify;
pub use session::Answer;
pub use shedbox_image::Step;
