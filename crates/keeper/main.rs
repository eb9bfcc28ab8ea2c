//! `shedbox-keeper`: the small process that owns the user namespace and clones generations.
fn main() {}
