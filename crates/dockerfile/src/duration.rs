//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

/// A text that is no duration, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Neither a number nor a unit, or more than fits.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number alone.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A number before a word that is no unit.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The word.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Parses a duration into nanoseconds.
pub fn parse_nanoseconds(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..).unwrap_or_default()),
        [b'+', ..] => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), split_digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after
            .find(|character: char| character == '.' || character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let scale = match unit {
            "" => return Err(DurationError::MissingUnit(text.to_owned())),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                return Err(DurationError::UnknownUnit {
                    unit: unit.to_owned(),
                    text: text.to_owned(),
                });
            }
        };
        let number = if whole.is_empty() {
            0
        } else {
            whole.parse::<i64>().map_err(|_| invalid())?
        };
        total = number
            .checked_mul(scale)
            .and_then(|value| value.checked_add(fraction_of(fraction, scale)))
            .and_then(|value| total.checked_add(value))
            .ok_or_else(invalid)?;
        rest = next;
    }
    Ok(if negative { -total } else { total })
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|character: char| !character.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// The part of `scale` that decimal digits behind a point are, rounded down.
fn fraction_of(digits: &str, scale: i64) -> i64 {
    let (mut numerator, mut denominator) = (0_i128, 1_i128);
    // An hour has 3.6e12 nanoseconds: digits beyond the 18th change nothing.
    for digit in digits.bytes().take(18) {
        numerator = numerator * 10 + i128::from(digit - b'0');
        denominator *= 10;
    }
    i64::try_from(numerator * i128::from(scale) / denominator).unwrap_or(0)
}
