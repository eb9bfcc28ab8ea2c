//! The query and headers of a build.

use std::collections::BTreeMap;

use serde_json::Value;
use shedbox_dockerfile::scope::Platform;
use shedbox_spec::api::AuthSources;
use shedbox_spec::{Error, Kind, Result};

use super::super::Asked;

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
    pub(super) auth: AuthSources,
}

impl Options {
    pub(super) fn read(asked: &Asked) -> Result<Self> {
        let query = &asked.query;
        let some = |name: &str| {
            query
                .get(name)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        if query.get("version") == Some("2") {
            return Err(Error::new(
                Kind::Unsupported,
                "BuildKit is not supported by this daemon",
            )
            .with_hint("set DOCKER_BUILDKIT=0 for the classic builder"));
        }
        if some("remote").is_some() {
            return Err(Error::new(
                Kind::Unsupported,
                "a build context from an address is not supported: the daemon fetches nothing but images",
            )
            .with_hint("send the context: `docker build DIRECTORY`"));
        }
        if query.flag("squash")? {
            return Err(Error::new(Kind::Unsupported, "squash is not supported"));
        }
        let tags = query
            .all("t")
            .into_iter()
            .filter(|tag| !tag.is_empty())
            .collect::<Vec<_>>();
        for tag in &tags {
            shedbox_spec::reference::Reference::parse(tag).map_err(|error| {
                Error::invalid(format!("invalid reference format: {}", error.message))
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
            build_args: map(query.get("buildargs"))?,
            labels: map(query.get("labels"))?,
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
            auth: AuthSources {
                home: std::env::var("HOME").ok(),
                docker_config: std::env::var("DOCKER_CONFIG").ok(),
                path: std::env::var("PATH").ok(),
                ..AuthSources::default()
            },
        })
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
fn map(text: Option<&str>) -> Result<BTreeMap<String, String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("error reading build args: {error}")))?;
    Ok(value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect())
}
