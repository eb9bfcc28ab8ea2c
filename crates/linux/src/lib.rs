//! Typed wrappers over kernel calls: the only unsafe code of shedbox. Knows nothing of sandboxes.
//!
//! Each module is one kernel feature. `unsafe` is denied for the crate and allowed module by module, where a call has
//! no safe wrapper in nix or rustix.

pub mod errno;

pub use errno::{Error, Result};
