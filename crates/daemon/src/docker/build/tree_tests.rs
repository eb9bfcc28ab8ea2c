//! Archives as a hostile client would send them.

use tar::EntryType as Type;

use super::super::lay_out::lay_out;
use super::*;

fn archive(entries: &[(&str, Type, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let is_link = kind.is_symlink() || kind.is_hard_link();
        if is_link {
            header.set_link_name_literal(content).unwrap();
        }
        let data = if is_link { "" } else { content };
        header.set_size(data.len() as u64);
        // Names that the library would refuse are what is tried here.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn tree(entries: &[(&str, Type, &str)]) -> Result<Tree> {
    let mut tree = Tree::new(tempfile::tempfile().unwrap());
    tree.add(&archive(entries)[..], Path::new(""), Others::Refuse)?;
    Ok(tree)
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    let bytes = tree.text(Path::new(path))?;
    Some(String::from_utf8(bytes).unwrap())
}

#[test]
fn what_leads_out_is_refused() {
    let hostile: &[&[(&str, Type, &str)]] = &[
        &[("../x", Type::Regular, "x")],
        &[("a/../../x", Type::Regular, "x")],
        &[("l", Type::Symlink, "/etc"), ("l/x", Type::Regular, "x")],
        &[("l", Type::Symlink, "/etc"), ("h", Type::Link, "l/passwd")],
        &[("f", Type::Regular, "x"), ("f/x", Type::Regular, "x")],
        &[("h", Type::Link, "/etc/passwd")],
        &[("h", Type::Link, "../../etc/passwd")],
        &[("d/x", Type::Regular, ""), ("h", Type::Link, "d")],
        &[("dev", Type::Char, "")],
        &[("dev", Type::Block, "")],
        &[("pipe", Type::Fifo, "")],
    ];
    for entries in hostile {
        assert!(tree(entries).is_err(), "{entries:?}");
    }
    let cut = archive(&[("a", Type::Regular, "content")]);
    let mut whole = Tree::new(tempfile::tempfile().unwrap());
    assert!(
        whole
            .add(&cut[..514], Path::new(""), Others::Refuse)
            .is_err()
    );
}

#[test]
fn files_links_and_replacements() {
    let tree = tree(&[
        ("a/b", Type::Regular, "one"),
        ("/abs", Type::Regular, "two"),
        ("l", Type::Symlink, "/etc/passwd"),
        ("h", Type::Link, "a/b"),
        ("l", Type::Regular, "no link any more"),
        ("d/e/f", Type::Regular, "gone"),
        ("d", Type::Regular, "a file now"),
    ])
    .unwrap();
    assert_eq!(text(&tree, "h").unwrap(), "one");
    assert_eq!(text(&tree, "abs").unwrap(), "two");
    assert_eq!(text(&tree, "l").unwrap(), "no link any more");
    assert_eq!(text(&tree, "d").unwrap(), "a file now");
    assert_eq!(tree.get(Path::new("d/e/f")), None);
    assert_eq!(
        tree.get(Path::new("h")).unwrap().sort,
        tree.get(Path::new("a/b")).unwrap().sort
    );
    let names: Vec<_> = tree.names(Path::new("")).collect();
    assert_eq!(names, ["a", "abs", "d", "h", "l"]);
}

#[test]
fn links_stay_below_the_top() {
    let tree = tree(&[
        ("etc/passwd", Type::Regular, "ours"),
        ("up", Type::Symlink, "../../../etc/passwd"),
        ("absolute", Type::Symlink, "/etc"),
        ("loop", Type::Symlink, "loop"),
        ("nowhere", Type::Symlink, "x/y"),
    ])
    .unwrap();
    assert_eq!(text(&tree, "up").unwrap(), "ours");
    assert_eq!(text(&tree, "absolute/passwd").unwrap(), "ours");
    assert_eq!(text(&tree, "../../etc/passwd").unwrap(), "ours");
    assert_eq!(text(&tree, "loop"), None);
    assert_eq!(text(&tree, "nowhere"), None);
    assert_eq!(text(&tree, "etc"), None);
}

#[test]
fn what_is_ignored_goes() {
    let mut tree = tree(&[
        ("a/b", Type::Regular, "b"),
        ("a/c", Type::Regular, "c"),
        ("abs", Type::Regular, "x"),
        ("e/f", Type::Regular, "x"),
        ("keep", Type::Regular, "x"),
    ])
    .unwrap();
    tree.apply(&Ignore::parse("a\n!a/b\nabs\ne").unwrap());
    let left: Vec<_> = tree
        .below(Path::new(""))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(left, ["a", "a/b", "keep"]);
}

#[test]
fn unpacked_files_stay_below_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("out");
    let tree = tree(&[
        ("s/l", Type::Symlink, "/"),
        ("s/d/x", Type::Regular, "x"),
        ("t", Type::Regular, "y"),
    ])
    .unwrap();
    lay_out(&tree, Path::new("s"), &place).unwrap();
    assert_eq!(std::fs::read_to_string(place.join("d/x")).unwrap(), "x");
    assert!(
        std::fs::symlink_metadata(place.join("l"))
            .unwrap()
            .is_symlink()
    );
    assert!(!place.join("t").exists());
}

#[test]
fn zeros_take_no_room_and_no_archive_takes_all() {
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_size(64 << 20);
    header.set_cksum();
    let bytes = header
        .as_bytes()
        .chain(io::repeat(0).take((64 << 20) + 1024));
    let mut tree = Tree::new(tempfile::tempfile().unwrap());
    tree.add(bytes, Path::new(""), Others::Refuse).unwrap();
    assert_eq!((tree.written, tree.end), (0, 64 << 20));
    assert_eq!(text(&tree, "zeros").unwrap().len(), 64 << 20);

    let small = archive(&[("a", Type::Regular, "12345")]);
    for (end, most) in [(MAX_BYTES - 4, 5), (0, 4)] {
        let mut tree = Tree::new(tempfile::tempfile().unwrap());
        (tree.end, tree.most) = (end, most);
        let error = tree
            .add(&small[..], Path::new(""), Others::Refuse)
            .unwrap_err();
        assert_eq!(error.kind, Kind::Exhausted);
    }

    // A short archive can stand for very many directories.
    let deep = "a/".repeat(1900);
    let mut tree = Tree::new(tempfile::tempfile().unwrap());
    let outcome = (0..2000).try_for_each(|number| {
        let node = Node::directory();
        tree.insert(PathBuf::from(format!("{number}/{deep}")), node)
    });
    assert!(outcome.is_err() && tree.nodes.len() < MAX_ENTRIES);
}
