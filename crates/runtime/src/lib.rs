//! Keeper and init: small, static, single-threaded.
//!
//! [`keeper`] clones a generation; the copy goes on as [`init`], which builds the [`rootfs`] and serves the sandbox
//! socket. Every command is started by [`launch`] and nowhere else.

pub mod confined;
mod denials;
mod dev;
mod exec;
mod failure;
mod features;
mod files;
mod group;
mod guards;
mod init;
pub mod keeper;
mod landlock;
mod launch;
pub mod log;
mod main_process;
mod masks;
mod memory_upper;
mod overlay;
mod rootfs;
mod sink;
mod stats;
mod surroundings;
mod sys;
mod target;
mod tree;
