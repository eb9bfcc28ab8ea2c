//! Everything about a Docker build that needs no daemon: pure functions, no I/O.
//!
//! ```text
//! bytes ─ parse ─> Dockerfile ─ stages ─> Stages ─ (per instruction) expand with scope::Args ─ config ─> ImageConfig
//! .dockerignore ─ ignore ─> what is sent;  COPY a*.txt ─ glob ─> what is copied
//! ```
//!
//! The reference is Docker's Dockerfile reference: the classic builder, and what BuildKit's `dockerfile/1` frontend adds
//! and a classic builder can do. Files come from strangers: no input panics, nests without bound or costs more than
//! its length allows; the limits are constants where they are checked.
//!
//! Where it differs from Docker on purpose: the instruction behind ONBUILD is parsed at once, not when it is triggered;
//! a line may be longer than 64 KiB; `*` and `?` in `${V#…}` match line ends. The name of a STOPSIGNAL is the caller's to check.

pub mod config;
pub mod duration;
mod error;
pub mod expand;
mod flags;
pub mod glob;
mod here_document;
pub mod ignore;
mod instruction;
mod instruction_expansion;
mod instruction_parser;
mod keyword;
mod logical_lines;
mod mount;
mod name_set;
mod parser;
mod path;
mod port;
pub mod scope;
mod shell_pattern;
pub mod stages;
mod word_lexer;
mod words;

pub use error::{ParseError, Problem};
pub use here_document::HereDocument;
pub use instruction::{
    Add, Arg, CommandLine, Copy, From, Healthcheck, Instruction, Located, Onbuild, Pair, Run,
    RunNetwork, Script, Source, Transfer,
};
pub use keyword::Keyword;
pub use mount::{Mount, MountKind, Sharing};
pub use parser::{Directives, Dockerfile, parse, parse_trigger};
