//! `shedbox-keeper`: the small process that owns the user namespace and clones generations.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(u8::from(shedbox_runtime::keeper::main() != 0))
}
