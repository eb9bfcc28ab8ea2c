//! Layers that nobody should have made, and some that only look like it.

use std::io::Write;
use std::path::Path;

use crate::archive::{Tar, base_layer, digest, docker_archive, docker_archive_with, gzip};
use crate::support::{Home, Lane, scratch};
use crate::{assert_empty, check, require};

/// Loads an archive from standard input.
fn load(home: &Home, archive: Vec<u8>) -> std::process::Output {
    home.shedbox(["load"])
        .write_stdin(archive)
        .output()
        .unwrap()
}

/// Loads an image of one layer, which must fail with all of these words.
#[track_caller]
fn layer_refused(home: &Home, layer: Vec<u8>, parts: &[&str]) {
    let stderr = check(&load(home, docker_archive(&[layer])), &["load"], 1, parts);
    assert!(stderr.len() < 1500, "{} bytes of error", stderr.len());
}

/// Loads `layer` on top of programs to run, and runs a script there.
#[track_caller]
fn run_on(home: &Home, layer: Vec<u8>, script: &str) -> (String, String) {
    let output = load(home, docker_archive(&[base_layer(), layer]));
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{warnings}");
    (
        home.run(["run", "--rm", "bad:1", "sh", "-c", script]),
        warnings,
    )
}

#[test]
fn names_that_lead_out() {
    require!(userns);
    let home = Home::new();
    for name in ["../escape", "a/../../escape", "..", "a/..", "/../escape"] {
        layer_refused(
            &home,
            Tar::default().file(name, "evil").end(),
            &[&format!("`{name}`"), "`..`"],
        );
    }
    assert_empty(&home);
}

#[test]
fn absolute_names_are_those_of_the_rootfs() {
    require!(userns, image "tiny");
    let home = Home::new();
    let outside = scratch();
    let name = format!("{}/evil", outside.path().display());
    let (content, _) = run_on(
        &home,
        Tar::default().file(&name, "inside").end(),
        &format!("cat {name}"),
    );
    assert_eq!(content, "inside");
    assert!(!Path::new(&name).exists());
}

#[test]
fn links_on_the_way() {
    require!(userns, image "tiny");
    let home = Home::new();
    let outside = scratch();
    let target = outside.path().to_str().unwrap();
    let above = format!("../../../../../../..{target}");
    for link in [target, &above] {
        let evil = Tar::default()
            .symlink("link", link)
            .file("link/evil", "evil")
            .end();
        layer_refused(&home, evil, &["`link`", "link"]);
        let evil = Tar::default().symlink("link", link).dir("link/evil").end();
        layer_refused(&home, evil, &["`link`"]);
        let evil = Tar::default()
            .file("f", "")
            .symlink("link", link)
            .hard_link("link/evil", "f")
            .end();
        layer_refused(&home, evil, &["`link`"]);
        // Over the link itself: the link gives way, what it named is untouched.
        let over = Tar::default()
            .symlink("link", &format!("{link}/file"))
            .file("link", "mine")
            .end();
        assert_eq!(
            run_on(&home, over, "test ! -L /link && cat /link").0,
            "mine"
        );
        home.run(["rmi", "bad:1"]);
    }
    assert_empty(&home);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    // A link that leads to a directory of the layer is a usual thing.
    let inside = Tar::default()
        .dir("real")
        .symlink("alias", "/real")
        .file("alias/file", "here")
        .end();
    assert_eq!(run_on(&home, inside, "cat /real/file").0, "here");
}

#[test]
fn hard_links_out_of_the_layer() {
    require!(userns);
    let home = Home::new();
    let outside = scratch();
    let file = outside.path().join("secret");
    std::fs::write(&file, "secret").unwrap();
    let absolute = file.to_str().unwrap();
    let above = format!("../../../../../../..{absolute}");
    layer_refused(
        &home,
        Tar::default().hard_link("link", absolute).end(),
        &["`link`", "not in this layer"],
    );
    layer_refused(
        &home,
        Tar::default().hard_link("link", &above).end(),
        &["`link`", "`..`"],
    );
    layer_refused(
        &home,
        Tar::default().hard_link("link", "missing").end(),
        &["`link`", "`missing`"],
    );
    let through = Tar::default()
        .symlink("dir", outside.path().to_str().unwrap())
        .hard_link("link", "dir/secret")
        .end();
    layer_refused(&home, through, &["`link`"]);
    layer_refused(
        &home,
        Tar::default().dir("dir").hard_link("link", "dir").end(),
        &["hard link to a directory"],
    );
    assert_empty(&home);
    assert_eq!(
        std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(&file).unwrap()),
        1
    );
}

