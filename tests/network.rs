//! Networks: addresses, names, published ports, modes, egress policies, and that nothing of them is left.
//!
//! Servers and clients inside are small Python programs from the host's own (`inside.py`), or busybox. `words.rs` has the
//! commands and options that the tests are about.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "network/audit.rs"]
mod audit;
#[path = "network/bad_input.rs"]
mod bad_input;
#[path = "network/bridge.rs"]
mod bridge;
#[path = "network/confinement.rs"]
mod confinement;
#[path = "network/dns.rs"]
mod dns;
#[path = "network/egress.rs"]
mod egress;
#[path = "network/gateway.rs"]
mod gateway;
#[path = "network/leaks.rs"]
mod leaks;
#[path = "network/modes.rs"]
mod modes;
#[path = "network/names.rs"]
mod names;
#[path = "network/outbound.rs"]
mod outbound;
#[path = "network/ports.rs"]
mod ports;
#[path = "network/scene.rs"]
mod scene;
#[path = "network/web.rs"]
mod web;
#[path = "network/words.rs"]
mod words;
