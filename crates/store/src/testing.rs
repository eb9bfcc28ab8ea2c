//! What the tests of this crate share: stores, tar streams of any shape, and trees as text.

use std::fmt::Write as _;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use shedbox_linux::meta::{self, FileKind};
use shedbox_linux::tree::Entries;
use shedbox_linux::{path, xattr};

use crate::{IdPolicy, IngestedLayer, LayerExpect, Result, Store, StoreOptions, UnpackLimits};

/// Runs the calling test again as root of a new user namespace when it is not root: true means that this has been done
/// and the caller returns.
pub(crate) fn became_root() -> bool {
    if nix_euid() == 0 {
        return false;
    }
    let thread = std::thread::current();
    let name = thread.name().expect("tests run in named threads");
    let status = std::process::Command::new("unshare")
        .arg("-Ur")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .status()
        .expect("unshare(1) is needed for these tests");
    assert!(
        status.success(),
        "{name} failed as root of a user namespace"
    );
    true
}

fn nix_euid() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// Whether all ids are mapped: without them owners cannot be tested, which is said aloud.
pub(crate) fn all_ids() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let mapped: u64 = map
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
        .sum();
    let full = mapped >= 65536;
    if !full {
        eprintln!("not tested: owners other than root, for only root is mapped here");
    }
    full
}

/// A store in a directory of its own.
pub(crate) struct Scratch {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        ids: IdPolicy::Mapped {
            max_uid: 65535,
            max_gid: 65535,
        },
        limits: UnpackLimits::default(),
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: StoreOptions) -> Self {
        // /var/tmp: a tmpfs at /tmp may have no user attributes.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let store = open(dir.path(), options);
        Self { dir, store }
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(self) -> Self {
        let Self { dir, store } = self;
        drop(store);
        let store = open(dir.path(), options());
        Self { dir, store }
    }

    pub(crate) fn ingest(&self, data: &[u8]) -> Result<IngestedLayer> {
        self.store
            .ingest_layer(&LayerExpect::default(), &mut &*data, &mut |_| {})
    }

    /// The layer's tree, after an ingest that must succeed.
    pub(crate) fn tree_of(&self, data: &[u8]) -> Vec<String> {
        let layer = self.ingest(data).unwrap();
        tree(&self.store.layer_dir(&layer.diff_id))
    }

    /// The error of an ingest that must fail and leave nothing behind, as people see it.
    pub(crate) fn refused(&self, data: &[u8]) -> shedbox_spec::Error {
        let error = self.ingest(data).expect_err("this must be refused");
        self.assert_clean();
        error.to_spec()
    }

    pub(crate) fn assert_clean(&self) {
        for name in ["ingest", "layers"] {
            let left = crate::root::names_in(&self.store.root().join(name)).unwrap();
            assert_eq!(left, [""; 0], "left in {name}");
        }
    }
}

pub(crate) fn open(dir: &Path, options: StoreOptions) -> Store {
    Store::open(&dir.join("store"), &dir.join("trash"), options).unwrap()
}

/// A tar stream, entry by entry, without any of the checks that a library would make.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

/// One entry.
#[derive(Clone)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) typeflag: u8,
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: u64,
    pub(crate) data: &'a [u8],
    pub(crate) pax: &'a [(&'a [u8], &'a [u8])],
}

impl<'a> Item<'a> {
    pub(crate) fn new(typeflag: u8, name: &'a str) -> Self {
        Self {
            name: name.as_bytes(),
            typeflag,
            link: b"",
            mode: if typeflag == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            data: b"",
            pax: &[],
        }
    }
}

