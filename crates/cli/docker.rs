//! The command as `docker`: what this program is when it is called by that name, or as `shedbox docker`.
//!
//! Commands that are the same in both are shared; the others speak the Docker API with the daemon, as Docker's own command
//! does, so texts and fields come from one place.

mod build;
mod create;
mod image;
mod inspect;
mod lifecycle;
mod limits;
mod list;
mod login;
mod network;
mod output;
mod plugin;
mod shim;
mod system;
mod volume;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use shedbox_client::Error as ClientError;

use crate::commands;
use crate::report::SHEDBOX_FAILED;

pub(crate) use shim::Args as ShimArgs;
pub(crate) use shim::run as run_shim;

/// Docker's commands over rootless sandboxes
#[derive(Debug, Parser)]
#[command(name = "docker", display_name = "Docker", version = VERSION, disable_version_flag = true, disable_help_subcommand = true, max_term_width = 100)]
struct Docker {
    /// Accepted: there is one daemon, the user's own
    #[arg(short = 'H', long, value_name = "ADDRESS", hide = true)]
    host: Vec<String>,
    /// Accepted and without effect
    #[arg(short = 'c', long, value_name = "NAME", hide = true)]
    context: Option<String>,
    /// Directory of client configuration files
    #[arg(long, value_name = "DIR")]
    config: Option<String>,
    /// Accepted and without effect
    #[arg(short = 'D', long, hide = true)]
    debug: bool,
    /// Accepted and without effect
    #[arg(short = 'l', long, value_name = "LEVEL", hide = true)]
    log_level: Option<String>,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// What `docker --version` says behind the name; [`output::ENGINE_VERSION`] is in it.
const VERSION: &str = concat!("version 27.5.1, build shedbox-", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Container(Container),
    /// Manage containers
    #[command(name = "container", subcommand)]
    OfContainers(ContainerOnly),
    /// Manage images
    #[command(name = "image", subcommand)]
    OfImages(image::Command),
    /// Manage networks
    #[command(subcommand)]
    Network(network::Command),
    /// Manage volumes
    #[command(subcommand)]
    Volume(volume::Command),
    /// Manage the whole
    #[command(subcommand)]
    System(system::Command),
    /// Show objects as JSON, or what a template takes of them
    Inspect(inspect::Args),
    /// List images
    Images(image::ListArgs),
    /// Fetch an image
    Pull(image::PullArgs),
    /// Send an image to a registry
    Push(image::PushArgs),
    /// Remove images
    Rmi(image::RemoveArgs),
    /// Give an image another name
    Tag(image::TagArgs),
    /// Read images from an archive
    Load(image::LoadArgs),
    /// Write images to an archive
    Save(image::SaveArgs),
    /// Make an image of a root file system
    Import(image::ImportArgs),
    /// Show how an image was made
    History(image::HistoryArgs),
    /// Build an image
    Build(build::Args),
    /// Build images
    #[command(subcommand)]
    Buildx(build::Buildx),
    /// Manage builds
    #[command(subcommand)]
    Builder(build::Builder),
    /// Show the versions
    Version(system::VersionArgs),
    /// Show what there is
    Info(system::InfoArgs),
    /// Show what happens
    Events(system::EventsArgs),
    /// Keep credentials for a registry
    Login(login::LoginArgs),
    /// Forget them
    Logout(login::LogoutArgs),
    /// There is one context
    #[command(subcommand)]
    Context(system::Context),
    /// Run Docker Compose with this daemon
    #[command(disable_help_flag = true)]
    Compose {
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    #[command(external_subcommand)]
    Plugin(Vec<OsString>),
}

/// Commands that stand alone and below `container`.
#[derive(Debug, Subcommand)]
enum Container {
    /// Create a container and run a command in it
    Run(create::RunArgs),
    /// Create a container
    Create(create::CreateArgs),
    /// Run a command in a container
    Exec(commands::exec::Args),
    /// List containers
    #[command(visible_alias = "list")]
    Ps(list::PsArgs),
    /// Start containers
    Start(lifecycle::StartArgs),
    /// Stop containers
    Stop(lifecycle::StopArgs),
    /// Stop and start containers
    Restart(lifecycle::StopArgs),
    /// Send a signal to containers
    Kill(lifecycle::KillArgs),
    /// Stop the processes of containers where they are
    Pause(lifecycle::NamesArgs),
    /// Let them go on
    Unpause(lifecycle::NamesArgs),
    /// Wait for the end of containers
    Wait(lifecycle::NamesArgs),
    /// Remove containers
    #[command(visible_alias = "remove")]
    Rm(lifecycle::RemoveArgs),
    /// Give a container another name
    Rename(lifecycle::RenameArgs),
    /// Change limits of containers
    Update(lifecycle::UpdateArgs),
    /// Join the main process of a container
    Attach(commands::attach::Args),
    /// Show the output of a container
    Logs(lifecycle::LogsArgs),
    /// Copy files between a container and the host
    Cp(commands::copy::Args),
    /// Show what differs from the image
    Diff(lifecycle::DiffArgs),
    /// Show the processes of a container
    Top(lifecycle::TopArgs),
    /// Show what containers use
    Stats(lifecycle::StatsArgs),
    /// Show published ports
    Port(commands::port::Args),
    /// Write a container's files as an archive
    Export(lifecycle::ExportArgs),
    /// Make an image of a container
    Commit(lifecycle::CommitArgs),
}

/// What is below `container` alone.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value, made once")]
enum ContainerOnly {
    #[command(flatten)]
    Shared(Container),
    /// List containers
    Ls(list::PsArgs),
    /// Show containers as JSON
    Inspect(inspect::OneKindArgs),
    /// Remove containers that do not run
    Prune(system::PruneArgs),
}

/// Whether this program was called by Docker's name.
pub(crate) fn is_called_so(program: Option<&OsString>) -> bool {
    program
        .map(std::path::Path::new)
        .and_then(std::path::Path::file_name)
        .is_some_and(|name| name == "docker")
}

/// Runs as `docker` with these arguments, the program's name first.
pub(crate) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let docker = match Docker::try_parse_from(arguments) {
        Ok(docker) => docker,
        Err(error) => {
            // Help and version are data on standard output; a reader that has gone has seen enough.
            let _ = error.print();
            let status = if error.use_stderr() {
                SHEDBOX_FAILED
            } else {
                0
            };
            return ExitCode::from(status);
        }
    };
    if let Some(dir) = docker.config {
        login::use_config(dir);
    }
    let (failed, prefix) = docker.command.failure();
    match docker.command.run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => ExitCode::from(output::report(&error, failed, prefix)),
    }
}