#[test]
fn device_nodes_become_empty_files_with_a_warning() {
    require!(userns, image "tiny");
    let home = Home::new();
    let layer = Tar::default()
        .entry(b'3', b"null", b"", b"")
        .entry(b'4', b"disk", b"", b"")
        .end();
    let (said, warnings) = run_on(
        &home,
        layer,
        "test -f /null && test -f /disk && wc -c </disk",
    );
    assert_eq!(said, "0");
    assert!(
        warnings.contains("warning") && warnings.contains("device") && warnings.contains("`null`"),
        "{warnings}"
    );
}

#[test]
fn entries_over_others_of_another_kind() {
    require!(userns, image "tiny");
    let home = Home::new();
    let below = |kind: &str| match kind {
        "file" => Tar::default().file("x", "below"),
        "directory" => Tar::default().dir("x").file("x/inside", "below"),
        _ => Tar::default().symlink("x", "/etc/passwd"),
    };
    for before in ["file", "directory", "link"] {
        for (after, test) in [
            ("file", "test -f /x && test ! -L /x && cat /x"),
            ("directory", "test -d /x && test ! -L /x && ls /x"),
            ("link", "test -L /x && readlink /x"),
        ] {
            let layer = below(after).end();
            // In one layer and in two.
            let mut together = below(before);
            together = match after {
                "file" => together.file("x", "below"),
                "directory" => together.dir("x").file("x/inside", "below"),
                _ => together.symlink("x", "/etc/passwd"),
            };
            let expected = match after {
                "file" => "below",
                "directory" => "inside",
                _ => "/etc/passwd",
            };
            for layers in [
                vec![base_layer(), below(before).end(), layer],
                vec![base_layer(), together.end()],
            ] {
                let count = layers.len();
                let output = load(&home, docker_archive(&layers));
                assert!(output.status.success(), "{output:?}");
                let said = home.run(["run", "--rm", "bad:1", "sh", "-c", test]);
                assert_eq!(said, expected, "{after} over {before}, {count} layers");
            }
        }
    }
    layer_refused(
        &home,
        Tar::default().file("f", "").file("f/below", "").end(),
        &["`f`", "directory"],
    );
}

#[test]
fn extended_attributes_of_ten_megabytes() {
    require!(userns);
    let home = Home::new();
    let value = vec![b'v'; 10 << 20];
    let layer = Tar::default()
        .pax("SCHILY.xattr.user.big", &value)
        .file("victim", "")
        .end();
    layer_refused(&home, layer, &["extended header", "bytes"]);
    let layer = Tar::default()
        .pax("SCHILY.xattr.user.big", &value[..100_000])
        .file("victim", "")
        .end();
    layer_refused(&home, layer, &["`victim`", "user.big", "100000 bytes"]);
    assert_empty(&home);
}

#[test]
fn a_path_of_five_thousand_characters() {
    require!(userns);
    let home = Home::new();
    let name = "d/".repeat(2500);
    layer_refused(
        &home,
        Tar::default().file(&name, "").end(),
        &["long name", "5001 bytes"],
    );
    let layer = Tar::default()
        .pax("path", name.as_bytes())
        .file("short", "")
        .end();
    layer_refused(&home, layer, &["5000 bytes", "`d/d/d/"]);
    let name = "n".repeat(256);
    layer_refused(
        &home,
        Tar::default().file(&name, "").end(),
        &["nnnn", "255"],
    );
    assert_empty(&home);
}

