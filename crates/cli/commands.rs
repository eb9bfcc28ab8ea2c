//! One module a command: its arguments, and what it does with them.

use anyhow::Result;
use shedbox_client::{Client, Sandbox};

use crate::{render, report};

pub(crate) mod attach;
pub(crate) mod completion;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod daemon;
pub(crate) mod diff;
pub(crate) mod docs;
pub(crate) mod doctor;
pub(crate) mod egress;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod fork;
pub(crate) mod gateway;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod keeper;
pub(crate) mod kill;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod network;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod pressure;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod reclaim;
pub(crate) mod remove;
pub(crate) mod reset;
pub(crate) mod restore;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod seccomp;
pub(crate) mod session;
pub(crate) mod snapshot;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod wait;

/// Does something to each of several things: prints the name of each that went well, reports each that did not, and
/// goes on. The exit status is 1 when one did not.
fn for_each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let mut status = 0;
    for name in names {
        match act(name) {
            Ok(()) => render::line(name)?,
            Err(error) => status = report::report(&error, 1),
        }
    }
    Ok(status)
}

/// The same for sandboxes.
fn for_each_sandbox(names: &[String], mut act: impl FnMut(&Sandbox) -> Result<()>) -> Result<u8> {
    let client = Client::shared();
    for_each(names, |name| act(&client.sandbox(name)?))
}
