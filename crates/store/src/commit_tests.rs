use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use shedbox_linux::{path, xattr};

use super::*;
use crate::testing::{Scratch, Tar, all_ids, assert_same, became_root, brief, run};
use crate::upper;
use crate::whiteout::OPAQUE_XATTR;
use shedbox_spec::Kind;

/// A store, lower layers of it (uppermost first), and an upperdir.
struct Ground {
    scratch: Scratch,
    lowers: Vec<PathBuf>,
    upper: PathBuf,
}

impl Ground {
    fn new(layers: Vec<Tar>) -> Self {
        let scratch = Scratch::new();
        let mut lowers: Vec<_> = layers
            .into_iter()
            .map(|tar| {
                let layer = scratch.ingest(&tar.end()).unwrap();
                scratch.store.layer_dir(&layer.diff_id)
            })
            .collect();
        lowers.reverse();
        upper::make(&scratch.dir.path().join("s"), &[]).unwrap();
        let upper = scratch.dir.path().join("s/upper");
        Self {
            scratch,
            lowers,
            upper,
        }
    }

    fn copy(&self, ignore: &[&str]) -> Result<UpperCopy<'_>> {
        let ignore: Vec<String> = ignore.iter().map(|path| (*path).to_owned()).collect();
        self.scratch
            .store
            .copy_upper(&self.upper, &self.lowers, &ignore)
    }

    fn commit(&self, ignore: &[&str]) -> (CommittedLayer, PinGuard) {
        self.copy(ignore).unwrap().into_layer().unwrap()
    }

    fn sh(&self, script: &str) {
        let script = format!("umask 022; cd '{}'; {script}", self.upper.display());
        run("sh", &["-ec", &script]);
    }

    fn in_flight(&self) -> usize {
        fs::read_dir(self.scratch.store.root().join("ingest"))
            .unwrap()
            .count()
    }
}

fn whiteout(at: &Path) {
    path::whiteout_at(path::CURRENT, at).unwrap();
}

fn mark(at: &Path, name: &str, value: &[u8]) {
    let handle = path::open_handle_at(path::CURRENT, at).unwrap();
    xattr::set(&handle, name, value).unwrap();
}

#[test]
fn everything_a_layer_can_hold_is_kept() {
    if became_root() {
        return;
    }
    let ground = Ground::new(vec![
        Tar::default().file("gone", "x").file("emptied/old", "x"),
    ]);
    let at = |name: &str| ground.upper.join(name);
    ground.sh(
        "mkdir -p a/b; chmod 2751 a; echo hi > a/b/file; chmod 4711 a/b/file; ln a/b/file linked; \
         ln -s /nowhere/at/all link; ln link link2; mkfifo -m 640 fifo; mkdir emptied; echo new > emptied/new; \
         touch -d @1600000000.123456789 a/b/file fifo; touch -h -d @1500000000 link; \
         truncate -s 3M holes; printf end >> holes; mkdir -m 1777 sticky; touch -d @1400000000 a sticky",
    );
    fs::write(at("back\\slash \u{e9}"), "odd").unwrap();
    whiteout(&at("gone"));
    mark(&at("emptied"), OPAQUE_XATTR, b"y");
    mark(&at("emptied"), "user.overlay.impure", b"y");
    mark(&at("a"), "user.overlay.opaque", b"n");
    mark(&at("a/b/file"), "user.note", b"kept");
    mark(&at("a/b/file"), "user.overlay.origin", b"private");
    if all_ids() {
        std::os::unix::fs::lchown(at("link"), Some(7), Some(8)).unwrap();
        std::os::unix::fs::chown(at("a/b"), Some(1000), Some(1001)).unwrap();
        std::os::unix::fs::chown(at("sticky"), Some(65535), Some(65535)).unwrap();
    }
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    mark(&at("holes"), "security.capability", &capability);
    let (layer, _pin) = ground.commit(&[]);
    let kept = ground.scratch.store.layer_dir(&layer.diff_id);

    // Overlay's own notes are not ours to keep; everything else is the same.
    for (name, attribute) in [
        ("emptied", "user.overlay.impure"),
        ("a", "user.overlay.opaque"),
        ("a/b/file", "user.overlay.origin"),
    ] {
        let handle = path::open_handle_at(path::CURRENT, at(name)).unwrap();
        xattr::remove(&handle, attribute).unwrap();
    }
    assert_same(&ground.upper, &kept);
    assert!(kept.join("holes").metadata().unwrap().blocks() * 512 < 1 << 20);
    assert_eq!(layer.unpacked_bytes, 3 + 4 + (3 << 20) + 3 + 3);
    assert_eq!(
        ground.scratch.store.layer_size(&layer.diff_id).unwrap(),
        layer.unpacked_bytes
    );

    // As tar with OCI's whiteouts and back it is the same layer.
    let mut tar = Vec::new();
    let packed = pack_layer(&kept, &mut tar).unwrap();
    assert_eq!(
        (&packed.diff_id, packed.bytes),
        (&layer.diff_id, layer.tar_bytes)
    );
    let second = Scratch::new();
    let loaded = second.ingest(&tar).unwrap();
    assert_eq!(loaded.diff_id, layer.diff_id);
    assert_eq!(loaded.warnings, [""; 0]);
    assert_same(&kept, &second.store.layer_dir(&loaded.diff_id));
    assert_eq!(ground.in_flight(), 0);
}

