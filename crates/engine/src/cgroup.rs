//! Control groups of version 2: limits, use of resources, freezing, and a second net under the end of a generation.
//!
//! Files are written directly: what is needed are about twenty of them, and the places where libraries fail (a mount
//! that is read-only, a subtree that is not delegated, processes in the way) are the ones that need words of our own.
//!
//! ```text
//! <highest group we may write>/shedbox-<root>/      base: one a data directory, found or made when the engine opens
//!     g<pid>-<n>/                                   one generation; its limits; root of its cgroup namespace
//!         init/                                     our init
//!         main/  x<n>/                              main process and commands, made by init
//! ```
//!
//! A generation's group is made ahead of need and does not carry the sandbox's name, because the kernel renames none.
//! Which one belongs to which sandbox is what `/proc/<init>/cgroup` says.
//!
//! Source: Documentation/admin-guide/cgroup-v2.rst; cgroups(7).

mod check;
mod delegation;
mod group;
mod lease;
mod operations;
mod plan;
mod read;
mod scope;
mod stats;
mod stock;

pub(crate) use delegation::DELEGATE_ALL;
pub use delegation::{Absence, Delegation};
pub(crate) use lease::Lease;
pub use scope::ask_for_scope;
pub(crate) use stock::{Cgroups, Lent};
