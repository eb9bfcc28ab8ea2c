use std::io::{self, Cursor};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::blob::digest_of;
use crate::testing::{Scratch, Tar, all_ids, assert_same, became_root, gzip, options, tree, zstd};
use crate::{LayerExpect, StoreError};

use super::*;

fn sample() -> Vec<u8> {
    Tar::default()
        .dir("d")
        .file("d/f", "hello")
        .symlink("l", "d")
        .end()
}

#[test]
fn all_encodings_give_the_same_layer() {
    if became_root() {
        return;
    }
    let plain = sample();
    let (first, second) = plain.split_at(700);
    for blob in [
        plain.clone(),
        gzip(&plain),
        zstd(&plain),
        [gzip(first), gzip(second)].concat(),
        [zstd(first), zstd(second)].concat(),
        // A skippable frame in front, as zstd:chunked has them.
        [
            &[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..],
            &zstd(&plain),
        ]
        .concat(),
    ] {
        let scratch = Scratch::new();
        let expect = LayerExpect {
            blob: Some(digest_of(&blob)),
            blob_size: Some(blob.len() as u64),
            diff_id: Some(digest_of(&plain)),
        };
        let mut heard = 0;
        let layer = scratch
            .store
            .ingest_layer(&expect, &mut &blob[..], &mut |total| heard = total)
            .unwrap();
        assert_eq!(
            layer,
            IngestedLayer {
                diff_id: digest_of(&plain),
                blob_digest: digest_of(&blob),
                blob_size: blob.len() as u64,
                unpacked_bytes: 5,
                entries: 3,
                warnings: Vec::new(),
            }
        );
        assert_eq!(heard, blob.len() as u64);
        assert!(scratch.store.has_layer(&layer.diff_id));
        assert_eq!(scratch.store.layer_size(&layer.diff_id).unwrap(), 5);
        let scratch = scratch.reopen();
        assert!(scratch.store.has_layer(&layer.diff_id));
        assert_eq!(scratch.store.layer_size(&layer.diff_id).unwrap(), 5);
    }
}

#[test]
fn an_empty_layer_is_a_layer() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    assert_eq!(scratch.tree_of(&gzip(&[0; 1024])), [""; 0]);
    assert_eq!(scratch.tree_of(b""), [""; 0]);
}

#[test]
fn what_follows_the_archive_is_part_of_the_diff_id() {
    if became_root() {
        return;
    }
    let mut data = sample();
    data.extend_from_slice(&[0; 9000]);
    data.extend_from_slice(b"and more");
    let layer = Scratch::new().ingest(&gzip(&data)).unwrap();
    assert_eq!(layer.diff_id, digest_of(&data));
}