impl Command {
    /// The exit status when we fail, and what stands before the message.
    fn failure(&self) -> (u8, &'static str) {
        match self {
            Self::Container(Container::Run(_) | Container::Create(_))
            | Self::OfContainers(ContainerOnly::Shared(Container::Run(_) | Container::Create(_))) => {
                (SHEDBOX_FAILED, "docker: ")
            }
            _ => (1, ""),
        }
    }

    fn run(self) -> Result<u8> {
        match self {
            Self::Container(command) | Self::OfContainers(ContainerOnly::Shared(command)) => {
                command.run()
            }
            Self::OfContainers(ContainerOnly::Ls(args)) => list::containers(&args),
            Self::OfContainers(ContainerOnly::Inspect(args)) => inspect::of("container", &args),
            Self::OfContainers(ContainerOnly::Prune(args)) => {
                system::prune(system::Kind::Containers, &args)
            }
            Self::OfImages(command) => image::run(command),
            Self::Network(command) => network::run(command),
            Self::Volume(command) => volume::run(command),
            Self::System(command) => system::run(command),
            Self::Inspect(args) => inspect::run(&args),
            Self::Images(args) => image::list(&args),
            Self::Pull(args) => image::pull(&args),
            Self::Push(args) => image::push(&args),
            Self::Rmi(args) => image::remove(&args),
            Self::Tag(args) => image::tag(&args),
            Self::Load(args) => image::load(&args),
            Self::Save(args) => image::save(&args),
            Self::Import(args) => image::import(&args),
            Self::History(args) => image::history(&args),
            Self::Build(args) => build::run(&args),
            Self::Buildx(command) => build::buildx(&command),
            Self::Builder(command) => build::builder(&command),
            Self::Version(args) => system::version(&args),
            Self::Info(args) => system::info(&args),
            Self::Events(args) => system::events(&args),
            Self::Login(args) => login::login(&args),
            Self::Logout(args) => login::logout(&args),
            Self::Context(command) => system::context(&command),
            Self::Compose { words } => plugin::compose(&words),
            Self::Plugin(words) => plugin::run(&words),
        }
    }
}

impl Container {
    fn run(self) -> Result<u8> {
        match self {
            Self::Run(args) => create::run(&args),
            Self::Create(args) => create::create(&args),
            Self::Exec(args) => {
                let program = args.program();
                commands::exec::run(args).map_err(|error| output::not_started(error, &program))
            }
            Self::Ps(args) => list::containers(&args),
            Self::Start(args) => lifecycle::start(args),
            Self::Stop(args) => lifecycle::stop(&args, "stop"),
            Self::Restart(args) => lifecycle::stop(&args, "restart"),
            Self::Kill(args) => lifecycle::kill(&args),
            Self::Pause(args) => lifecycle::each(&args, "pause"),
            Self::Unpause(args) => lifecycle::each(&args, "unpause"),
            Self::Wait(args) => lifecycle::wait(&args),
            Self::Rm(args) => lifecycle::remove(&args),
            Self::Rename(args) => lifecycle::rename(&args),
            Self::Update(args) => lifecycle::update(&args),
            Self::Attach(args) => commands::attach::run(&args),
            Self::Logs(args) => lifecycle::logs(&args),
            Self::Cp(args) => commands::copy::run(&args),
            Self::Diff(args) => lifecycle::diff(&args),
            Self::Top(args) => lifecycle::top(&args),
            Self::Stats(args) => lifecycle::stats(&args),
            Self::Port(args) => commands::port::run(&args),
            Self::Export(args) => lifecycle::export(&args),
            Self::Commit(args) => lifecycle::commit(&args),
        }
    }
}

/// The message of a client error that came from the daemon.
fn from_daemon(error: &anyhow::Error) -> Option<&shedbox_spec::Error> {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(error)) => Some(error),
        _ => None,
    }
}
