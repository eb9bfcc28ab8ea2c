use std::collections::BTreeMap;

use super::super::copy::tests::{plan, tree};
use super::*;

/// An image that has these paths.
struct Fixed(BTreeMap<&'static str, There>);

impl Image for Fixed {
    fn look(&mut self, path: &str) -> Result<There> {
        Ok(self.0.get(path).cloned().unwrap_or(There::Nothing))
    }
}

fn image() -> Fixed {
    Fixed(BTreeMap::from([
        ("/work", There::Directory),
        ("/etc", There::Directory),
        ("/etc/passwd", There::Other),
        ("/etc/link", There::Link("../real/file".to_owned())),
        ("/real", There::Directory),
        ("/loop", There::Link("loop".to_owned())),
    ]))
}

/// What a line writes: kind, mode, owner and name of each entry.
fn written(line: &str, entries: &[&str], owner: Option<(u64, u64)>) -> Result<Vec<String>> {
    let tree = tree(entries, 0o640, 9);
    let mut out = Vec::new();
    let archives = write(&plan(line, &tree)?, &mut image(), owner, &mut out)?;
    let mut list = Vec::new();
    for entry in tar::Archive::new(&out[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => 'd',
            tar::EntryType::Symlink => 'l',
            tar::EntryType::Link => 'h',
            _ => 'f',
        };
        list.push(format!(
            "{kind} {:o} {}:{} {}",
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.path().unwrap().display()
        ));
    }
    list.extend(
        archives
            .iter()
            .map(|archive| format!("unpack {} {}", archive.name, archive.directory)),
    );
    Ok(list)
}

#[test]
fn where_files_go() {
    let files = ["a=1", "d/", "d/x=2", "d/l>x", "d/s/", "d/s/y=3"];
    let cases: &[(&str, &[&str])] = &[
        ("COPY a /b", &["f 640 0:0 b"]),
        ("COPY a .", &["f 640 0:0 work/a"]),
        ("COPY a /work", &["f 640 0:0 work/a"]),
        (
            "COPY a new/",
            &["d 755 0:0 work/new", "f 640 0:0 work/new/a"],
        ),
        ("COPY a /etc/link", &["f 640 0:0 real/file"]),
        ("COPY a /etc/passwd", &["f 640 0:0 etc/passwd"]),
        ("COPY --chmod=4755 a /b", &["f 4755 0:0 b"]),
        ("COPY --from=0 a /b", &["f 640 9:9 b"]),
        (
            "COPY d /n/m",
            &[
                "d 755 0:0 n",
                "d 755 0:0 n/m",
                "l 777 0:0 n/m/l",
                "d 640 0:0 n/m/s",
                "f 640 0:0 n/m/s/y",
                "f 640 0:0 n/m/x",
            ],
        ),
        (
            "COPY --exclude=s --exclude=l d /work",
            &["f 640 0:0 work/x"],
        ),
        (
            "COPY a d /n/",
            &[
                "d 755 0:0 n",
                "f 640 0:0 n/a",
                "l 777 0:0 n/l",
                "d 640 0:0 n/s",
                "f 640 0:0 n/s/y",
                "f 640 0:0 n/x",
            ],
        ),
        (
            "COPY <<E <<F /n/\none\nE\ntwo\nF",
            &["d 755 0:0 n", "f 644 0:0 n/E", "f 644 0:0 n/F"],
        ),
        ("ADD a /b", &["f 640 0:0 b"]),
    ];
    for (line, expected) in cases {
        assert_eq!(written(line, &files, None).unwrap(), *expected, "{line}");
    }
    assert_eq!(
        written("COPY --chown=x d/s /n/m", &files, Some((5, 6))).unwrap(),
        ["d 755 0:0 n", "d 755 5:6 n/m", "f 640 5:6 n/m/y"],
        "directories above belong to root"
    );
    for line in ["COPY d /etc/passwd", "COPY a /etc/passwd/x", "COPY a /loop"] {
        assert!(written(line, &files, None).is_err(), "{line}");
    }
}

#[test]
fn hard_links_stay_links_and_add_unpacks_archives() {
    let mut inner = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    inner.append_data(&mut header, "x", &b""[..]).unwrap();
    let archive = inner.into_inner().unwrap();
    let mut outer = tar::Builder::new(Vec::new());
    for (name, content) in [
        ("t.tar", &archive[..]),
        ("f", b"content"),
        ("x.bz2", b"BZh91AY"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        outer.append_data(&mut header, name, content).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    outer.append_link(&mut header, "g", "f").unwrap();
    let bytes = outer.into_inner().unwrap();
    let mut tree = crate::docker::build::tree::Tree::new(tempfile::tempfile().unwrap());
    tree.add(
        &bytes[..],
        Path::new(""),
        crate::docker::build::tree::Others::Refuse,
    )
    .unwrap();
    let tree = std::sync::Arc::new(tree);
    let run = |line: &str| {
        let mut out = Vec::new();
        let archives = write(&plan(line, &tree)?, &mut image(), None, &mut out)?;
        let kinds: Vec<_> = tar::Archive::new(&out[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().header().entry_type())
            .collect();
        Ok::<_, Error>((archives, kinds))
    };
    let (archives, kinds) = run("ADD t.tar f /work/").unwrap();
    assert_eq!(archives[0].directory, "/work");
    assert_eq!(kinds, [tar::EntryType::Regular]);
    let (_, kinds) = run("COPY f g /work/").unwrap();
    assert_eq!(kinds, [tar::EntryType::Regular, tar::EntryType::Link]);
    let (archives, kinds) = run("COPY t.tar /work/").unwrap();
    assert!(archives.is_empty() && kinds == [tar::EntryType::Regular]);
    let (archives, kinds) = run("ADD x.bz2 /work/").unwrap();
    assert!(
        archives.is_empty() && kinds == [tar::EntryType::Regular],
        "what is no archive after all is copied"
    );
}

#[test]
fn a_working_directory_is_made_once() {
    let mut out = Vec::new();
    assert!(!write_directory(&mut image(), "/work/", &mut out).unwrap());
    assert!(!write_directory(&mut image(), "/", &mut out).unwrap());
    assert!(write_directory(&mut image(), "/work/a/b", &mut out).unwrap());
    assert!(write_directory(&mut image(), "/etc/passwd", &mut out).is_err());
}
