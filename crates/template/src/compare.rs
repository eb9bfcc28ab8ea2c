//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use crate::{format_value, value::Value};

const INCOMPATIBLE: &str = "incompatible types for comparison";
const INVALID: &str = "invalid type for comparison";

/// Whether `first` equals one of `others`.
pub(crate) fn equals_any(first: &Value<'_>, others: &[Value<'_>]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equals(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(left: &Value<'_>, right: &Value<'_>) -> Result<bool, String> {
    let (left, right) = (left.clone().concrete(), right.clone().concrete());
    match (&left, &right) {
        (Value::Missing, Value::Missing) => Ok(true),
        (Value::Missing, _) | (_, Value::Missing) => Ok(false),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (
            Value::List(_) | Value::Map(_) | Value::Texts(_),
            Value::List(_) | Value::Map(_) | Value::Texts(_),
        ) => {
            // Go prints the value where its message has the type, and the type where it has the value.
            Err(format!(
                "non-comparable type {}: {}",
                format_value::plain(&right),
                right.type_name()
            ))
        }
        _ => compare(&left, &right)
            .map(|order| order == Some(Ordering::Equal))
            .map_err(|_| INCOMPATIBLE.to_owned()),
    }
}

/// Whether `left` and `right` are in an order that `wanted` accepts.
pub(crate) fn is_ordered(
    left: &Value<'_>,
    right: &Value<'_>,
    wanted: impl Fn(Ordering) -> bool,
) -> Result<bool, String> {
    Ok(compare(&left.clone().concrete(), &right.clone().concrete())?.is_some_and(wanted))
}

fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, String> {
    use Value::{Decimal, Float, Int, Text, Uint};
    Ok(match (left, right) {
        (Int(left), Int(right)) => Some(left.cmp(right)),
        (Uint(left), Uint(right)) => Some(left.cmp(right)),
        (Int(left), Uint(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Uint(left), Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Float(left) | Decimal(left), Float(right) | Decimal(right)) => left.partial_cmp(right),
        (Text(left), Text(right)) => Some((**left).cmp(&**right)),
        (Int(_) | Uint(_) | Float(_) | Decimal(_) | Text(_) | Value::Bool(_), right)
            if is_basic(right) && !matches!((left, right), (Value::Bool(_), Value::Bool(_))) =>
        {
            return Err(INCOMPATIBLE.to_owned());
        }
        _ => return Err(INVALID.to_owned()),
    })
}

fn is_basic(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Float(_)
            | Value::Decimal(_)
            | Value::Text(_)
    )
}
