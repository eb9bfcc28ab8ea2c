use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const NOW: Duration = Duration::ZERO;

fn frame(stream: Stream, time_ns: u64, text: &str) -> Frame {
    Frame {
        stream,
        time_ns,
        bytes: text.as_bytes().to_vec(),
    }
}

fn out(time_ns: u64, text: &str) -> Frame {
    frame(Stream::Stdout, time_ns, text)
}

fn err(time_ns: u64, text: &str) -> Frame {
    frame(Stream::Stderr, time_ns, text)
}

fn append(dir: &Path, frames: &[Frame]) {
    let mut file = fs::File::options()
        .append(true)
        .create(true)
        .open(dir.join("0"))
        .unwrap();
    for frame in frames {
        file.write_all(&frame.encode()).unwrap();
    }
}

fn rotate(dir: &Path) {
    fs::rename(dir.join("0"), dir.join("1")).unwrap();
}

fn read_all(reader: &mut LogReader) -> Vec<Frame> {
    std::iter::from_fn(|| reader.next_frame().unwrap()).collect()
}

fn selected(dir: &Path, select: Select) -> Vec<Frame> {
    read_all(&mut LogReader::open(dir, select).unwrap())
}

#[test]
fn both_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(selected(dir.path(), Select::default()), []);
    append(dir.path(), &[out(1, "a\n"), err(2, "b\n")]);
    rotate(dir.path());
    let large = "x".repeat(200_000);
    append(dir.path(), &[out(3, &large), out(4, "")]);
    append(dir.path(), &[out(5, "c\n")]);
    let expected = [out(1, "a\n"), err(2, "b\n"), out(3, &large), out(5, "c\n")];
    assert_eq!(selected(dir.path(), Select::default()), expected);
}

#[test]
fn by_stream_and_time() {
    let dir = tempfile::tempdir().unwrap();
    append(
        dir.path(),
        &[out(10, "a"), err(20, "b"), out(30, "c"), err(40, "d")],
    );
    let select = Select::default();
    assert_eq!(
        selected(
            dir.path(),
            Select {
                stderr: false,
                ..select
            }
        ),
        [out(10, "a"), out(30, "c")]
    );
    assert_eq!(
        selected(
            dir.path(),
            Select {
                stdout: false,
                ..select
            }
        ),
        [err(20, "b"), err(40, "d")]
    );
    let middle = Select {
        since_ns: Some(20),
        until_ns: Some(30),
        ..select
    };
    assert_eq!(selected(dir.path(), middle), [err(20, "b"), out(30, "c")]);
    let reader = LogReader::open(dir.path(), middle).unwrap();
    assert!(!reader.is_over(30) && reader.is_over(31));
}

#[test]
fn the_last_lines() {
    let dir = tempfile::tempdir().unwrap();
    // Lines: 1 `one`, 2 `two` (in three frames, with line 3 `e` of the other stream between), 4 `three`, 5 `four`
    // without an end.
    append(dir.path(), &[out(1, "one\ntw"), err(2, "e\n")]);
    rotate(dir.path());
    append(
        dir.path(),
        &[out(3, "o"), out(4, "\nthree\nfo"), out(5, "ur")],
    );
    let tail = |tail| {
        selected(
            dir.path(),
            Select {
                tail: Some(tail),
                ..Select::default()
            },
        )
    };
    assert_eq!(tail(0), []);
    assert_eq!(tail(1), [out(4, "fo"), out(5, "ur")]);
    assert_eq!(tail(2), [out(4, "three\nfo"), out(5, "ur")]);
    assert_eq!(tail(3), [err(2, "e\n"), out(4, "three\nfo"), out(5, "ur")]);
    let from_two = [
        out(1, "tw"),
        err(2, "e\n"),
        out(3, "o"),
        out(4, "\nthree\nfo"),
        out(5, "ur"),
    ];
    assert_eq!(tail(4), from_two);
    let everything = selected(dir.path(), Select::default());
    assert_eq!(tail(5), everything);
    assert_eq!(tail(u64::MAX), everything);
    // Only what is selected counts.
    let errors = Select {
        stdout: false,
        tail: Some(1),
        ..Select::default()
    };
    assert_eq!(selected(dir.path(), errors), [err(2, "e\n")]);
}

