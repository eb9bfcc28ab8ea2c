//! The `shedbox` command.
fn main() {}
