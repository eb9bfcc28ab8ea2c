use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::testing::{Item, Scratch, Tar, all_ids, became_root, gzip, options, zstd};
use crate::{IdPolicy, StoreOptions};

/// Where the layer is made again from its record.
struct Copy(Vec<u8>);

impl Write for Copy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TarOutput for Copy {
    fn restart(&mut self) -> io::Result<()> {
        self.0.clear();
        Ok(())
    }
}

/// Unpacks an archive that must be accepted, and makes it again from the record.
fn there_and_back(scratch: &Scratch, tar: &[u8]) -> Digest {
    let diff_id = scratch.ingest(tar).unwrap().diff_id;
    let mut copy = Copy(Vec::new());
    let packed = scratch
        .store
        .reproduce(&diff_id, &mut copy)
        .unwrap()
        .expect("there is no record");
    assert_eq!(packed.bytes, tar.len() as u64);
    assert!(copy.0 == tar, "other bytes");
    let left = crate::root::names_in(&scratch.store.root().join("ingest")).unwrap();
    assert_eq!(left, [""; 0]);
    diff_id
}

fn layer(scratch: &Scratch, diff_id: &Digest) -> PathBuf {
    scratch.store.root().join("layers").join(diff_id.hex())
}

/// Content that does not become a hole and differs from place to place.
fn noise(length: usize) -> String {
    (0..length)
        .map(|index| char::from(b' ' + (index * 7 % 90) as u8))
        .collect()
}

#[test]
fn dialects_and_forms() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
    let mut archives = vec![
        ("empty", Tar::default().end()),
        ("without an end", Tar::default().file("f", "x").open_end()),
        (
            "GNU's long names",
            Tar::default()
                .item(&Item {
                    data: format!("{long}\0").as_bytes(),
                    ..Item::new(b'L', "././@LongLink")
                })
                .file("cut", "content")
                .item(&Item {
                    data: format!("{long}\0").as_bytes(),
                    ..Item::new(b'K', "././@LongLink")
                })
                .hard_link("h", "cut")
                .end(),
        ),
        (
            "PAX, a global header, times and attributes",
            Tar::default()
                .item(&Item {
                    data: b"20 comment=abcdefgh\n",
                    ..Item::new(b'g', "pax_global_header")
                })
                .item(&Item {
                    pax: &[
                        (b"path", long.as_bytes()),
                        (b"mtime", b"1.5"),
                        (b"SCHILY.xattr.user.x", b"y"),
                        (b"SCHILY.xattr.trusted.no", b"lost"),
                    ],
                    data: b"abc",
                    ..Item::new(b'0', "x")
                })
                .end(),
        ),
        (
            "directories, links, FIFOs, devices, whiteouts, what aufs left",
            Tar::default()
                .dir("./")
                .dir("a/")
                .file("a/f", "content")
                .symlink("a/l", "/nowhere")
                .hard_link("a/h", "a/f")
                .item(&Item::new(b'6', "a/fifo"))
                .item(&Item::new(b'3', "a/null"))
                .file("a/.wh.gone", "a whiteout with content")
                .file("b/.wh..wh..opq", "")
                .file(".wh..wh.plnk/1.2", "what nobody reads")
                .item(&Item {
                    data: b"Yf\0\0",
                    ..Item::new(b'D', "dumped")
                })
                .end(),
        ),
    ];
    let mut tail = Tar::default().file("f", "x").end();
    tail.extend_from_slice(&[0; 10_240]);
    tail.extend_from_slice(noise(700).as_bytes());
    archives.push(("something after the end", tail));
    let mut cut = Tar::default().file("f", "x").open_end();
    cut.truncate(513);
    archives.push(("without padding", cut));
    let mut odd = tar::Header::new_old();
    odd.set_path("f").unwrap();
    odd.set_size(3);
    odd.set_mode(0o644);
    odd.set_cksum();
    // Padding that is not zero, a number with blanks, and no owner at all.
    odd.as_old_mut().mode = *b"   644 \0";
    odd.as_old_mut().uid = [0; 8];
    odd.set_cksum();
    let odd = Tar::default()
        .raw(odd.as_bytes())
        .raw(b"abc")
        .raw(&[7; 509]);
    archives.push(("Unix V7 with strange padding", odd.end()));
    for (what, tar) in archives {
        eprintln!("{what}");
        there_and_back(&scratch, &tar);
        // The compression makes no difference; the layer is there already.
        for blob in [gzip(&tar), zstd(&tar)] {
            let again = scratch.ingest(&blob).unwrap();
            assert_eq!(again.diff_id, crate::blob::digest_of(&tar));
        }
    }
}

