//! Reading the configuration file.

use std::path::Path;

use shedbox_spec::config::Config;
use shedbox_spec::{Error, Result};

use crate::error::Doing;

/// Reads `config.toml`; one that does not exist says nothing, which gives the defaults.
pub fn load_config(path: &Path) -> Result<Config> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|mut error| {
            error.message = format!("{}: {}", path.display(), error.message);
            error
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        Err(error) => Err(error).doing(|| format!("read the configuration {}", path.display())),
    }
}

fn parse(text: &str) -> Result<Config> {
    toml::from_str(text).map_err(|error| {
        Error::invalid(error.to_string().trim_end().replace('\n', " "))
            .with_hint("mend it or move it away; SHEDBOX_CONFIG names another file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_values_and_mistakes() {
        assert_eq!(parse("").unwrap(), Config::default());
        let config =
            parse("spares = false\n[registries.\"localhost:5000\"]\nplain_http = true\n").unwrap();
        assert!(!config.spares);
        assert_eq!(config.registries["localhost:5000"].plain_http, Some(true));
        let error = parse("spare = false").unwrap_err();
        assert!(error.message.contains("spare"), "{}", error.message);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            load_config(&dir.path().join("none")).unwrap(),
            Config::default()
        );
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "pull_jobs = \"many\"").unwrap();
        assert!(
            load_config(&path)
                .unwrap_err()
                .message
                .contains("config.toml")
        );
    }
}
