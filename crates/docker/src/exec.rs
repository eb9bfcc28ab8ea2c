//! Commands in running containers.

use serde::Deserialize;
use serde_json::{Value, json};
use shedbox_spec::exec::{ExecRequest, NotStarted, Obstacle, StdinMode, TtySize};
use shedbox_spec::{Error, Result};

use crate::body::Words;

/// `POST /containers/{id}/exec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct ExecCreate {
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub detach_keys: String,
    pub tty: bool,
    pub env: Vec<String>,
    pub cmd: Option<Words>,
    pub privileged: bool,
    pub user: String,
    pub working_dir: String,
    /// Rows and columns.
    pub console_size: Vec<u16>,
    /// Ours: a client that goes away takes the command and all it has started along.
    pub kill_on_disconnect: bool,
}

/// `POST /exec/{id}/start`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct ExecStart {
    pub detach: bool,
    pub tty: bool,
    pub console_size: Vec<u16>,
}

impl ExecCreate {
    /// The command itself.
    pub fn argv(&self) -> Result<Vec<String>> {
        match self.cmd.clone().map(Words::into_list) {
            Some(list) if !list.is_empty() => Ok(list),
            _ => Err(Error::invalid("No exec command specified")),
        }
    }

    /// The request for an init, with the streams that a client is to have.
    pub fn request(&self, attached: bool, size: Option<TtySize>) -> Result<ExecRequest> {
        let bytes = |list: Vec<String>| list.into_iter().map(String::into_bytes).collect();
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(ExecRequest {
            argv: bytes(self.argv()?),
            env: bytes(self.env.clone()),
            cwd: some(&self.working_dir),
            user: some(&self.user),
            stdin: if attached && self.attach_stdin && !self.tty {
                StdinMode::Pipe
            } else {
                StdinMode::Null
            },
            stdout: attached && self.attach_stdout && !self.tty,
            stderr: attached && self.attach_stderr && !self.tty,
            tty: self
                .tty
                .then(|| size.unwrap_or(TtySize { rows: 24, cols: 80 })),
            report_start: true,
            ..ExecRequest::default()
        })
    }
}

/// Rows and columns as clients send them; `None` for nothing or zeros.
pub fn console_size(size: &[u16]) -> Option<TtySize> {
    match size {
        [rows, cols] if *rows > 0 && *cols > 0 => Some(TtySize {
            rows: *rows,
            cols: *cols,
        }),
        _ => None,
    }
}

/// What is known of a command.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// Its id.
    pub id: &'a str,
    /// The container's id.
    pub container: &'a str,
    /// What was asked for.
    pub body: &'a ExecCreate,
    /// Its pid inside; 0 before it was started.
    pub pid: i32,
    /// It runs.
    pub running: bool,
    /// How it ended.
    pub exit_code: Option<u8>,
}

/// `GET /exec/{id}/json`.
pub fn inspect(known: &Known<'_>) -> Value {
    let argv = known.body.argv().unwrap_or_default();
    json!({
        "ID": known.id,
        "ContainerID": known.container,
        "Running": known.running,
        "ExitCode": known.exit_code,
        "Pid": known.pid,
        "OpenStdin": known.body.attach_stdin,
        "OpenStdout": known.body.attach_stdout,
        "OpenStderr": known.body.attach_stderr,
        "CanRemove": known.exit_code.is_some(),
        "DetachKeys": known.body.detach_keys,
        "ProcessConfig": {
            "tty": known.body.tty,
            "entrypoint": argv.first(),
            "arguments": argv.get(1..).unwrap_or_default(),
            "privileged": known.body.privileged,
            "user": known.body.user,
        },
    })
}

/// The text of a command that could not be started: runc's, which clients look into, but for a user, whom dockerd looks up
/// itself.
pub fn not_started(why: &NotStarted, program: &str) -> String {
    const RUNC: &str = "OCI runtime exec failed: exec failed: unable to start container process: ";
    words(RUNC, why, program)
}

/// The same for a main process.
pub fn main_not_started(why: &NotStarted, program: &str) -> String {
    const RUNC: &str = "failed to create task for container: failed to create shim task: OCI runtime create failed: \
                        runc create failed: unable to start container process: ";
    words(RUNC, why, program)
}

fn words(runc: &str, why: &NotStarted, program: &str) -> String {
    match &why.obstacle {
        Obstacle::User => why.message.clone(),
        Obstacle::WorkingDirectory { path, reason } => {
            format!("{runc}chdir to cwd (\"{path}\") set in config.json failed: {reason}: unknown")
        }
        Obstacle::Program { .. } if why.code == 127 && !program.contains('/') => {
            format!("{runc}exec: \"{program}\": executable file not found in $PATH: unknown")
        }
        Obstacle::Program { reason } if why.code == 127 => {
            format!("{runc}exec: \"{program}\": stat {program}: {reason}: unknown")
        }
        Obstacle::Program { reason } => format!("{runc}exec: \"{program}\": {reason}: unknown"),
        Obstacle::Other => format!("{runc}exec: \"{program}\": {}: unknown", why.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_clients_look_into() {
        let program = |code, reason: &str| NotStarted {
            code,
            message: String::new(),
            obstacle: Obstacle::Program {
                reason: reason.to_owned(),
            },
        };
        let missing = program(127, "no such file or directory");
        assert_eq!(
            not_started(&missing, "nope"),
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": executable file not \
             found in $PATH: unknown"
        );
        let end = |text: String| {
            text.rsplit_once("process: ")
                .unwrap_or_default()
                .1
                .to_owned()
        };
        assert_eq!(
            end(main_not_started(&missing, "/x")),
            "exec: \"/x\": stat /x: no such file or directory: unknown"
        );
        assert_eq!(
            end(not_started(&program(126, "permission denied"), "/x")),
            "exec: \"/x\": permission denied: unknown"
        );
        let user = NotStarted {
            obstacle: Obstacle::User,
            ..NotStarted::refused("unable to find user x")
        };
        assert_eq!(main_not_started(&user, "/x"), "unable to find user x");
        let full = NotStarted::refused("the sandbox is full");
        assert_eq!(
            end(not_started(&full, "/x")),
            "exec: \"/x\": the sandbox is full: unknown"
        );
    }

    #[test]
    fn a_terminal_has_no_pipes() {
        let body: ExecCreate = crate::body::read(
            br#"{"Cmd":"id","Tty":true,"AttachStdin":true,"AttachStdout":true,"User":null}"#,
        )
        .unwrap();
        let request = body.request(true, None).unwrap();
        assert!(request.tty.is_some() && !request.stdout && request.stdin == StdinMode::Null);
        assert!(ExecCreate::default().argv().is_err());
        assert_eq!(console_size(&[0, 0]), None);
        assert_eq!(
            console_size(&[24, 80]),
            Some(TtySize { rows: 24, cols: 80 })
        );
    }
}