#[test]
fn what_was_replaced_is_kept() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let tar = Tar::default()
        .file("twice", "first")
        .hard_link("other", "twice")
        .file("twice", "second, longer")
        .file("twice", "third")
        .end();
    let diff_id = there_and_back(&scratch, &tar);
    let place = layer(&scratch, &diff_id).join("diff");
    assert_eq!(
        crate::testing::brief(&place),
        [r#"other 0644 "first""#, r#"twice 0644 "third""#],
        "other is the file's only name"
    );
    let tar = Tar::default()
        .file("dir/sub/f", "below")
        .symlink("way", "dir/sub")
        .file("way/through", "through a link")
        .file("way/through", "through a link again")
        .symlink("dir/sub", "../elsewhere")
        .file("dir", "a file now")
        .dir("dir")
        .file("dir/sub/f", "anew")
        .symlink("way", "gone")
        .file("empty", "")
        .dir("empty")
        .file("gone/.wh.f", "")
        .file("gone/f", "made after its whiteout")
        .end();
    let diff_id = there_and_back(&scratch, &tar);
    let place = layer(&scratch, &diff_id);
    let read = |name: &str| std::fs::read_to_string(place.join("diff").join(name)).unwrap();
    assert_eq!(read("dir/sub/f"), "anew");
    assert_eq!(
        std::fs::metadata(place.join("replaced")).unwrap().mode() & 0o777,
        0o700
    );
    // Layers without any have none.
    let plain = there_and_back(&scratch, &Tar::default().file("f", "x").end());
    assert!(!layer(&scratch, &plain).join("replaced").exists());
}

#[test]
fn sparse_files_of_every_format() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let file = std::fs::File::create(dir.path().join("sparse")).unwrap();
    for (offset, text) in [(0, "start"), (300_000, "middle"), (5_000_000, "end")] {
        shedbox_linux::meta::write_all_at(&file, text.as_bytes(), offset).unwrap();
    }
    file.set_len(9_000_000).unwrap();
    // Zeros that are stored become a hole, and are zeros again.
    std::fs::write(dir.path().join("zeros"), vec![0; 1_000_000]).unwrap();
    let mut forms = std::collections::HashSet::new();
    for options in [
        &["-S", "--format=gnu"][..],
        &["-S", "--format=posix", "--sparse-version=0.0"],
        &["-S", "--format=posix", "--sparse-version=0.1"],
        &["-S", "--format=posix", "--sparse-version=1.0"],
        &["--format=ustar"],
        &["--format=v7"],
    ] {
        let output = std::process::Command::new("tar")
            .args(["-c", "--numeric-owner", "--owner=0", "--group=0"])
            .args(options)
            .arg("-C")
            .arg(dir.path())
            .args(["sparse", "zeros"])
            .output()
            .expect("tar(1) is needed for this test");
        assert!(output.status.success(), "{output:?}");
        let diff_id = there_and_back(&scratch, &output.stdout);
        let tree = crate::testing::tree(&layer(&scratch, &diff_id).join("diff"));
        assert_eq!(tree.len(), 2, "{tree:?}");
        forms.insert(diff_id);
    }
    assert!(
        forms.len() >= 5,
        "tar(1) wrote fewer forms than were asked for"
    );
}

