//! Values while a template executes: borrowed from the data, or made by literals and functions.

use std::{ops::Deref, sync::Arc};

use serde_json::{Map, Value as Json};

use crate::limits;

/// A text of the data or a made one.
#[derive(Debug, Clone)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A value. Go tells what an interface holds from the interface: so do the variants.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    /// Nothing at all: prints as `<no value>`.
    Missing,
    /// A nil interface.
    Nil,
    /// An interface of Go: an element or a field of the data, not yet looked into.
    Interface(&'a Json),
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A float of the data: prints as JSON writes it, without exponent, for docker reads numbers as text.
    Decimal(f64),
    Text(Text<'a>),
    List(&'a [Json]),
    /// What `split` gives.
    Texts(Arc<[String]>),
    Map(&'a Map<String, Json>),
}

impl Value<'_> {
    /// A made text.
    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    /// A length or an index.
    pub(crate) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// What an interface holds; `Missing` for nil.
    pub(crate) fn concrete(self) -> Self {
        match self {
            Self::Nil | Self::Interface(Json::Null) => Self::Missing,
            Self::Interface(Json::Bool(value)) => Self::Bool(*value),
            Self::Interface(Json::String(text)) => Self::Text(Text::Borrowed(text)),
            Self::Interface(Json::Array(items)) => Self::List(items),
            Self::Interface(Json::Object(map)) => Self::Map(map),
            Self::Interface(Json::Number(number)) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Int(value),
                (_, Some(value)) => Self::Uint(value),
                _ => Self::Decimal(number.as_f64().unwrap_or_default()),
            },
            other => other,
        }
    }

    /// Whether this is an interface that holds nil.
    pub(crate) fn is_nil_interface(&self) -> bool {
        matches!(self, Self::Nil | Self::Interface(Json::Null))
    }

    /// Steps that a function which looks at all of this value counts as.
    pub(crate) fn reading_steps(&self) -> usize {
        match self {
            Self::Text(text) => text.len() / limits::PARTS_PER_STEP,
            Self::Texts(items) => items.len() / limits::PARTS_PER_STEP,
            _ => 0,
        }
    }

    /// Steps that a function which made this value counts as.
    pub(crate) fn making_steps(&self) -> usize {
        match self {
            Self::Text(Text::Shared(text)) => text.len() / limits::PARTS_PER_STEP,
            Self::Texts(items) => items.len(),
            _ => 0,
        }
    }

    /// What `if` decides: everything but the zero of a type is true.
    pub(crate) fn is_true(&self) -> bool {
        match self.clone().concrete() {
            Self::Missing | Self::Nil | Self::Interface(_) => false,
            Self::Bool(value) => value,
            Self::Int(value) => value != 0,
            Self::Uint(value) => value != 0,
            Self::Float(value) | Self::Decimal(value) => value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Texts(items) => !items.is_empty(),
            Self::Map(map) => !map.is_empty(),
        }
    }

    /// The name Go has for the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "nil",
            Self::Interface(_) => "interface {}",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint64",
            Self::Float(_) | Self::Decimal(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Texts(_) => "[]string",
            Self::Map(_) => "map[string]interface {}",
        }
    }
}
