//! The store against the kernel: layers mounted as an overlay, upperdirs that an overlay has written, a full disk.

use std::fs;
use std::path::Path;

use shedbox_spec::Kind;
use shedbox_spec::api::{Change, ChangeKind};

use crate::testing::{Item, Scratch, Tar, had_own_mounts, open, options, run, tree};
use crate::{LayerExpect, diff, snapshot, upper};

struct Merged {
    scratch: Scratch,
    lowers: Vec<std::path::PathBuf>,
}

impl Merged {
    /// Mounts layers, lowest first, with a fresh upperdir.
    fn mount(layers: Vec<Tar>) -> Self {
        let scratch = Scratch::new();
        let mut lowers: Vec<_> = layers
            .into_iter()
            .map(|tar| {
                let layer = scratch.ingest(&tar.end()).unwrap();
                scratch.store.layer_dir(&layer.diff_id)
            })
            .collect();
        lowers.reverse();
        let merged = Self { scratch, lowers };
        merged.mount_at("s", "merged");
        merged
    }

    /// Mounts its layers at `place`, over the upperdir of `dir`.
    fn mount_at(&self, dir: &str, place: &str) {
        upper::make(Path::new(&self.at(dir)), &[]).unwrap();
        fs::create_dir(self.at(place)).unwrap();
        let text: Vec<_> = self
            .lowers
            .iter()
            .map(|dir| dir.to_str().unwrap())
            .collect();
        let (upper, work) = (
            self.at(&format!("{dir}/upper")),
            self.at(&format!("{dir}/work")),
        );
        let options = format!(
            "userxattr,lowerdir={},upperdir={upper},workdir={work}",
            text.join(":")
        );
        run(
            "mount",
            &["-t", "overlay", "-o", &options, "overlay", &self.at(place)],
        );
    }

    fn at(&self, path: &str) -> String {
        self.scratch
            .dir
            .path()
            .join(path)
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn sh(&self, script: &str) {
        run(
            "sh",
            &["-ec", &format!("cd '{}'; {script}", self.at("merged"))],
        );
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        walk(Path::new(&self.at("merged")), "", &mut names);
        names.sort();
        names
    }

    fn changes(&self) -> Vec<String> {
        let changes = diff::changes(Path::new(&self.at("s/upper")), &self.lowers, &[]).unwrap();
        changes.iter().map(shown).collect()
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        run("umount", &[&self.at("merged")]);
    }
}

fn walk(dir: &Path, at: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{at}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{name}/"), names);
        }
        names.push(name);
    }
}

fn shown(change: &Change) -> String {
    let kind = match change.kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    format!("{kind} {}", change.path)
}

fn base() -> Tar {
    Tar::default()
        .dir("etc")
        .file("etc/passwd", "p")
        .file("etc/group", "g")
        .dir("opt")
        .dir("opt/tool")
        .file("opt/tool/a", "a")
        .file("opt/tool/b", "b")
        .dir("old")
        .file("old/x", "x")
}

#[test]
fn the_kernel_understands_our_whiteouts() {
    if had_own_mounts() {
        return;
    }
    let second = Tar::default()
        .file(".wh.old", "")
        .file("etc/.wh.group", "")
        .dir("opt/tool")
        .file("opt/tool/.wh..wh..opq", "")
        .file("opt/tool/c", "c");
    // Removed below, made anew here: empty but for what is new.
    let third = Tar::default()
        .file(".wh.etc", "")
        .file("etc/new", "n")
        .file("old/y", "y");
    let merged = Merged::mount(vec![base(), second, third]);
    assert_eq!(
        merged.names(),
        [
            "etc",
            "etc/new",
            "old",
            "old/y",
            "opt",
            "opt/tool",
            "opt/tool/c"
        ]
    );
}

