//! What a layer may not have, and what is lost of it.

use std::os::unix::fs::MetadataExt;

use shedbox_spec::Kind;

use crate::testing::{Item, Scratch, Tar, became_root, brief, options, tree};
use crate::{IdPolicy, StoreOptions, UnpackLimits};

fn refused(tar: Tar) -> String {
    Scratch::new().refused(&tar.end()).message
}

#[test]
fn devices_become_empty_files() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let data = Tar::default()
        .item(&Item::new(b'3', "dev/null"))
        .item(&Item::new(b'4', "dev/sda"))
        .end();
    let layer = scratch.ingest(&data).unwrap();
    assert_eq!(
        brief(&scratch.store.layer_dir(&layer.diff_id)),
        ["dev 0755", "dev/null 0644 \"\"", "dev/sda 0644 \"\""]
    );
    assert_eq!(
        layer.warnings,
        ["device nodes became empty files: `dev/null` and 1 more"]
    );
}

#[test]
fn archives_cannot_forge_overlay_marks() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let pax: &[(&[u8], &[u8])] = &[
        (b"SCHILY.xattr.user.overlay.opaque", b"y"),
        (b"SCHILY.xattr.user.overlay.redirect", b"/etc"),
        (b"SCHILY.xattr.user.overlay.metacopy", b""),
        (b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
        (b"SCHILY.xattr.security.selinux", b"x"),
        (b"SCHILY.xattr.user.fine", b"1"),
    ];
    let data = Tar::default()
        .item(&Item {
            pax,
            ..Item::new(b'5', "d")
        })
        .item(&Item {
            pax,
            ..Item::new(b'0', "f")
        })
        .item(&Item {
            pax,
            link: b"f",
            ..Item::new(b'2', "l")
        })
        .end();
    let layer = scratch.ingest(&data).unwrap();
    assert_eq!(
        brief(&scratch.store.layer_dir(&layer.diff_id)),
        [
            "d 0755 user.fine=1",
            "f 0644 \"\" user.fine=1",
            "l 0777 -> f"
        ]
    );
    assert_eq!(layer.warnings.len(), 1, "{:?}", layer.warnings);
    assert!(
        layer.warnings[0].contains("`user.overlay.opaque` of `d` and 15 more"),
        "{:?}",
        layer.warnings
    );
}

#[test]
fn capabilities_are_kept_or_missed() {
    if became_root() {
        return;
    }
    // Version 2, effective, CAP_NET_BIND_SERVICE.
    let value: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let pax: &[(&[u8], &[u8])] = &[(b"SCHILY.xattr.security.capability", value)];
    let scratch = Scratch::new();
    let data = Tar::default()
        .item(&Item {
            pax,
            mode: 0o755,
            data: b"x",
            ..Item::new(b'0', "f")
        })
        .end();
    let layer = scratch.ingest(&data).unwrap();
    let found = brief(&scratch.store.layer_dir(&layer.diff_id));
    if layer.warnings.is_empty() {
        assert_eq!(
            found,
            ["f 0755 \"x\" capability=0100000200040000000000000000000000000000"]
        );
    } else {
        assert_eq!(found, ["f 0755 \"x\""]);
        assert!(
            layer.warnings[0].contains("file capabilities"),
            "{:?}",
            layer.warnings
        );
    }
    // What is no capability at all is left out, with a warning.
    let pax: &[(&[u8], &[u8])] = &[(b"SCHILY.xattr.security.capability", b"nonsense")];
    let data = Tar::default()
        .item(&Item {
            pax,
            ..Item::new(b'0', "f")
        })
        .end();
    assert_eq!(scratch.ingest(&data).unwrap().warnings.len(), 1);
}

