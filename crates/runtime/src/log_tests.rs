use std::fs;
use std::path::Path;

use super::*;

fn writer(dir: &Path, cap: u64) -> LogWriter {
    LogWriter::open(path::open_dir(dir).unwrap().as_fd(), cap).unwrap()
}

/// Stream and bytes of each frame of a file; panics on anything that is not a whole frame.
fn frames(dir: &Path, name: &str) -> Vec<(u8, Vec<u8>)> {
    let content = fs::read(dir.join(name)).unwrap_or_default();
    let (mut rest, mut frames) = (content.as_slice(), Vec::new());
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[9..13].try_into().unwrap()) as usize;
        frames.push((rest[0], rest[13..13 + length].to_vec()));
        rest = &rest[13 + length..];
    }
    frames
}

#[test]
fn frames_and_nothing_before_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path(), 1 << 20);
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    log.write(1, b"hello\n");
    log.write(2, b"\xff\0");
    assert_eq!(
        frames(dir.path(), "0"),
        [(1, b"hello\n".to_vec()), (2, b"\xff\0".to_vec())]
    );
    let time = u64::from_le_bytes(
        fs::read(dir.path().join("0")).unwrap()[1..9]
            .try_into()
            .unwrap(),
    );
    assert!((before..before + 60_000_000_000).contains(&time));
    assert_eq!(log.dropped(), 0);
}

#[test]
fn rotation_keeps_below_the_cap_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let cap = 20_000;
    let mut log = writer(dir.path(), cap);
    for number in 0..1000u32 {
        log.write(1, format!("{number:0100}").as_bytes());
        let size = |name: &str| fs::metadata(dir.path().join(name)).map_or(0, |data| data.len());
        assert!(size("0") + size("1") <= cap);
    }
    let kept: Vec<u32> = ["1", "0"]
        .iter()
        .flat_map(|name| frames(dir.path(), name))
        .map(|(_, bytes)| String::from_utf8(bytes).unwrap().parse().unwrap())
        .collect();
    let expected: Vec<u32> = (1000 - kept.len() as u32..1000).collect();
    assert_eq!(kept, expected);
    assert!(kept.len() > 88, "{} frames", kept.len());
}

#[test]
fn a_frame_larger_than_a_file_is_divided() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path(), 0);
    let output: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
    log.write(1, &output);
    let kept: Vec<u8> = ["1", "0"]
        .iter()
        .flat_map(|name| frames(dir.path(), name))
        .flat_map(|frame| frame.1)
        .collect();
    assert!(kept.len() > 4096 && output.ends_with(&kept));
}

#[test]
fn what_a_killed_writer_left_is_cut_off() {
    for left in [
        &b"\x01"[..],
        &[1; 12],
        b"\x01\0\0\0\0\0\0\0\0\x05\0\0\0half",
        b"garbage that is no frame",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = writer(dir.path(), 1 << 20);
        // More than one buffer, with headers across its border.
        for _ in 0..200 {
            log.write(1, &[b'x'; 321]);
        }
        drop(log);
        let mut content = fs::read(dir.path().join("0")).unwrap();
        content.extend_from_slice(left);
        fs::write(dir.path().join("0"), &content).unwrap();
        let mut log = writer(dir.path(), 1 << 20);
        log.write(2, b"next");
        let frames = frames(dir.path(), "0");
        assert_eq!(frames.len(), 201, "{left:?}");
        assert_eq!(frames[200], (2, b"next".to_vec()));
    }
}

#[test]
fn a_spare_does_not_disturb_the_log_before_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = writer(dir.path(), 1 << 20);
    let mut spare = writer(dir.path(), 1 << 20);
    old.write(1, b"old");
    spare.write(1, b"new");
    assert_eq!(
        frames(dir.path(), "0"),
        [(1, b"old".to_vec()), (1, b"new".to_vec())]
    );
}

#[test]
fn no_link_is_followed_and_nothing_is_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.path().join("0")).unwrap();
    let mut log = writer(dir.path(), 1 << 20);
    log.write(1, b"lost");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"");
    assert_eq!(log.dropped(), 4);
    // It goes on when it can, and says what is missing.
    fs::remove_file(dir.path().join("0")).unwrap();
    log.write(1, b"kept");
    let frames = frames(dir.path(), "0");
    let notice = b"shedbox: 4 bytes of output are missing here: the log could not be written\n";
    assert_eq!(frames, [(2, notice.to_vec()), (1, b"kept".to_vec())]);
    assert_eq!(log.dropped(), 4);
}

#[test]
fn a_full_disk_leaves_whole_frames() {
    // A limit on the size of files stops a write in its middle, as a full disk does; it binds the whole process, so the
    // writing is done by a copy of this test binary.
    const DIR: &str = "SHEDBOX_LOG_TEST_DIR";
    if let Some(dir) = std::env::var_os(DIR) {
        let mut log = writer(Path::new(&dir), 1 << 20);
        for _ in 0..10 {
            log.write(1, &[b'x'; 1000]);
        }
        assert_eq!(log.dropped(), 6000);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\""; // dash: blocks of 512 bytes
    let output = std::process::Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "log::tests::a_full_disk_leaves_whole_frames",
            "--nocapture",
        ])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(frames(dir.path(), "0").len(), 4);
    let mut log = writer(dir.path(), 1 << 20);
    log.write(1, b"room again");
    assert_eq!(frames(dir.path(), "0").len(), 5);
}
