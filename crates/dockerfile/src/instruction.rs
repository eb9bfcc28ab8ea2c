//! What an instruction says, as types. Texts are as written: variables in them are replaced by
//! [`Instruction::expanded`].

use crate::expand::{Expander, Lookup};
use crate::{HereDocument, Keyword, Mount, Problem};

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its first line, counted from 1.
    pub line: usize,
    /// Its last line, here-documents included.
    pub end_line: usize,
    /// Its text with continued lines joined, as in `Step 1/3 : RUN make`.
    pub original: String,
    /// What it says.
    pub instruction: Instruction,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Copies files, unpacks archives, fetches URLs.
    Add(Add),
    /// Declares build arguments.
    Arg(Vec<Arg>),
    /// The default command.
    Cmd(CommandLine),
    /// Copies files.
    Copy(Copy),
    /// The default program.
    Entrypoint(CommandLine),
    /// Sets environment variables.
    Env(Vec<Pair>),
    /// Ports: `80`, `80/udp`, `8000-8010/tcp`.
    Expose(Vec<String>),
    /// Starts a stage.
    From(From),
    /// How to find out whether the container is well.
    Healthcheck(Healthcheck),
    /// Sets labels.
    Label(Vec<Pair>),
    /// The author.
    Maintainer(String),
    /// An instruction for images built upon this one.
    Onbuild(Onbuild),
    /// Runs a command.
    Run(Run),
    /// The shell of shell forms.
    Shell(Vec<String>),
    /// The signal that ends the container.
    StopSignal(String),
    /// The user of what follows.
    User(String),
    /// Mount points.
    Volume(Vec<String>),
    /// The working directory of what follows.
    Workdir(String),
}

impl Instruction {
    /// The word it starts with.
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::Add(_) => Keyword::Add,
            Self::Arg(_) => Keyword::Arg,
            Self::Cmd(_) => Keyword::Cmd,
            Self::Copy(_) => Keyword::Copy,
            Self::Entrypoint(_) => Keyword::Entrypoint,
            Self::Env(_) => Keyword::Env,
            Self::Expose(_) => Keyword::Expose,
            Self::From(_) => Keyword::From,
            Self::Healthcheck(_) => Keyword::Healthcheck,
            Self::Label(_) => Keyword::Label,
            Self::Maintainer(_) => Keyword::Maintainer,
            Self::Onbuild(_) => Keyword::Onbuild,
            Self::Run(_) => Keyword::Run,
            Self::Shell(_) => Keyword::Shell,
            Self::StopSignal(_) => Keyword::Stopsignal,
            Self::User(_) => Keyword::User,
            Self::Volume(_) => Keyword::Volume,
            Self::Workdir(_) => Keyword::Workdir,
        }
    }
}

/// `FROM --platform=… image AS name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// An image, an earlier stage, or `scratch`.
    pub image: String,
    /// The platform asked for.
    pub platform: Option<String>,
    /// The name of the stage, in lower case.
    pub name: Option<String>,
}

/// One build argument of ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Its name.
    pub name: String,
    /// Its value when none is given.
    pub default: Option<String>,
}

/// A key and a value of ENV or LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What is set.
    pub key: String,
    /// What it is set to.
    pub value: String,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A text for the shell.
    Shell(String),
    /// A JSON array: program and arguments.
    Exec(Vec<String>),
}

impl CommandLine {
    /// The program and its arguments; `shell` goes before a text.
    pub fn arguments(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Exec(arguments) => arguments.clone(),
            Self::Shell(text) => shell.iter().chain([text]).cloned().collect(),
        }
    }
}

/// Where a source of COPY or ADD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, maybe with wildcards; for ADD also a URL.
    Path(String),
    /// A here-document, which becomes a file of its name.
    Inline(HereDocument),
}

/// What COPY and ADD have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// One source at least.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// Owner of the copies: `user:group`.
    pub chown: Option<String>,
    /// Mode of the copies, in octal digits.
    pub chmod: Option<String>,
    /// Accepted and without effect: layers are independent or not, the files are the same.
    pub link: bool,
    /// Patterns of files below the sources that are not copied.
    pub exclude: Vec<String>,
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Sources, destination, owner and mode.
    pub transfer: Transfer,
    /// The stage or image to copy from; none is the build context.
    pub from: Option<String>,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// Sources, destination, owner and mode.
    pub transfer: Transfer,
    /// The digest that a fetched file must have.
    pub checksum: Option<String>,
    /// Whether a cloned repository keeps its `.git`.
    pub keep_git_dir: bool,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command as on the line.
    pub command: CommandLine,
    /// What follows the line.
    pub here_documents: Vec<HereDocument>,
    /// The values of `--mount`, as written; see [`Run::mounts`].
    pub mount_flags: Vec<String>,
    /// `--network`.
    pub network: Option<RunNetwork>,
}

/// The network of one RUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunNetwork {
    /// That of the build.
    Default,
    /// None at all.
    None,
    /// The host's.
    Host,
}

/// What RUN executes once here-documents are in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// Program and arguments.
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
    /// `RUN <<EOF` whose text starts with `#!`: a file to be executed.
    File {
        /// The name of the here-document.
        name: String,
        /// The text.
        content: String,
    },
}

impl Run {
    /// The command with its here-documents.
    pub fn script(&self) -> Script {
        let text = match &self.command {
            CommandLine::Exec(arguments) => return Script::Exec(arguments.clone()),
            CommandLine::Shell(text) => text,
        };
        let Some(first) = self.here_documents.first() else {
            return Script::Shell(text.clone());
        };
        // Nothing but the announcement: the here-document is the script.
        if HereDocument::from_word(text).is_some() {
            let content = first.text();
            if content.starts_with("#!") {
                return Script::File {
                    name: first.name.clone(),
                    content,
                };
            }
            return Script::Shell(content);
        }
        Script::Shell(with_here_documents(text, &self.here_documents))
    }

    /// The mounts, with variables in their values replaced.
    pub fn mounts(&self, escape: char, variables: &dyn Lookup) -> Result<Vec<Mount>, Problem> {
        let expander = Expander::new(escape, variables);
        let mut expand = |value: &str| Ok(expander.word(value)?);
        self.mount_flags
            .iter()
            .map(|flag| Mount::parse_with(flag, &mut expand))
            .collect()
    }
}

/// A line and its here-documents as one shell script.
pub(crate) fn with_here_documents(line: &str, documents: &[HereDocument]) -> String {
    let mut script = line.to_owned();
    for document in documents {
        script.push('\n');
        script.push_str(&document.content);
        script.push_str(&document.name);
    }
    script
}

/// `HEALTHCHECK`; times are nanoseconds, 0 is not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Healthcheck {
    /// None switches off the check of the base image.
    pub command: Option<CommandLine>,
    /// Between two checks.
    pub interval: i64,
    /// How long one may take.
    pub timeout: i64,
    /// How long failures do not count after the start.
    pub start_period: i64,
    /// Between two checks in that time.
    pub start_interval: i64,
    /// Failures in a row until the container is not well.
    pub retries: i64,
}

/// `ONBUILD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction as text, which is what an image config keeps.
    pub expression: String,
    /// The same, parsed.
    pub instruction: Box<Instruction>,
}