#[test]
fn owners_beyond_the_map() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    for (uid, gid, which) in [(65536, 0, "uid"), (0, 70_000, "gid"), (1 << 40, 0, "uid")] {
        let uid_text = uid.to_string();
        let pax: &[(&[u8], &[u8])] = &[(b"uid", uid_text.as_bytes())];
        let data = Tar::default()
            .item(&Item {
                gid,
                pax,
                ..Item::new(b'0', "srv/theirs")
            })
            .end();
        let error = scratch.refused(&data);
        let id = if which == "uid" { uid } else { gid };
        assert!(
            error
                .message
                .contains(&format!("`srv/theirs` belongs to {which} {id}")),
            "{error:?}"
        );
        assert!(error.hint.is_some());
    }
    let single = Scratch::with(StoreOptions {
        ids: IdPolicy::Single,
        ..options()
    });
    let data = Tar::default()
        .item(&Item {
            uid: 1000,
            ..Item::new(b'0', "a")
        })
        .item(&Item {
            uid: 5,
            gid: 70_000,
            ..Item::new(b'5', "b")
        })
        .end();
    let layer = single.ingest(&data).unwrap();
    assert_eq!(layer.warnings.len(), 1, "{:?}", layer.warnings);
    assert!(layer.warnings[0].contains("`a` and 1 more"));
    for line in tree(&single.store.layer_dir(&layer.diff_id)) {
        assert!(line.contains(" 0 0 "), "{line}");
    }
}

#[test]
fn names_of_any_bytes() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let long = [&b"\xfe"[..], &[b'n'; 150], b"/caf\xe9 \n\x01"].concat();
    let pax: &[(&[u8], &[u8])] = &[(b"path", &long)];
    let data = Tar::default()
        .item(&Item {
            name: b"d\xff/\xc3\x28",
            ..Item::new(b'0', "")
        })
        .item(&Item {
            pax,
            ..Item::new(b'0', "short")
        })
        .end();
    let found = scratch.tree_of(&data);
    let names: Vec<&str> = found
        .iter()
        .map(|line| line.split(" 0").next().unwrap())
        .collect();
    let dir = format!("\\xfe{}", "n".repeat(150));
    assert_eq!(
        names,
        [
            &dir,
            &format!("{dir}/caf\\xe9 \\n\\x01"),
            "d\\xff",
            "d\\xff/\\xc3("
        ]
    );
}

#[test]
fn paths_that_are_too_long() {
    if became_root() {
        return;
    }
    let long = "abc/".repeat(1250);
    assert_eq!(long.len(), 5000);
    let pax: &[(&[u8], &[u8])] = &[(b"path", long.as_bytes())];
    let message = refused(Tar::default().item(&Item {
        pax,
        ..Item::new(b'0', "x")
    }));
    assert!(
        message.contains("the path has 5000 bytes, at most 4095"),
        "{message}"
    );
    assert!(message.len() < 500, "{}", message.len());
    let message = refused(
        Tar::default()
            .item(&Item {
                data: &[b'n'; 300],
                ..Item::new(b'L', "x")
            })
            .file("y", ""),
    );
    assert!(message.contains("at most 255"), "{message}");
    let target = "t".repeat(5000);
    let pax: &[(&[u8], &[u8])] = &[(b"linkpath", target.as_bytes())];
    let message = refused(Tar::default().item(&Item {
        pax,
        ..Item::new(b'2', "l")
    }));
    assert!(message.contains("5000 bytes"), "{message}");
    // The longest that is possible.
    let deep = "a/".repeat(2047);
    let pax: &[(&[u8], &[u8])] = &[(b"path", deep.as_bytes())];
    let scratch = Scratch::new();
    scratch
        .ingest(
            &Tar::default()
                .item(&Item {
                    pax,
                    ..Item::new(b'5', "x")
                })
                .end(),
        )
        .unwrap();
}

#[test]
fn extended_headers_are_bounded() {
    if became_root() {
        return;
    }
    let big = vec![b'v'; 10 << 20];
    let pax: &[(&[u8], &[u8])] = &[(b"SCHILY.xattr.user.big", &big)];
    let message = refused(Tar::default().item(&Item {
        pax,
        ..Item::new(b'0', "f")
    }));
    assert!(message.contains("extended header has 10485"), "{message}");
    // Within that bound, but more than an inode can hold.
    for size in [60_000, 100_000] {
        let pax: &[(&[u8], &[u8])] = &[(b"SCHILY.xattr.user.big", &big[..size])];
        let message = refused(Tar::default().item(&Item {
            pax,
            ..Item::new(b'0', "f")
        }));
        assert!(
            message.contains("`f`") && message.contains("`user.big`"),
            "{message}"
        );
    }
    // A long name of 2 GiB is refused by its header alone.
    let mut header = tar::Header::new_gnu();
    header.set_size(2 << 30);
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_cksum();
    let message = refused(Tar::default().raw(header.as_bytes()));
    assert!(
        message.contains("long name has 2147483648 bytes"),
        "{message}"
    );
}