#[test]
fn owners_and_modes_that_keep_readers_out() {
    if became_root() {
        return;
    }
    let mut tar = Tar::default();
    for (kind, name, mode, uid) in [
        (b'5', "shut", 0, 0),
        (b'0', "shut/f", 0, 0),
        (b'0', "setuid", 0o4711, 0),
        (b'5', "theirs", 0o700, 1000),
        (b'0', "theirs/f", 0o600, 1000),
    ] {
        let data: &[u8] = if kind == b'0' { b"secret" } else { b"" };
        tar = tar.item(&Item {
            mode,
            uid,
            data,
            ..Item::new(kind, name)
        });
    }
    let tar = tar.end();
    let single = StoreOptions {
        ids: IdPolicy::Single,
        ..options()
    };
    there_and_back(&Scratch::with(single), &tar);
    if all_ids() {
        there_and_back(&Scratch::new(), &tar);
    }
}

#[test]
fn large_content_passes_by() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let big = noise(3 << 20);
    let tar = Tar::default()
        .file("a", &big)
        .file("b", &format!("{}{}", "\0".repeat(1 << 20), big))
        .end();
    let diff_id = there_and_back(&scratch, &tar);
    let record = layer(&scratch, &diff_id).join(record::NAME);
    let size = record.metadata().unwrap().len();
    assert!(size < 4096, "a record of {size} bytes for two files");
    let room = scratch.store.layer_room(&diff_id).unwrap();
    assert_eq!(room, scratch.store.layer_size(&diff_id).unwrap() + size);
    // A store that is opened again knows the same.
    assert_eq!(scratch.reopen().store.layer_room(&diff_id).unwrap(), room);
}

/// The layer as it is written now; whether that is what it came as.
fn written(scratch: &Scratch, diff_id: &Digest) -> bool {
    let mut copy = Copy(Vec::new());
    let packed = scratch.store.write_layer(diff_id, &mut copy).unwrap();
    assert_eq!(packed.diff_id, crate::blob::digest_of(&copy.0));
    assert_eq!(packed.bytes, copy.0.len() as u64);
    // Whatever was written is a layer.
    let again = Scratch::new();
    assert_eq!(again.ingest(&copy.0).unwrap().diff_id, packed.diff_id);
    packed.diff_id == *diff_id
}

/// Changes a layer behind the store's back.
type Damage = fn(&Path);

#[test]
fn what_does_not_fit_any_more_is_packed() {
    if became_root() {
        return;
    }
    let tar = Tar::default()
        .file("z", "last comes first")
        .file("a", &noise(100_000))
        .file("a", "replaced")
        .end();
    let damage: [(&str, Damage); 8] = [
        ("no record", |layer| {
            std::fs::remove_file(layer.join(record::NAME)).unwrap();
        }),
        ("another file", |layer| {
            std::fs::write(layer.join("diff/z"), "LAST COMES FIRST").unwrap();
        }),
        ("a shorter file", |layer| {
            std::fs::write(layer.join("diff/z"), "last").unwrap();
        }),
        ("no file", |layer| {
            std::fs::remove_file(layer.join("diff/z")).unwrap();
        }),
        ("a link", |layer| {
            std::fs::remove_file(layer.join("diff/z")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", layer.join("diff/z")).unwrap();
        }),
        ("nothing that was replaced", |layer| {
            std::fs::remove_dir_all(layer.join("replaced")).unwrap();
        }),
        ("half a record", |layer| {
            let path = layer.join(record::NAME);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("an empty record", |layer| {
            std::fs::write(layer.join(record::NAME), "").unwrap();
        }),
    ];
    for (what, damage) in damage {
        let scratch = Scratch::new();
        let diff_id = there_and_back(&scratch, &tar);
        assert!(written(&scratch, &diff_id));
        damage(&layer(&scratch, &diff_id));
        assert!(!written(&scratch, &diff_id), "{what}");
    }
}

/// A disk without room.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(Errno::ENOSPC as i32))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TarOutput for Full {
    fn restart(&mut self) -> io::Result<()> {
        panic!("there is nothing to do over");
    }
}

#[test]
fn an_output_that_fails_is_not_the_layers_fault() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let diff_id = there_and_back(&scratch, &Tar::default().file("f", "x").end());
    let error = scratch.store.write_layer(&diff_id, &mut Full).unwrap_err();
    assert!(error.is_no_space(), "{error:?}");
}

#[test]
fn too_much_that_is_replaced_leaves_no_record() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let mut tar = Tar::default();
    for index in 0..=(1 << 13) {
        tar = tar.file("f", if index % 2 == 0 { "even" } else { "odd" });
    }
    let diff_id = scratch.ingest(&tar.end()).unwrap().diff_id;
    let place = layer(&scratch, &diff_id);
    let mut names = crate::root::names_in(&place).unwrap();
    names.sort();
    assert_eq!(names, ["diff", "layer.json"]);
    assert_eq!(
        std::fs::read_to_string(place.join("diff/f")).unwrap(),
        "even"
    );
    let none = scratch.store.reproduce(&diff_id, &mut io::sink()).unwrap();
    assert_eq!(none, None);
    assert_eq!(scratch.store.layer_room(&diff_id).unwrap(), {
        scratch.store.layer_size(&diff_id).unwrap()
    });
}

