use std::os::unix::fs::MetadataExt;

use shedbox_spec::Kind;

use crate::testing::{Item, Scratch, Tar, all_ids, became_root, brief, options, tree};
use crate::{IdPolicy, StoreOptions, UnpackLimits};

/// The layer's tree without owners and times.
fn layer(tar: Tar) -> Vec<String> {
    let scratch = Scratch::new();
    let layer = scratch.ingest(&tar.end()).unwrap();
    brief(&scratch.store.layer_dir(&layer.diff_id))
}

fn refused(tar: Tar) -> String {
    Scratch::new().refused(&tar.end()).message
}

#[test]
fn everything_is_kept() {
    if became_root() {
        return;
    }
    let (uid, gid) = if all_ids() { (1000, 50) } else { (0, 0) };
    let data = Tar::default()
        .item(&Item {
            mode: 0o2775,
            uid,
            gid,
            mtime: 5,
            ..Item::new(b'5', "srv/")
        })
        .item(&Item {
            mode: 0o4755,
            uid,
            gid,
            data: b"elf",
            pax: &[(b"mtime", b"12.25")],
            ..Item::new(b'0', "srv/su")
        })
        .item(&Item {
            mode: 0o444,
            pax: &[(b"SCHILY.xattr.user.note", b"hi")],
            ..Item::new(b'0', "srv/empty")
        })
        .item(&Item {
            uid,
            gid,
            link: b"/etc/none",
            ..Item::new(b'2', "srv/link")
        })
        .hard_link("srv/second", "srv/su")
        .item(&Item {
            mode: 0o622,
            uid,
            ..Item::new(b'6', "srv/fifo")
        })
        .item(&Item {
            mode: 0o1777,
            ..Item::new(b'5', "tmp")
        })
        .end();
    let scratch = Scratch::new();
    assert_eq!(
        scratch.tree_of(&data),
        [
            format!("srv 2775 {uid} {gid} 5.000000000 "),
            "srv/empty 0444 0 0 1700000000.000000000 \"\" user.note=hi".to_owned(),
            format!("srv/fifo 0622 {uid} 0 1700000000.000000000 "),
            format!("srv/link 0777 {uid} {gid} 1700000000.000000000 -> /etc/none"),
            format!("srv/second 4755 {uid} {gid} 12.250000000 \"elf\" links=2"),
            format!("srv/su 4755 {uid} {gid} 12.250000000 \"elf\" links=2"),
            "tmp 1777 0 0 1700000000.000000000 ".to_owned(),
        ]
    );
}

#[test]
fn the_root_entry_is_the_root() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let data = Tar::default()
        .item(&Item {
            mode: 0o700,
            mtime: 9,
            ..Item::new(b'5', "./")
        })
        .file("./a", "x")
        .end();
    let layer = scratch.ingest(&data).unwrap();
    let meta = scratch.store.layer_dir(&layer.diff_id).metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o700, 9));
    assert!(
        refused(Tar::default().symlink("/", "/etc")).contains("the root can only be a directory")
    );
}

#[test]
fn names_cannot_leave_the_layer() {
    if became_root() {
        return;
    }
    for name in ["../x", "a/../../x", "/../x", "a/..", ".."] {
        assert!(
            refused(Tar::default().file(name, "")).contains("`..`"),
            "{name}"
        );
    }
    assert_eq!(
        layer(Tar::default().file("/abs//olute", "x")),
        ["abs 0755", "abs/olute 0644 \"x\""]
    );
}

