//! Images of sandboxes: commit and export, with a keeper and inits, without a daemon.
//!
//! The keeper is this program again, which is why it brings its own harness: the engine starts its own program with the
//! argument `keeper` when there is no other. Run by another user than root, it becomes root of a user namespace first.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is missing, and this is its harness"
)]

#[path = "images/commit.rs"]
mod commit;
#[path = "images/export.rs"]
mod export;
#[path = "images/ground.rs"]
mod ground;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// A name and what it runs.
type Test = (&'static str, fn());

const TESTS: &[&[Test]] = &[commit::TESTS, export::TESTS];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "keeper") {
        return ExitCode::from(u8::from(shedbox_runtime::keeper::main() != 0));
    }
    let tests = || TESTS.iter().copied().flatten();
    if arguments.iter().any(|argument| argument == "--list") {
        // nextest asks for ignored ones, too; there are none.
        for (name, _) in tests().filter(|_| !arguments.iter().any(|it| it == "--ignored")) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if shedbox_linux::process::own_uid() != 0 {
        let own = std::env::current_exe().unwrap();
        let error = Command::new("unshare")
            .arg("-Ur")
            .arg(own)
            .args(&arguments)
            .exec();
        panic!("unshare(1) is needed for these tests: {error}");
    }
    let wanted: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    for (name, test) in tests() {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}
