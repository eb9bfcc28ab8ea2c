//! A verb of `printf` with its flags, and numbers under it.

use crate::{float, quote};

/// `%-8.3f` and the like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verb {
    pub(crate) letter: char,
    pub(crate) minus: bool,
    pub(crate) plus: bool,
    pub(crate) sharp: bool,
    pub(crate) space: bool,
    pub(crate) zero: bool,
    /// `%#v`
    pub(crate) go_syntax: bool,
    pub(crate) width: Option<usize>,
    pub(crate) precision: Option<usize>,
}

impl Verb {
    /// `%v`
    pub(crate) fn plain() -> Self {
        Self {
            letter: 'v',
            ..Self::default()
        }
    }

    /// Appends `text`, filled up to the width.
    pub(crate) fn pad(&self, out: &mut String, text: &str) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = std::iter::repeat_n(if self.zero && !self.minus { '0' } else { ' ' }, missing);
        if self.minus {
            out.push_str(text);
            out.extend(fill);
        } else {
            out.extend(fill);
            out.push_str(text);
        }
    }

    /// Appends an integer; whether the verb is one of integers.
    pub(crate) fn push_integer(&self, out: &mut String, value: i128) -> bool {
        let size = value.unsigned_abs();
        let digits = match self.letter {
            'v' | 'd' => size.to_string(),
            'b' => format!("{size:b}"),
            'o' | 'O' => format!("{size:o}"),
            'x' => format!("{size:x}"),
            'X' => format!("{size:X}"),
            'c' => {
                self.pad(out, character(value).encode_utf8(&mut [0; 4]));
                return true;
            }
            'q' => {
                self.pad(out, &quote::quote_char(character(value), self.plus));
                return true;
            }
            'U' => {
                self.push_code_point(out, value);
                return true;
            }
            _ => return false,
        };
        let sign = match () {
            () if value < 0 => "-",
            () if self.plus => "+",
            () if self.space => " ",
            () => "",
        };
        let blank = Self {
            zero: false,
            ..self.clone()
        };
        // A precision of zero shows a zero as nothing.
        if self.precision == Some(0) && value == 0 {
            blank.pad(out, "");
            return true;
        }
        let wanted = match (self.precision, self.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.zero && !self.minus => width - sign.len().min(width),
            _ => 0,
        };
        let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
        let prefix = match self.letter {
            'O' => "0o",
            'b' if self.sharp => "0b",
            'o' if self.sharp && zeros.is_empty() && !digits.starts_with('0') => "0",
            'x' if self.sharp => "0x",
            'X' if self.sharp => "0X",
            _ => "",
        };
        blank.pad(out, &format!("{sign}{prefix}{zeros}{digits}"));
        true
    }

    fn push_code_point(&self, out: &mut String, value: i128) {
        let digits = format!("{:X}", value as u64);
        let zeros = "0".repeat(
            self.precision
                .unwrap_or(4)
                .max(4)
                .saturating_sub(digits.len()),
        );
        let shown = char::from_u32(u32::try_from(value).unwrap_or(u32::MAX));
        let suffix = match shown.filter(|&c| self.sharp && quote::is_printable(c)) {
            Some(c) => format!(" '{c}'"),
            None => String::new(),
        };
        Self {
            zero: false,
            ..self.clone()
        }
        .pad(out, &format!("U+{zeros}{digits}{suffix}"));
    }

    /// Appends a float; whether the verb is one of floats. With `as_json`, `%v` has no exponent.
    pub(crate) fn push_float(&self, out: &mut String, value: f64, as_json: bool) -> bool {
        let size = value.abs();
        let digits = match self.letter {
            'v' if as_json && self.precision.is_none() => float::json(size),
            'v' | 'g' | 'G' => {
                let text = float::general(size, self.precision);
                let digits = self.precision.unwrap_or(6).max(1);
                if self.sharp {
                    float::with_zeros(&text, digits)
                } else {
                    text
                }
            }
            'f' | 'F' => {
                let point = if self.sharp && self.precision == Some(0) {
                    "."
                } else {
                    ""
                };
                float::fixed(size, self.precision.unwrap_or(6)) + point
            }
            'e' | 'E' => float::scientific(size, Some(self.precision.unwrap_or(6))),
            _ => return false,
        };
        let digits = if self.letter.is_ascii_uppercase() {
            digits.to_ascii_uppercase()
        } else {
            digits
        };
        let sign = match () {
            () if value.is_sign_negative() => "-",
            () if self.plus => "+",
            () if self.space => " ",
            () => "",
        };
        match self.width {
            // Zeros stand between the sign and the digits.
            Some(width) if self.zero && !self.minus && !sign.is_empty() => {
                out.push_str(sign);
                Self {
                    width: Some(width.saturating_sub(1)),
                    ..self.clone()
                }
                .pad(out, &digits);
            }
            _ => self.pad(out, &format!("{sign}{digits}")),
        }
        true
    }
}

fn character(value: i128) -> char {
    u32::try_from(value)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}