/// Few names, so that entries meet; content that differs, so that they cannot be confused.
fn entries() -> impl Strategy<Value = Vec<(u8, String, String, usize)>> {
    let part = prop_oneof![
        30 => "[abc]",
        1 => Just(".".to_owned()),
        2 => "\\.wh\\.[abc]",
        1 => Just(".wh..wh..opq".to_owned()),
        1 => Just(".wh..wh.plnk".to_owned()),
    ];
    let name = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let kind = prop_oneof![
        6 => Just(b'0'),
        1 => Just(b'1'),
        2 => Just(b'2'),
        1 => Just(b'3'),
        2 => Just(b'5'),
        1 => Just(b'6')
    ];
    let target = prop_oneof![
        6 => proptest::collection::vec("[abc]", 1..3).prop_map(|parts| parts.join("/")),
        1 => Just("/".to_owned()),
        1 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
    ];
    let size = prop_oneof![3 => 0..600_usize, 1 => 60_000..200_000_usize];
    proptest::collection::vec((kind, name, target, size), 1..14)
}

#[test]
fn whatever_is_accepted_is_reproduced() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let (accepted, replaced) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let config = ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(entries in entries(), ended: bool)| {
        let mut tar = Tar::default();
        for (index, (kind, name, target, size)) in entries.iter().enumerate() {
            let text = format!("{index} {}", noise(*size));
            let data = if *kind == b'0' { text.as_bytes() } else { b"" };
            tar = tar.item(&Item { link: target.as_bytes(), data, ..Item::new(*kind, name) });
        }
        let tar = if ended { tar.end() } else { tar.open_end() };
        if let Ok(unpacked) = scratch.ingest(&tar) {
            let place = layer(&scratch, &unpacked.diff_id);
            // A directory was replaced that may share files with what stays: the one case that is given up.
            let linked = entries.iter().any(|(kind, ..)| *kind == b'1');
            if linked && !place.join(record::NAME).exists() {
                prop_assert!(!place.join("replaced").exists());
                return Ok(());
            }
            accepted.set(accepted.get() + 1);
            there_and_back(&scratch, &tar);
            if place.join("replaced").exists() {
                replaced.set(replaced.get() + 1);
            }
        }
    });
    let (accepted, replaced) = (accepted.get(), replaced.get());
    assert!(
        accepted > 100 && replaced > 10,
        "{accepted} archives were accepted, {replaced} replaced something: this tests too little"
    );
}
