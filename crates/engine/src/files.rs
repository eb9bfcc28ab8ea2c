//! Files of a sandbox: always served by an init, so that every path is resolved inside.
//!
//! One that does not run gets an init over its upper directory, with a socket of its own and no main process. It goes
//! when nobody is connected to it any more, or when the sandbox is started, reset or removed.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shedbox_linux::seqpacket;
use shedbox_spec::api::{FilesAccess, Status};
use shedbox_spec::control::DieReason;
use shedbox_spec::error::chain;

use crate::Engine;
use crate::background::Job;
use crate::error::{Doing, Result, on_path};
use crate::init;
use crate::sandbox::{FilesInit, Sandbox, Turn, remove_socket};

/// How long such an init waits for its first client, and between two of them.
const IDLE: Duration = Duration::from_secs(5);

impl Engine {
    /// Where the files of a sandbox are served.
    pub fn files(&self, name: &str) -> Result<FilesAccess> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let mut turn = sandbox.turn();
        sandbox.state().life.may_reset(&sandbox.name())?;
        if sandbox.state().life.status == Status::Running {
            return Ok(FilesAccess {
                socket: sandbox.socket.display().to_string(),
            });
        }
        if turn
            .files
            .as_ref()
            .is_some_and(|files| files.init.has_ended())
        {
            turn.end_files();
        }
        if turn.files.is_none() {
            turn.end_ready();
            turn.files = Some(self.serve_files(&sandbox)?);
        }
        self.background.push_at(
            Instant::now() + IDLE,
            Job::EndFiles(Arc::downgrade(&sandbox)),
        );
        let socket = turn
            .files
            .as_ref()
            .map(|files| files.socket.display().to_string());
        Ok(FilesAccess {
            socket: socket.unwrap_or_default(),
        })
    }

    fn serve_files(&self, sandbox: &Arc<Sandbox>) -> Result<FilesInit> {
        self.renew_work(sandbox)?;
        let socket = sandbox.socket.with_extension("files");
        remove_socket(&socket)?;
        let listener = seqpacket::listen(&socket).doing(|| on_path("listen at", &socket))?;
        let generation = sandbox.state().life.generation;
        let base = sandbox.bases().live.clone();
        let live = sandbox.layout.live();
        let spec = self.generation_spec(sandbox, &live, &base, generation, false)?;
        let served = self
            .launch(sandbox, spec, listener.as_fd(), None)
            .and_then(|init| {
                init.activate()?;
                Ok(init)
            });
        match served {
            Ok(init) => Ok(FilesInit { init, socket }),
            // An init that could not be activated leaves when its control socket closes.
            Err(error) => remove_socket(&socket).and(Err(error)),
        }
    }

    /// Ends it unless somebody is connected. Called a while after each request for it.
    pub(crate) fn end_idle_files(&self, sandbox: &Arc<Sandbox>) {
        let Some(mut turn) = sandbox.try_turn() else {
            return self.look_again(sandbox);
        };
        match files_clients(&turn) {
            None => {}
            Some(Ok(0)) => turn.end_files(),
            Some(Ok(_)) => self.look_again(sandbox),
            Some(Err(error)) => {
                tracing::debug!(
                    error = chain(&error),
                    "an init that serves files does not answer"
                );
                turn.end_files();
            }
        }
    }

    fn look_again(&self, sandbox: &Arc<Sandbox>) {
        self.background.push_at(
            Instant::now() + IDLE,
            Job::EndFiles(Arc::downgrade(sandbox)),
        );
    }
}

impl Turn {
    /// Ends the init that serves files of a stopped sandbox.
    pub(crate) fn end_files(&mut self) {
        let Some(files) = self.files.take() else {
            return;
        };
        let ended = files
            .init
            .die(DieReason::Stop)
            .and_then(|_| files.init.destroy_and_wait());
        if let Err(error) = ended.and_then(|()| crate::sandbox::remove_socket(&files.socket)) {
            tracing::warn!(
                error = shedbox_spec::error::chain(&error),
                "ending an init that served files"
            );
        }
    }
}

/// Clients connected to the init that serves files; `None` when there is none.
fn files_clients(turn: &Turn) -> Option<Result<u32>> {
    let files = turn.files.as_ref()?;
    Some(
        files
            .init
            .with_control(init::status)
            .map(|status| status.clients),
    )
}
