//! A store in a temporary directory, and a service over it.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use shedbox_image::{Error, ImageService};
use shedbox_spec::api::{ImageSummary, PullEvent, PullPolicy, PullRequest};
use shedbox_spec::config::Config;
use shedbox_store::{IdPolicy, Store, StoreOptions, UnpackLimits};

pub struct TestStore {
    pub dir: tempfile::TempDir,
    pub service: Arc<ImageService>,
    pub events: Arc<Mutex<Vec<PullEvent>>>,
}

/// Settings that make failures quick.
pub fn quick() -> Config {
    Config {
        registry_timeout_s: 1,
        registry_attempts: 3,
        ..Config::default()
    }
}

impl TestStore {
    pub fn new() -> Self {
        Self::with(quick())
    }

    pub fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            ids: IdPolicy::Mapped {
                max_uid: u32::MAX - 1,
                max_gid: u32::MAX - 1,
            },
            limits: UnpackLimits {
                max_layer_bytes: config.max_layer_bytes,
                max_entries: config.max_layer_entries,
                ..UnpackLimits::default()
            },
        };
        let store = Store::open(
            &dir.path().join("store"),
            &dir.path().join("trash"),
            options,
        )
        .unwrap();
        Self {
            service: Arc::new(ImageService::new(Arc::new(store), config)),
            dir,
            events: Arc::default(),
        }
    }

    pub fn request(reference: &str) -> PullRequest {
        PullRequest {
            reference: reference.to_owned(),
            platform: Some("linux/amd64".to_owned()),
            policy: PullPolicy::Missing,
            auth: shedbox_spec::api::AuthSources::default(),
        }
    }

    pub fn recorder(&self) -> impl Fn(PullEvent) + Send + Sync + 'static {
        let events = Arc::clone(&self.events);
        move |event| events.lock().unwrap().push(event)
    }

    pub fn pull_request(&self, request: PullRequest) -> Result<ImageSummary, Error> {
        runtime().block_on(self.service.pull(request, self.recorder()))
    }

    pub fn pull(&self, reference: &str) -> Result<ImageSummary, Error> {
        self.pull_request(Self::request(reference))
    }

    /// The error of a pull that must fail, as callers see it; and nothing may be left of it.
    pub fn pull_fails(&self, reference: &str) -> shedbox_spec::Error {
        let error = self.pull(reference).expect_err("the pull must fail");
        self.assert_clean();
        shedbox_spec::Error::from(error)
    }

    /// Nothing in flight is left.
    pub fn assert_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.dir.path().join("store/ingest"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(left.is_empty(), "left in ingest: {left:?}");
    }

    /// A file of an image's uppermost layer that has it.
    pub fn file(&self, image: &ImageSummary, name: &str) -> Option<Vec<u8>> {
        self.lowers(image)
            .into_iter()
            .find_map(|dir| fs::read(dir.join(name)).ok())
    }

    /// Layer directories, uppermost first.
    pub fn lowers(&self, image: &ImageSummary) -> Vec<PathBuf> {
        let record = self.service.find(image.id.as_str()).unwrap();
        self.service.store().lowers(&record).unwrap()
    }

    pub fn taken_events(&self) -> Vec<PullEvent> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
