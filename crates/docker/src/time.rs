//! Times in queries: seconds since 1970 with or without a fraction, RFC 3339, or a duration before now.

use jiff::Timestamp;
use shedbox_spec::{Error, Result};

/// Nanoseconds since 1970; `None` for the empty text and for 0, which clients send for "no bound".
pub fn nanoseconds(text: &str, now: Timestamp) -> Result<Option<u64>> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(fraction) && !whole.is_empty() && fraction.len() <= 9 {
        let seconds: u64 = whole.parse().map_err(|_| invalid(text))?;
        let nanos: u64 = format!("{fraction:0<9}")
            .parse()
            .map_err(|_| invalid(text))?;
        return seconds
            .checked_mul(1_000_000_000)
            .and_then(|total| total.checked_add(nanos))
            .map(Some)
            .ok_or_else(|| invalid(text));
    }
    let at = if let Ok(at) = text.parse::<Timestamp>() {
        at.as_nanosecond()
    } else if let Ok(date) = text.parse::<jiff::civil::DateTime>() {
        date.to_zoned(jiff::tz::TimeZone::UTC)
            .map_err(|_| invalid(text))?
            .timestamp()
            .as_nanosecond()
    } else {
        let before = shedbox_spec::size::parse_duration(text).map_err(|_| invalid(text))?;
        now.as_nanosecond() - before.as_nanos().min(i128::MAX as u128) as i128
    };
    Ok(Some(u64::try_from(at).unwrap_or(0)))
}

fn invalid(text: &str) -> Error {
    Error::invalid(format!(
        "failed to parse value as time or duration: \"{text}\""
    ))
    .with_hint("seconds since 1970, RFC 3339, or a duration such as 10m")
}

/// A time in nanoseconds as Docker's logs print it: always nine digits of the fraction.
pub fn rfc3339_nano(nanoseconds: u64) -> String {
    let at = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    format!(
        "{}.{:09}Z",
        at.strftime("%Y-%m-%dT%H:%M:%S"),
        nanoseconds % 1_000_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        let now = Timestamp::from_second(1000).unwrap();
        let read = |text: &str| nanoseconds(text, now);
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("0"), Ok(None));
        assert_eq!(read("5"), Ok(Some(5_000_000_000)));
        assert_eq!(read("5.25"), Ok(Some(5_250_000_000)));
        assert_eq!(read("1970-01-01T00:00:07Z"), Ok(Some(7_000_000_000)));
        assert_eq!(read("10m"), Ok(Some(400_000_000_000)));
        assert!(read("yesterday").is_err());
        assert_eq!(
            rfc3339_nano(7_000_000_001),
            "1970-01-01T00:00:07.000000001Z"
        );
    }
}