#[test]
fn wrong_digests_and_sizes() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let plain = sample();
    let blob = gzip(&plain);
    let other = digest_of(b"other");
    let try_one = |expect: LayerExpect| {
        let error = scratch
            .store
            .ingest_layer(&expect, &mut &blob[..], &mut |_| {})
            .unwrap_err();
        scratch.assert_clean();
        error
    };
    let error = try_one(LayerExpect {
        blob: Some(other.clone()),
        ..LayerExpect::default()
    });
    assert!(
        matches!(&error, StoreError::DigestMismatch { what: "compressed layer", expected, actual }
            if *expected == other && *actual == digest_of(&blob)),
        "{error:?}"
    );
    let error = try_one(LayerExpect {
        diff_id: Some(other.clone()),
        ..LayerExpect::default()
    });
    assert!(
        matches!(&error, StoreError::DigestMismatch { what: "extracted layer", actual, .. } if *actual == digest_of(&plain)),
        "{error:?}"
    );
    for size in [1, blob.len() as u64 + 1] {
        let error = try_one(LayerExpect {
            blob_size: Some(size),
            ..LayerExpect::default()
        });
        assert!(
            matches!(error, StoreError::SizeMismatch { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn damaged_and_truncated_blobs() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let data = Tar::default().file("f", &"some text ".repeat(5000)).end();
    for whole in [gzip(&data), zstd(&data)] {
        let expect = LayerExpect {
            blob: Some(digest_of(&whole)),
            ..LayerExpect::default()
        };
        let half = &whole[..whole.len() / 2];
        // With a digest to compare, that it is the wrong blob is the better answer.
        let error = scratch
            .store
            .ingest_layer(&expect, &mut &*half, &mut |_| {})
            .unwrap_err();
        assert!(
            matches!(error, StoreError::DigestMismatch { .. }),
            "{error:?}"
        );
        let error = scratch.ingest(half).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x55;
        assert!(scratch.ingest(&flipped).is_err());
        let trailing = [&whole[..], b"garbage"].concat();
        let error = scratch.ingest(&trailing).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        scratch.assert_clean();
    }
    let message = scratch.refused(b"BZh91AY&SY").message;
    assert!(message.contains("bzip2"), "{message}");
}

/// A connection that breaks after some bytes.
struct Broken(Cursor<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            length => Ok(length),
        }
    }
}

#[test]
fn a_failing_source_is_what_is_reported() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let data = gzip(&sample());
    for length in [0, 10, data.len() - 1, data.len()] {
        let mut source = Broken(Cursor::new(data[..length].to_vec()));
        let expect = LayerExpect {
            blob: Some(digest_of(&data)),
            ..LayerExpect::default()
        };
        let error = scratch
            .store
            .ingest_layer(&expect, &mut source, &mut |_| {})
            .unwrap_err();
        assert!(
            matches!(&error, StoreError::Source(inner) if inner.kind() == io::ErrorKind::ConnectionReset),
            "{length}: {error:?}"
        );
        scratch.assert_clean();
    }
}

#[test]
fn the_same_layer_from_many_threads() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let blob = gzip(&sample());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    scratch.ingest(&blob).unwrap();
                }
            });
        }
    });
    let layer = scratch.ingest(&blob).unwrap();
    assert_eq!(tree(&scratch.store.layer_dir(&layer.diff_id)).len(), 3);
    let left = crate::root::names_in(&scratch.store.root().join("ingest")).unwrap();
    assert_eq!(left, [""; 0]);
}

/// Extraction by an independent program, of archives by that program.
#[test]
fn the_same_as_gnu_tar() {
    if became_root() {
        return;
    }
    let all_ids = all_ids();
    let scratch = Scratch::new();
    let source = scratch.dir.path().join("source");
    let script = "mkdir -p s/usr/bin s/var/mail s/deep; cd s
        printf hello > usr/bin/tool; chmod 4755 usr/bin/tool; ln usr/bin/tool usr/bin/other; ln -s tool usr/bin/link
        mkfifo -m 620 usr/pipe; chmod 2775 var/mail; chmod 1777 deep; touch -d @1234567890.987654321 usr/bin/tool
        printf x > \"$(printf 'bad\\377name')\"; mkdir -p \"$(printf 'n%.0s' $(seq 120))/$(printf 'm%.0s' $(seq 120))\"
        head -c 300000 /dev/urandom > big; : > empty
        truncate -s 3000000 sparse; printf mid | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none
        truncate -s 1000000 hole
        setfattr -n user.note -v hi big 2>/dev/null || true
        if [ \"$OWNERS\" = 1 ]; then chown 33:44 var/mail empty; chown -h 7:7 usr/bin/link; fi
        touch -d @1000000000 var/mail deep usr/bin usr var .";
    std::fs::create_dir(&source).unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .current_dir(&source)
            .env("OWNERS", if all_ids { "1" } else { "0" })
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run("sh", &["-ec", script]);
    for (index, options) in [
        &["--format=gnu"][..],
        &["--format=pax", "--xattrs", "--xattrs-include=user.*"],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=1.0"],
    ]
    .iter()
    .enumerate()
    {
        let archive = format!("a{index}.tar");
        let mut args = vec!["-C", "s", "-cf", &archive];
        args.extend_from_slice(options);
        args.push(".");
        run("tar", &args);
        let theirs = source.join(format!("x{index}"));
        std::fs::create_dir(&theirs).unwrap();
        run(
            "tar",
            &[
                "-C",
                &format!("x{index}"),
                "-xpf",
                &archive,
                "--xattrs",
                "--xattrs-include=user.*",
                "--numeric-owner",
            ],
        );
        let blob = gzip(&std::fs::read(source.join(&archive)).unwrap());
        let layer = scratch.ingest(&blob).unwrap();
        assert_eq!(layer.warnings, [""; 0], "{options:?}");
        let ours = scratch.store.layer_dir(&layer.diff_id);
        assert_same(&ours, &theirs);
        assert!(ours.join("sparse").metadata().unwrap().blocks() < 2000);
        assert_eq!(ours.join("hole").metadata().unwrap().blocks(), 0);
    }
}

#[test]
fn an_archive_by_the_tar_crate() {
    if became_root() {
        return;
    }
    let mut builder = tar::Builder::new(Vec::new());
    let long = format!("{}/{}", "d".repeat(100), "f".repeat(200));
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o640);
    header.set_mtime(77);
    builder
        .append_data(&mut header, &long, &b"data"[..])
        .unwrap();
    let data = builder.into_inner().unwrap();
    let scratch = Scratch::new();
    let found = scratch.tree_of(&data);
    assert_eq!(found[1], format!("{long} 0640 0 0 77.000000000 \"data\""));
}

