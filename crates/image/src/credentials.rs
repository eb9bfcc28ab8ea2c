//! Finding the credential for a registry: which files, in which order, and credential helpers.
//!
//! 1. `$REGISTRY_AUTH_FILE`, and then no other file
//! 2. `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json` (podman, skopeo, buildah)
//! 3. `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`
//!
//! The first file that knows the registry wins. All this happens only when a registry has asked who we are, and in
//! the client's environment (its paths come with the request), not in the daemon's.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use shedbox_spec::api::AuthSources;

use crate::auth::{AuthFile, Credential, Source};
use crate::error::{Error, Result};

/// Credential files and answers of helpers beyond this size are refused, in bytes.
const MAX_SIZE: u64 = 1 << 20;
/// A helper may ask a keyring, and that a person; beyond this it hangs.
const HELPER_TIMEOUT: Duration = Duration::from_mins(1);

/// The files to look into, and whether the first one must exist.
fn files(sources: &AuthSources) -> (Vec<PathBuf>, bool) {
    let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    if let Some(file) = set(&sources.registry_auth_file) {
        return (vec![PathBuf::from(file)], true);
    }
    let home = set(&sources.home).map(PathBuf::from);
    let docker = set(&sources.docker_config)
        .map(PathBuf::from)
        .or_else(|| Some(home.as_ref()?.join(".docker")));
    let files = [
        set(&sources.runtime_dir).map(|dir| Path::new(&dir).join("containers/auth.json")),
        home.map(|home| home.join(".config/containers/auth.json")),
        docker.map(|dir| dir.join("config.json")),
    ];
    (files.into_iter().flatten().collect(), false)
}

/// The credential for `registry`/`repository`; `None` is anonymous. Blocks: reads files and may run a helper.
pub fn find(sources: &AuthSources, registry: &str, repository: &str) -> Result<Option<Credential>> {
    let (files, must_exist) = files(sources);
    for path in files {
        let fail = |reason: String| Error::CredentialFile {
            path: path.clone(),
            reason,
        };
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => continue,
            Err(error) => return Err(fail(error.to_string())),
        };
        // Docker and podman both leave empty files behind when they are interrupted.
        if text.trim().is_empty() {
            continue;
        }
        let file = AuthFile::parse(&text).map_err(fail)?;
        for source in file.sources(registry, repository).map_err(fail)? {
            let credential = match source {
                Source::Here(credential) => Some(credential),
                Source::Helper { name, server } => ask(&name, &server, sources)?,
            };
            if credential.is_some() {
                tracing::debug!(file = %path.display(), registry, "using a stored credential");
                return Ok(credential);
            }
        }
    }
    Ok(None)
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let size = File::open(path)?
        .take(MAX_SIZE + 1)
        .read_to_string(&mut text)?;
    if size as u64 > MAX_SIZE {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// `docker-credential-<name> get`: the server on stdin, JSON on stdout (the docker-credential-helpers protocol).
fn ask(name: &str, server: &str, sources: &AuthSources) -> Result<Option<Credential>> {
    let program = format!("docker-credential-{name}");
    let fail = |reason: String| Error::CredentialHelper {
        program: program.clone(),
        server: server.to_owned(),
        reason,
    };
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    {
        return Err(fail("its name has characters no program has".to_owned()));
    }
    let path = sources
        .path
        .as_deref()
        .unwrap_or("/usr/local/bin:/usr/bin:/bin");
    // Looked up here: std falls back from posix_spawn to fork when it must search a PATH other than its own.
    let file = search(path, &program)
        .ok_or_else(|| fail(format!("it is not in the client's PATH `{path}`")))?;
    let (success, output) = run(&file, server, sources).map_err(|error| fail(error.to_string()))?;
    if !success {
        // The protocol has no other sign for "I have none" than these texts.
        let said = String::from_utf8_lossy(&output);
        let said = said.trim();
        return if said.contains("credentials not found") || said.contains("no credentials server") {
            Ok(None)
        } else {
            Err(fail(format!("it said: {}", crate::error::excerpt(said))))
        };
    }
    // serde's error would quote the secret.
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| fail("its answer is not what the protocol asks for".to_owned()))?;
    Ok(Credential::from_login(answer.username, answer.secret))
}

fn search(path: &str, program: &str) -> Option<PathBuf> {
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Path::new(dir).join(program))
        .find(|file| {
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Runs the helper with the client's PATH and HOME. Whether it succeeded, and what it wrote.
fn run(file: &Path, server: &str, sources: &AuthSources) -> std::io::Result<(bool, Vec<u8>)> {
    let mut command = Command::new(file);
    command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for (name, value) in [
        ("PATH", &sources.path),
        ("HOME", &sources.home),
        ("XDG_RUNTIME_DIR", &sources.runtime_dir),
        ("DOCKER_CONFIG", &sources.docker_config),
    ] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read is judged by what it answers.
        if let Err(error) = stdin.write_all(server.as_bytes()) {
            tracing::debug!(%error, "the credential helper does not read its input");
        }
    }
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take();
    std::thread::spawn(move || {
        let mut output = Vec::new();
        let result = match stdout {
            Some(stdout) => stdout.take(MAX_SIZE).read_to_end(&mut output),
            None => Ok(0),
        };
        // The receiver is gone only after the time-out, when nobody wants the answer any more.
        let _ = sender.send(result.map(|_| output));
    });
    let output = receiver.recv_timeout(HELPER_TIMEOUT);
    if output.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let output = output.map_err(|_| {
        std::io::Error::other(format!(
            "it did not answer within {} s",
            HELPER_TIMEOUT.as_secs()
        ))
    })??;
    Ok((status.success(), output))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
