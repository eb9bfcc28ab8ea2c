//! `index`, `slice` and `len`.

use std::sync::Arc;

use crate::value::{Text, Value};

/// `item[indexes[0]][indexes[1]]…`; a key that is not there gives nil.
pub(crate) fn index<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Result<Value<'a>, String> {
    let mut item = item.clone().concrete();
    if matches!(item, Value::Missing) {
        return Err("index of untyped nil".to_owned());
    }
    for index in indexes {
        if item.is_nil_interface() {
            return Err("index of nil pointer".to_owned());
        }
        let index = index.clone().concrete();
        item = match item.concrete() {
            Value::Map(map) => match index {
                Value::Text(key) => map.get(&*key).map_or(Value::Nil, Value::Interface),
                Value::Missing => return Err("value is nil; should be of type string".to_owned()),
                other => {
                    return Err(format!(
                        "value has type {}; should be string",
                        other.type_name()
                    ));
                }
            },
            Value::List(items) => element(items, &index, "slice").map(Value::Interface)?,
            Value::Texts(items) => {
                element(&items, &index, "slice").map(|text| Value::text(text.as_str()))?
            }
            Value::Text(text) => element(text.as_bytes(), &index, "string")
                .map(|byte| Value::Uint(u64::from(*byte)))?,
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn element<'i, T>(items: &'i [T], index: &Value<'_>, kind: &str) -> Result<&'i T, String> {
    let position = bound(index, items.len())?;
    items
        .get(position)
        .ok_or_else(|| format!("reflect: {kind} index out of range"))
}

/// An index of something of `length` elements; one past the end is allowed.
fn bound(index: &Value<'_>, length: usize) -> Result<usize, String> {
    let position = match index {
        Value::Int(position) => i128::from(*position),
        Value::Uint(position) => i128::from(*position),
        Value::Missing => return Err("cannot index slice/array with nil".to_owned()),
        other => {
            return Err(format!(
                "cannot index slice/array with type {}",
                other.type_name()
            ));
        }
    };
    usize::try_from(position)
        .ok()
        .filter(|&position| position <= length)
        .ok_or_else(|| format!("index out of range: {position}"))
}

/// `item[indexes[0]:indexes[1]:indexes[2]]`. Texts are sliced by bytes; half a character becomes U+FFFD.
pub(crate) fn slice<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Result<Value<'a>, String> {
    let item = item.clone().concrete();
    let length = match &item {
        Value::Missing => return Err("slice of untyped nil".to_owned()),
        _ if indexes.len() > 3 => return Err(format!("too many slice indexes: {}", indexes.len())),
        Value::Text(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Texts(items) => items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, length, length];
    for (place, index) in bounds.iter_mut().zip(indexes) {
        *place = bound(&index.clone().concrete(), length)?;
    }
    let [start, end, capacity] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    if end > capacity {
        return Err(format!("invalid slice index: {end} > {capacity}"));
    }
    Ok(match &item {
        Value::Text(Text::Borrowed(text))
            if text.is_char_boundary(start) && text.is_char_boundary(end) =>
        {
            Value::Text(Text::Borrowed(text.get(start..end).unwrap_or_default()))
        }
        Value::Text(text) => Value::text(bytes(text, start, end)),
        Value::List(items) => Value::List(items.get(start..end).unwrap_or_default()),
        Value::Texts(items) => Value::Texts(Arc::from(items.get(start..end).unwrap_or_default())),
        _ => Value::Missing,
    })
}

/// Bytes of a text, as text.
pub(crate) fn bytes(text: &str, start: usize, end: usize) -> String {
    String::from_utf8_lossy(text.as_bytes().get(start..end).unwrap_or_default()).into_owned()
}

/// The number of elements, or of bytes of a text.
pub(crate) fn len(item: &Value<'_>) -> Result<usize, String> {
    match item.clone().concrete() {
        Value::Missing => Err("len of nil pointer".to_owned()),
        Value::Text(text) => Ok(text.len()),
        Value::List(items) => Ok(items.len()),
        Value::Texts(items) => Ok(items.len()),
        Value::Map(map) => Ok(map.len()),
        other => Err(format!("len of type {}", other.type_name())),
    }
}
