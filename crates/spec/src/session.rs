//! Sessions: a shell in a sandbox that runs one command after the other and keeps its state between them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::exec::End;
use crate::{Error, Result, id};

/// Largest command, and largest standard input of one, in bytes: shells read both byte by byte.
pub const TEXT_MAX: usize = 1 << 20;
/// What is kept of each stream of a command unless more or less is asked for, in bytes.
pub const DEFAULT_OUTPUT_LIMIT: u64 = 1 << 20;
/// Most that can be asked for.
pub const OUTPUT_LIMIT_MAX: u64 = 16 << 20;
/// Milliseconds between the SIGINT of a command that ran out of time and SIGKILL.
pub const DEFAULT_GRACE_MS: u64 = 2_000;

/// What a session is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionCreate {
    /// A name, unique in the sandbox; it has an id in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The shell, by name or path inside: bash, dash, busybox ash, or one that is like them. `bash` where the image has
    /// it, else `sh`, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// `name|uid[:group|gid]`; the sandbox's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory to begin in; the sandbox's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Environment, on top of the sandbox's.
    pub env: BTreeMap<String, String>,
}

/// One command for a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionRun {
    /// Anything that the shell understands, several lines too.
    pub command: String,
    /// Standard input; `/dev/null` when absent. The shell adds a line end where the last one is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Milliseconds until it is interrupted; no limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Milliseconds between the interrupt and SIGKILL; see [`DEFAULT_GRACE_MS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Bytes that are kept of each stream, half of them of its beginning and half of its end; see
    /// [`DEFAULT_OUTPUT_LIMIT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<u64>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionResult {
    /// Its exit status; 124 when it ran out of time.
    pub exit_code: u8,
    /// Standard output. Bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Bytes of standard output that were left out; a line in it says where.
    pub stdout_cut: u64,
    /// The same of standard error.
    pub stderr_cut: u64,
    /// Something was left out.
    pub truncated: bool,
    /// The working directory of the shell afterwards.
    pub cwd: String,
    /// It ran out of time.
    pub timed_out: bool,
    /// The shell has ended with this command, and the session with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<End>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    pub id: String,
    /// Its name, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The shell.
    pub shell: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// What it does.
    pub status: SessionStatus,
    /// Commands that were given to it.
    pub commands: u64,
    /// Working directory after the last of them.
    pub cwd: String,
    /// How the shell ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<End>,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It waits for a command.
    Idle,
    /// It runs one.
    Running,
    /// The shell has ended.
    Ended,
}

impl SessionStatus {
    /// The word for listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

impl SessionCreate {
    /// Checks what can be checked without the sandbox.
    pub fn validate(&self) -> Result<()> {
        if let Some(name) = &self.name {
            id::validate_name(name)
                .map_err(|error| Error::invalid(error.message.replacen("sandbox", "session", 1)))?;
        }
        for (what, text) in [("shell", &self.shell), ("workdir", &self.workdir)] {
            if text
                .as_ref()
                .is_some_and(|text| text.is_empty() || text.contains('\0'))
            {
                return Err(Error::invalid(format!(
                    "{what} of a session is empty or has a NUL"
                )));
            }
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(Error::invalid(format!(
                    "invalid environment variable `{}`",
                    name.escape_debug()
                ))
                .with_hint("a name has no `=`, and neither part has a NUL"));
            }
        }
        Ok(())
    }
}

impl SessionRun {
    /// Checks what can be checked without the session.
    pub fn validate(&self) -> Result<()> {
        for (what, text) in [
            ("command", Some(&self.command)),
            ("stdin", self.stdin.as_ref()),
        ] {
            let Some(text) = text else { continue };
            if text.contains('\0') {
                return Err(
                    Error::invalid(format!("{what} of a session has a NUL byte"))
                        .with_hint("no shell can read one; copy a file into the sandbox instead"),
                );
            }
            if text.len() > TEXT_MAX {
                return Err(Error::invalid(format!(
                    "{what} has {} bytes, and a session takes {TEXT_MAX}",
                    text.len()
                ))
                .with_hint("copy a file into the sandbox, and name it in the command"));
            }
        }
        match self.output_limit {
            Some(limit) if limit > OUTPUT_LIMIT_MAX => Err(Error::invalid(format!(
                "output_limit {limit} is above {OUTPUT_LIMIT_MAX} bytes"
            ))
            .with_hint("write to a file, and copy that out of the sandbox")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_shell_can_take_is_refused() {
        let run = |command: &str, stdin: Option<&str>| SessionRun {
            command: command.into(),
            stdin: stdin.map(str::to_owned),
            ..SessionRun::default()
        };
        assert_eq!(run("echo\ntrue", Some("a")).validate(), Ok(()));
        assert!(run("a\0b", None).validate().is_err());
        assert!(run("a", Some("\0")).validate().is_err());
        assert!(run(&"x".repeat(TEXT_MAX + 1), None).validate().is_err());
        let limited = |limit| SessionRun {
            output_limit: Some(limit),
            ..SessionRun::default()
        };
        assert_eq!(limited(OUTPUT_LIMIT_MAX).validate(), Ok(()));
        assert!(limited(OUTPUT_LIMIT_MAX + 1).validate().is_err());
    }

    #[test]
    fn names_and_variables() {
        let with = |name: &str, variable: &str| SessionCreate {
            name: Some(name.into()),
            env: [(variable.to_owned(), "v".to_owned())].into(),
            ..SessionCreate::default()
        };
        assert_eq!(with("work", "A").validate(), Ok(()));
        assert!(with("../x", "A").validate().is_err());
        assert!(with("work", "A=B").validate().is_err());
        assert!(with("work", "").validate().is_err());
    }
}
