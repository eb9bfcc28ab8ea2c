//! Plugins of Docker's command: programs named `docker-WORD` that are run for `docker WORD`, with our socket.
//!
//! Source: docker/cli, `cli-plugins/manager`: directories and how a plugin is called.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow};
use shedbox_client::Client;

use super::login;

/// Where they are besides `cli-plugins` in the directory of Docker's configuration.
const DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// `docker compose`: the plugin, else the program of version 1.
pub(super) fn compose(words: &[OsString]) -> Result<u8> {
    let error = match find(OsStr::new("compose")) {
        Some(plugin) => become_plugin(plugin, OsStr::new("compose"), words)?,
        None => with_socket(Command::new("docker-compose"))?
            .args(words)
            .exec(),
    };
    Err(anyhow!(
        "cannot run docker-compose: {error}; install it (Debian: `docker-compose`)"
    ))
}

/// A word that is no command of ours, and what follows it.
pub(super) fn run(words: &[OsString]) -> Result<u8> {
    let (word, rest) = words.split_first().ok_or_else(|| anyhow!("no command"))?;
    let shown = word.to_string_lossy();
    let Some(plugin) = find(word) else {
        return Err(anyhow!(
            "docker: '{shown}' is not a docker command.\nSee 'docker --help'"
        ));
    };
    let error = become_plugin(plugin, word, rest)?;
    Err(anyhow!("cannot run the plugin `{shown}`: {error}"))
}

fn find(word: &OsStr) -> Option<PathBuf> {
    let mut name = OsString::from("docker-");
    name.push(word);
    // A name with a slash would be looked for elsewhere.
    if PathBuf::from(&name).file_name() != Some(&name) {
        return None;
    }
    let own = login::config_dir().ok().map(|dir| dir.join("cli-plugins"));
    own.into_iter()
        .chain(DIRECTORIES.map(PathBuf::from))
        .map(|dir| dir.join(&name))
        .find(|path| path.is_file())
}

/// Comes back with why it could not.
fn become_plugin(plugin: PathBuf, word: &OsStr, words: &[OsString]) -> Result<io::Error> {
    let called = std::env::args_os().next().unwrap_or_default();
    Ok(with_socket(Command::new(plugin))?
        .arg(word)
        .args(words)
        .env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", called)
        .exec())
}

fn with_socket(mut command: Command) -> Result<Command> {
    let client = Client::shared();
    // It must be there when the program looks for it.
    client.version()?;
    let socket = client.paths().api_socket();
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    // Builds go through the Docker API: the daemon does not speak BuildKit's protocol, which the plugins take for granted.
    if std::env::var_os("DOCKER_BUILDKIT").is_none() {
        command.env("DOCKER_BUILDKIT", "0");
    }
    if let Some(dir) = login::config_option() {
        command.env("DOCKER_CONFIG", dir);
    }
    Ok(command)
}
