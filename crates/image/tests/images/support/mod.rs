//! A store, images made by hand, a registry that misbehaves on request, and a real one.

pub mod image;
pub mod program;
pub mod server;
pub mod store;
mod uploads;

pub use image::{Blob, TestImage};
pub use server::{FakeRegistry, Reply};
pub use store::TestStore;
