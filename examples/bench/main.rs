//! How fast, as a ratio to the kernel's own cost. Run by `scripts/bench`, which builds the floor program, starts the
//! registry and sets the environment; see docs/performance.md.
//!
//! Every round goes through all contestants, so that what else the machine does meets all of them alike. What shedbox
//! does after an answer (deleting, building a spare) is waited for before the next contestant's turn.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

mod api;
mod bubblewrap;
mod docker;
mod floor;
mod network;
mod options;
mod podman;
mod pull;
mod rounds;
mod samples;
mod scale;
mod shed;
mod snapshots;
mod table;
mod walls;

use anyhow::Context;
use options::Options;

fn main() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut report = table::Report::new()?;
    let shed = shed::Shed::new(&options).context("shedbox")?;
    if options.wants("rounds") {
        rounds::run(&options, &shed, &mut report)?;
    }
    if options.wants("snapshots") {
        snapshots::run(&options, &shed, &mut report)?;
    }
    if options.wants("walls") {
        walls::run(&options, &shed, &mut report)?;
    }
    if options.wants("network") {
        network::run(&options, &shed, &mut report)?;
    }
    if options.wants("api") {
        api::run(&options, &shed, &mut report)?;
    }
    if options.wants("full") {
        rounds::full_upperdir(&options, &shed, &mut report)?;
    }
    if options.wants("scale") {
        scale::memory(&options, &shed, &mut report)?;
        scale::many(&options, &shed, &mut report)?;
    }
    if options.wants("pull") {
        pull::run(&options, &shed, &mut report)?;
    }
    println!("{}", report.finish()?);
    Ok(())
}
