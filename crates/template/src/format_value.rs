//! One value under one verb of `printf`; `%v` is also how templates print.

use std::borrow::Cow;

use crate::{
    limits, quote,
    value::{Text, Value},
    verb::Verb,
};

/// The value as `print` has it.
pub(crate) fn plain(value: &Value<'_>) -> String {
    let mut out = String::new();
    push(&mut out, value, &Verb::plain());
    out
}

/// The value as an action prints it: nothing is `<no value>`, not `<nil>`.
pub(crate) fn printable(value: &Value<'_>) -> String {
    match value.clone().concrete() {
        Value::Missing => "<no value>".to_owned(),
        Value::Text(text) => (*text).to_owned(),
        other => plain(&other),
    }
}

/// Appends `value`. Stops early, without an error, when `out` has more than a template may print.
pub(crate) fn push(out: &mut String, value: &Value<'_>, verb: &Verb) {
    let value = value.clone().concrete();
    if verb.letter == 'T' {
        let name = if matches!(value, Value::Missing) {
            "<nil>"
        } else {
            value.type_name()
        };
        return verb.pad(out, &truncated(name, verb));
    }
    match &value {
        Value::Missing | Value::Nil | Value::Interface(_) if verb.letter == 'v' => {
            verb.pad(out, "<nil>");
        }
        _ => push_concrete(out, &value, verb),
    }
}

fn push_concrete(out: &mut String, value: &Value<'_>, verb: &Verb) {
    let is_done = match value {
        Value::Missing | Value::Nil | Value::Interface(_) => false,
        Value::Bool(value) => match verb.letter {
            't' | 'v' => {
                verb.pad(out, if *value { "true" } else { "false" });
                true
            }
            _ => false,
        },
        Value::Int(value) => verb.push_integer(out, i128::from(*value)),
        // Go shows unsigned numbers in its own syntax as hexadecimal.
        Value::Uint(value) if verb.letter == 'v' && verb.go_syntax => Verb {
            letter: 'x',
            sharp: true,
            ..verb.clone()
        }
        .push_integer(out, i128::from(*value)),
        Value::Uint(value) => verb.push_integer(out, i128::from(*value)),
        Value::Float(value) => verb.push_float(out, *value, false),
        Value::Decimal(value) => verb.push_float(out, *value, true),
        Value::Text(text) => push_text(out, text, verb),
        Value::List(items) => {
            push_list(out, value, items.iter().map(Value::Interface), verb);
            true
        }
        Value::Texts(items) => {
            let items = items.iter().map(|text| Value::Text(Text::Borrowed(text)));
            push_list(out, value, items, verb);
            true
        }
        Value::Map(map) => {
            let (start, end, separator) = if verb.go_syntax {
                ("map[string]interface {}{", '}', ", ")
            } else {
                ("map[", ']', " ")
            };
            out.push_str(start);
            for (index, (key, item)) in map.iter().enumerate() {
                if out.len() > limits::OUTPUT_BYTES {
                    break;
                }
                if index > 0 {
                    out.push_str(separator);
                }
                push_concrete(out, &Value::Text(Text::Borrowed(key)), verb);
                out.push(':');
                push_element(out, &Value::Interface(item), verb);
            }
            out.push(end);
            true
        }
    };
    if !is_done {
        push_bad_verb(out, value, verb);
    }
}

fn push_list<'a>(
    out: &mut String,
    list: &Value<'_>,
    items: impl Iterator<Item = Value<'a>>,
    verb: &Verb,
) {
    let (end, separator) = if verb.go_syntax {
        out.push_str(list.type_name());
        out.push('{');
        ('}', ", ")
    } else {
        out.push('[');
        (']', " ")
    };
    for (index, item) in items.enumerate() {
        if out.len() > limits::OUTPUT_BYTES {
            break;
        }
        if index > 0 {
            out.push_str(separator);
        }
        push_element(out, &item, verb);
    }
    out.push(end);
}

/// Nil inside a list or a map has no verb and no width.
fn push_element(out: &mut String, item: &Value<'_>, verb: &Verb) {
    match item.clone().concrete() {
        Value::Missing if verb.go_syntax => out.push_str("interface {}(nil)"),
        Value::Missing => out.push_str("<nil>"),
        other => push_concrete(out, &other, verb),
    }
}

fn push_bad_verb(out: &mut String, value: &Value<'_>, verb: &Verb) {
    out.push_str("%!");
    out.push(verb.letter);
    out.push('(');
    if matches!(value, Value::Missing) {
        out.push_str("<nil>");
    } else {
        out.push_str(value.type_name());
        out.push('=');
        push_concrete(
            out,
            value,
            &Verb {
                letter: 'v',
                ..verb.clone()
            },
        );
    }
    out.push(')');
}

fn push_text(out: &mut String, text: &str, verb: &Verb) -> bool {
    match verb.letter {
        'v' if verb.go_syntax => push_quoted(out, text, verb),
        'v' | 's' => verb.pad(out, &truncated(text, verb)),
        'q' => push_quoted(out, text, verb),
        'x' | 'X' => push_hexadecimal(out, text, verb),
        _ => return false,
    }
    true
}

/// The first characters, as many as the precision says.
fn truncated<'t>(text: &'t str, verb: &Verb) -> Cow<'t, str> {
    match verb
        .precision
        .and_then(|precision| text.char_indices().nth(precision))
    {
        Some((end, _)) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        None => Cow::Borrowed(text),
    }
}

fn push_quoted(out: &mut String, text: &str, verb: &Verb) {
    let text = truncated(text, verb);
    let can_be_raw = |c: char| c == '\t' || !(c < ' ' || matches!(c, '`' | '\u{7f}' | '\u{feff}'));
    if verb.sharp && text.chars().all(can_be_raw) {
        verb.pad(out, &format!("`{text}`"));
    } else if verb.plus {
        verb.pad(out, &quote::quote_ascii(&text));
    } else {
        verb.pad(out, &quote::quote(&text));
    }
}

fn push_hexadecimal(out: &mut String, text: &str, verb: &Verb) {
    let bytes = text.as_bytes();
    let bytes = bytes
        .get(..verb.precision.unwrap_or(bytes.len()))
        .unwrap_or(bytes);
    let prefix = match verb.letter {
        _ if !verb.sharp => "",
        'x' => "0x",
        _ => "0X",
    };
    let mut digits = String::with_capacity(bytes.len() * 2);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && verb.space {
            digits.push(' ');
        }
        if index == 0 || verb.space {
            digits.push_str(prefix);
        }
        for nibble in [byte >> 4, byte & 15] {
            let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
            digits.push(if verb.letter == 'X' {
                digit.to_ascii_uppercase()
            } else {
                digit
            });
        }
    }
    verb.pad(out, &digits);
}
