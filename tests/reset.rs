//! A reset is complete: what one generation did, the next cannot see; what belongs to the sandbox stays.

mod support;

#[path = "reset/crosses.rs"]
mod crosses;
#[path = "reset/stays.rs"]
mod stays;
