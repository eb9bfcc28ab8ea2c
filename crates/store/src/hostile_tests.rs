//! Archives at random: whatever they say, nothing outside the layer changes, nothing panics, nothing is left behind.

use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use crate::testing::{Item, Scratch, Tar, became_root, tree};

/// Few names, so that entries meet: directories, links to everywhere, whiteouts.
fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        30 => "[abc]",
        1 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
        3 => "\\.wh\\.[abc]",
        1 => Just(".wh..wh..opq".to_owned()),
    ];
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn entries() -> impl Strategy<Value = Vec<(u8, String, String)>> {
    let kind = prop_oneof![
        Just(b'0'),
        Just(b'1'),
        Just(b'2'),
        Just(b'3'),
        Just(b'5'),
        Just(b'6')
    ];
    let target = prop_oneof![
        2 => name(),
        1 => Just("OUTSIDE".to_owned()),
        1 => Just("/".to_owned()),
        1 => Just("../../../../..".to_owned()),
        1 => Just(".".to_owned()),
    ];
    proptest::collection::vec((kind, name(), target), 1..12)
}

/// A store beside a directory that must not change and that links of archives point to.
fn surroundings() -> (Scratch, std::path::PathBuf, Vec<String>) {
    let scratch = Scratch::new();
    let outside = scratch.dir.path().join("outside");
    std::fs::create_dir_all(outside.join("a/b")).unwrap();
    std::fs::write(outside.join("b"), "precious").unwrap();
    std::fs::write(outside.join("a/c"), "precious").unwrap();
    symlink("a", outside.join("c")).unwrap();
    let before = everything(&outside);
    (scratch, outside, before)
}

fn everything(outside: &Path) -> Vec<String> {
    let mut lines = tree(outside);
    let meta = outside.metadata().unwrap();
    lines.push(format!(
        "{:?} {:?}",
        meta.permissions(),
        meta.modified().unwrap()
    ));
    lines
}

#[test]
fn entries_that_meet_stay_inside() {
    if became_root() {
        return;
    }
    let (scratch, outside, before) = surroundings();
    let accepted = std::cell::Cell::new(0);
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(entries in entries())| {
        let mut tar = Tar::default();
        // Links to the outside are what later entries try to go through.
        let absolute = outside.to_str().unwrap();
        for (kind, name, target) in &entries {
            let link = if target == "OUTSIDE" { absolute } else { target };
            let data: &[u8] = if *kind == b'0' { b"overwritten" } else { b"" };
            tar = tar.item(&Item { link: link.as_bytes(), data, mode: 0o777, ..Item::new(*kind, name) });
        }
        if let Ok(layer) = scratch.ingest(&tar.end()) {
            accepted.set(accepted.get() + 1);
            tree(&scratch.store.layer_dir(&layer.diff_id));
        }
        prop_assert_eq!(&everything(&outside), &before);
        let left = crate::root::names_in(&scratch.store.root().join("ingest")).unwrap();
        prop_assert_eq!(left, Vec::<String>::new());
    });
    let accepted = accepted.get();
    assert!(
        accepted > 10,
        "only {accepted} archives were accepted: this tests nothing"
    );
}

#[test]
fn damaged_headers_are_refused_or_read() {
    if became_root() {
        return;
    }
    let (scratch, outside, before) = surroundings();
    let whole = Tar::default()
        .dir("a")
        .item(&Item {
            pax: &[
                (b"path", b"a/long"),
                (b"mtime", b"1.5"),
                (b"GNU.sparse.size", b"9"),
                (b"GNU.sparse.map", b"0,3"),
            ],
            data: b"abc",
            ..Item::new(b'0', "x")
        })
        .symlink("l", outside.to_str().unwrap())
        .item(&Item {
            data: b"l/through\0",
            ..Item::new(b'L', "long")
        })
        .file("x", "y")
        .hard_link("h", "a/long")
        .end();
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(changes in proptest::collection::vec((0..whole.len(), any::<u8>()), 1..6))| {
        let mut data = whole.clone();
        for (place, byte) in changes {
            data[place] = byte;
            // The header it is in, if it is one, gets a checksum that fits: otherwise that is all that would be tested.
            let start = place / 512 * 512;
            let block = &mut data[start..start + 512];
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = scratch.ingest(&data);
        prop_assert_eq!(&everything(&outside), &before);
    });
}

#[test]
fn compressed_streams_with_random_damage() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let plain = Tar::default().file("f", &"text ".repeat(3000)).end();
    for whole in [crate::testing::gzip(&plain), crate::testing::zstd(&plain)] {
        let config = ProptestConfig {
            cases: 200,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |(place in 0..whole.len(), byte: u8, cut in 0..whole.len())| {
            let mut data = whole.clone();
            data[place] = byte;
            let _ = scratch.ingest(&data);
            prop_assert!(scratch.ingest(&whole[..cut]).is_err() || cut == 0);
        });
    }
}
