//! `-v` and `--mount`.

use anyhow::{Result, anyhow};
use serde_json::{Map, Value, json};
use shedbox_spec::{mount, size};

use super::Options;
use crate::create_options::current_dir;

/// Anonymous volumes, and binds with their sources made absolute.
pub(super) fn volumes(options: &Options) -> Result<(Value, Vec<String>)> {
    let mut anonymous = Map::new();
    let mut binds = Vec::new();
    let cwd = current_dir()?;
    for text in &options.volume {
        match text.split_once(':') {
            None => drop(anonymous.insert(text.clone(), json!({}))),
            Some((source, rest)) if source.starts_with('.') || source.starts_with('~') => {
                let source = source.strip_prefix('~').map_or_else(
                    || source.to_owned(),
                    |rest| format!("{}{rest}", std::env::var("HOME").unwrap_or_default()),
                );
                let arg = mount::VolumeArg {
                    source,
                    target: String::new(),
                    access: mount::Access::Rw,
                };
                let mount::Mount::Bind { source, .. } = arg.resolve(&cwd) else {
                    continue;
                };
                binds.push(format!("{source}:{rest}"));
            }
            Some(_) => binds.push(text.clone()),
        }
    }
    Ok((Value::Object(anonymous), binds))
}

/// `--mount`: comma-separated fields.
pub(super) fn mounts(options: &Options) -> Result<Vec<Value>> {
    options.mount.iter().map(|text| one_mount(text)).collect()
}

fn one_mount(text: &str) -> Result<Value> {
    let mut mount = json!({"Type": "volume"});
    let (mut labels, cwd) = (Map::new(), current_dir()?);
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, "true"));
        let flag = || matches!(value, "true" | "1" | "");
        match key.to_ascii_lowercase().as_str() {
            "type" => mount["Type"] = json!(value),
            "source" | "src" if value.starts_with('.') => {
                let path = std::path::Path::new(&cwd).join(value);
                mount["Source"] = json!(path.canonicalize().unwrap_or(path));
            }
            "source" | "src" => mount["Source"] = json!(value),
            "target" | "dst" | "destination" => mount["Target"] = json!(value),
            "readonly" | "ro" => mount["ReadOnly"] = json!(flag()),
            "volume-nocopy" => mount["VolumeOptions"]["NoCopy"] = json!(flag()),
            "volume-label" => {
                let (name, label) = value.split_once('=').unwrap_or((value, ""));
                labels.insert(name.to_owned(), json!(label));
            }
            "tmpfs-size" => mount["TmpfsOptions"]["SizeBytes"] = json!(size::parse_bytes(value)?),
            "tmpfs-mode" => {
                mount["TmpfsOptions"]["Mode"] = json!(
                    u32::from_str_radix(value, 8)
                        .map_err(|_| anyhow!("invalid value for tmpfs-mode: {value}"))?
                );
            }
            "consistency" | "bind-propagation" => {}
            other => {
                return Err(anyhow!(
                    "invalid argument \"{text}\" for \"--mount\" flag: unexpected key '{other}' in '{field}'"
                ));
            }
        }
    }
    if !labels.is_empty() {
        mount["VolumeOptions"]["Labels"] = Value::Object(labels);
    }
    if mount["Target"].is_null() {
        return Err(anyhow!(
            "invalid argument \"{text}\" for \"--mount\" flag: target is required"
        ));
    }
    Ok(mount)
}