#[test]
fn mount_points_are_no_changes() {
    if became_root() {
        return;
    }
    let ground = Ground::new(vec![
        Tar::default().dir("etc").file("etc/x", "1").dir("srv"),
    ]);
    ground
        .sh("mkdir -p dev proc etc data/in/side srv; touch etc/hosts dev/null data/in/side/inner");
    let ignore = ["/dev", "/proc", "/etc/hosts", "/data/in/side", "/srv/x"];
    let copy = ground.copy(&ignore).unwrap();
    assert!(copy.is_empty());
    drop(copy);
    assert_eq!(ground.in_flight(), 0, "nothing is left of a copy");

    // With something else beside them they count; so does a directory that has changed itself.
    ground.sh("touch data/mine; chmod 700 srv");
    let (layer, _pin) = ground.commit(&ignore);
    assert_eq!(
        brief(&ground.scratch.store.layer_dir(&layer.diff_id)),
        ["data 0755", "data/mine 0644 \"\"", "srv 0700"]
    );
    assert_eq!(layer.entries, 3);
}

#[test]
fn a_directory_is_looked_up_below_as_overlay_does() {
    if became_root() {
        return;
    }
    // `b` of the lowest layer is hidden by the one above it, where it is something else.
    let ground = Ground::new(vec![
        Tar::default().dir("a").dir("a/b"),
        Tar::default()
            .dir("a")
            .file("a/.wh..wh..opq", "")
            .file("a/b", "a file"),
    ]);
    ground.sh("mkdir -p a/b/mount");
    mark(&ground.upper.join("a/b"), OPAQUE_XATTR, b"y");
    let (layer, _pin) = ground.commit(&["/a/b/mount"]);
    let kept = brief(&ground.scratch.store.layer_dir(&layer.diff_id));
    assert_eq!(kept, ["a 0755", "a/b 0755 user.overlay.opaque=y"]);
}

#[test]
fn what_cannot_be_kept_is_said() {
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    let _one = UnixListener::bind(ground.upper.join("one.sock")).unwrap();
    let _two = UnixListener::bind(ground.upper.join("two.sock")).unwrap();
    fs::write(ground.upper.join("file"), "").unwrap();
    let copy = ground.copy(&[]).unwrap();
    let said = copy.warnings().to_vec();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("sockets and device nodes are left out: `")
            && said[0].ends_with("and 1 more")
    );
    let (layer, _pin) = copy.into_layer().unwrap();
    assert_eq!(layer.entries, 1);
}

#[test]
fn a_failure_leaves_nothing() {
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    ground.sh("mkdir d; touch d/first d/.wh.second");
    let error = ground.copy(&[]).unwrap_err().to_spec();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("d/.wh.second"), "{}", error.message);
    ground.scratch.assert_clean();

    let missing = ground
        .scratch
        .store
        .copy_upper(Path::new("/nowhere"), &[], &[]);
    assert_eq!(missing.unwrap_err().kind(), Kind::Internal);
    ground.scratch.assert_clean();
}

