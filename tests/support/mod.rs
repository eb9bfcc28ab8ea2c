//! What all integration tests stand on. A test program has `mod support;` and uses:
//!
//! - [`Case`]: one sandbox, as a sentence: `Case::image("tiny").sh("touch /a").ok().reset().sh("test -e /a").status(1)`;
//! - [`Home`]: a private data directory with its own daemon, stopped and checked for leaks when it goes away;
//! - [`Registry`]: a real docker-registry on loopback;
//! - [`images`]: the images that `scripts/test-images` has built with other people's tools;
//! - [`require!`](crate::require): a test that cannot run here says so, and fails under `SHEDBOX_TEST_STRICT=1`.
//!
//! `scripts/test` runs the programs in each lane and sets the environment:
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `SHEDBOX_BIN`, `SHEDBOX_KEEPER` | the programs under test | what cargo built |
//! | `SHEDBOX_TEST_LANE` | `subids`, `single` or `root` | found from the user |
//! | `SHEDBOX_TEST_STRICT` | 1: a skip is a failure | a skip is a loud line |
//! | `SHEDBOX_TEST_DIR` | where homes are made, on a real file system | /var/tmp |
//! | `SHEDBOX_TEST_HOME` | the home that [`Case`]s share | a private home for each |
//! | `SHEDBOX_TEST_REGISTRY` | `host:port` of the read-only registry of the run | one for each process |
//! | `SHEDBOX_TEST_IMAGES` | what `scripts/test-images` built | target/test-images |
//! | `SHEDBOX_TEST_GUEST` | 1: in a guest of `scripts/test-vm`, emulated and slow | on the machine itself |
//! | `SHEDBOX_TEST_SEED` | seed of the randomised tests | drawn and printed |
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test program uses its part of this module"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by panicking, and says why"
)]

pub(crate) mod case;
pub(crate) mod home;
pub(crate) mod images;
pub(crate) mod kin;
pub(crate) mod lane;
pub(crate) mod name;
pub(crate) mod processes;
pub(crate) mod registry;
pub(crate) mod wait;

pub(crate) use case::{Case, Ran};
pub(crate) use home::Home;
pub(crate) use kin::{Kin, Kinship};
pub(crate) use lane::{Lane, Need};
pub(crate) use name::unique;
pub(crate) use registry::Registry;
pub(crate) use wait::{Random, eventually, patience, seed};

use std::path::PathBuf;

/// The `shedbox` program under test.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("SHEDBOX_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_shedbox")),
        PathBuf::from,
    )
}

/// The keeper that belongs to it.
pub(crate) fn keeper_program() -> PathBuf {
    std::env::var_os("SHEDBOX_KEEPER").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_shedbox-keeper")),
        PathBuf::from,
    )
}

/// A directory on a real file system for whatever a test writes; removed when it goes away.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("t.")
        .tempdir_in(scratch_base())
        .expect("create a scratch directory")
}

/// Where scratch directories are made.
pub(crate) fn scratch_base() -> PathBuf {
    std::env::var_os("SHEDBOX_TEST_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}