#[test]
fn a_compression_bomb() {
    require!(userns);
    let home = Home::new();
    home.configure("max_layer_bytes = 1048576\nmax_layer_entries = 100\n");
    // 64 MiB of zeros are 64 KiB compressed.
    let zeros = Tar::default()
        .entry(b'0', b"bomb", b"", &vec![0; 64 << 20])
        .end();
    let bomb = gzip(&zeros);
    assert!(bomb.len() < 100_000);
    let archive = docker_archive_with(&[bomb], &[digest(&zeros)]);
    check(
        &load(&home, archive),
        &["load"],
        1,
        &["1048576 bytes", "hint: ", "max_layer_bytes"],
    );
    let many = (0..200)
        .fold(Tar::default(), |tar, number| {
            tar.file(&format!("f{number}"), "")
        })
        .end();
    layer_refused(&home, many, &["100 entries", "max_layer_entries"]);
    assert_empty(&home);
}

#[test]
fn names_that_are_not_utf8_work() {
    require!(userns, image "tiny");
    let home = Home::new();
    let layer = Tar::default()
        .entry(b'0', b"dir/\xff\xfe\x80", b"", b"content")
        .entry(b'2', b"link", b"dir/\xff\xfe\x80", b"")
        .end();
    let (said, _) = run_on(
        &home,
        layer,
        "cat /link; cd /dir; printf %s * | od -An -tx1",
    );
    assert_eq!(said, "content ff fe 80");
}

#[test]
fn owners_beyond_the_map() {
    require!(userns, image "tiny");
    let home = Home::new();
    let layer = Tar::default()
        .owned(b'0', b"foreign", b"", b"x", 3_000_000_000)
        .end();
    match Lane::current() {
        Lane::Subids => {
            layer_refused(
                &home,
                layer,
                &["`foreign`", "3000000000", "hint: ", "subordinate ids"],
            );
            assert_empty(&home);
        }
        Lane::Root => assert_eq!(run_on(&home, layer, "stat -c %u /foreign").0, "3000000000"),
        Lane::Single => {
            let (said, warnings) = run_on(&home, layer, "stat -c %u /foreign");
            assert_eq!(said, "0");
            assert!(
                warnings.contains("warning") && warnings.contains("foreign"),
                "{warnings}"
            );
        }
    }
}

#[test]
fn layers_that_are_broken() {
    require!(userns);
    let home = Home::new();
    let whole = Tar::default().file("file", &"x".repeat(5000)).end();
    layer_refused(&home, whole[..3000].to_vec(), &["middle of an entry"]);
    layer_refused(&home, vec![b'n'; 4096], &["not a valid tar archive"]);
    let packed = gzip(&whole);
    let archive = docker_archive_with(&[packed[..packed.len() / 2].to_vec()], &[digest(&whole)]);
    check(&load(&home, archive), &["load"], 1, &["gzip"]);
    // Whole, but not what the configuration promises.
    let archive = docker_archive_with(std::slice::from_ref(&whole), &[digest(b"something else")]);
    check(
        &load(&home, archive),
        &["load"],
        1,
        &[&digest(&whole), &digest(b"something else")],
    );
    assert_empty(&home);
}

#[test]
fn archives_that_are_none() {
    require!(userns);
    let home = Home::new();
    for archive in [
        Vec::new(),
        b"hello".to_vec(),
        vec![0; 10_000],
        Tar::default().file("etc/passwd", "x").end(),
    ] {
        check(&load(&home, archive), &["load"], 1, &["hint: "]);
    }
    let whole = docker_archive(&[Tar::default().file("f", "x").end()]);
    check(
        &load(&home, whole[..whole.len() / 2].to_vec()),
        &["load"],
        1,
        &["cannot load"],
    );
    let mut file = tempfile::NamedTempFile::new_in(crate::support::scratch_base()).unwrap();
    file.write_all(b"text").unwrap();
    let path = file.path().to_str().unwrap();
    crate::refused(&home, &["load", "--input", path], 1, &[path]);
    crate::refused(
        &home,
        &["load", "--input", "/no/such/archive"],
        1,
        &["/no/such/archive"],
    );
    let empty = scratch();
    let path = empty.path().to_str().unwrap();
    crate::refused(&home, &["load", "--input", path], 1, &[path]);
    assert_empty(&home);
}
