//! Signals by name and number. The numbers are those of x86, arm and all architectures that share
//! `asm-generic/signal.h`. Source: signal(7).

use crate::{Error, Result};

/// SIGKILL.
pub const KILL: i32 = 9;
/// SIGTERM.
pub const TERM: i32 = 15;
/// First real-time signal that programs may use; glibc keeps 32 and 33 for itself.
pub const RTMIN: i32 = 34;
/// Last real-time signal.
pub const RTMAX: i32 = 64;

/// Names without `SIG`; the first name of a number is the one that is shown.
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
];

/// Parses a signal: a name with or without `SIG`, upper or lower case, `RTMIN+n`, `RTMAX-n`, or a number of 1 to 64.
pub fn parse(text: &str) -> Result<i32> {
    number(text).ok_or_else(|| {
        Error::invalid(format!("invalid signal `{text}`"))
            .with_hint("use a name such as `TERM` or `SIGKILL`, or a number of 1 to 64")
    })
}

fn number(text: &str) -> Option<i32> {
    let digits = |text: &str| -> Option<i32> {
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    if let Some(number) = digits(text) {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match name {
        "RTMIN" => RTMIN,
        "RTMAX" => RTMAX,
        _ => {
            if let Some(offset) = name.strip_prefix("RTMIN+") {
                RTMIN.checked_add(digits(offset)?)?
            } else if let Some(offset) = name.strip_prefix("RTMAX-") {
                RTMAX.checked_sub(digits(offset)?)?
            } else {
                return NAMES
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, number)| *number);
            }
        }
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// The name of a signal with `SIG`: `SIGTERM`, `SIGRTMIN+3`; the plain number when it has none.
pub fn name(signal: i32) -> String {
    if let Some((name, _)) = NAMES.iter().find(|(_, number)| *number == signal) {
        return format!("SIG{name}");
    }
    match signal {
        RTMIN => "SIGRTMIN".to_owned(),
        RTMAX => "SIGRTMAX".to_owned(),
        number if (RTMIN..RTMAX).contains(&number) => format!("SIGRTMIN+{}", number - RTMIN),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("term", 15),
            ("15", 15),
            ("9", 9),
            ("64", 64),
            ("CLD", 17),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("RTMIN+30", 64),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for text in [
            "",
            "0",
            "65",
            "-1",
            "SIG",
            "FOO",
            "RTMIN+31",
            "RTMIN+",
            "RTMIN-1",
            "RTMAX-31",
            "RTMIN+99999999999",
            "SIG9",
            " 9",
            "+9",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_number_comes_back() {
        for number in 1..=RTMAX {
            assert_eq!(parse(&name(number)), Ok(number));
        }
        assert_eq!(
            (name(6), name(32), name(99)),
            ("SIGABRT".into(), "32".into(), "99".into())
        );
    }
}
