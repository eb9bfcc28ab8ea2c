//! The restartable server: our own API over HTTP on a unix socket, in front of one [`Engine`].
//!
//! [`run`] is the life of a daemon:
//!
//! 1. directories and the lock of the root    2. into the user namespace, while there is one thread
//! 3. engine: keeper, recovery    4. listen, say `ready`    5. serve until a signal or idleness    6. leave
//!
//! Sandboxes do not notice that a daemon goes or comes.

mod answer;
mod config;
mod directories;
mod docker;
mod enter;
mod error;
mod hijack;
mod listener;
mod log;
mod native;
mod ownership;
mod passwd;
mod query;
mod router;
mod server;
mod stream;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use shedbox_engine::{Engine, EngineOptions};
use shedbox_linux::{fd, process};
use shedbox_spec::config::Config;
use shedbox_spec::paths::Paths;
use shedbox_spec::{Error, Result};

pub use config::load_config;

/// How a daemon is started.
#[derive(Debug, Clone)]
pub struct DaemonOptions {
    /// Where things are; resolved with the user's own uid, before the user namespace.
    pub paths: Paths,
    /// See [`load_config`].
    pub config: Config,
    /// Stay in the session and log to standard error.
    pub foreground: bool,
}

/// Runs a daemon until it is told to leave or is no longer needed.
///
/// Writes `ready` and a line feed to standard output when it serves, or `error: …` when it cannot. The caller must not
/// have started a thread: a user namespace is entered by a process as a whole.
pub fn run(options: DaemonOptions) -> ExitCode {
    match start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(hint = error.hint.as_deref(), "{}", error.message);
            let hint = error.hint.as_ref().map(|hint| format!("hint: {hint}\n"));
            let text = format!("error: {}\n{}", error.message, hint.unwrap_or_default());
            // Whoever started us reads one of the two; neither can be told about the other's failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn start(options: DaemonOptions) -> Result<()> {
    let DaemonOptions {
        paths,
        config,
        foreground,
    } = options;
    if !foreground {
        // A signal to the terminal's foreground group is not meant for us. EPERM: a session leader already.
        let _ = process::new_session();
    }
    if let Err(errno) = process::raise_open_files() {
        tracing::warn!(%errno, "the limit of open files stays as it is");
    }
    directories::make(&paths)?;
    let _lock = ownership::take(&paths)?;
    let log = log::start(&paths.root, foreground)?;
    let handed = listener::handed_over()?;
    let id_map = enter::enter(&paths)?;
    tracing::info!(pid = std::process::id(), ?id_map, root = %paths.root.display(), "starting");
    serve(
        EngineOptions {
            paths,
            config,
            id_map,
            log,
        },
        handed,
        foreground,
    )
}

fn serve(options: EngineOptions, handed: Option<listener::Handed>, foreground: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::internal(format!("cannot start the runtime: {error}")))?;
    let idle_exit = std::time::Duration::from_secs(options.config.idle_exit_s);
    let socket: PathBuf = options.paths.api_socket();
    let tcp = options.config.docker.tcp;
    let engine = Engine::open(options)?;
    let outcome = runtime.block_on(async {
        let mut listener = listener::listen(&socket, handed)?;
        if let Some(address) = tcp {
            listener.tcp = Some(listener::listen_by_tcp(address).await?);
        }
        say_ready(foreground);
        server::serve(std::sync::Arc::clone(&engine), listener, idle_exit).await;
        Ok(())
    });
    engine.close();
    // Requests that still wait for something (logs, ends of sandboxes) are cut off here.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    tracing::info!("left");
    outcome
}

/// Tells whoever started us, and lets go of their pipe.
fn say_ready(foreground: bool) {
    // A starter that has gone does not matter to the others who will come.
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(b"ready\n").and_then(|()| stdout.flush());
    if !foreground && let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = fd::become_stdio(&null, 1);
    }
}
