//! Logins: Docker's own file of credentials.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value, json};
use shedbox_client::Target;

use super::output::post;
use crate::{render, report};

static CONFIG: OnceLock<String> = OnceLock::new();

/// Docker's configuration is there.
pub(super) fn use_config(dir: String) {
    // Set once, by the one option.
    let _ = CONFIG.set(dir);
}

/// What `--config` says.
pub(super) fn config_option() -> Option<&'static str> {
    CONFIG.get().map(String::as_str)
}

/// The directory of Docker's configuration.
pub(super) fn config_dir() -> Result<PathBuf> {
    config_option()
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("DOCKER_CONFIG").map(PathBuf::from))
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")))
        .ok_or_else(|| anyhow!("HOME is not set: `--config DIR` says where the configuration is"))
}

/// Docker's own file of credentials.
fn config_file() -> Result<PathBuf> {
    Ok(config_dir()?.join("config.json"))
}

fn read_config() -> Result<Map<String, Value>> {
    let path = config_file()?;
    match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        other => {
            let text = other.with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&text)
                .with_context(|| format!("cannot understand {}", path.display()))
        }
    }
}

fn write_config(config: &Map<String, Value>) -> Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = config_file()?;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let next = path.with_extension("json.next");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)
        .with_context(|| format!("cannot write {}", next.display()))?;
    file.write_all(serde_json::to_string_pretty(config)?.as_bytes())?;
    std::fs::rename(&next, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The name that Docker's own registry has in that file.
const DOCKER_HUB: &str = concat!("https://index.docker", ".io/v1/");

fn server_key(server: Option<&str>) -> String {
    match server {
        None => DOCKER_HUB.to_owned(),
        Some(server) => server
            .trim_start_matches("https://")
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned(),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct LoginArgs {
    #[arg(short, long)]
    username: Option<String>,
    #[arg(short, long)]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

pub(super) fn login(args: &LoginArgs) -> Result<u8> {
    let ask = |what: &str| -> Result<String> {
        if !io::stdin().is_terminal() {
            return Err(anyhow!(
                "Error: Cannot perform an interactive login from a non TTY device"
            ));
        }
        report::say(what);
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let username = match &args.username {
        Some(name) => name.clone(),
        None => ask("Username:")?,
    };
    let password = if args.password_stdin {
        let mut text = String::new();
        io::Read::read_to_string(&mut io::stdin().lock(), &mut text)?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else if let Some(password) = &args.password {
        report::say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        password.clone()
    } else {
        ask("Password:")?
    };
    let server = server_key(args.server.as_deref());
    let body = json!({"username": username, "password": password, "serveraddress": server});
    let answer = post(&Target::docker(["auth"]), Some(&body))?;
    let mut config = read_config()?;
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    auths[&server] = json!({"auth": STANDARD.encode(format!("{username}:{password}"))});
    let path = write_config(&config)?;
    report::say(&format!(
        "WARNING! Your credentials are stored unencrypted in '{}'.",
        path.display()
    ));
    render::line(answer["Status"].as_str().unwrap_or("Login Succeeded"))?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct LogoutArgs {
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

pub(super) fn logout(args: &LogoutArgs) -> Result<u8> {
    let server = server_key(args.server.as_deref());
    let mut config = read_config()?;
    let known = config
        .get_mut("auths")
        .and_then(Value::as_object_mut)
        .and_then(|auths| auths.remove(&server));
    if known.is_none() {
        render::line(&format!("Not logged in to {server}"))?;
        return Ok(0);
    }
    write_config(&config)?;
    render::line(&format!("Removing login credentials for {server}"))?;
    Ok(0)
}

/// The header with what this user's file has for a registry; helpers are the daemon's to ask.
pub(super) fn registry_auth(registry: &str) -> Option<String> {
    let config = read_config().ok()?;
    let auths = config.get("auths")?.as_object()?;
    let keys = [
        registry.to_owned(),
        format!("https://{registry}"),
        DOCKER_HUB.to_owned(),
    ];
    let entry = keys
        .iter()
        .take(if registry.starts_with("docker.") {
            3
        } else {
            2
        })
        .find_map(|key| auths.get(key))?;
    let text = STANDARD.decode(entry["auth"].as_str()?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (username, password) = text.split_once(':')?;
    let fields = BTreeMap::from([
        ("username", username),
        ("password", password),
        ("serveraddress", registry),
    ]);
    Some(URL_SAFE.encode(serde_json::to_string(&fields).ok()?))
}