#[test]
fn links_on_the_way_lead_nowhere_but_inside() {
    if became_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    // An absolute link, one with many `..`, and one to the root itself.
    for link in [target, &format!("../../../../../..{target}")] {
        let message = refused(Tar::default().symlink("l", link).file("l/evil", "x"));
        assert!(message.contains("link that does not lead to"), "{message}");
        let message = refused(Tar::default().symlink("l", link).dir("l/evil/"));
        assert!(message.contains("`l`"), "{message}");
        let message = refused(
            Tar::default()
                .file("f", "")
                .symlink("l", link)
                .hard_link("l/evil", "f"),
        );
        assert!(message.contains("link that does not lead to"), "{message}");
        for whiteout in ["l/.wh.evil", "l/sub/.wh.evil", "l/.wh..wh..opq"] {
            let found = layer(Tar::default().symlink("l", link).file(whiteout, ""));
            assert_eq!(found, [format!("l 0777 -> {link}")], "{whiteout}");
        }
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(
        layer(
            Tar::default()
                .dir("usr/lib")
                .symlink("lib", "/usr/lib")
                .file("lib/x", "x")
                .symlink("up", "../../../usr")
                .file("up/lib/y", "y")
        ),
        [
            "lib 0777 -> /usr/lib",
            "up 0777 -> ../../../usr",
            "usr 0755",
            "usr/lib 0755",
            "usr/lib/x 0644 \"x\"",
            "usr/lib/y 0644 \"y\"",
        ]
    );
}

#[test]
fn a_link_is_replaced_not_written_through() {
    if became_root() {
        return;
    }
    let outside = tempfile::NamedTempFile::new().unwrap();
    let path = outside.path().to_str().unwrap();
    assert_eq!(
        layer(
            Tar::default()
                .symlink("f", path)
                .file("f", "new")
                .symlink("d", "/etc")
                .dir("d")
                .file("d/passwd", "x")
        ),
        ["d 0755", "d/passwd 0644 \"x\"", "f 0644 \"new\""]
    );
    assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
}

#[test]
fn a_directory_swapped_for_a_link_is_not_followed_from_the_cache() {
    if became_root() {
        return;
    }
    // The open directory of `d` must be forgotten when `d` becomes a link.
    assert_eq!(
        layer(
            Tar::default()
                .file("d/one", "1")
                .dir("e")
                .symlink("d", "e")
                .file("d/two", "2")
        ),
        ["d 0777 -> e", "e 0755", "e/two 0644 \"2\""]
    );
}

#[test]
fn hard_links_need_a_target_in_the_layer() {
    if became_root() {
        return;
    }
    for target in ["none", "dir/none", "/etc/passwd", "gone"] {
        let message = refused(Tar::default().file(".wh.gone", "").hard_link("l", target));
        assert!(
            message.contains("is not in this layer"),
            "{target}: {message}"
        );
    }
    let message = refused(Tar::default().hard_link("l", "../../etc/passwd"));
    assert!(message.contains("`..`"), "{message}");
    let message = refused(Tar::default().dir("d").hard_link("l", "d"));
    assert!(message.contains("hard link to a directory"), "{message}");
    assert_eq!(
        layer(
            Tar::default()
                .file("f", "x")
                .hard_link("f", "f")
                .symlink("s", "f")
                .hard_link("t", "./s")
                .file("old", "")
                .hard_link("old", "/f")
        ),
        [
            "f 0644 \"x\" links=2",
            "old 0644 \"x\" links=2",
            "s 0777 -> f links=2",
            "t 0777 -> f links=2",
        ]
    );
}

#[test]
fn later_entries_replace_earlier_ones_of_any_kind() {
    if became_root() {
        return;
    }
    let make = |tar: Tar, kind: u8, name: &'static str| match kind {
        b'0' => tar.file(name, "new"),
        b'1' => tar.hard_link(name, "target"),
        b'2' => tar.symlink(name, "target"),
        b'5' => tar.dir(name),
        _ => tar.item(&Item::new(kind, name)),
    };
    for before in [b'0', b'1', b'2', b'5', b'6'] {
        for after in [b'0', b'1', b'2', b'5', b'6'] {
            let mut tar = Tar::default().file("target", "t");
            tar = make(tar, before, "x");
            if before == b'5' {
                tar = tar.file("x/inside", "i").dir("x/sub");
            }
            let mut expected = match after {
                b'0' => vec!["x 0644 \"new\""],
                b'1' => vec!["x 0644 \"t\" links=2"],
                b'2' => vec!["x 0777 -> target"],
                b'5' => vec!["x 0755"],
                _ => vec!["x 0644"],
            };
            if (before, after) == (b'5', b'5') {
                expected.extend(["x/inside 0644 \"i\"", "x/sub 0755"]);
            }
            let target = if after == b'1' {
                "target 0644 \"t\" links=2"
            } else {
                "target 0644 \"t\""
            };
            expected.insert(0, target);
            let found = layer(make(tar, after, "x"));
            assert_eq!(
                found,
                expected,
                "{} over {}",
                char::from(after),
                char::from(before)
            );
        }
    }
    let message = refused(Tar::default().file("f", "").file("f/below", ""));
    assert!(message.contains("used as a directory"), "{message}");
}

