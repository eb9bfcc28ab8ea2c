//! Sizes and durations as people write them, and as Docker shows them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::{Error, Result};

/// Parses a size: a number, possibly with a fraction, and a unit of b, k, m, g, t or p (powers of 1024, upper or lower
/// case, optionally followed by `b` or `ib`). A number alone is bytes. Source: Docker's `RAMInBytes`.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let error = || {
        Error::invalid(format!("invalid size `{text}`"))
            .with_hint("write a number and a unit of b, k, m, g or t, for example `512m` or `1.5g`")
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit.strip_prefix(' ') {
        Some("") => return Err(error()),
        Some(after_blank) => after_blank.to_ascii_lowercase(),
        None => unit.to_ascii_lowercase(),
    };
    let (letter, rest) = unit.split_at(unit.chars().next().map_or(0, char::len_utf8));
    let shift = match (letter, rest) {
        ("" | "b", "") => 0,
        ("k", "" | "b" | "ib") => 10,
        ("m", "" | "b" | "ib") => 20,
        ("g", "" | "b" | "ib") => 30,
        ("t", "" | "b" | "ib") => 40,
        ("p", "" | "b" | "ib") => 50,
        _ => return Err(error()),
    };
    scaled(number, 1 << shift).ok_or_else(error)
}

/// `number × unit`, where `number` is decimal digits with at most one point; what is below one is cut. `None` when it
/// is no such number or does not fit.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // 18 digits are all that a u64 of nanoseconds or bytes can show.
    let fraction = &fraction[..fraction.len().min(18)];
    let below: u64 = if fraction.is_empty() {
        0
    } else {
        let numerator = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit);
        u64::try_from(numerator / 10u128.pow(fraction.len() as u32)).ok()?
    };
    whole.checked_mul(unit)?.checked_add(below)
}

/// Shows a size in powers of 1000 with three significant digits, as `docker images` does: `77.8MB`, `1.04GB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    in_units(bytes, 1000.0, 3, UNITS)
}

/// Shows a size in powers of 1024 with four significant digits, as `docker stats` does: `1.5GiB`, `35.25KiB`.
pub fn format_bytes_binary(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    in_units(bytes, 1024.0, 4, UNITS)
}

fn in_units(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while unit + 1 < units.len() && significant(value, digits).parse().unwrap_or(value) >= base {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// C's `%.<digits>g` for values below 10^digits: so many significant digits, no zeros at the end.
fn significant(value: f64, digits: usize) -> String {
    let mut before_point = 1;
    while value >= 10f64.powi(before_point) {
        before_point += 1;
    }
    let text = format!("{value:.*}", digits.saturating_sub(before_point as usize));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Parses a duration: numbers with units d, h, m, s, ms, us (or µs) and ns, as `1h30m`, `1.5s`, `500ms`; a number alone
/// is seconds. Source: Go's `time.ParseDuration`, which Docker uses, plus `d`.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let error = || {
        Error::invalid(format!("invalid duration `{text}`"))
            .with_hint("write it as `90s`, `1h30m`, `500ms`, or as plain seconds")
    };
    if text.is_empty() {
        return Err(error());
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let nanoseconds: u64 = match unit {
            // Without a unit only when it is all there is: `90`, not `1h30`.
            "" if number.len() == text.len() => 1_000_000_000,
            "d" => 86_400_000_000_000,
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return Err(error()),
        };
        total = scaled(number, nanoseconds)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(error)?;
        rest = next;
    }
    Ok(Duration::from_nanos(total))
}

/// Shows a duration exactly, in a form that [`parse_duration`] reads: `1h30m`, `1m1.5s`, `500ms`, `0s`.
///
/// Durations above 584 years, which do not fit u64 nanoseconds, show as that.
pub fn format_duration(duration: Duration) -> String {
    let total = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let decimal = |whole: u64, fraction: u64, width: usize, unit: &str| {
        let fraction = format!("{fraction:0width$}");
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() {
            format!("{whole}{unit}")
        } else {
            format!("{whole}.{fraction}{unit}")
        }
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => decimal(total / 1_000, total % 1_000, 3, "us"),
        1_000_000..1_000_000_000 => decimal(total / 1_000_000, total % 1_000_000, 6, "ms"),
        _ => {
            let seconds = total / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let mut text = String::new();
            if hours > 0 {
                // Writing to a String does not fail, here and below.
                let _ = write!(text, "{hours}h");
            }
            if minutes > 0 {
                let _ = write!(text, "{minutes}m");
            }
            let below = total % 1_000_000_000;
            if seconds % 60 > 0 || below > 0 {
                text.push_str(&decimal(seconds % 60, below, 9, "s"));
            }
            text
        }
    }
}

/// Shows a duration as Docker's listings do, in words: `Less than a second`, `5 seconds`, `About an hour`, `3 days`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{minutes} minutes"),
        _ => match hours {
            1 => "About an hour".to_owned(),
            2..48 => format!("{hours} hours"),
            48..336 => format!("{} days", hours / 24),
            336..1440 => format!("{} weeks", hours / 24 / 7),
            1440..17_520 => format!("{} months", hours / 24 / 30),
            _ => format!("{} years", hours / 24 / 365),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("0", 0),
            ("32k", 32 << 10),
            ("32K", 32 << 10),
            ("32kb", 32 << 10),
            ("32Kib", 32 << 10),
            ("32 kB", 32 << 10),
            ("32.5kB", 33_280),
            ("32.5 kB", 33_280),
            ("1.5g", 3 << 29),
            (".5m", 1 << 19),
            ("64m", 64 << 20),
            ("2t", 2 << 40),
            ("1p", 1 << 50),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            " ",
            "k",
            "-1",
            "hello",
            "1.2.3",
            "1  k",
            "1kk",
            "1i",
            "1bb",
            "1 ",
            "32 b b",
            "1e3",
            "18446744073709551616",
            "16384p",
            "1ä",
        ] {
            let error = parse_bytes(text).unwrap_err();
            assert!(error.message.contains(&format!("`{text}`")), "{text}");
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn sizes_as_docker_shows_them() {
        for (bytes, decimal, binary) in [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1000B"),
            (1023, "1.02kB", "1023B"),
            (1024, "1.02kB", "1KiB"),
            (999_999, "1MB", "976.6KiB"),
            (77_812_345, "77.8MB", "74.21MiB"),
            (1 << 20, "1.05MB", "1MiB"),
            (3 << 29, "1.61GB", "1.5GiB"),
            (u64::MAX, "18.4EB", "16EiB"),
        ] {
            assert_eq!(
                (
                    format_bytes(bytes).as_str(),
                    format_bytes_binary(bytes).as_str()
                ),
                (decimal, binary)
            );
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("90", 90_000),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("0", 0),
            ("2d", 172_800_000),
            ("1m0.5s", 60_500),
            ("1000us", 1),
            ("1000µs", 1),
            ("0.5", 500),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "",
            "-1s",
            "1h30",
            "s",
            "1x",
            "1 s",
            "1.2.3s",
            "99999999999h",
            ".",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_shown() {
        for text in [
            "0s", "1ns", "1.5us", "500ms", "1.25ms", "1s", "1m1.5s", "1h30m", "24h", "1h1s",
        ] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (3 * 3600, "3 hours"),
            (24 * 3600, "24 hours"),
            (72 * 3600, "3 days"),
            (21 * 86400, "3 weeks"),
            (90 * 86400, "3 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(Duration::from_secs(seconds)), text);
        }
    }
}