#[test]
fn a_killed_ingest_is_swept_at_the_next_start() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let left = scratch.store.root().join("ingest/left");
    std::fs::create_dir_all(left.join("diff/some/dir")).unwrap();
    std::fs::write(scratch.store.root().join("ingest/temporary"), "x").unwrap();
    let scratch = scratch.reopen();
    scratch.assert_clean();
    scratch.store.trash().empty();
    let trash = scratch.dir.path().join("trash");
    assert_eq!(std::fs::read_dir(trash).unwrap().count(), 0);
}

#[test]
fn layers_of_another_boot_are_believed_only_when_synced() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let kept = scratch.ingest(&sample()).unwrap().diff_id;
    let lost = scratch
        .ingest(&gzip(&Tar::default().file("x", "").end()))
        .unwrap()
        .diff_id;
    let unsynced = scratch.store.root().join("unsynced");
    assert_eq!(std::fs::read_dir(&unsynced).unwrap().count(), 2);
    scratch.store.sync().unwrap();
    assert_eq!(std::fs::read_dir(&unsynced).unwrap().count(), 0);
    // As if the second had been committed just before the power went.
    std::fs::write(
        unsynced.join(format!("layer-{}.another-boot", lost.hex())),
        "",
    )
    .unwrap();
    let scratch = scratch.reopen();
    assert!(scratch.store.has_layer(&kept));
    assert!(!scratch.store.has_layer(&lost));
    assert!(!scratch.store.layer_dir(&lost).exists());
    assert_eq!(std::fs::read_dir(&unsynced).unwrap().count(), 0);
}

#[test]
fn a_store_of_the_future_is_left_alone() {
    let scratch = Scratch::new();
    let Scratch { dir, store } = scratch;
    let version = store.root().join("version");
    drop(store);
    std::fs::write(&version, r#"{"version":1,"incompatible":["composefs"]}"#).unwrap();
    let again = Store::open(
        &dir.path().join("store"),
        &dir.path().join("trash"),
        options(),
    );
    let error = again.unwrap_err().to_spec();
    assert_eq!(error.kind, shedbox_spec::Kind::Unsupported);
    assert!(error.message.contains("composefs"), "{error:?}");
    std::fs::remove_file(&version).unwrap();
    let again = Store::open(
        &dir.path().join("store"),
        &dir.path().join("trash"),
        options(),
    );
    assert!(matches!(again.unwrap_err(), StoreError::Damaged { .. }));
}
