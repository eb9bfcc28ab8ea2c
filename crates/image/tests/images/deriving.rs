//! Images made here: from others, from archives, and what they say of themselves.

use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use serde_json::{Value, json};
use shedbox_image::{Derivation, Error, Format, NewLayer, Step};
use shedbox_spec::Kind;
use shedbox_spec::api::{HistoryEntry, ImageDetail};
use shedbox_store::ImageRecord;

use crate::archives::{load, sample};
use crate::support::image::{gzip, tar_of};
use crate::support::{FakeRegistry, Reply, TestStore};

struct Ground {
    store: TestStore,
    name: String,
}

impl Ground {
    /// A store with the sample image, pulled.
    fn new() -> Self {
        let registry = FakeRegistry::new(|_| Reply::Normal);
        registry.put("team/app", "v1", &sample());
        let store = TestStore::new();
        let name = format!("{}/team/app:v1", registry.host);
        store.pull(&name).unwrap();
        Self { store, name }
    }

    fn parent(&self) -> Arc<ImageRecord> {
        self.store.service.find(&self.name).unwrap()
    }

    /// What a sandbox would have written, committed.
    fn commit(
        &self,
        files: &[(&str, &str)],
        config: Option<Value>,
        names: &[&str],
    ) -> Result<Arc<ImageRecord>, Error> {
        let upper = tempfile::tempdir_in(self.store.dir.path()).unwrap();
        for (name, content) in files {
            let path = upper.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let parent = self.parent();
        let service = &self.store.service;
        let lowers = service.store().lowers(&parent).unwrap();
        let copy = service.store().copy_upper(upper.path(), &lowers, &[])?;
        let (layer, _pin) = copy.into_layer()?;
        let references: Vec<_> = names
            .iter()
            .map(|name| service.parse_tag(name).unwrap())
            .collect();
        service.derive(Derivation {
            parent: Some(&parent),
            layer: Some(NewLayer::from(&layer)),
            config,
            step: Step {
                author: Some("me".to_owned()),
                created_by: Some("/app --make".to_owned()),
                comment: Some("a remark".to_owned()),
            },
            references: &references,
        })
    }

    fn detail(&self, image: &ImageRecord) -> ImageDetail {
        self.store.service.detail(image).unwrap()
    }

    fn history(&self, image: &ImageRecord) -> Vec<HistoryEntry> {
        self.store.service.history(image).unwrap()
    }
}

#[test]
fn a_committed_image_is_its_parent_and_a_layer() {
    let ground = Ground::new();
    let parent = ground.parent();
    let child = ground
        .commit(&[("etc/made", "here")], None, &["made"])
        .unwrap();
    assert_eq!(child.diff_ids[..2], parent.diff_ids[..]);
    assert_eq!(child.diff_ids.len(), 3);
    assert_eq!(child.size, parent.size + 4);
    let service = &ground.store.service;
    assert_eq!(service.find("made").unwrap(), child);
    let detail = ground.detail(&child);
    assert_eq!(detail.summary.parent.as_ref(), Some(&parent.config));
    assert_eq!(detail.summary.labels["l"], "v");
    assert_eq!(detail.author.as_deref(), Some("me"));
    assert_eq!(detail.comment.as_deref(), Some("a remark"));
    assert_eq!(
        detail.config["config"]["Healthcheck"],
        json!({"Test": ["NONE"]})
    );
    assert_eq!(detail.summary.references, ["made:latest"]);

    // Out and in again it is the same image, its own layer unchanged.
    let mut archive = Vec::new();
    service
        .save(&["made".to_owned()], Format::Docker, &mut archive)
        .unwrap();
    let second = TestStore::new();
    let loaded = load(&second, &archive).unwrap();
    let record = second.service.find(loaded[0].id.as_str()).unwrap();
    assert_eq!(record.diff_ids[2], child.diff_ids[2]);
    assert_eq!(second.file(&loaded[0], "etc/made").unwrap(), b"here");
    assert_eq!(second.file(&loaded[0], "etc/name").unwrap(), b"second");
    ground.store.assert_clean();
}

#[test]
fn an_image_with_another_configuration_shares_all_layers() {
    let ground = Ground::new();
    let parent = ground.parent();
    let service = &ground.store.service;
    let derive = |config: Value| {
        service.derive(Derivation {
            parent: Some(&parent),
            config: Some(config),
            step: Step {
                created_by: Some("ENV A=b".to_owned()),
                ..Step::default()
            },
            ..Derivation::default()
        })
    };
    let child = derive(json!({"Env": ["A=b"], "Labels": {"new": "one"}})).unwrap();
    assert_eq!(child.diff_ids, parent.diff_ids);
    let detail = ground.detail(&child);
    assert_eq!(
        detail.config["config"],
        json!({"Env": ["A=b"], "Labels": {"new": "one"}})
    );
    assert_eq!(detail.summary.labels["new"], "one");
    assert_eq!(detail.summary.references, [""; 0]);
    let history = ground.history(&child);
    assert!(history[0].empty && history[0].created_by == "ENV A=b");

    let error = derive(json!({"Env": "no list"})).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);

