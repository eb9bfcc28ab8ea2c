//! `--flag=value` words between a keyword and its arguments.

use std::collections::HashMap;

use crate::Problem;

/// How often a flag may be given, and what its value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Boolean,
    Text,
    Texts,
}

/// The flags of one instruction, checked against those it knows.
pub(crate) struct Flags {
    values: HashMap<String, Vec<String>>,
}

impl Flags {
    /// Checks flags in the order they were written.
    pub(crate) fn read(words: &[String], known: &[(&str, Takes)]) -> Result<Self, Problem> {
        let mut values = HashMap::<String, Vec<String>>::new();
        for word in words {
            let word = word.strip_prefix("--").unwrap_or(word);
            let (name, value) = word
                .split_once('=')
                .map_or((word, None), |(name, value)| (name, Some(value)));
            let Some((_, takes)) = known.iter().find(|(known, _)| *known == name) else {
                return Err(Problem::UnknownFlag(name.to_owned()));
            };
            let given = values.entry(name.to_owned()).or_default();
            if !given.is_empty() && *takes != Takes::Texts {
                return Err(Problem::DuplicateFlag(name.to_owned()));
            }
            given.push(match (takes, value) {
                (Takes::Boolean, None) => "true".to_owned(),
                (Takes::Boolean, Some(value)) if !value.is_empty() => boolean(name, value)?,
                (Takes::Text | Takes::Texts, Some(value)) => value.to_owned(),
                _ => return Err(Problem::MissingFlagValue(name.to_owned())),
            });
        }
        Ok(Self { values })
    }

    /// For instructions that know no flags.
    pub(crate) fn none(words: &[String]) -> Result<(), Problem> {
        Self::read(words, &[]).map(drop)
    }

    /// The value of a flag; an empty one counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.texts(name).pop().filter(|value| !value.is_empty())
    }

    /// All values of a flag.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        self.values.remove(name).unwrap_or_default()
    }

    /// Whether a boolean flag is on.
    pub(crate) fn is_on(&mut self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value == "true")
    }
}

fn boolean(flag: &str, value: &str) -> Result<String, Problem> {
    let lower = value.to_ascii_lowercase();
    if lower == "true" || lower == "false" {
        return Ok(lower);
    }
    Err(Problem::NotBoolean {
        flag: flag.to_owned(),
        value: value.to_owned(),
    })
}