#[test]
fn limits() {
    if became_root() {
        return;
    }
    let limits = UnpackLimits {
        max_entries: 100,
        max_layer_bytes: 1 << 20,
        ..UnpackLimits::default()
    };
    let scratch = Scratch::with(StoreOptions {
        limits,
        ..options()
    });
    let mut tar = Tar::default();
    for index in 0..101 {
        tar = tar.file(&format!("f{index}"), "");
    }
    let error = scratch.refused(&tar.end());
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.hint.unwrap().contains("max_layer_entries"));
    // Directories that a path implies count as well.
    let error = scratch.refused(
        &Tar::default()
            .file(&"a/".repeat(49), "")
            .file(&format!("{}f", "b/".repeat(49)), "")
            .file("c/d/e", "")
            .end(),
    );
    assert!(error.message.contains("100 entries"), "{}", error.message);
    // A compression bomb: 2 MiB of nothing in 2 KiB.
    let bomb = crate::testing::gzip(
        &Tar::default()
            .item(&Item {
                data: &vec![0; 2 << 20],
                ..Item::new(b'0', "zeros")
            })
            .end(),
    );
    let error = scratch.refused(&bomb);
    assert!(error.message.contains("1048576 bytes"), "{}", error.message);
    assert!(error.hint.unwrap().contains("max_layer_bytes"));
}

#[test]
fn zeros_become_holes() {
    if became_root() {
        return;
    }
    let mut content = vec![0; 50 << 20];
    content[10 << 20] = 7;
    content[(20 << 20) + 5] = 8;
    let scratch = Scratch::new();
    let data = Tar::default()
        .item(&Item {
            data: &content,
            ..Item::new(b'0', "f")
        })
        .item(&Item {
            data: &[0; 5000],
            ..Item::new(b'0', "small")
        })
        .end();
    let layer = scratch.ingest(&data).unwrap();
    let path = scratch.store.layer_dir(&layer.diff_id).join("f");
    assert!(std::fs::read(&path).unwrap() == content);
    let blocks = path.metadata().unwrap().blocks();
    assert!(blocks < 4096, "{blocks} blocks for two bytes");
    assert_eq!(
        std::fs::read(path.with_file_name("small")).unwrap(),
        [0; 5000]
    );
}

#[test]
fn broken_archives() {
    if became_root() {
        return;
    }
    let whole = Tar::default().file("f", &"x".repeat(2000)).open_end();
    let scratch = Scratch::new();
    for length in [100, 512, 600, 2000, 512 + 1999] {
        let message = scratch.refused(&whole[..length]).message;
        assert!(
            message.contains("middle of an entry"),
            "{length}: {message}"
        );
    }
    // Behind the data of an entry the end mark may be missing, and even the padding, as everywhere.
    assert_eq!(scratch.tree_of(&whole).len(), 1);
    assert_eq!(scratch.tree_of(&whole[..2512]).len(), 1);
    assert_eq!(scratch.tree_of(&whole[..2513]).len(), 1);
    // And with it what fills the last block, as `umoci insert` writes it.
    for length in [512 + 2000, whole.len() - 1] {
        assert_eq!(
            Scratch::new().tree_of(&whole[..length]).len(),
            1,
            "{length}"
        );
    }
    let mut lone = Tar::default().file("a", "").open_end();
    lone.extend_from_slice(&[0; 512]);
    lone.extend(Tar::default().file("b", "").end());
    let scratch = Scratch::new();
    assert!(
        scratch
            .refused(&lone)
            .message
            .contains("single block of zeros")
    );
    let message = scratch
        .refused(&Tar::default().item(&Item::new(b'M', "part")).end())
        .message;
    assert!(message.contains("type `M`"), "{message}");
    let message = scratch.refused(&[b'n'; 4096]).message;
    assert!(message.contains("not a valid tar archive"), "{message}");
}