/// umoci removes what was in a directory one by one, also when something else takes the directory's place.
#[test]
fn whiteouts_below_what_has_replaced_a_directory() {
    if became_root() {
        return;
    }
    for whiteout in ["x/.wh.old", "x/deeper/.wh.old", "x/.wh..wh..opq"] {
        let found = layer(Tar::default().file("x", "new").file(whiteout, ""));
        assert_eq!(found, ["x 0644 \"new\""], "{whiteout}");
        let found = layer(Tar::default().file(whiteout, "").file("x", "new"));
        assert_eq!(found, ["x 0644 \"new\""], "{whiteout} first");
        // Through a link it would hit what the link leads to.
        let found = layer(
            Tar::default()
                .dir("to")
                .symlink("x", "to")
                .file(whiteout, ""),
        );
        assert_eq!(found, ["to 0755", "x 0777 -> to"], "{whiteout}");
    }
}

#[test]
fn a_directory_said_twice_has_the_last_metadata() {
    if became_root() {
        return;
    }
    let data = Tar::default()
        .item(&Item {
            mode: 0o2755,
            mtime: 1,
            ..Item::new(b'5', "d")
        })
        .file("d/f", "")
        .item(&Item {
            mode: 0o700,
            mtime: 2,
            ..Item::new(b'5', "d/")
        })
        .end();
    let scratch = Scratch::new();
    assert_eq!(scratch.tree_of(&data)[0], "d 0700 0 0 2.000000000 ");
}

#[test]
fn whiteouts() {
    if became_root() {
        return;
    }
    let found = layer(
        Tar::default()
            .file("d/.wh.gone", "")
            .dir("o")
            .file("o/.wh..wh..opq", "")
            .file("implied/.wh..wh..opq", "")
            // Made and removed in one layer, in both orders: what is made stays.
            .file("both1", "x")
            .file(".wh.both1", "")
            .file(".wh.both2", "")
            .file("both2", "x")
            // The same with directories: nothing below may shine through.
            .dir("dir1")
            .file(".wh.dir1", "")
            .file(".wh.dir2", "")
            .dir("dir2")
            .file(".wh.dir3", "")
            .file("dir3/f", "x")
            .file(".wh..wh.plnk/1", "")
            .file(".wh..wh.aufs", ""),
    );
    assert_eq!(
        found,
        [
            "both1 0644 \"x\"",
            "both2 0644 \"x\"",
            "d 0755",
            "d/gone 0000 device 0",
            "dir1 0755 user.overlay.opaque=y",
            "dir2 0755 user.overlay.opaque=y",
            "dir3 0755 user.overlay.opaque=y",
            "dir3/f 0644 \"x\"",
            "implied 0755 user.overlay.opaque=y",
            "o 0755 user.overlay.opaque=y",
        ]
    );
    for (name, reason) in [
        (".wh.", "names nothing"),
        ("d/.wh..", "names nothing"),
        (".wh...", "names nothing"),
        (".wh.d/f", "whiteout's name"),
    ] {
        let message = refused(Tar::default().file(name, ""));
        assert!(message.contains(reason), "{name}: {message}");
    }
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
    // At the border of an entry the end mark may be missing, as everywhere.
    assert_eq!(scratch.tree_of(&whole).len(), 1);
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
