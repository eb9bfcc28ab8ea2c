//! Points in time: as people write them, as listings show them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use shedbox_spec::{Error, Result, size};

/// Nanoseconds since 1970 of an RFC 3339 time, seconds since 1970, or a duration before `now`.
pub(crate) fn parse_ns(text: &str, now: SystemTime) -> Result<u64> {
    let since_epoch = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64
    };
    if let Some(ns) = seconds(text) {
        return Ok(ns);
    }
    if let Ok(before) = size::parse_duration(text) {
        return Ok(since_epoch(
            now.checked_sub(before).unwrap_or(SystemTime::UNIX_EPOCH),
        ));
    }
    text.parse::<Timestamp>().map(|time| u64::try_from(time.as_nanosecond()).unwrap_or(0)).map_err(|_| {
        Error::invalid(format!("invalid time `{text}`"))
            .with_hint("write it as `2026-01-02T15:04:05Z`, as seconds since 1970, or as a duration such as `10m`")
    })
}

/// `1700000000` or `1700000000.5`.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
}

/// RFC 3339 with nine decimals, as Docker shows log times.
pub(crate) fn show_ns(ns: u64) -> String {
    match Timestamp::from_nanosecond(i128::from(ns)) {
        Ok(time) => format!("{time:.9}"),
        Err(_) => ns.to_string(),
    }
}

/// How long ago an RFC 3339 time is, in words; empty when it is absent or unreadable.
pub(crate) fn ago(time: Option<&str>, now: SystemTime) -> String {
    age(time, now).map_or_else(String::new, |age| {
        format!("{} ago", size::human_duration(age))
    })
}

/// How long ago an RFC 3339 time is.
pub(crate) fn age(time: Option<&str>, now: SystemTime) -> Option<Duration> {
    let time: Timestamp = time?.parse().ok()?;
    Some(
        now.duration_since(SystemTime::from(time))
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", 1_000_000_000),
            ("1970-01-01T01:00:01+01:00", 1_000_000_000),
            ("5", 5_000_000_000),
            ("5.25", 5_250_000_000),
            ("10s", 999_990_000_000_000),
            ("1h30m", 994_600_000_000_000),
            ("99999h", 0),
        ] {
            assert_eq!(parse_ns(text, now), Ok(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "-5", "5.x"] {
            assert!(parse_ns(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn times_as_listings_show_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(ago(Some("1970-01-01T00:00:10Z"), now), "About a minute ago");
        assert_eq!(
            ago(Some("1970-01-01T00:05:00Z"), now),
            "Less than a second ago",
            "a clock that was set back"
        );
        assert_eq!(
            (ago(None, now), ago(Some("x"), now)),
            (String::new(), String::new())
        );
        assert_eq!(show_ns(1_500_000_000), "1970-01-01T00:00:01.500000000Z");
    }
}