#[test]
fn paths_that_no_program_can_name_are_refused() {
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    let name = "d".repeat(250);
    let mut dir = path::open_dir(&ground.upper).unwrap();
    for _ in 0..20 {
        path::mkdir_at(&dir, &name, 0o755).unwrap();
        dir = path::open_dir_at(&dir, &name).unwrap();
    }
    let error = ground.copy(&[]).unwrap_err().to_spec();
    assert!(error.message.contains("4095"), "{}", error.message);
    ground.scratch.assert_clean();
}

#[test]
fn a_deep_tree_needs_few_descriptors() {
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    let deep: PathBuf = std::iter::repeat_n("d", 1500).collect();
    let mut dir = path::open_dir(&ground.upper).unwrap();
    for name in &deep {
        path::mkdir_at(&dir, name, 0o755).unwrap();
        dir = path::open_dir_at(&dir, name).unwrap();
    }
    let (layer, _pin) = ground.commit(&[]);
    assert_eq!(layer.entries, 1500);
}

#[test]
fn equal_commits_at_once_are_one_layer() {
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    ground.sh("for i in $(seq 50); do echo $i > $i; done; touch -d @1000000000 .");
    let ids: Vec<Digest> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| ground.commit(&[]).0.diff_id))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(ground.in_flight(), 0);
}

#[test]
fn a_new_layer_is_pinned_until_it_is_used() {
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    fs::write(ground.upper.join("file"), "content").unwrap();
    fs::set_permissions(&ground.upper, fs::Permissions::from_mode(0o750)).unwrap();
    let (layer, pin) = ground.commit(&[]);
    let store = &ground.scratch.store;
    let dir = store.layer_dir(&layer.diff_id);
    assert_eq!(
        dir.metadata().unwrap().mode() & 0o777,
        0o750,
        "the root's own mode"
    );
    store.prune(true, &|_| false).unwrap();
    assert!(store.has_layer(&layer.diff_id));
    drop(pin);
    store.prune(true, &|_| false).unwrap();
    assert!(!store.has_layer(&layer.diff_id));
}

#[test]
fn links_out_of_the_upperdir_lead_nowhere() {
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    symlink("/etc", ground.upper.join("etc")).unwrap();
    symlink("/etc/passwd", ground.upper.join("file")).unwrap();
    let (layer, _pin) = ground.commit(&[]);
    assert_eq!(
        brief(&ground.scratch.store.layer_dir(&layer.diff_id)),
        ["etc 0777 -> /etc", "file 0777 -> /etc/passwd"]
    );
}

#[test]
fn a_sandbox_that_goes_on_writing_is_no_failure() {
    use std::sync::atomic::{AtomicBool, Ordering};
    if became_root() {
        return;
    }
    let ground = Ground::new(Vec::new());
    fs::write(ground.upper.join("still"), "here").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (at, done) = (ground.upper.join(format!("w{number}")), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    // Each name is a file, a directory, a link and nothing in turn; some files grow, some have two names.
                    fs::create_dir_all(at.join("d/e")).unwrap();
                    fs::write(at.join("d/e/f"), vec![b'x'; 5000]).unwrap();
                    fs::hard_link(at.join("d/e/f"), at.join("d/g")).unwrap();
                    fs::rename(at.join("d"), at.join("moved")).unwrap();
                    fs::write(at.join("d"), "file").unwrap();
                    fs::remove_file(at.join("d")).unwrap();
                    symlink("/etc", at.join("d")).unwrap();
                    fs::write(at.join("moved/e/f"), "short").unwrap();
                    fs::remove_file(at.join("d")).unwrap();
                    fs::remove_dir_all(at.join("moved")).unwrap();
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..60 {
                let (layer, _pin) = ground.commit(&[]);
                let kept = ground.scratch.store.layer_dir(&layer.diff_id);
                assert_eq!(fs::read(kept.join("still")).unwrap(), b"here");
            }
        }));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert_eq!(ground.in_flight(), 0);
}
