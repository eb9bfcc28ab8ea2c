//! Levels: what must be had, and what is said when it cannot.

use shedbox_spec::landlock::NEWEST_ABI;

use crate::attempt::abi;
use crate::require;
use crate::support::{Case, Home};

#[test]
fn everything_or_an_error() {
    require!(userns);
    if abi() >= NEWEST_ABI {
        Case::host()
            .option("--landlock=require")
            .sh("echo in")
            .stdout("in");
        return;
    }
    let found = match abi() {
        0 => "this kernel has no Landlock, or it is switched off".to_owned(),
        abi => format!("this kernel has ABI {abi}"),
    };
    Home::shared().refused(
        ["run", "--rm", "--landlock=require", "host", "true"],
        125,
        &format!("`--landlock require` needs Landlock ABI 9 (Linux 7.1): {found}"),
    );
}

#[test]
fn off_and_a_list_exclude_each_other() {
    for list in ["--landlock-ro=/usr", "--allow-tcp-bind=80"] {
        Home::shared().refused(
            ["run", "--rm", "--landlock=off", list, "host", "true"],
            125,
            "Landlock is off, so paths and ports cannot be limited by it",
        );
    }
}

/// The best that there is, on every kernel.
#[test]
fn best_effort_always_runs() {
    require!(userns);
    for option in ["--landlock=best-effort", "--landlock=off"] {
        Case::host().option(option).sh("echo in").stdout("in");
    }
}