impl Tar {
    pub(crate) fn item(mut self, item: &Item<'_>) -> Self {
        if !item.pax.is_empty() {
            let mut data = Vec::new();
            for (key, value) in item.pax {
                crate::pax::append(&mut data, key, value);
            }
            let header = Item {
                data: &data,
                pax: &[],
                ..Item::new(b'x', "PaxHeaders/x")
            };
            self = self.item(&header);
        }
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        let length = item.name.len().min(100);
        old.name[..length].copy_from_slice(&item.name[..length]);
        let length = item.link.len().min(100);
        old.linkname[..length].copy_from_slice(&item.link[..length]);
        old.linkflag = [item.typeflag];
        header.set_mode(item.mode);
        header.set_uid(item.uid);
        header.set_gid(item.gid);
        header.set_mtime(item.mtime);
        header.set_size(item.data.len() as u64);
        header.set_cksum();
        self.raw(header.as_bytes()).raw(item.data).pad()
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn pad(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.item(&Item::new(b'5', name))
    }

    pub(crate) fn file(self, name: &str, data: &str) -> Self {
        self.item(&Item {
            data: data.as_bytes(),
            ..Item::new(b'0', name)
        })
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.item(&Item {
            link: target.as_bytes(),
            ..Item::new(b'2', name)
        })
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.item(&Item {
            link: target.as_bytes(),
            ..Item::new(b'1', name)
        })
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    /// Without the two blocks that mark the end.
    pub(crate) fn open_end(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

/// A tree as text: one line per name, sorted, with what an ingest must get right. Content up to 40 bytes is shown.
pub(crate) fn tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    walk(root, Path::new(""), &mut lines);
    lines.sort();
    lines
}

/// The lines of [`tree`] without owners and times.
pub(crate) fn brief(root: &Path) -> Vec<String> {
    tree(root)
        .iter()
        .map(|line| {
            let fields: Vec<&str> = line.splitn(6, ' ').collect();
            [fields[0], fields[1], fields[5].trim_start()]
                .join(" ")
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn walk(root: &Path, at: &Path, lines: &mut Vec<String>) {
    let dir = path::open_dir(&root.join(at)).unwrap();
    for entry in Entries::new(dir).unwrap() {
        let name = at.join(entry.unwrap().name);
        let full = root.join(&name);
        let stat = meta::stat_at(path::CURRENT, &full).unwrap();
        let mut rest = match stat.kind {
            FileKind::Regular if stat.size <= 40 => {
                format!(
                    "{:?}",
                    String::from_utf8_lossy(&std::fs::read(&full).unwrap())
                )
            }
            FileKind::Regular => {
                let content = std::fs::read(&full).unwrap();
                format!("{} {}", stat.size, crate::blob::digest_of(&content).short())
            }
            FileKind::Symlink => format!("-> {}", std::fs::read_link(&full).unwrap().display()),
            FileKind::CharDevice => format!("device {}", stat.rdev),
            _ => String::new(),
        };
        let mut mtime = stat.mtime;
        if stat.is_whiteout() {
            mtime = meta::Timestamp::default(); // it has no time worth keeping
        }
        if stat.kind != FileKind::Directory && stat.links > 1 {
            let _ = write!(rest, " links={}", stat.links);
        }
        let handle = path::open_handle_at(path::CURRENT, &full).unwrap();
        for name in xattr::list(&handle).unwrap() {
            let value = xattr::get(&handle, &name).unwrap().unwrap();
            if name.as_bytes().starts_with(b"user.") {
                let value = String::from_utf8_lossy(&value).into_owned();
                let _ = write!(rest, " {}={value}", name.to_string_lossy());
            } else if name == "security.capability" {
                let _ = write!(rest, " capability={}", shedbox_spec::digest::hex(&value));
            }
        }
        lines.push(format!(
            "{} {:04o} {} {} {}.{:09} {rest}",
            name.as_os_str().as_bytes().escape_ascii(),
            stat.mode,
            stat.uid,
            stat.gid,
            mtime.seconds,
            mtime.nanos
        ));
        if stat.kind == FileKind::Directory {
            walk(root, &name, lines);
        }
    }
}

/// Compares trees line by line, so that a failure shows what differs and not everything.
pub(crate) fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (tree(left), tree(right));
    let only_left: Vec<_> = left
        .iter()
        .filter(|line| !right.contains(line))
        .take(5)
        .collect();
    let only_right: Vec<_> = right
        .iter()
        .filter(|line| !left.contains(line))
        .take(5)
        .collect();
    assert_eq!(only_left, only_right);
    assert_eq!(left.len(), right.len());
}

/// Runs the calling test again with mounts of its own, as root of a new user namespace when it is not root: true means
/// that this has been done and the caller returns.
pub(crate) fn had_own_mounts() -> bool {
    const MARK: &str = "SHEDBOX_STORE_TEST_MOUNTS";
    if std::env::var_os(MARK).is_some() {
        return false;
    }
    let thread = std::thread::current();
    let name = thread.name().expect("tests run in named threads");
    let namespaces = if nix_euid() == 0 { "-m" } else { "-Urm" };
    let status = std::process::Command::new("unshare")
        .arg(namespaces)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("unshare(1) is needed for these tests");
    assert!(status.success(), "{name} failed with its own mounts");
    true
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
