//! Floats as Go writes them. Signs are the caller's: all functions take values without sign, but for [`json`].

/// Digits after which an `f64` has only zeros; also within what the standard library formats.
const EXACT_DIGITS: usize = 1100;

/// `%f`
pub(crate) fn fixed(value: f64, precision: usize) -> String {
    let mut text = format!("{value:.*}", precision.min(EXACT_DIGITS));
    text.extend(std::iter::repeat_n(
        '0',
        precision.saturating_sub(EXACT_DIGITS),
    ));
    text
}

/// `%e`; without precision the fewest digits that identify the value.
pub(crate) fn scientific(value: f64, precision: Option<usize>) -> String {
    let (mut digits, exponent) = split_scientific(value, precision);
    if let Some(precision) = precision {
        digits.extend(std::iter::repeat_n(
            '0',
            precision.saturating_sub(EXACT_DIGITS),
        ));
    }
    format!(
        "{digits}e{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

/// `%g`: `%e` for large exponents, `%f` otherwise; without precision the fewest digits that identify the value.
pub(crate) fn general(value: f64, precision: Option<usize>) -> String {
    let wanted = precision.map(|precision| precision.max(1));
    let (digits, exponent) = split_scientific(value, wanted.map(|wanted| wanted - 1));
    let count = significant(&digits);
    let exponent_limit = match wanted {
        Some(wanted) if wanted > count && exponent < count as i32 => count,
        Some(wanted) => wanted,
        None => 6,
    };
    if exponent < -4 || exponent >= exponent_limit as i32 {
        scientific(value, Some(count - 1))
    } else {
        fixed(value, (count as i32 - exponent - 1).max(0) as usize)
    }
}

/// As [`general`], but with all of `digits` digits and a point: what the flag `#` asks for.
pub(crate) fn with_zeros(text: &str, digits: usize) -> String {
    let (mantissa, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
    let mut filled = mantissa.to_owned();
    if !filled.contains('.') {
        filled.push('.');
    }
    let count = mantissa
        .trim_start_matches(['0', '.'])
        .chars()
        .filter(char::is_ascii_digit)
        .count();
    // A zero has no digit that counts, but shows one.
    let count = if mantissa.contains(|c| ('1'..='9').contains(&c)) {
        count
    } else {
        count + 1
    };
    filled.extend(std::iter::repeat_n('0', digits.saturating_sub(count)));
    filled + exponent
}

/// As JSON: no exponent between 1e-6 and 1e21.
pub(crate) fn json(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            Some((digits, exponent)) => format!("{digits}e{exponent}"),
            None => text,
        };
    }
    format!("{value}")
}

/// The digits of a value with their point, and its exponent.
fn split_scientific(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{value:.*e}", precision.min(EXACT_DIGITS)),
        None => format!("{value:e}"),
    };
    match text.split_once('e') {
        Some((digits, exponent)) => (digits.to_owned(), exponent.parse().unwrap_or_default()),
        None => (text, 0),
    }
}

/// Digits without trailing zeros; at least one.
fn significant(digits: &str) -> usize {
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0')
    } else {
        digits
    };
    digits.chars().filter(char::is_ascii_digit).count().max(1)
}
