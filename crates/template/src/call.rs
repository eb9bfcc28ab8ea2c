//! What the functions do with their arguments, which are of the kinds their signature names.

use std::cmp::Ordering;

use crate::{
    collection, compare, escape, format_value, function::Function, json, limits, printf,
    text_function, value::Value,
};

/// The value of a call; `source` is the first argument as the template has it.
pub(crate) fn call<'a>(
    function: Function,
    arguments: &[Value<'a>],
    source: &str,
) -> Result<Value<'a>, String> {
    let missing = Value::Missing;
    let (first, others) = arguments.split_first().unwrap_or((&missing, &[]));
    let second = others.first().unwrap_or(&missing);
    let made = match function {
        Function::And => return Ok(decide(arguments, false)),
        Function::Or => return Ok(decide(arguments, true)),
        Function::Not => return Ok(Value::Bool(!first.is_true())),
        Function::Index => return collection::index(first, others),
        Function::Slice => return collection::slice(first, others),
        Function::Len => return collection::len(first).map(Value::count),
        Function::Eq => return compare::equals_any(first, others).map(Value::Bool),
        Function::Ne => return compare::equals_any(first, others).map(|equal| Value::Bool(!equal)),
        Function::Lt => {
            return compare::is_ordered(first, second, Ordering::is_lt).map(Value::Bool);
        }
        Function::Le => {
            return compare::is_ordered(first, second, Ordering::is_le).map(Value::Bool);
        }
        Function::Gt => {
            return compare::is_ordered(first, second, Ordering::is_gt).map(Value::Bool);
        }
        Function::Ge => {
            return compare::is_ordered(first, second, Ordering::is_ge).map(Value::Bool);
        }
        Function::Call => return Err(not_callable(first, source)),
        Function::Split => {
            return text_function::split(text(first), text(second))
                .map(|parts| Value::Texts(parts.into()));
        }
        Function::Html => escape::html(&joined(arguments)),
        Function::Js => escape::js(&joined(arguments)),
        Function::UrlQuery => escape::url_query(&joined(arguments)),
        Function::Print => printf::sprint(arguments),
        Function::Printf => printf::sprintf(text(first), others),
        Function::Println => printf::sprintln(arguments),
        Function::Json => json::encode(first),
        Function::Join => join(first, text(second))?,
        Function::Title => text_function::title(text(first)),
        Function::Lower => text_function::lower(text(first)),
        Function::Upper => text_function::upper(text(first)),
        Function::Pad => text_function::pad(
            text(first),
            integer(second),
            others.get(1).map_or(0, integer),
        )?,
        Function::Truncate => text_function::truncate(text(first), integer(second))?,
    };
    if made.len() > limits::OUTPUT_BYTES {
        return Err(format!("text has more than {} bytes", limits::OUTPUT_BYTES));
    }
    Ok(Value::text(made))
}

/// The first argument that is `wanted`, or else the last.
fn decide<'a>(arguments: &[Value<'a>], wanted: bool) -> Value<'a> {
    let decisive = arguments
        .iter()
        .find(|argument| argument.is_true() == wanted);
    decisive
        .or(arguments.last())
        .cloned()
        .unwrap_or(Value::Missing)
}

fn not_callable(value: &Value<'_>, source: &str) -> String {
    match value.clone().concrete() {
        Value::Missing => "call of nil".to_owned(),
        other => format!("non-function {source} of type {}", other.type_name()),
    }
}

/// What the escaping functions escape.
fn joined(arguments: &[Value<'_>]) -> String {
    let printable: Vec<_> = arguments
        .iter()
        .map(|argument| match argument.clone().concrete() {
            Value::Missing => Value::text(format_value::printable(&Value::Missing)),
            other => other,
        })
        .collect();
    printf::sprint(&printable)
}

fn join(items: &Value<'_>, separator: &str) -> Result<String, String> {
    let mut out = String::new();
    let parts: Vec<&str> = match items {
        Value::Texts(items) => items.iter().map(String::as_str).collect(),
        Value::List(items) => items.iter().filter_map(serde_json::Value::as_str).collect(),
        _ => Vec::new(),
    };
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(part);
        if out.len() > limits::OUTPUT_BYTES {
            return Err(format!("text has more than {} bytes", limits::OUTPUT_BYTES));
        }
    }
    Ok(out)
}

fn text<'v>(value: &'v Value<'_>) -> &'v str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

fn integer(value: &Value<'_>) -> i64 {
    match value {
        Value::Int(value) => *value,
        _ => 0,
    }
}
