//! `json`: values as compact JSON, as Go writes it.

use serde_json::Value as Json;

use crate::{escape, float, value::Value};

/// `value` as JSON.
pub(crate) fn encode(value: &Value<'_>) -> String {
    let mut out = String::new();
    match value {
        Value::Missing | Value::Nil => out.push_str("null"),
        Value::Interface(value) => push(&mut out, value),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Uint(value) => out.push_str(&value.to_string()),
        Value::Float(value) | Value::Decimal(value) => out.push_str(&float::json(*value)),
        Value::Text(text) => escape::push_json(&mut out, text),
        Value::List(items) => push_all(&mut out, '[', ']', items.iter(), push),
        Value::Texts(items) => push_all(&mut out, '[', ']', items.iter(), |out, text| {
            escape::push_json(out, text);
        }),
        Value::Map(map) => push_all(&mut out, '{', '}', map.iter(), push_entry),
    }
    out
}

fn push(out: &mut String, value: &Json) {
    match value {
        Json::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => out.push_str(&float::json(value)),
            _ => out.push_str(&number.to_string()),
        },
        Json::String(text) => escape::push_json(out, text),
        Json::Array(items) => push_all(out, '[', ']', items.iter(), push),
        Json::Object(map) => push_all(out, '{', '}', map.iter(), push_entry),
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
    }
}

fn push_entry(out: &mut String, (key, value): (&String, &Json)) {
    escape::push_json(out, key);
    out.push(':');
    push(out, value);
}

fn push_all<T>(
    out: &mut String,
    open: char,
    close: char,
    items: impl Iterator<Item = T>,
    push_item: impl Fn(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_item(out, item);
    }
    out.push(close);
}
