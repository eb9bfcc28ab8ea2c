//! A main process that floods its log.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use crate::require;
use crate::support::wait::pause;
use crate::support::{Home, eventually};

/// The cap of these tests, in bytes.
const CAP: u64 = 1 << 20;
/// Lines are numbers of ten digits from here on.
const FIRST: u64 = 1_000_000_001;
/// Bytes of a line.
const LINE: u64 = 11;

/// Bytes in the log directory of the only sandbox of a home.
fn log_size(home: &Home) -> u64 {
    let mut sandboxes = std::fs::read_dir(home.root().join("sandboxes"))
        .expect("list sandboxes")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.len() == 64));
    let dir = sandboxes.next().expect("a sandbox");
    assert!(sandboxes.next().is_none(), "one sandbox");
    std::fs::read_dir(dir.join("log"))
        .expect("list the log")
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.size())
        .sum()
}

/// The numbers of a log. Its first line may have lost its beginning to a rotation.
fn numbers(text: &str) -> Vec<u64> {
    text.lines()
        .enumerate()
        .filter(|(index, line)| *index > 0 || line.len() as u64 + 1 == LINE)
        .map(|(_, line)| {
            assert_eq!(line.len() as u64 + 1, LINE, "a whole line: {line:?}");
            line.parse().expect("a number")
        })
        .collect()
}

fn in_a_row(numbers: &[u64]) {
    assert!(
        numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "lines are missing within the log"
    );
}

#[test]
fn a_flood_stays_below_the_cap_and_the_newest_lines_are_kept() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    // Six times the cap, as fast as a program can.
    let last = FIRST + 6 * CAP / LINE;
    let script = format!("seq {FIRST} {last}; sleep 1000000");
    let id = home.run([
        "run",
        "--detach",
        "--log-max-size",
        "1m",
        &image,
        "sh",
        "-c",
        &script,
    ]);
    let mut largest = 0;
    eventually("the last line is written", || {
        largest = largest.max(log_size(&home));
        home.run(["logs", "--tail", "1", &id]) == last.to_string()
    });
    largest = largest.max(log_size(&home));
    assert!(largest <= CAP, "{largest} bytes");
    let kept = numbers(&home.run(["logs", &id]));
    assert_eq!(kept.last(), Some(&last));
    in_a_row(&kept);
    // One of two files was just begun, at worst.
    let bytes = kept.len() as u64 * LINE;
    assert!(bytes > CAP / 4, "only {bytes} bytes of the log are kept");
    let tail = numbers(&home.run(["logs", "--tail", "100", &id]));
    assert_eq!(tail, (last - 99..=last).collect::<Vec<_>>());
}

#[test]
fn a_flood_without_end_stays_below_the_cap() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let id = home.run([
        "run",
        "--detach",
        "--log-max-size",
        "256k",
        &image,
        "seq",
        &FIRST.to_string(),
        "9999999999",
    ]);
    // Until it has gone round several times.
    eventually("a million bytes have been written", || {
        let size = log_size(&home);
        assert!(size <= 256 << 10, "{size} bytes");
        home.run(["logs", "--tail", "1", &id])
            .parse()
            .is_ok_and(|number: u64| number > FIRST + 1_000_000 / LINE)
    });
    // It does not hold the sandbox up.
    assert_eq!(home.run(["exec", &id, "echo", "alive"]), "alive");
    home.run(["stop", &id]);
    let text = home.run(["logs", &id]);
    // It was ended in the middle of a line.
    let (whole, _) = text.rsplit_once('\n').expect("many lines");
    in_a_row(&numbers(whole));
}

#[test]
fn the_configured_cap_holds_without_an_option() {
    require!(userns, image "tiny");
    let home = Home::new();
    home.configure("log_max_bytes = 131072\n");
    let image = home.image("tiny");
    let last = FIRST + 100_000;
    let script = format!("seq {FIRST} {last}; sleep 1000000");
    let id = home.run(["run", "--detach", &image, "sh", "-c", &script]);
    eventually("the last line is written", || {
        home.run(["logs", "--tail", "1", &id]) == last.to_string()
    });
    assert!(log_size(&home) <= 131_072, "{} bytes", log_size(&home));
}

#[test]
fn a_follower_sees_every_line_across_rotations() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    // Slower than a follower reads, or it would have to miss what was rotated away.
    let script = format!(
        "while ! test -e /go; do sleep 0.01; done; n=0; while test $n -lt 300; do \
         seq $(({FIRST}+n*500)) $(({FIRST}+n*500+499)); n=$((n+1)); sleep 0.01; done"
    );
    let id = home.run([
        "run",
        "--detach",
        "--log-max-size",
        "1m",
        &image,
        "sh",
        "-c",
        &script,
    ]);
    let mut follower = home
        .command(["logs", "--follow", &id])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start shedbox");
    let stdout = BufReader::new(follower.stdout.take().expect("stdout is piped"));
    let reader = std::thread::spawn(move || {
        let lines: Vec<String> = stdout.lines().map_while(Result::ok).collect();
        lines.join("\n")
    });
    pause();
    home.run(["exec", &id, "touch", "/go"]);
    eventually_long("the follower leaves when the main process ends", || {
        follower.try_wait().expect("look at the follower").is_some()
    });
    let seen = numbers(&reader.join().expect("read"));
    assert_eq!(
        (seen.len(), seen.first(), seen.last()),
        (150_000, Some(&FIRST), Some(&(FIRST + 149_999)))
    );
    in_a_row(&seen);
    assert!(log_size(&home) <= CAP);
}

/// Like `eventually`, for what takes longer on a busy machine.
fn eventually_long(what: &str, mut condition: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !condition() {
        assert!(
            std::time::Instant::now() < end,
            "not after a minute: {what}"
        );
        pause();
    }
}
