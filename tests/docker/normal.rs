//! What is another in each run, made the same: ids, times, addresses, random ports.

use std::sync::LazyLock;

use regex::Regex;

use crate::table::{Case, Outcome};

/// In this order.
const RULES: &[(&str, &str)] = &[
    (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d))?( UTC)?",
        "<time>",
    ),
    (
        r"(Less than a second|About an? (minute|hour)|\d+ (seconds?|minutes?|hours?|days?|weeks?|months?|years?))( ago)?",
        "<duration>",
    ),
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b[0-9a-f]{12}\b", "<short id>"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
    (
        r"\b(172\.(1[6-9]|2\d|3[01])|192\.168|10\.\d+)\.\d+\.\d+",
        "<address>",
    ),
    (
        r"\b(0\.0\.0\.0|127\.0\.0\.1|\[::1?\]):\d{4,5}\b",
        "$1:<port>",
    ),
];

/// What dockerd says since 20.10, which is the one that ours is compared with, and what that one says.
const NEWER: &[(&str, &str)] = &[
    (
        "failed to create task for container: failed to create shim task",
        "failed to create shim task",
    ),
    ("daemon: invalid filter '", "daemon: Invalid filter '"),
    (
        "daemon: cannot kill container: ",
        "daemon: Cannot kill container: ",
    ),
    (
        "container <id> is not running",
        "Container <id> is not running",
    ),
];

const SIZES: &str = r"\b\d+(\.\d+)?( ?[kMGT]i?B|B)\b";

static COMPILED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    RULES
        .iter()
        .map(|(pattern, with)| (Regex::new(pattern).unwrap(), *with))
        .collect()
});

/// A script's output as the table has it. `words` are this engine's own: its socket, its registry.
pub(crate) fn lines(case: &Case, words: &[(String, &str)], output: &[u8]) -> Vec<String> {
    let mut text = String::from_utf8_lossy(output).replace('\r', "");
    for (word, with) in words {
        text = text.replace(word, with);
    }
    for (rule, with) in COMPILED.iter() {
        text = rule.replace_all(&text, *with).into_owned();
    }
    if case.sizes {
        text = Regex::new(SIZES)
            .unwrap()
            .replace_all(&text, "<size>")
            .into_owned();
    }
    // Columns are as wide as what was in them.
    let columns = Regex::new(" {2,}").unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| columns.replace_all(line, "  ").trim_end().to_owned())
        .collect();
    if case.sorted {
        lines.sort();
    }
    lines
}

/// Ours in the words of the dockerd that it is compared with.
pub(crate) fn as_dockerd_says(seen: &Outcome) -> Outcome {
    let older = |lines: &[String]| {
        lines
            .iter()
            .map(|line| {
                NEWER
                    .iter()
                    .fold(line.clone(), |line, (new, old)| line.replace(new, old))
            })
            .collect()
    };
    Outcome {
        status: seen.status,
        stdout: older(&seen.stdout),
        stderr: older(&seen.stderr),
    }
}

/// Whether an outcome is the wanted one.
pub(crate) fn fits(wanted: &Outcome, seen: &Outcome) -> bool {
    wanted.status == seen.status
        && are_like(&wanted.stdout, &seen.stdout)
        && are_like(&wanted.stderr, &seen.stderr)
}

fn are_like(wanted: &[String], seen: &[String]) -> bool {
    let mut pattern = String::from("^");
    for line in wanted {
        if line == "…" {
            pattern.push_str("(?:.*\n)*");
        } else {
            pattern.push_str(&regex::escape(line).replace('…', ".*"));
            pattern.push('\n');
        }
    }
    pattern.push('$');
    let text: String = seen.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Regex::new(&pattern).unwrap().is_match(&text)
}

#[test]
fn what_varies_is_replaced() {
    let case = Case {
        sizes: true,
        ..Case::default()
    };
    let seen = lines(
        &case,
        &[("/x/docker.sock".to_owned(), "<socket>")],
        b"0123456789ab   up 3 seconds at 2024-01-02T03:04:05.6Z\nunix:///x/docker.sock 1.5MB 172.17.0.2\n",
    );
    assert_eq!(
        seen,
        [
            "<short id>  up <duration> at <time>",
            "unix://<socket> <size> <address>"
        ]
    );
}

#[test]
fn patterns_are_of_whole_lines() {
    let like = |wanted: &[&str], seen: &[&str]| {
        let owned = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>()
        };
        are_like(&owned(wanted), &owned(seen))
    };
    assert!(like(&["a…c"], &["abc"]));
    assert!(!like(&["a"], &["abc"]));
    assert!(!like(&["a…c"], &["a", "c"]));
    assert!(like(&["…", "c"], &["a", "b", "c"]));
    assert!(!like(&[], &["a"]));
    assert!(!like(&["a"], &[]));
    assert!(like(&["…"], &[]));
}
