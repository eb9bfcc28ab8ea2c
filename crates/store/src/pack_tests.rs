use std::process::Command;

use super::*;
use crate::testing::{Item, Scratch, Tar, assert_same, became_root};

fn pack(dir: &Path) -> (Vec<u8>, Packed) {
    let mut stream = Vec::new();
    let packed = pack_layer(dir, &mut stream).unwrap();
    assert_eq!(packed.bytes, stream.len() as u64);
    assert_eq!(packed.diff_id, crate::blob::digest_of(&stream));
    (stream, packed)
}

fn everything() -> Vec<u8> {
    let long = [b"long-directory-name/".repeat(8), b"\xffname".to_vec()].concat();
    let target = "t".repeat(300);
    Tar::default()
        .item(&Item {
            mode: 0o755,
            mtime: 3,
            ..Item::new(b'5', "./")
        })
        .item(&Item {
            mode: 0o2775,
            mtime: 4,
            ..Item::new(b'5', "d")
        })
        .item(&Item {
            mode: 0o4755,
            data: b"elf",
            pax: &[(b"mtime", b"12.250000001")],
            ..Item::new(b'0', "d/su")
        })
        .item(&Item {
            pax: &[(b"mtime", b"-1.5"), (b"SCHILY.xattr.user.a", b"x\n=y")],
            ..Item::new(b'0', "old")
        })
        .hard_link("second", "d/su")
        .item(&Item {
            pax: &[(b"path", &long)],
            ..Item::new(b'0', "x")
        })
        .item(&Item {
            pax: &[(b"linkpath", target.as_bytes())],
            ..Item::new(b'2', "link")
        })
        .item(&Item {
            mode: 0o600,
            ..Item::new(b'6', "fifo")
        })
        .file("d/.wh.gone", "")
        .dir("o")
        .file("o/.wh..wh..opq", "")
        .file("o/f", &"content ".repeat(100_000))
        .end()
}

#[test]
fn what_is_packed_unpacks_to_the_same() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let first = scratch.ingest(&everything()).unwrap();
    let first_dir = scratch.store.layer_dir(&first.diff_id);
    let (stream, packed) = pack(&first_dir);
    let second = scratch.ingest(&stream).unwrap();
    assert_eq!(second.diff_id, packed.diff_id);
    assert_ne!(second.diff_id, first.diff_id);
    let second_dir = scratch.store.layer_dir(&second.diff_id);
    assert_same(&second_dir, &first_dir);
    // And from then on it is a fixed point.
    assert_eq!(pack(&second_dir), (stream, packed));
}

#[test]
fn gnu_tar_reads_it() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let data = Tar::default()
        .item(&Item {
            mode: 0o2775,
            mtime: 4,
            ..Item::new(b'5', "d")
        })
        .item(&Item {
            mode: 0o4755,
            data: b"elf",
            pax: &[(b"mtime", b"12.250000001")],
            ..Item::new(b'0', "d/su")
        })
        .hard_link("second", "d/su")
        .item(&Item {
            pax: &[(b"path", &b"name/".repeat(30))],
            ..Item::new(b'5', "x")
        })
        .symlink("link", "d")
        .end();
    let layer = scratch.ingest(&data).unwrap();
    let dir = scratch.store.layer_dir(&layer.diff_id);
    let archive = scratch.dir.path().join("a.tar");
    std::fs::write(&archive, pack(&dir).0).unwrap();
    let out = scratch.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let status = Command::new("tar")
        .args(["-xpf"])
        .arg(&archive)
        .args(["--numeric-owner", "-C"])
        .arg(&out)
        .status()
        .unwrap();
    assert!(status.success());
    assert_same(&out, &dir);
}

#[test]
fn the_tar_crate_sees_oci_whiteouts() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let layer = scratch.ingest(&everything()).unwrap();
    let (stream, _) = pack(&scratch.store.layer_dir(&layer.diff_id));
    let mut archive = tar::Archive::new(&stream[..]);
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned())
        .collect();
    let mut expected = vec!["./", "d/", "d/.wh.gone", "d/su", "fifo", "link"];
    let directories: Vec<String> = (1..=8)
        .map(|depth| "long-directory-name/".repeat(depth))
        .collect();
    expected.extend(directories.iter().map(String::as_str));
    let deepest = format!("{}\u{fffd}name", directories[7]);
    expected.extend([&deepest, "o/", "o/.wh..wh..opq", "o/f", "old", "second"]);
    assert_eq!(names, expected);
}

#[test]
fn what_cannot_be_said_in_tar_is_refused() {
    if became_root() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::write(dir.path().join(".wh.x"), "").unwrap();
    let error = pack_layer(dir.path(), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("`.wh.x`"), "{error}");
    std::fs::remove_file(dir.path().join(".wh.x")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let (stream, _) = pack(dir.path());
    assert_eq!(stream.len() % BLOCK, 0);
    assert!(!stream.windows(6).any(|window| window == b"socket"));
}

#[test]
fn a_full_disk_is_the_writers_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(28))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let error = pack_layer(dir.path(), &mut Full).unwrap_err();
    assert_eq!(error.kind(), shedbox_spec::Kind::Exhausted);
}

#[test]
fn times_as_decimal_fractions() {
    for (seconds, nanos, text) in [
        (5, 0, "5"),
        (5, 250_000_000, "5.25"),
        (0, 1, "0.000000001"),
        (-1, 0, "-1"),
        (-2, 750_000_000, "-1.25"),
        (-1, 500_000_000, "-0.5"),
    ] {
        assert_eq!(pax_time(Timestamp { seconds, nanos }), text);
    }
}
