//! The words an instruction can start with.

use std::fmt;

/// The word an instruction starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the instruction of its name")]
pub enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
}

impl Keyword {
    /// Every instruction there is.
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Arg,
        Self::Cmd,
        Self::Copy,
        Self::Entrypoint,
        Self::Env,
        Self::Expose,
        Self::From,
        Self::Healthcheck,
        Self::Label,
        Self::Maintainer,
        Self::Onbuild,
        Self::Run,
        Self::Shell,
        Self::Stopsignal,
        Self::User,
        Self::Volume,
        Self::Workdir,
    ];

    /// The instruction that `word` names, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|keyword| keyword.name().eq_ignore_ascii_case(word))
    }

    /// The word in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Arg => "ARG",
            Self::Cmd => "CMD",
            Self::Copy => "COPY",
            Self::Entrypoint => "ENTRYPOINT",
            Self::Env => "ENV",
            Self::Expose => "EXPOSE",
            Self::From => "FROM",
            Self::Healthcheck => "HEALTHCHECK",
            Self::Label => "LABEL",
            Self::Maintainer => "MAINTAINER",
            Self::Onbuild => "ONBUILD",
            Self::Run => "RUN",
            Self::Shell => "SHELL",
            Self::Stopsignal => "STOPSIGNAL",
            Self::User => "USER",
            Self::Volume => "VOLUME",
            Self::Workdir => "WORKDIR",
        }
    }

    /// Whether variables are replaced in the arguments before the instruction takes effect. The inner instruction of
    /// ONBUILD is expanded where it is triggered; RUN, CMD and ENTRYPOINT leave it to their shell.
    pub fn expands(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Arg
                | Self::Copy
                | Self::Env
                | Self::Expose
                | Self::From
                | Self::Label
                | Self::Stopsignal
                | Self::User
                | Self::Volume
                | Self::Workdir
        )
    }

    /// Whether `docker commit --change` and `docker import --change` take it.
    pub fn is_change(self) -> bool {
        matches!(
            self,
            Self::Cmd
                | Self::Entrypoint
                | Self::Env
                | Self::Expose
                | Self::Label
                | Self::Onbuild
                | Self::User
                | Self::Volume
                | Self::Workdir
        )
    }

    /// Whether here-documents may follow its line.
    pub(crate) fn takes_here_documents(self) -> bool {
        matches!(self, Self::Add | Self::Copy | Self::Run)
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
