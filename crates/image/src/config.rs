//! What an image's configuration means for a sandbox made from it.

use std::collections::BTreeMap;

use oci_spec::image::ImageConfiguration;

/// The defaults an image brings. Lists that are absent are empty, texts that are empty are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// Comes before the command.
    pub entrypoint: Vec<String>,
    /// The command when none is given.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`, in the image's order.
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub workdir: Option<String>,
    /// `name|uid[:group|gid]`.
    pub user: Option<String>,
    /// Name or number.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `port/protocol`, sorted.
    pub exposed_ports: Vec<String>,
    /// Directories that Docker would put on an anonymous volume, sorted.
    pub volumes: Vec<String>,
}

impl From<&ImageConfiguration> for ImageDefaults {
    fn from(image: &ImageConfiguration) -> Self {
        let Some(config) = image.config() else {
            return Self::default();
        };
        let list = |value: &Option<Vec<String>>| value.clone().unwrap_or_default();
        let sorted = |value: &Option<Vec<String>>| {
            let mut all = list(value);
            all.sort_unstable();
            all
        };
        let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        Self {
            entrypoint: list(config.entrypoint()),
            cmd: list(config.cmd()),
            env: list(config.env()),
            // Old builders left relative ones; they are relative to the root (the OCI specification wants absolute).
            workdir: text(config.working_dir()).map(|dir| {
                if dir.starts_with('/') {
                    dir
                } else {
                    format!("/{dir}")
                }
            }),
            user: text(config.user()),
            stop_signal: text(config.stop_signal()),
            labels: config
                .labels()
                .iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            exposed_ports: sorted(config.exposed_ports()),
            volumes: sorted(config.volumes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(config: serde_json::Value) -> ImageDefaults {
        let image: ImageConfiguration = serde_json::from_value(serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": []},
        }))
        .unwrap();
        ImageDefaults::from(&image)
    }

    #[test]
    fn everything() {
        assert_eq!(
            defaults(serde_json::json!({
                "Entrypoint": ["/e"], "Cmd": ["c", ""], "Env": ["A=1", "B="], "WorkingDir": "srv",
                "User": "1:2", "StopSignal": "SIGINT", "Labels": {"l": "v"},
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/b": {}, "/a": {}},
            })),
            ImageDefaults {
                entrypoint: vec!["/e".to_owned()],
                cmd: vec!["c".to_owned(), String::new()],
                env: vec!["A=1".to_owned(), "B=".to_owned()],
                workdir: Some("/srv".to_owned()),
                user: Some("1:2".to_owned()),
                stop_signal: Some("SIGINT".to_owned()),
                labels: BTreeMap::from([("l".to_owned(), "v".to_owned())]),
                exposed_ports: vec!["53/udp".to_owned(), "80/tcp".to_owned()],
                volumes: vec!["/a".to_owned(), "/b".to_owned()],
            }
        );
    }

    #[test]
    fn nothing() {
        let nulls = serde_json::json!({"Entrypoint": null, "Cmd": null, "Env": null, "WorkingDir": "", "User": "",
            "Labels": null, "ExposedPorts": null, "Volumes": null});
        assert_eq!(defaults(nulls), ImageDefaults::default());
        assert_eq!(defaults(serde_json::json!({})), ImageDefaults::default());
        assert_eq!(defaults(serde_json::Value::Null), ImageDefaults::default());
    }
}
