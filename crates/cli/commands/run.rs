//! `shedbox run`.

use anyhow::Result;
use shedbox_client::{Client, Follow, Sandbox, Stdio};
use shedbox_spec::Error;

use super::create::create;
use crate::create_options::{CreateOptions, Pull, current_dir};
use crate::exec_env;
use crate::foreground::{self, Ending, Foreground};
use crate::render;

/// Create a sandbox from an image and run a command in it
///
/// In the foreground the command's streams are this program's, its exit status is this program's, and signals are passed
/// on to it. Options as Docker names them.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
#[command(
    override_usage = "shedbox run [OPTIONS] IMAGE [COMMAND [ARG]...]\n       shedbox run [OPTIONS] --rootfs DIR [COMMAND [ARG]...]"
)]
pub(crate) struct Args {
    /// Leave it running and print its id
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave an interactive terminal without ending the command
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// What holds the command: `namespaces` are a sandbox. `landlock` is weaker and for hosts where there can be no
    /// user namespaces: the command runs on the host's own file system, without a sandbox that could be named or kept
    #[arg(long, value_name = "MEANS", value_enum, default_value_t)]
    isolation: Isolation,
    #[command(flatten)]
    options: CreateOptions,
}

/// What holds a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Isolation {
    /// A sandbox
    #[default]
    Namespaces,
    /// Landlock and a system call filter alone
    Landlock,
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    let options = &args.options;
    if args.isolation == Isolation::Landlock {
        return confined(&args);
    }
    let keys = foreground::keys(args.detach_keys.as_deref())?;
    let mut id_file = options.id_file()?;
    // Without a main process there is nothing to be in the foreground for.
    if args.detach || options.idle {
        // The main process is started from here, not by the daemon: its failure has an exit status of its own.
        let sandbox = create(Client::shared(), options, true, !options.idle, false)?;
        if !options.idle {
            sandbox
                .start_main()
                .inspect_err(|error| give_up(&sandbox, error))?;
        }
        if let Some(file) = &mut id_file {
            file.write(sandbox.id().as_str())?;
        }
        render::line(sandbox.id().as_str())?;
        return Ok(0);
    }
    // Checked before anything is made.
    drop(Foreground::prepare(options.tty, options.interactive)?);
    let sandbox = create(Client::shared(), options, true, true, options.rm)?;
    if let Some(file) = &mut id_file {
        file.write(sandbox.id().as_str())?;
    }
    let ending = match follow(&sandbox, options.tty, options.interactive, keys) {
        Ok(ending) => ending,
        Err(error) => {
            if let Some(error) = error.downcast_ref() {
                give_up(&sandbox, error);
            }
            return Err(error);
        }
    };
    match &ending {
        Ending::Detached => sandbox.detach()?,
        _ if options.rm => remove(sandbox)?,
        ending => settle(&sandbox, ending),
    }
    Ok(foreground::status(&ending))
}

/// Runs it without a sandbox.
fn confined(args: &Args) -> Result<u8> {
    let asked = [
        (args.detach, "--detach"),
        (args.detach_keys.is_some(), "--detach-keys"),
        (args.options.has_id_file(), "--cidfile"),
        (args.options.pull == Pull::Always, "--pull"),
    ];
    if let Some((_, option)) = asked.into_iter().find(|(asked, _)| *asked) {
        return Err(Error::invalid(format!(
            "`--isolation landlock` leaves no sandbox, so `{option}` cannot be had"
        ))
        .with_hint("leave that option out, or run the command in a sandbox")
        .into());
    }
    let spec = args.options.spec(&current_dir()?, exec_env::own)?;
    crate::confined::run(&spec)
}

/// Removes a sandbox whose main process cannot be started: it has never run and never will.
fn give_up(sandbox: &Sandbox, error: &shedbox_client::Error) {
    if matches!(error, shedbox_client::Error::NotStarted(_)) {
        // What made it useless is told; that it stays would be a second error.
        let _ = sandbox.remove_with(true);
    }
}

/// Starts the main process and stays with it. `Detached` leaves it running.
pub(crate) fn follow(
    sandbox: &Sandbox,
    tty: bool,
    interactive: bool,
    keys: Vec<u8>,
) -> Result<Ending> {
    let mut foreground = Foreground::prepare(tty, interactive)?;
    let mut running = sandbox.follow(Follow {
        start: true,
        stdin: if interactive {
            Stdio::inherit()
        } else {
            Stdio::null()
        },
        stdout: Stdio::inherit(),
        stderr: if tty { Stdio::null() } else { Stdio::inherit() },
        tty: foreground.size(),
        detach_keys: (tty && interactive).then_some(keys),
    })?;
    let ending = foreground.drive(&mut running, interactive)?;
    if matches!(ending, Ending::Detached) {
        running.detach()?;
    }
    Ok(ending)
}

/// Waits until everybody sees that the command has ended: the next thing a script does may be to remove the sandbox.
pub(crate) fn settle(sandbox: &Sandbox, ending: &Ending) {
    if matches!(ending, Ending::Ended(_)) {
        // What the command has ended with is known already; whoever asks next will hear what is wrong here.
        let _ = sandbox.wait();
    }
}

/// Removes it before we leave; the daemon may have been faster.
fn remove(sandbox: Sandbox) -> Result<()> {
    match sandbox.remove() {
        Err(error)
            if matches!(
                error.kind(),
                shedbox_client::Kind::NotFound | shedbox_client::Kind::Conflict
            ) =>
        {
            Ok(())
        }
        other => Ok(other?),
    }
}
