use std::fmt::Write as _;

use shedbox_dockerfile::{Instruction, parse};
use tar::EntryType as Type;

use super::*;
use crate::docker::build::tree::Others;

/// A tree of entries `path=content`, `path>target`, `path/`; all have the mode and owner that are given.
pub(in crate::docker::build) fn tree(entries: &[&str], mode: u32, owner: u64) -> Arc<Tree> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(7);
        header.set_size(0);
        if let Some((path, content)) = entry.split_once('=') {
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        } else if let Some((path, target)) = entry.split_once('>') {
            header.set_entry_type(Type::Symlink);
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_entry_type(Type::Directory);
            builder.append_data(&mut header, entry, &b""[..]).unwrap();
        }
    }
    let bytes = builder.into_inner().unwrap();
    let mut tree = Tree::new(tempfile::tempfile().unwrap());
    tree.add(&bytes[..], Path::new(""), Others::Refuse).unwrap();
    Arc::new(tree)
}

/// The plan of a line.
pub(in crate::docker::build) fn plan(line: &str, tree: &Arc<Tree>) -> Result<Plan> {
    let file = parse(format!("FROM x\n{line}").as_bytes()).unwrap();
    let (word, transfer, from) = match &file.instructions[1].instruction {
        Instruction::Copy(copy) => ("COPY", &copy.transfer, copy.from.is_some()),
        Instruction::Add(add) => ("ADD", &add.transfer, false),
        other => panic!("{other:?}"),
    };
    Plan::make(word, transfer, Arc::clone(tree), "/work", from)
}

#[test]
fn destinations() {
    for (workdir, destination, expected) in [
        ("/app", "x", "/app/x"),
        ("/app", "x/", "/app/x/"),
        ("/app", ".", "/app/"),
        ("/app", "./", "/app/"),
        ("", "x", "/x"),
        ("", ".", "/"),
        ("/app", "/", "/"),
        ("/app", "../../../x", "/x"),
        ("/a", "/b/../c", "/c"),
    ] {
        assert_eq!(
            absolute(workdir, destination),
            expected,
            "{workdir} {destination}"
        );
    }
}

#[test]
fn sources() {
    let tree = tree(
        &[
            "a/1.txt=1",
            "a/2.txt=2",
            "b.md=b",
            "c/1.txt=3",
            "odd[x]=o",
            "out>/etc",
            "dir>a",
            "file>a/1.txt",
        ],
        0o644,
        0,
    );
    let found = |source: &str| {
        let mut text = String::new();
        for path in matching(&tree, source).unwrap() {
            write!(text, "{} ", path.display()).unwrap();
        }
        text.trim_end().to_owned()
    };
    for (source, expected) in [
        ("a/*.txt", "a/1.txt a/2.txt"),
        ("*/1.txt", "a/1.txt c/1.txt dir/1.txt"),
        ("../../b.md", "b.md"),
        ("/b.md", "b.md"),
        (".", ""),
        ("dir/?.txt", "dir/1.txt dir/2.txt"),
        ("odd\\[x]", "odd[x]"),
        ("o*", "odd[x] out"),
        ("out", ""),
        ("none*", ""),
        ("a/1.txt/x", ""),
    ] {
        assert_eq!(found(source), expected, "{source}");
    }
    assert!(matching(&tree, "[").is_err());
}

#[test]
fn what_cannot_be_copied() {
    let tree = tree(&["a=1", "b=2", "ab/c=3"], 0o644, 0);
    for (line, words) in [
        (
            "COPY none /",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat none: file does not exist",
        ),
        (
            "COPY none* /",
            "COPY failed: no source files were specified",
        ),
        (
            "COPY a b /x",
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ),
        ("COPY --chmod=u+x a /", "invalid chmod parameter: 'u+x'"),
        ("COPY --chmod=77777 a /", "invalid chmod parameter"),
        ("ADD https://x/y /", "fetches nothing"),
        ("ADD git@x:y.git /", "fetches nothing"),
    ] {
        let message = plan(line, &tree).unwrap_err().message;
        assert!(message.contains(words), "{line}: {message}");
    }
    for line in ["COPY a b /x/", "COPY a* /x", "COPY a /x", "COPY . /"] {
        assert!(plan(line, &tree).is_ok(), "{line}");
    }
}

#[test]
fn the_key_is_of_what_is_copied() {
    let files = ["d/", "d/a=1", "d/l>a", "e=x"];
    let digest = |line: &str, tree: &Arc<Tree>| plan(line, tree).unwrap().digest().unwrap();
    let first = tree(&files, 0o644, 0);
    let base = digest("COPY d /x", &first);
    assert_eq!(base, digest("COPY d /x", &tree(&files, 0o644, 0)));
    // What lies beside it, and who owned it on the client's machine, does not count.
    assert_eq!(
        base,
        digest("COPY d /x", &tree(&["d/", "d/a=1", "d/l>a"], 0o644, 9))
    );
    let others = [
        digest("COPY d /y", &first),
        digest("COPY --chmod=600 d /x", &first),
        digest("ADD d /x", &first),
        digest("COPY d/a /x", &first),
        digest("COPY --exclude=l d /x", &first),
        digest("COPY --from=0 d /x", &first),
        digest("COPY --from=0 d /x", &tree(&files, 0o644, 9)),
        digest("COPY d /x", &tree(&files, 0o600, 0)),
        digest("COPY d /x", &tree(&["d/", "d/a=2", "d/l>a"], 0o644, 0)),
        digest("COPY d /x", &tree(&["d/", "d/a=1", "d/l>b"], 0o644, 0)),
        digest("COPY d /x", &tree(&["d/", "d/b=1", "d/l>a"], 0o644, 0)),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, base, "{index}");
        assert!(!others[..index].contains(other), "{index}");
    }
}
