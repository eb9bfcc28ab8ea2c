//! Many at once: nothing waits for ever, nothing is mixed up, nothing is left open.

mod support;

#[path = "concurrency/long.rs"]
mod long;
#[path = "concurrency/names.rs"]
mod names;
#[path = "concurrency/ttl.rs"]
mod ttl;
