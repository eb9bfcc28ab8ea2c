//! A sandbox with a session in it, for each shell there is.

use shedbox_client::spec::session::{SessionCreate, SessionResult, SessionRun};
use shedbox_client::{Sandbox, SandboxSpec};

use crate::support::{Home, unique};

/// Images and the shells in them.
pub(crate) const SHELLS: [(&str, &str); 4] = [
    ("debian", "bash"),
    ("debian", "dash"),
    ("tiny", "ash"),
    ("tiny", "/bin/sh"),
];

pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) session: String,
    pub(crate) home: Home,
}

impl Scene {
    /// A sandbox without a session, in the home that tests share.
    pub(crate) fn empty(image: &str) -> Self {
        Self::empty_in(Home::shared(), image)
    }

    fn empty_in(home: Home, image: &str) -> Self {
        let spec = SandboxSpec::image(home.image(image)).name(unique("s"));
        let sandbox = home.client().create(spec).expect("create");
        Self {
            sandbox,
            session: String::new(),
            home,
        }
    }

    pub(crate) fn of(image: &str, shell: &str) -> Self {
        Self::empty(image).with_session(shell)
    }

    /// With a daemon that is nobody else's.
    pub(crate) fn private(image: &str, shell: &str) -> Self {
        Self::empty_in(Home::new(), image).with_session(shell)
    }

    fn with_session(mut self, shell: &str) -> Self {
        let wanted = SessionCreate {
            shell: Some(shell.to_owned()),
            ..SessionCreate::default()
        };
        self.session = self.sandbox.create_session(&wanted).expect("a session").id;
        self
    }

    pub(crate) fn run(&self, command: &str) -> SessionResult {
        self.run_with(SessionRun {
            command: command.to_owned(),
            ..SessionRun::default()
        })
    }

    pub(crate) fn run_with(&self, run: SessionRun) -> SessionResult {
        let command = run.command.clone();
        self.sandbox
            .run_in_session(&self.session, &run)
            .unwrap_or_else(|error| panic!("`{command}`: {error}"))
    }

    /// What it says, when it says nothing on standard error and exits with 0.
    pub(crate) fn says(&self, command: &str) -> String {
        let result = self.run(command);
        assert_eq!(
            (result.exit_code, result.stderr.as_str()),
            (0, ""),
            "`{command}`: {result:?}"
        );
        result.stdout
    }

    /// The message and hint of a command that cannot be run.
    pub(crate) fn refused(&self, command: &str) -> String {
        let run = SessionRun {
            command: command.to_owned(),
            ..SessionRun::default()
        };
        let error = self
            .sandbox
            .run_in_session(&self.session, &run)
            .unwrap_err();
        error.to_string()
    }
}
