//! `shedbox create`.

use std::sync::Arc;

use anyhow::Result;
use shedbox_client::{Client, Kind, Sandbox, auth_sources};
use shedbox_spec::api::{CreateRequest, PullPolicy, PullRequest, SandboxInfo};
use shedbox_spec::limits::LimitsMode;
use shedbox_spec::sandbox::Source;

use crate::create_options::{CreateOptions, current_dir};
use crate::progress::Progress;
use crate::{exec_env, render, report};

/// Create a sandbox without starting it
///
/// Prints its id. Options as Docker names them.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
#[command(
    override_usage = "shedbox create [OPTIONS] IMAGE [COMMAND [ARG]...]\n       shedbox create [OPTIONS] --rootfs DIR [COMMAND [ARG]...]"
)]
pub(crate) struct Args {
    #[command(flatten)]
    options: CreateOptions,
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    let mut id_file = args.options.id_file()?;
    let sandbox = create(Client::shared(), &args.options, false, false, false)?;
    if let Some(file) = &mut id_file {
        file.write(sandbox.id().as_str())?;
    }
    render::line(sandbox.id().as_str())?;
    Ok(0)
}

/// Creates what the options describe. An image that is missing is pulled first, with its progress shown.
pub(crate) fn create(
    client: &Arc<Client>,
    options: &CreateOptions,
    start: bool,
    hold_main: bool,
    owned: bool,
) -> Result<Sandbox> {
    let spec = options.spec(&current_dir()?, exec_env::own)?;
    let image = match &spec.source {
        Source::Image(reference) => Some(reference.clone()),
        Source::Rootfs(_) | Source::Host => None,
    };
    let request = CreateRequest {
        spec,
        start,
        hold_main,
        owned,
        pull: PullPolicy::Never,
        auth: auth_sources(),
    };
    let policy = PullPolicy::from(options.pull);
    let pull = |reference: String| {
        let mut progress = Progress::new(options.quiet);
        let platform = request.spec.platform.clone();
        client.pull(
            &PullRequest {
                reference,
                platform,
                policy,
                auth: auth_sources(),
            },
            &mut |event| progress.show(event),
        )
    };
    if let (PullPolicy::Always, Some(reference)) = (policy, &image) {
        pull(reference.clone())?;
    }
    // Whoever asked for best effort or groups, or is on a network, is told what that came to.
    let warn = |sandbox: Sandbox| -> Result<Sandbox> {
        let asked =
            request.spec.limits.mode == LimitsMode::BestEffort || !request.spec.groups.is_empty();
        let told = |info: &&SandboxInfo| start && (asked || !info.networks.is_empty());
        for warning in sandbox
            .created()
            .filter(told)
            .iter()
            .flat_map(|info| &info.warnings)
        {
            report::say(&format!("warning: {warning}"));
        }
        Ok(sandbox)
    };
    // One request when the image is there; the store is asked about it only when it is not.
    match client.create_with(&request) {
        Err(error) if policy == PullPolicy::Missing && error.kind() == Kind::NotFound => {
            let Some(reference) = image else {
                return Err(error.into());
            };
            if client.image(&reference).is_ok() {
                return Err(error.into()); // it is something else that was not found
            }
            pull(reference)?;
            warn(client.create_with(&request)?)
        }
        other => warn(other?),
    }
}
