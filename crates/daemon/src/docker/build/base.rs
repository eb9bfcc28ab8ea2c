//! FROM: what a stage starts from.

use std::sync::Arc;

use serde_json::Value;
use shedbox_docker::progress::Progress;
use shedbox_dockerfile::config::{ImageConfig, StageConfig};
use shedbox_dockerfile::stages::Origin;
use shedbox_spec::api::{AuthSources, ImageDetail, PullPolicy, PullRequest};
use shedbox_spec::reference::Reference;
use shedbox_spec::{Error, Kind, Result};

use super::super::{images, later, now};
use super::{Build, Stage};

impl Build {
    /// Where a stage starts from.
    pub(super) async fn base(&mut self, origin: &Origin, platform: Option<&str>) -> Result<Stage> {
        match origin {
            Origin::Scratch => Ok(Stage {
                image: None,
                config: StageConfig::new(ImageConfig::default()),
            }),
            Origin::Stage(number) => self
                .results
                .get(*number)
                .cloned()
                .flatten()
                .map(|stage| Stage {
                    config: StageConfig::new(stage.config.config().clone()),
                    ..stage
                })
                .ok_or_else(|| Error::internal("a stage is used before it is built")),
            Origin::Image(name) => self.image(name, platform).await,
        }
    }

    /// An image, pulled when it is missing, of another platform, or when that was asked for.
    async fn image(&mut self, name: &str, platform: Option<&str>) -> Result<Stage> {
        let platform = platform
            .map(shedbox_docker::create::platform_of)
            .or_else(|| self.options.platform.clone());
        // Stages that start from the same image start from the same image.
        let pull = self.options.pull && !self.pulled.contains(name);
        let known = now(|| self.docker.engine.inspect_image(name));
        let detail = match known {
            Ok(detail) if !pull && fits(&detail, platform.as_deref()) => detail,
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {
                self.fetch(name, platform).await?;
                self.pulled.insert(name.to_owned());
                now(|| self.docker.engine.inspect_image(name))
                    .map_err(|error| images::not_found(name, error))?
            }
        };
        let config = detail.config.get("config").cloned().unwrap_or(Value::Null);
        let config: ImageConfig = if config.is_null() {
            ImageConfig::default()
        } else {
            shedbox_docker::body::from_value(config)?
        };
        Ok(Stage {
            image: Some(detail.summary.id),
            config: StageConfig::new(config),
        })
    }

    async fn fetch(&self, name: &str, platform: Option<String>) -> Result<()> {
        let reference = Reference::parse(name).map_err(|error| {
            Error::invalid(format!("invalid reference format: {}", error.message))
        })?;
        let familiar = reference.familiar();
        let request = PullRequest {
            reference: name.to_owned(),
            platform,
            policy: PullPolicy::Always,
            auth: AuthSources {
                home: std::env::var("HOME").ok(),
                docker_config: std::env::var("DOCKER_CONFIG").ok(),
                path: std::env::var("PATH").ok(),
                credentials: self.options.login_for(&reference),
                ..AuthSources::default()
            },
        };
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let engine = Arc::clone(&self.docker.engine);
        // Dropped with the build, so that a client that leaves ends the pull.
        let mut work = tokio::task::JoinSet::new();
        work.spawn(async move {
            engine
                .images()
                .pull(request, move |event| drop(sender.send(event)))
                .await
                .map(drop)
                .map_err(Error::from)
        });
        let mut progress = Progress::new(&reference);
        while let Some(event) = events.recv().await {
            for line in progress.lines(&event, &familiar) {
                self.output.line(line).await;
            }
        }
        match work.join_next().await {
            Some(Ok(outcome)) => outcome.map_err(|error| {
                let message = match error.kind {
                    Kind::NotFound | Kind::Denied => format!(
                        "pull access denied or manifest for {familiar} not found: {}",
                        error.message
                    ),
                    _ => format!("cannot pull {familiar}: {}", error.message),
                };
                Error::new(error.kind, message)
            }),
            Some(Err(error)) => Err(Error::internal(format!("a pull has failed: {error}"))),
            None => Err(Error::internal("a pull has no end")),
        }
    }

    /// The image to make a sandbox from. `scratch` becomes one with a layer that has nothing in it.
    pub(super) async fn ground(&self, current: &mut Stage) -> Result<String> {
        if let Some(image) = &current.image {
            return Ok(image.to_string());
        }
        let config = super::to_value(current.config.config())?;
        // The end of an archive: two blocks of zeros.
        let empty = vec![0; 1024];
        let made = later(&self.docker, move |engine| {
            engine.import_image(&empty[..], None, config, Some(""))
        })
        .await?;
        let name = made.to_string();
        current.image = Some(made);
        Ok(name)
    }
}

/// Whether an image is of the platform that was asked for.
fn fits(detail: &ImageDetail, platform: Option<&str>) -> bool {
    let mut wanted = platform
        .unwrap_or_default()
        .split('/')
        .filter(|part| !part.is_empty());
    let is = |name: &str, wanted: Option<&str>| {
        let there = detail.config.get(name).and_then(Value::as_str);
        wanted.is_none_or(|wanted| there.is_none_or(|there| there.is_empty() || there == wanted))
    };
    let first = wanted.next();
    match wanted.next() {
        Some(architecture) => is("os", first) && is("architecture", Some(architecture)),
        // `--platform linux`, or an architecture alone.
        None if first == Some("linux") => is("os", first),
        None => is("architecture", first),
    }
}
