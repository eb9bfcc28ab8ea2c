//! The command line as a declaration: help, man pages, completions and the pages of `docs/cli` come from here.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::commands::{
    attach, completion, copy, create, daemon, diff, docs, doctor, egress, exec, features, fork,
    gateway, images, inspect, keeper, kill, load, logs, man, network, pause, port, pressure, prune,
    ps, pull, reclaim, remove, reset, restore, rmi, run, save, seccomp, session, snapshot, start,
    stats, stop, top, update, version, wait,
};
use crate::docker;
use crate::report::SHEDBOX_FAILED;

/// Rootless sandboxes that shed what is written in them.
///
/// Images are pulled into shared read-only layers; each sandbox has one writable directory on top; `reset` renames that
/// directory away.
#[derive(Debug, Parser)]
#[command(
    name = "shedbox",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Exec(exec::Args),
    Create(create::Args),
    Start(start::Args),
    Stop(stop::Args),
    Kill(kill::Args),
    Reset(reset::Args),
    Snapshot(snapshot::Args),
    Restore(restore::Args),
    Fork(fork::Args),
    Pause(pause::Args),
    Unpause(pause::UnpauseArgs),
    Update(update::Args),
    Rm(remove::Args),
    Attach(attach::Args),
    Wait(wait::Args),
    Logs(logs::Args),
    Cp(copy::Args),
    Diff(diff::Args),
    Ps(ps::Args),
    Inspect(inspect::Args),
    Features(features::Args),
    Stats(stats::Args),
    Top(top::Args),
    Seccomp(seccomp::Args),
    Pressure(pressure::Args),
    Reclaim(reclaim::Args),
    Pull(pull::Args),
    Images(images::Args),
    Rmi(rmi::Args),
    Load(load::Args),
    Save(save::Args),
    Prune(prune::Args),
    Network(network::Args),
    Port(port::Args),
    Egress(egress::Args),
    Session(session::Args),
    Doctor(doctor::Args),
    Daemon(daemon::Args),
    Completion(completion::Args),
    Man(man::Args),
    Version(version::Args),
    DockerShim(docker::ShimArgs),
    #[command(hide = true)]
    Docs(docs::Args),
    #[command(hide = true)]
    Keeper(keeper::Args),
    #[command(hide = true)]
    Gateway(gateway::Args),
    #[command(hide = true)]
    Uplink(gateway::UplinkArgs),
}

impl Command {
    /// The exit status when shedbox itself fails. Where the status of a command in the sandbox is passed on it must not
    /// be mistaken for that: 125, as in Docker.
    pub(crate) fn failure_status(&self) -> u8 {
        match self {
            Self::Run(_) | Self::Exec(_) | Self::Create(_) | Self::Attach(_) => SHEDBOX_FAILED,
            Self::Start(args) if args.attach => SHEDBOX_FAILED,
            Self::Session(args) if args.is_run() => SHEDBOX_FAILED,
            _ => 1,
        }
    }

    /// Does it. The number is the exit status.
    pub(crate) fn run(self) -> Result<u8> {
        match self {
            Self::Run(args) => run::run(args),
            Self::Exec(args) => exec::run(args),
            Self::Create(args) => create::run(args),
            Self::Start(args) => start::run(args),
            Self::Stop(args) => stop::run(&args),
            Self::Kill(args) => kill::run(&args),
            Self::Reset(args) => reset::run(&args),
            Self::Snapshot(args) => snapshot::run(args),
            Self::Restore(args) => restore::run(&args),
            Self::Fork(args) => fork::run(&args),
            Self::Pause(args) => pause::run(&args),
            Self::Unpause(args) => pause::run_unpause(&args),
            Self::Update(args) => update::run(&args),
            Self::Pressure(args) => pressure::run(&args),
            Self::Reclaim(args) => reclaim::run(&args),
            Self::Rm(args) => remove::run(&args),
            Self::Attach(args) => attach::run(&args),
            Self::Wait(args) => wait::run(&args),
            Self::Logs(args) => logs::run(&args),
            Self::Cp(args) => copy::run(&args),
            Self::Diff(args) => diff::run(&args),
            Self::Ps(args) => ps::run(&args),
            Self::Inspect(args) => inspect::run(&args),
            Self::Features(args) => features::run(&args),
            Self::Stats(args) => stats::run(&args),
            Self::Top(args) => top::run(&args),
            Self::Seccomp(args) => seccomp::run(&args),
            Self::Pull(args) => pull::run(&args),
            Self::Images(args) => images::run(&args),
            Self::Rmi(args) => rmi::run(&args),
            Self::Load(args) => load::run(&args),
            Self::Save(args) => save::run(&args),
            Self::Prune(args) => prune::run(&args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Daemon(args) => daemon::run(&args),
            Self::Completion(args) => completion::run(&args),
            Self::Man(args) => man::run(&args),
            Self::Version(args) => version::run(&args),
            Self::DockerShim(args) => docker::run_shim(&args),
            Self::Docs(args) => docs::run(&args),
            Self::Keeper(args) => Ok(keeper::run(&args)),
            Self::Gateway(args) => gateway::run(&args),
            Self::Uplink(args) => gateway::run_uplink(&args),
            Self::Network(args) => network::run(args),
            Self::Port(args) => port::run(&args),
            Self::Egress(args) => egress::run(args),
            Self::Session(args) => session::run(args),
        }
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
