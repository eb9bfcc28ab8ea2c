//! An engine in directories of its own, and images without programs: files are written and read by init itself.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use shedbox_engine::{Engine, EngineOptions, Filter};
use shedbox_linux::fd;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::api::{CreateRequest, IdMapKind};
use shedbox_spec::control::{FileRequest, Reply, Request};
use shedbox_spec::paths::Paths;

/// Ends with everything that runs in it.
pub(crate) struct Ground {
    pub(crate) engine: Arc<Engine>,
    dir: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let paths = Paths {
            root: dir.path().join("root"),
            runtime: dir.path().join("run"),
            config: dir.path().join("config.toml"),
        };
        for place in paths.directories() {
            std::fs::create_dir_all(place).unwrap();
        }
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let single = map.split_whitespace().nth(2) == Some("1");
        let engine = Engine::open(EngineOptions {
            paths,
            config: shedbox_spec::config::Config::default(),
            id_map: if single {
                IdMapKind::Single
            } else {
                IdMapKind::Root
            },
            log: None,
        })
        .unwrap();
        Self { engine, dir }
    }

    /// An image with some files, named `base`.
    pub(crate) fn import(&self) {
        let tar = archive(&[
            ("etc/", ""),
            ("etc/name", "base"),
            ("etc/gone", "x"),
            ("old/", ""),
            ("old/in", "x"),
            ("tmp/", ""),
        ]);
        let config = json!({"Env": ["A=b"], "Labels": {"of": "base"}});
        self.engine
            .import_image(&tar[..], Some("base"), config, None)
            .unwrap();
    }

    pub(crate) fn create(&self, name: &str, image: &str, start: bool, more: Value) {
        let mut spec = json!({"source": {"image": image}, "name": name, "idle": true});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let request: CreateRequest =
            serde_json::from_value(json!({"spec": spec, "start": start})).unwrap();
        self.engine.create(request, None).unwrap();
    }

    /// Asks the init of a sandbox to do something with a stream; `work` has the other end.
    fn files<T>(&self, name: &str, request: FileRequest, work: impl FnOnce(File) -> T) -> T {
        let access = self.engine.files(name).unwrap();
        let connection = SeqPacket::connect(Path::new(&access.socket)).unwrap();
        let (read, write) = fd::pipe().unwrap();
        let (ours, theirs) = match request {
            FileRequest::Pack { .. } => (read, write),
            _ => (write, read),
        };
        let text = serde_json::to_vec(&Request::Files(request)).unwrap();
        connection.send(&text, &[theirs.as_fd()]).unwrap();
        drop(theirs);
        let outcome = work(ours.into());
        let frame = connection.recv().unwrap().unwrap();
        let reply: Reply = serde_json::from_slice(&frame.bytes).unwrap();
        assert!(matches!(reply, Reply::Done), "{reply:?}");
        outcome
    }

    /// Writes files (those whose names end in a slash are directories) into a sandbox.
    pub(crate) fn write(&self, name: &str, files: &[(&str, &str)]) {
        let request = FileRequest::Unpack {
            path: "/".to_owned(),
            no_overwrite_kind: false,
            keep_owner: true,
        };
        self.files(name, request, |mut stream| {
            stream.write_all(&archive(files)).unwrap();
        });
    }

    /// The content of a file inside.
    pub(crate) fn read(&self, name: &str, path: &str) -> String {
        let request = FileRequest::Pack {
            path: path.to_owned(),
            follow: false,
        };
        self.files(name, request, |stream| {
            let mut archive = tar::Archive::new(stream);
            let mut text = String::new();
            for entry in archive.entries().unwrap() {
                entry.unwrap().read_to_string(&mut text).unwrap();
            }
            text
        })
    }

    /// The root file system of a sandbox: kind, name and content of each entry, sorted.
    pub(crate) fn export(&self, name: &str) -> Vec<String> {
        let mut bytes = Vec::new();
        self.engine.export(name, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut lines: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let kind = entry.header().entry_type();
                let link = entry.link_name().unwrap().map(std::borrow::Cow::into_owned);
                let extended = entry.pax_extensions().unwrap().is_some();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                match (kind, link) {
                    (tar::EntryType::Directory, _) => format!("{path}/"),
                    (_, Some(target)) => format!("{path} -> {}", target.display()),
                    (_, None) if extended => format!("{path} {text} with attributes"),
                    (_, None) => format!("{path} {text}"),
                }
            })
            .collect();
        lines.sort();
        lines
    }

    /// Nothing in flight is left in the store.
    pub(crate) fn assert_clean(&self) {
        let ingest = self.dir.path().join("root/store/ingest");
        assert_eq!(std::fs::read_dir(ingest).unwrap().count(), 0);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for info in self.engine.list(&Filter {
            all: true,
            ..Filter::default()
        }) {
            let _ = self.engine.remove(info.id.as_str(), true);
        }
        self.engine.close();
    }
}

/// A tar stream of files and directories, with fixed times.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(if name.ends_with('/') { 0o755 } else { 0o644 });
        header.set_mtime(1_600_000_000);
        header.set_uid(0);
        header.set_gid(0);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        tar.append_data(&mut header, name, content.as_bytes())
            .unwrap();
    }
    tar.into_inner().unwrap()
}
