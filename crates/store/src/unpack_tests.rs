use std::os::unix::fs::MetadataExt;

use crate::testing::{Item, Scratch, Tar, all_ids, became_root, brief};

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