#[test]
fn what_an_overlay_writes_is_shown_as_docker_does() {
    if had_own_mounts() {
        return;
    }
    let merged = Merged::mount(vec![base()]);
    assert_eq!(merged.changes(), [""; 0]);
    merged.sh("echo more >>etc/passwd; rm etc/group; mkdir -p new/dir; touch new/dir/f
        rm -r opt/tool; mkdir opt/tool; echo b >opt/tool/b; rm -r old; echo file >old; mv new/dir/f new/g");
    assert_eq!(
        merged.changes(),
        [
            "C /etc",
            "D /etc/group",
            "C /etc/passwd",
            "A /new",
            "A /new/dir",
            "A /new/g",
            "C /old",
            "C /opt",
            "C /opt/tool",
            "D /opt/tool/a",
            "C /opt/tool/b",
        ]
    );
    // And the trash can take it, `work/work` of mode 000 included.
    let dir = merged.scratch.dir.path().join("s");
    merged.scratch.store.trash().discard(&dir).unwrap();
    merged.scratch.store.trash().empty();
    assert_eq!(merged.scratch.store.trash().stats().failed, 0);
}

#[test]
fn a_committed_upperdir_is_what_the_sandbox_saw() {
    if had_own_mounts() {
        return;
    }
    let mut merged = Merged::mount(vec![base()]);
    merged.sh("echo more >>etc/passwd; rm etc/group; mkdir -p new/dir; touch new/dir/f; ln etc/passwd new/link
        rm -r opt/tool; mkdir opt/tool; echo b >opt/tool/b; rm -r old; echo file >old; mkfifo new/fifo
        mkdir gone; rmdir gone; chmod 700 opt; ln -s /etc/passwd new/symlink; setfattr -n user.a -v b new/dir/f");
    let before = tree(Path::new(&merged.at("merged")));
    let store = &merged.scratch.store;
    let upper = merged.at("s/upper");
    let copy = store
        .copy_upper(Path::new(&upper), &merged.lowers, &[])
        .unwrap();
    let (layer, _pin) = copy.into_layer().unwrap();
    merged.lowers.insert(0, store.layer_dir(&layer.diff_id));
    merged.mount_at("s2", "again");
    assert_eq!(tree(Path::new(&merged.at("again"))), before);
    let changes = diff::changes(Path::new(&merged.at("s2/upper")), &merged.lowers, &[]).unwrap();
    assert_eq!(changes, []);
    run("umount", &[&merged.at("again")]);
}

fn access_lists(dir: &str) -> String {
    let output = std::process::Command::new("getfacl")
        .args(["-n", "-R", "-p", "."])
        .current_dir(dir)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Three lives over each other, each of which hides, brings back and replaces what the ones below it have; and the copy
/// that stands for all three.
#[test]
fn merged_snapshots_show_what_they_showed_over_each_other() {
    if had_own_mounts() {
        return;
    }
    let mut merged = Merged::mount(vec![base()]);
    let image = merged.lowers.clone();
    let lives = [
        "echo more >>etc/passwd; rm etc/group; mkdir -p new/dir; echo f >new/dir/f; ln etc/passwd new/link
         rm -r opt/tool; mkdir opt/tool; echo b >opt/tool/b; rm -r old; echo file >old; mkfifo new/fifo
         chmod 1750 opt; ln -s /etc/passwd new/symlink; setfattr -n user.a -v b new/dir/f; mkdir was_dir; echo x >was_dir/x
         setfattr -n user.first -v 1 opt; echo x >was_file; setfattr -n user.stays -v 1 new; touch .wh.odd
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"new/socket\")'",
        "rm -r new/dir; mkdir new/dir; echo g >new/dir/g; rm -r opt/tool; mkdir old.d; rm old; mkdir old; echo y >old/y
         rm -r was_dir; echo file >was_dir; rm was_file; mkdir was_file; echo z >was_file/z; ln new/link new/link3
         setfattr -x user.first opt; setfattr -n user.second -v 2 opt; echo group >etc/group; rm new/symlink
         rm -r etc; mkdir etc; echo only >etc/only; touch -d @1600000000.5 opt old.d; truncate -s 3M new/holes
         mkdir -p deep/a/b/c; echo c >deep/a/b/c/f; setfacl -d -m u:1:rx deep/a; setfacl -m u:0:rwx deep/a/b/c/f; mkdir deep/a/d",
        "mkdir -p opt/tool; echo again >opt/tool/again; rm was_dir; mkdir was_dir; echo q >was_dir/q; rm -r old
         echo more >>.wh.odd; chmod 0700 new; mv deep moved; rm etc/only; ln -s target etc/only; rm new/dir/g
         setfattr -n user.overlay.overlay.note -v n was_dir 2>/dev/null || true",
    ];
    let mut uppers = Vec::new();
    for (index, life) in lives.iter().enumerate() {
        let name = if index == 0 {
            "s".to_owned()
        } else {
            format!("s{index}")
        };
        if index > 0 {
            run("umount", &[&merged.at("merged")]);
            fs::remove_dir(merged.at("merged")).unwrap();
            merged.mount_at(&name, "merged");
        }
        merged.sh(life);
        let upper = std::path::PathBuf::from(merged.at(&format!("{name}/upper")));
        merged.lowers.insert(0, upper.clone());
        uppers.insert(0, upper);
    }
    let seen = tree(Path::new(&merged.at("merged")));
    let lists = access_lists(&merged.at("merged/moved"));
    assert!(lists.contains("default:user:1:r-x"), "{lists}");
    let copied = std::path::PathBuf::from(merged.at("copied"));
    fs::create_dir(&copied).unwrap();
    let trash = merged.scratch.store.trash();
    assert_eq!(
        snapshot::copy(&uppers, &image, &copied, trash).unwrap(),
        [""; 0]
    );
    merged.lowers = [vec![copied], image].concat();
    merged.mount_at("again", "shown");
    assert_eq!(tree(Path::new(&merged.at("shown"))), seen);
    assert_eq!(access_lists(&merged.at("shown/moved")), lists);
    run("umount", &[&merged.at("shown")]);
    trash.empty();
    assert_eq!(trash.stats().failed, 0);
}

#[test]
fn a_commit_on_a_full_disk_leaves_nothing() {
    if had_own_mounts() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = dir.path().to_str().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", root]);
    let store = open(dir.path(), options());
    let upper = dir.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), vec![7; 3 << 20]).unwrap();
    let error = store.copy_upper(&upper, &[], &[]).unwrap_err();
    assert!(error.is_no_space(), "{error:?}");
    let said = error.to_spec();
    assert_eq!(said.kind, Kind::Exhausted);
    assert!(said.message.contains("copy `file`"), "{}", said.message);
    assert_eq!(
        fs::read_dir(dir.path().join("store/ingest"))
            .unwrap()
            .count(),
        0
    );
    store.trash().empty();
    fs::write(upper.join("file"), vec![7; 1 << 20]).unwrap();
    let copy = store.copy_upper(&upper, &[], &[]).unwrap();
    let (layer, _pin) = copy.into_layer().unwrap();
    assert!(store.has_layer(&layer.diff_id));
    run("umount", &["-l", root]);
}

#[test]
fn an_upperdir_is_exchanged_under_a_live_overlay() {
    if had_own_mounts() {
        return;
    }
    let merged = Merged::mount(vec![base()]);
    merged.sh("echo live >etc/live");
    let root = merged.scratch.dir.path();
    upper::make(&root.join("spare"), &[]).unwrap();
    upper::swap(&root.join("s/upper"), &root.join("spare/upper")).unwrap();
    merged.sh("grep live etc/live; echo still >etc/still");
    assert!(root.join("spare/upper/etc/still").exists());
    assert_eq!(fs::read_dir(root.join("s/upper")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_said_and_leaves_the_store_whole() {
    if had_own_mounts() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    run(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            "size=4m",
            "tmpfs",
            dir.path().to_str().unwrap(),
        ],
    );
    let store = open(dir.path(), options());
    let ingest = |size: usize| {
        let content = vec![b'x'; size];
        let data = Tar::default()
            .item(&Item {
                data: &content,
                ..Item::new(b'0', "f")
            })
            .end();
        store.ingest_layer(&LayerExpect::default(), &mut &data[..], &mut |_| {})
    };
    let kept = ingest(1 << 20).unwrap();
    let error = ingest(6 << 20).unwrap_err();
    assert!(error.is_no_space(), "{error:?}");
    let said = error.to_spec();
    assert_eq!(said.kind, Kind::Exhausted);
    assert!(
        said.message.contains("extract `f`") && said.hint.unwrap().contains("prune"),
        "{}",
        said.message
    );
    store.trash().empty();
    // With the room that this gave back everything works again.
    assert!(store.has_layer(&kept.diff_id));
    let second = ingest(2 << 20).unwrap();
    let blob = vec![b'y'; 2 << 20];
    let error = store.write_blob(None, &mut &blob[..]).unwrap_err();
    assert!(error.is_no_space(), "{error:?}");
    assert_eq!(
        fs::read_dir(dir.path().join("store/ingest"))
            .unwrap()
            .count(),
        0
    );
    store
        .prune(true, &|digest| *digest == kept.diff_id)
        .unwrap();
    store.trash().empty();
    assert!(!store.has_layer(&second.diff_id));
    store.write_blob(None, &mut &blob[..]).unwrap();
    drop(store);
    assert!(open(dir.path(), options()).has_layer(&kept.diff_id));
    run("umount", &["-l", dir.path().to_str().unwrap()]);
}
