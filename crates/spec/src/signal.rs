//! Signals by name and number, as `--stop-signal` and `kill` take them.

use crate::{Error, Result};

/// SIGKILL.
pub const KILL: i32 = 9;
/// SIGTERM.
pub const TERM: i32 = 15;

/// Names without `SIG`, with the numbers of x86, arm and riscv. Source: signal(7).
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// Parses `SIGTERM`, `term`, `15`, `RTMIN+3` or `RTMAX-2`.
pub fn parse(text: &str) -> Result<i32> {
    let unknown = || {
        Error::invalid(format!("unknown signal `{text}`"))
            .with_hint("a name such as SIGTERM, or a number from 1 to 64")
    };
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (base, offset) = match name.find(['+', '-']) {
        Some(at) if name.starts_with("RTM") => (
            &name[..at],
            name[at..].parse::<i32>().map_err(|_| unknown())?,
        ),
        _ => (name, 0),
    };
    let number = NAMES
        .iter()
        .find(|(known, _)| *known == base)
        .map(|(_, number)| number + offset);
    number
        .filter(|number| offset == 0 || (34..=64).contains(number))
        .ok_or_else(unknown)
}

/// The name with `SIG`, or the number when it has none.
pub fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => format!("SIG{name}"),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("Kill", 9),
            ("9", 9),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for bad in [
            "", "0", "65", "-1", "SIG", "FOO", "TERM+1", "RTMIN+99", "RTMIN+", "RTMAX+1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(name(15), "SIGTERM");
        assert_eq!(name(40), "40");
    }
}
