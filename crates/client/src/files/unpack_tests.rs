use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::super::CopyOptions;
use super::super::pack::pack_for_test;
use super::*;

/// One entry of a handmade archive: names are taken as they are, however bad.
struct Item<'a> {
    name: &'a [u8],
    kind: tar::EntryType,
    link: &'a [u8],
    mode: u32,
    content: &'a [u8],
}

fn item<'a>(name: &'a str, kind: tar::EntryType, link: &'a str, content: &'a str) -> Item<'a> {
    Item {
        name: name.as_bytes(),
        kind,
        link: link.as_bytes(),
        mode: 0o755,
        content: content.as_bytes(),
    }
}

fn file<'a>(name: &'a str, content: &'a str) -> Item<'a> {
    item(name, tar::EntryType::Regular, "", content)
}

fn dir(name: &str) -> Item<'_> {
    item(name, tar::EntryType::Directory, "", "")
}

fn link<'a>(name: &'a str, target: &'a str) -> Item<'a> {
    item(name, tar::EntryType::Symlink, target, "")
}

fn hard<'a>(name: &'a str, target: &'a str) -> Item<'a> {
    item(name, tar::EntryType::Link, target, "")
}

fn archive(items: &[Item<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..item.name.len()].copy_from_slice(item.name);
        header.as_old_mut().linkname[..item.link.len()].copy_from_slice(item.link);
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(item.content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(item.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn run(
    dir: &Path,
    items: &[Item<'_>],
    top: Option<&str>,
    name: Option<&str>,
) -> Result<Vec<String>> {
    let rules = Rules {
        top: top.map(Into::into),
        name: name.map(Into::into),
        archive: false,
    };
    let dir = path::open_dir(dir).unwrap();
    unpack(&mut &archive(items)[..], &dir, &rules)
}

/// A directory to unpack into, with a neighbour that must stay as it is.
fn ground() -> (tempfile::TempDir, PathBuf) {
    let ground = tempfile::tempdir().unwrap();
    let target = ground.path().join("target");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(ground.path().join("secret"), "untouched").unwrap();
    (ground, target)
}

#[test]
fn hostile_archives_are_refused() {
    let device = tar::EntryType::Char;
    for (items, why) in [
        (vec![file("/etc/x", "")], "is absolute"),
        (vec![file("../secret", "x")], "is not below"),
        (vec![dir("t"), file("t/../../secret", "x")], "leads out"),
        (vec![file("other", "x")], "is not below"),
        (
            vec![dir("t"), link("t/out", "../.."), file("t/out/secret", "x")],
            "behind a symbolic link",
        ),
        (
            vec![link("t", ".."), file("t/secret", "x")],
            "behind a symbolic link",
        ),
        (vec![dir("t"), hard("t/h", "../secret")], "is not below"),
        (vec![dir("t"), hard("t/h", "t/../../secret")], "leads out"),
        (vec![dir("t"), hard("t/h", "t/there")], "not in the archive"),
        (
            vec![dir("t"), link("t/l", "../../secret"), hard("t/h", "t/l")],
            "not in the archive",
        ),
        (vec![file("t/x", "")], "is in a directory that is not there"),
        (
            vec![
                dir("t"),
                item("t/null", device, "", ""),
                file("t/dir/x", ""),
            ],
            "is in a directory that is not there",
        ),
    ] {
        let (ground, target) = ground();
        let error = run(&target, &items, Some("t"), Some("t")).unwrap_err();
        assert!(error.to_string().contains(why), "{error} instead of {why}");
        assert_eq!(
            std::fs::read_to_string(ground.path().join("secret")).unwrap(),
            "untouched"
        );
        assert_eq!(
            std::fs::metadata(ground.path().join("secret"))
                .unwrap()
                .nlink(),
            1
        );
        assert_eq!(
            std::fs::read_dir(ground.path()).unwrap().count(),
            2,
            "{why}"
        );
    }
}

#[test]
fn a_link_of_the_host_is_not_walked_through_and_a_file_is_replaced_not_written() {
    let (ground, target) = ground();
    symlink(ground.path(), target.join("way")).unwrap();
    assert!(run(&target, &[file("way/secret", "x")], None, None).is_err());
    // A link with the name of a file goes, what it leads to stays; the same for a hard link.
    symlink("../secret", target.join("a")).unwrap();
    std::fs::hard_link(ground.path().join("secret"), target.join("b")).unwrap();
    run(&target, &[file("a", "new"), file("b", "new")], None, None).unwrap();
    assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "new");
    assert_eq!(
        std::fs::read_to_string(ground.path().join("secret")).unwrap(),
        "untouched"
    );
}

#[test]
fn kinds_do_not_replace_each_other() {
    let (_ground, target) = ground();
    std::fs::create_dir(target.join("d")).unwrap();
    std::fs::write(target.join("f"), "old").unwrap();
    assert!(
        run(&target, &[file("d", "x")], None, None)
            .unwrap_err()
            .to_string()
            .contains("a directory of the host")
    );
    assert!(
        run(&target, &[dir("f")], None, None)
            .unwrap_err()
            .to_string()
            .contains("where the host has a file")
    );
}

#[test]
fn attributes_links_and_what_is_left_out() {
    let (_ground, target) = ground();
    let setuid = Item {
        mode: 0o6755,
        ..file("t/run", "#!")
    };
    let closed = Item {
        mode: 0o500,
        ..dir("t/closed")
    };
    let socket = item("t/dev", tar::EntryType::Block, "", "");
    let items = [
        dir("t"),
        closed,
        file("t/closed/x", "inside"),
        setuid,
        hard("t/again", "t/run"),
        link("t/l", "/etc"),
        socket,
    ];
    let left_out = run(&target, &items, Some("t"), Some("copy")).unwrap();
    assert_eq!(left_out, ["t/dev"]);
    let copy = target.join("copy");
    let metadata = std::fs::metadata(copy.join("run")).unwrap();
    assert_eq!(
        (metadata.mode() & 0o7777, metadata.nlink(), metadata.mtime()),
        (0o755, 2, 1_000_000_000)
    );
    assert_eq!(
        std::fs::read_link(copy.join("l")).unwrap(),
        Path::new("/etc")
    );
    let closed = std::fs::metadata(copy.join("closed")).unwrap();
    assert_eq!(
        (closed.mode() & 0o777, closed.mtime()),
        (0o500, 1_000_000_000)
    );
    assert_eq!(std::fs::read(copy.join("closed/x")).unwrap(), b"inside");
}

#[test]
fn names_that_are_not_text_work() {
    let (_ground, target) = ground();
    let odd = Item {
        name: b"t/\xff\xfe",
        ..file("", "x")
    };
    run(&target, &[dir("t"), odd], Some("t"), None).unwrap();
    assert_eq!(
        std::fs::read(target.join(OsStr::from_bytes(b"\xff\xfe"))).unwrap(),
        b"x"
    );
}

#[test]
fn what_is_packed_comes_back() {
    let source = tempfile::tempdir().unwrap();
    let tree = source.path().join("tree");
    std::fs::create_dir_all(tree.join("sub/deep")).unwrap();
    let long = "n".repeat(180);
    std::fs::write(tree.join("sub/deep").join(&long), "long name").unwrap();
    std::fs::write(tree.join("one"), vec![7; 300_000]).unwrap();
    std::fs::hard_link(tree.join("one"), tree.join("two")).unwrap();
    symlink("../nowhere", tree.join("link")).unwrap();
    std::fs::set_permissions(tree.join("one"), std::fs::Permissions::from_mode(0o4751)).unwrap();
    let (_ground, target) = ground();
    let bytes = pack_for_test(&tree, Some("new"), CopyOptions::default()).unwrap();
    let rules = Rules {
        top: Some("new".into()),
        name: Some("got".into()),
        archive: false,
    };
    unpack(&mut &bytes[..], &path::open_dir(&target).unwrap(), &rules).unwrap();
    let got = target.join("got");
    assert_eq!(std::fs::read(got.join("one")).unwrap(), vec![7; 300_000]);
    let metadata = std::fs::metadata(got.join("two")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.nlink()), (0o751, 2));
    assert_eq!(
        std::fs::read_link(got.join("link")).unwrap(),
        Path::new("../nowhere")
    );
    assert_eq!(
        std::fs::read(got.join("sub/deep").join(&long)).unwrap(),
        b"long name"
    );

    let contents = pack_for_test(&tree.join("."), None, CopyOptions::default()).unwrap();
    let rules = Rules {
        top: None,
        name: None,
        archive: false,
    };
    unpack(
        &mut &contents[..],
        &path::open_dir(&target).unwrap(),
        &rules,
    )
    .unwrap();
    assert_eq!(std::fs::read(target.join("two")).unwrap().len(), 300_000);
}

#[test]
fn one_file_and_nothing_else() {
    assert_eq!(
        only_file(&mut &archive(&[file("x", "content")])[..], "/x").unwrap(),
        b"content"
    );
    assert!(only_file(&mut &archive(&[dir("x")])[..], "/x").is_err());
    assert!(only_file(&mut &archive(&[file("x", ""), file("y", "")])[..], "/x").is_err());
    assert!(only_file(&mut &archive(&[])[..], "/x").is_err());
}