#[test]
fn tail_goes_on_with_what_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), &[out(1, "a\n"), out(2, "b\n")]);
    rotate(dir.path());
    append(dir.path(), &[out(3, "c\n")]);
    let mut reader = LogReader::open(
        dir.path(),
        Select {
            tail: Some(2),
            ..Select::default()
        },
    )
    .unwrap();
    // Two rotations before it has read anything: the files of the first pass are still its own.
    for time in [4, 5] {
        rotate(dir.path());
        append(dir.path(), &[out(time, "later\n")]);
    }
    let expected = [
        out(2, "b\n"),
        out(3, "c\n"),
        out(4, "later\n"),
        out(5, "later\n"),
    ];
    assert_eq!(read_all(&mut reader), expected);
}

#[test]
fn a_frame_half_written_waits_for_its_rest() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), &[out(1, "whole")]);
    let mut reader = LogReader::open(dir.path(), Select::default()).unwrap();
    let second = out(2, "second").encode();
    let mut file = fs::File::options()
        .append(true)
        .open(dir.path().join("0"))
        .unwrap();
    let length = file.metadata().unwrap().len();
    for cut in [1, 12, 13, 15] {
        file.set_len(length).unwrap();
        file.write_all(&second[..cut]).unwrap();
        let expected = if cut == 1 {
            vec![out(1, "whole")]
        } else {
            vec![]
        };
        assert_eq!(read_all(&mut reader), expected);
    }
    // The writer takes back what it could not finish and writes something else.
    file.set_len(length).unwrap();
    file.write_all(&out(3, "third").encode()).unwrap();
    assert_eq!(read_all(&mut reader), [out(3, "third")]);
    // A half frame in a file that is complete is passed over.
    file.write_all(&second[..15]).unwrap();
    rotate(dir.path());
    append(dir.path(), &[out(4, "fourth")]);
    assert_eq!(read_all(&mut reader), [out(4, "fourth")]);
}

#[test]
fn what_is_no_frame_ends_a_file() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), &[out(1, "good")]);
    let mut file = fs::File::options()
        .append(true)
        .open(dir.path().join("0"))
        .unwrap();
    file.write_all(&[7; 100]).unwrap();
    let mut reader = LogReader::open(dir.path(), Select::default()).unwrap();
    assert_eq!(read_all(&mut reader), [out(1, "good")]);
    rotate(dir.path());
    append(dir.path(), &[out(2, "next")]);
    assert_eq!(read_all(&mut reader), [out(2, "next")]);
    let mut huge = out(3, "").encode();
    huge[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(dir.path().join("0"), huge).unwrap();
    assert_eq!(selected(dir.path(), Select::default()), [out(1, "good")]);
}

#[test]
fn following_wakes_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = LogReader::open(dir.path(), Select::default()).unwrap();
    assert_eq!(read_all(&mut reader), []);
    assert!(
        reader.wait(NOW).unwrap(),
        "the first wait only starts to watch"
    );
    assert!(!reader.wait(NOW).unwrap());
    append(dir.path(), &[out(1, "a")]);
    assert!(reader.wait(NOW).unwrap());
    assert_eq!(read_all(&mut reader), [out(1, "a")]);
    // A rotation without a new file is not the end of anything.
    rotate(dir.path());
    assert!(reader.wait(NOW).unwrap());
    assert_eq!(read_all(&mut reader), []);
    append(dir.path(), &[out(2, "b")]);
    assert!(reader.wait(NOW).unwrap());
    assert_eq!(read_all(&mut reader), [out(2, "b")]);
}

/// A writer that rotates all the time, and a reader that is given time at each second rotation: nothing is lost, nothing
/// comes twice.
#[test]
fn rotation_while_following() {
    const FRAMES: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let caught_up = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = None;
            for number in 0..FRAMES {
                if number > 0 && number % 500 == 0 {
                    // At most one rotation before the reader is at the newest file again: with more, a writer that is
                    // faster than its reader takes files away unread, as a cap must.
                    while !caught_up.swap(false, Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    rotate(dir.path());
                    file = None;
                }
                let file = file.get_or_insert_with(|| {
                    fs::File::options()
                        .append(true)
                        .create(true)
                        .open(dir.path().join("0"))
                        .unwrap()
                });
                file.write_all(&out(number, &format!("{number}\n")).encode())
                    .unwrap();
            }
        });
        let mut reader = LogReader::open(dir.path(), Select::default()).unwrap();
        let mut expected = 0;
        while expected < FRAMES {
            match reader.next_frame().unwrap() {
                Some(frame) => {
                    assert_eq!(frame, out(expected, &format!("{expected}\n")));
                    expected += 1;
                    if expected % 500 == 250 {
                        caught_up.store(true, Ordering::SeqCst);
                    }
                }
                None => {
                    reader.wait(Duration::from_mins(1)).unwrap();
                }
            }
        }
        assert_eq!(reader.next_frame().unwrap(), None);
    });
}