    let scratch = service.derive(Derivation::default()).unwrap();
    assert_eq!((scratch.diff_ids.len(), scratch.os.as_str()), (0, "linux"));
    assert_eq!(scratch.parent, None);
}

#[test]
fn histories_name_the_images_they_went_through() {
    let ground = Ground::new();
    let parent = ground.parent();
    let child = ground
        .commit(&[("x", "12345")], None, &["made:1", "made:2"])
        .unwrap();
    let service = &ground.store.service;
    let grandchild = service
        .derive(Derivation {
            parent: Some(&child),
            step: Step {
                created_by: Some("CMD".to_owned()),
                ..Step::default()
            },
            ..Derivation::default()
        })
        .unwrap();
    let history = ground.history(&grandchild);
    let shown: Vec<_> = history
        .iter()
        .map(|entry| {
            (
                entry.created_by.as_str(),
                entry.id.as_ref(),
                entry.size,
                entry.tags.len(),
            )
        })
        .collect();
    let sizes: Vec<u64> = parent
        .diff_ids
        .iter()
        .map(|layer| service.store().layer_size(layer).unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            ("CMD", Some(&grandchild.config), 0, 0),
            ("/app --make", Some(&child.config), 5, 2),
            // The image of the sample has one line for two layers.
            ("", Some(&parent.config), sizes[1], 1),
            ("by hand", None, sizes[0], 0),
        ]
    );
    assert_eq!(history[1].tags, ["made:1", "made:2"]);
    assert_eq!(history[1].comment, "a remark");
    let own = ground.history(&parent);
    assert_eq!(own.len(), 2);
    assert_eq!(own[0].id.as_ref(), Some(&parent.config));
    assert_eq!(own[0].tags.len(), 1);
}

#[test]
fn tags_move_and_go() {
    let ground = Ground::new();
    let service = &ground.store.service;
    let (one, two) = (
        ground.commit(&[("a", "1")], None, &["app:x"]).unwrap(),
        ground.commit(&[("a", "2")], None, &[]).unwrap(),
    );
    assert_eq!(
        service.tag(&two, "app:x").unwrap(),
        Some(one.manifest.clone())
    );
    assert_eq!(service.find("app:x").unwrap(), two);
    assert_eq!(service.untag("app:x").unwrap(), two.config);
    assert_eq!(service.untag("app:x").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(
        service.find(two.config.as_str()).unwrap(),
        two,
        "the image stays"
    );
    let digest = format!("app@{}", two.manifest);
    assert_eq!(
        service.tag(&two, &digest).unwrap_err().kind(),
        Kind::Invalid
    );
}

#[test]
fn commits_at_once() {
    let ground = Ground::new();
    let images: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|number| {
                let ground = &ground;
                scope.spawn(move || {
                    let content = format!("{}", number % 2);
                    let name = format!("made:{number}");
                    let image = ground
                        .commit(&[("file", &content)], None, &[&name])
                        .unwrap();
                    ground
                        .store
                        .service
                        .store()
                        .prune(false, &|_| false)
                        .unwrap();
                    (name, image)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (name, image) in images {
        let found = ground.store.service.find(&name).unwrap();
        assert_eq!(found, image);
        ground.store.service.store().lowers(&found).unwrap();
    }
    ground.store.assert_clean();
}

#[test]
fn imported_archives() {
    let tar = tar_of(&[("bin/sh", b"program"), ("etc/motd", b"hello")]);
    for bytes in [
        tar.clone(),
        gzip(&tar),
        zstd::encode_all(&tar[..], 1).unwrap(),
    ] {
        let store = TestStore::new();
        let image = store
            .service
            .import(
                Cursor::new(bytes),
                Some("imported:1"),
                json!({"Cmd": ["/bin/sh"]}),
                Some("from afar"),
            )
            .unwrap();
        assert_eq!(image.diff_ids.len(), 1);
        let detail = store.service.detail(&image).unwrap();
        assert_eq!(detail.config["config"], json!({"Cmd": ["/bin/sh"]}));
        assert_eq!(detail.comment.as_deref(), Some("from afar"));
        assert_eq!(detail.summary.references, ["imported:1"]);
        assert_eq!(store.file(&detail.summary, "etc/motd").unwrap(), b"hello");
        store.assert_clean();
    }
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let store = TestStore::new();
    let import = |bytes: &[u8], name: Option<&str>| {
        let error = store
            .service
            .import(bytes, name, Value::Null, None)
            .expect_err("this must be refused");
        store.assert_clean();
        assert!(store.service.list().is_empty());
        shedbox_spec::Error::from(error)
    };
    let tar = tar_of(&[("f", b"x")]);
    assert_eq!(import(b"\xfd7zXZ\0and more", None).kind, Kind::Invalid);
    assert_eq!(import(b"BZh91AY&SY", None).kind, Kind::Invalid);
    assert_eq!(import(b"", None).kind, Kind::Invalid);
    assert_eq!(import(&[b'x'; 2000], None).kind, Kind::Invalid);
    assert_eq!(import(&tar[..512], None).kind, Kind::Invalid);
    assert_eq!(import(&tar, Some("Not A Name")).kind, Kind::Invalid);
    let half = gzip(&tar);
    assert_eq!(import(&half[..half.len() / 2], None).kind, Kind::Invalid);
}
