//! The query and headers of a build.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use serde_json::Value;
use shedbox_docker::login;
use shedbox_dockerfile::scope::Platform;
use shedbox_spec::api::RegistryCredentials;
use shedbox_spec::reference::Reference;
use shedbox_spec::{Error, Kind, Result};

use crate::query::Query;

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) dockerfile: String,
    pub(super) tags: Vec<String>,
    pub(super) quiet: bool,
    pub(super) no_cache: bool,
    pub(super) pull: bool,
    pub(super) platform: Option<String>,
    pub(super) build_args: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) target: Option<String>,
    pub(super) network: Option<String>,
    pub(super) extra_hosts: Vec<String>,
    pub(super) shm_size: Option<u64>,
    pub(super) memory: Option<u64>,
    logins: BTreeMap<String, RegistryCredentials>,
}

impl Options {
    pub(super) fn read(query: &Query, headers: &HeaderMap) -> Result<Self> {
        let some = |name: &str| {
            query
                .get(name)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        if query.get("version") == Some("2") {
            return Err(Error::new(
                Kind::Unsupported,
                "BuildKit is not supported by this daemon: set DOCKER_BUILDKIT=0 for the classic builder",
            ));
        }
        if some("remote").is_some() {
            return Err(Error::new(
                Kind::Unsupported,
                "a build context from an address (git or http) is not supported: this daemon fetches nothing but images; \
                 send the context: `docker build DIRECTORY`",
            ));
        }
        if query.flag("squash")? {
            return Err(Error::new(
                Kind::Unsupported,
                "squash is not supported: images keep their layers",
            ));
        }
        let tags = query
            .all("t")
            .into_iter()
            .filter(|tag| !tag.is_empty())
            .collect::<Vec<_>>();
        for tag in &tags {
            Reference::parse(tag).map_err(|error| {
                let said = error.message.starts_with("invalid reference format");
                let prefix = if said {
                    ""
                } else {
                    "invalid reference format: "
                };
                Error::invalid(format!("{prefix}{}", error.message))
            })?;
        }
        let platform = some("platform").map(|text| shedbox_docker::create::platform_of(&text));
        if let Some(platform) = platform.as_deref().filter(|text| !text.is_empty())
            && platform.split('/').next() != Some("linux")
            && platform.contains('/')
        {
            return Err(Error::invalid(format!(
                "platform {platform} is not supported: linux alone is"
            )));
        }
        Ok(Self {
            dockerfile: some("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned()),
            tags,
            quiet: query.flag("q")?,
            no_cache: query.flag("nocache")?,
            pull: query.flag("pull")?,
            platform,
            build_args: map("build args", query.get("buildargs"))?,
            labels: map("labels", query.get("labels"))?,
            target: some("target"),
            network: some("networkmode"),
            extra_hosts: query
                .all("extrahosts")
                .iter()
                .flat_map(|text| text.split(','))
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .collect(),
            shm_size: query.number("shmsize")?.filter(|size| *size > 0),
            memory: query.number("memory")?.filter(|size| *size > 0),
            logins: login::all(
                headers
                    .get(login::CONFIG_HEADER)
                    .map(|value| value.to_str().unwrap_or("%")),
            )?,
        })
    }

    /// The login that came with the build for the registry of an image; without one, files of the user are looked into.
    pub(super) fn login_for(&self, image: &Reference) -> Option<RegistryCredentials> {
        login::for_registry(&self.logins, image.registry()).cloned()
    }

    /// Of the result.
    pub(super) fn platform(&self) -> Platform {
        let host = super::host_platform();
        let Some(text) = &self.platform else {
            return host;
        };
        let mut parts = text.split('/');
        let os = parts.next().unwrap_or("linux").to_owned();
        Platform {
            os,
            architecture: parts.next().map_or(host.architecture, str::to_owned),
            variant: parts.next().unwrap_or_default().to_owned(),
        }
    }
}

/// A JSON object of texts. One that is null has the value of the client's environment, which a daemon has not.
fn map(what: &str, text: Option<&str>) -> Result<BTreeMap<String, String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("error reading {what}: {error}")))?;
    Ok(value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Options> {
        Options::read(&Query::parse(Some(query))?, &HeaderMap::new())
    }

    #[test]
    fn what_docker_sends() {
        let options = read(
            "t=a&t=b:1&dockerfile=D&q=1&nocache=1&pull=1&rm=1&platform=linux%2Fx86_64&buildargs=%7B%22A%22:%221%22,%22B%22:null%7D\
             &labels=%7B%22l%22:%22v%22%7D&cachefrom=%5B%22x%22%5D&target=t&networkmode=none&shmsize=0&memory=1024&version=1\
             &extrahosts=a:1.2.3.4,b:1.2.3.5",
        )
        .unwrap();
        assert_eq!(options.tags, ["a", "b:1"]);
        assert_eq!(options.platform().name(), "linux/amd64");
        assert_eq!(options.build_args.len(), 1);
        assert_eq!(options.extra_hosts, ["a:1.2.3.4", "b:1.2.3.5"]);
        assert_eq!((options.shm_size, options.memory), (None, Some(1024)));
        assert!(options.quiet && options.no_cache && options.pull);
        assert_eq!(read("").unwrap().dockerfile, "Dockerfile");
    }

    #[test]
    fn what_is_refused() {
        for (query, words) in [
            ("version=2", "DOCKER_BUILDKIT=0"),
            ("remote=https://x/y.git", "git or http"),
            ("squash=1", "squash"),
            ("t=UPPER", "invalid reference format"),
            ("buildargs=x", "error reading build args"),
            ("labels=x", "error reading labels"),
            ("platform=windows/amd64", "windows"),
        ] {
            let message = read(query).unwrap_err().message;
            assert!(message.contains(words), "{query}: {message}");
        }
    }
}
