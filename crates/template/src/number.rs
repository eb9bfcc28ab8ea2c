//! Number literals.

use crate::{quote, syntax::Number};

/// The number `literal` stands for.
pub(crate) fn parse(literal: &str) -> Result<Number, String> {
    let looks_like_float = !is_hexadecimal(literal) && literal.contains(['.', 'e', 'E']);
    let float = parse_float(literal).filter(|value| value.is_finite());
    let unsigned = parse_integer(literal);
    let integer = match unsigned {
        Some(value) => i64::try_from(value).ok(),
        // `1e3` may stand where an integer must.
        None => float
            .filter(|value| value.fract() == 0.0 && value.abs() < 9e15)
            .map(|value| value as i64),
    };
    let number = Number {
        literal: literal.to_owned(),
        integer,
        float: float.filter(|_| looks_like_float),
    };
    let is_wide = unsigned.is_some_and(|value| {
        (0..=i128::from(u64::MAX)).contains(&value) || number.integer.is_some()
    });
    if looks_like_float && float.is_some() || is_wide {
        Ok(number)
    } else if !looks_like_float && (float.is_some() || unsigned.is_some()) {
        Err(format!("integer overflow: {}", quote::quote(literal)))
    } else {
        Err(format!("illegal number syntax: {}", quote::quote(literal)))
    }
}

/// The number a character literal stands for.
pub(crate) fn parse_char(literal: &str) -> Result<Number, String> {
    let code = quote::unquote_char(literal)?;
    Ok(Number {
        literal: literal.to_owned(),
        integer: Some(code),
        float: None,
    })
}

fn is_hexadecimal(literal: &str) -> bool {
    let digits = literal.trim_start_matches(['+', '-']);
    digits.starts_with("0x") || digits.starts_with("0X")
}

/// A decimal float; underscores stand between digits.
fn parse_float(literal: &str) -> Option<f64> {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let has_stray_underscore = literal.match_indices('_').any(|(index, _)| {
        let (before, after) = literal.split_at(index);
        !(is_digit(before.chars().next_back()) && is_digit(after.chars().nth(1)))
    });
    if has_stray_underscore {
        None
    } else {
        literal.replace('_', "").parse().ok()
    }
}

/// An integer with Go's prefixes and underscores.
fn parse_integer(literal: &str) -> Option<i128> {
    let (sign, body) = match literal.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, literal.strip_prefix('+').unwrap_or(literal)),
    };
    let prefix = body.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (radix, digits) = match prefix.as_str() {
        "0x" => (16, body.get(2..)?),
        "0o" => (8, body.get(2..)?),
        "0b" => (2, body.get(2..)?),
        _ if body.len() > 1 && body.starts_with('0') => (8, body.get(1..)?),
        _ => (10, body),
    };
    // Underscores stand between digits; a prefix counts as one.
    let digits = if radix == 10 {
        digits
    } else {
        digits.strip_prefix('_').unwrap_or(digits)
    };
    if digits.is_empty()
        || digits.starts_with(['_', '+', '-'])
        || digits.ends_with('_')
        || digits.contains("__")
    {
        return None;
    }
    i128::from_str_radix(&digits.replace('_', ""), radix)
        .ok()
        .map(|value| sign * value)
}
