//! The lexer behind [`crate::expand`].

use crate::expand::{ExpandProblem, Expander};
use crate::shell_pattern::ShellPattern;

/// Substitutions inside substitutions.
const DEEPEST: usize = 64;

/// What a word became.
#[derive(Default)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// The same split at blanks that were not quoted; only where that is asked for.
    pub(crate) words: Option<Words>,
}

impl Expanded {
    fn push(&mut self, character: char) {
        self.text.push(character);
        if let Some(words) = &mut self.words {
            words.push(character);
        }
    }

    fn push_value(&mut self, value: &str) {
        self.text.push_str(value);
        if let Some(words) = &mut self.words {
            value.chars().for_each(|character| words.push(character));
        }
    }

    fn push_quoted(&mut self, quoted: &str) {
        self.text.push_str(quoted);
        if let Some(words) = &mut self.words {
            words.current.push_str(quoted);
        }
    }
}

/// A text split at blanks that were not quoted.
#[derive(Default)]
pub(crate) struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    fn push(&mut self, character: char) {
        if !character.is_whitespace() {
            self.current.push(character);
        } else if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    pub(crate) fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

/// Reads a word from front to back.
pub(crate) struct Lexer<'a> {
    rest: &'a str,
    escape: char,
    limits: &'a Expander<'a>,
    /// Escapes stay in the text, because it is a pattern.
    raw_escapes: bool,
    quotes_are_text: bool,
    depth: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(
        text: &'a str,
        escape: char,
        quotes_are_text: bool,
        limits: &'a Expander<'a>,
    ) -> Self {
        Self {
            rest: text,
            escape,
            limits,
            raw_escapes: false,
            quotes_are_text,
            depth: 0,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next();
        self.rest = characters.as_str();
        character
    }

    /// Reads to the end; `split` asks for words.
    pub(crate) fn all(&mut self, split: bool) -> Result<Expanded, ExpandProblem> {
        let expanded = Expanded {
            text: String::new(),
            words: split.then(Words::default),
        };
        self.until(None, false, expanded)
    }

    /// Reads a part of `${}` up to `stop`.
    fn part(&mut self, stop: char, raw_escapes: bool) -> Result<String, ExpandProblem> {
        self.until(Some(stop), raw_escapes, Expanded::default())
            .map(|expanded| expanded.text)
    }

    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
        mut expanded: Expanded,
    ) -> Result<Expanded, ExpandProblem> {
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        loop {
            let Some(character) = self.peek() else {
                if stop.is_some() {
                    return Err(ExpandProblem::MissingBrace);
                }
                break;
            };
            if stop == Some(character) {
                self.next();
                break;
            }
            match character {
                '$' => {
                    let value = self.dollar()?;
                    expanded.push_value(&value);
                }
                '\'' | '"' if !self.quotes_are_text => {
                    let quoted = if character == '"' {
                        self.double_quoted()?
                    } else {
                        self.single_quoted()?
                    };
                    expanded.push_quoted(&quoted);
                }
                _ => {
                    self.next();
                    self.plain(character, &mut expanded);
                }
            }
        }
        self.raw_escapes = outer;
        Ok(expanded)
    }

    /// One character that is neither `$` nor a quote; an escape takes the next one with it.
    fn plain(&mut self, character: char, expanded: &mut Expanded) {
        if character != self.escape {
            expanded.push(character);
            return;
        }
        if self.raw_escapes {
            expanded.push(character);
        }
        if let Some(escaped) = self.next() {
            expanded.push_quoted(escaped.encode_utf8(&mut [0; 4]));
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandProblem> {
        self.next();
        let (text, rest) = self
            .rest
            .split_once('\'')
            .ok_or(ExpandProblem::OpenQuote("single-quote"))?;
        self.rest = rest;
        Ok(text.to_owned())
    }

    fn double_quoted(&mut self) -> Result<String, ExpandProblem> {
        self.next();
        let mut text = String::new();
        loop {
            match self
                .peek()
                .ok_or(ExpandProblem::OpenQuote("double-quote"))?
            {
                '"' => {
                    self.next();
                    return Ok(text);
                }
                '$' => text.push_str(&self.dollar()?),
                character if character == self.escape => {
                    self.next();
                    let special =
                        matches!(self.peek(), Some('"' | '$')) || self.peek() == Some(self.escape);
                    if self.raw_escapes || !special {
                        text.push(character);
                    }
                    if special {
                        text.extend(self.next());
                    }
                }
                character => {
                    self.next();
                    text.push(character);
                }
            }
        }
    }

    /// What `$…` stands for; counts what it produces.
    fn dollar(&mut self) -> Result<String, ExpandProblem> {
        self.next();
        let value = if self.peek() == Some('{') {
            self.next();
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(ExpandProblem::TooDeep);
            }
            let value = self.braces()?;
            self.depth -= 1;
            value
        } else {
            match self.name() {
                "" => "$".to_owned(),
                name => self.value(name).unwrap_or_default().to_owned(),
            }
        };
        self.limits.count_result(value.len())?;
        Ok(value)
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.limits.variables.lookup(name)
    }

    /// A name, a run of digits, or one special parameter.
    fn name(&mut self) -> &'a str {
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        let end = match self.peek() {
            Some(first) if first.is_numeric() => {
                self.rest.find(|character: char| !character.is_numeric())
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            _ => self.rest.find(|character| !is_name(character)),
        };
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        name
    }

    /// `${…}` behind its opening brace.
    fn braces(&mut self) -> Result<String, ExpandProblem> {
        match self.peek() {
            None => return Err(ExpandProblem::MissingBrace),
            Some('{' | '}' | ':') => return Err(ExpandProblem::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        let set = self.value(name);
        let mut modifier = self.next().ok_or(ExpandProblem::MissingBrace)?;
        let mut operator = modifier.to_string();
        let mut value = set;
        match modifier {
            '}' => return Ok(set.unwrap_or_default().to_owned()),
            '/' => return self.replaced(set.unwrap_or_default()),
            ':' => {
                modifier = self.next().ok_or(ExpandProblem::MissingBrace)?;
                operator.push(modifier);
                // The colon makes empty the same as unset.
                value = set.filter(|value| !value.is_empty());
            }
            _ => {}
        }
        if !matches!(modifier, '+' | '-' | '?' | '#' | '%') {
            return Err(ExpandProblem::UnsupportedModifier(operator));
        }
        let word = self.part('}', matches!(modifier, '#' | '%'))?;
        match modifier {
            '-' => Ok(value.map_or(word, str::to_owned)),
            '+' => Ok(if value.is_some() { word } else { String::new() }),
            '?' => value.map(str::to_owned).ok_or_else(|| {
                let state = if set.is_some() {
                    "is not allowed to be empty"
                } else {
                    "is not allowed to be unset"
                };
                let message = if word.is_empty() {
                    state.to_owned()
                } else {
                    word
                };
                ExpandProblem::Required {
                    name: name.to_owned(),
                    message,
                }
            }),
            _ => {
                let (pattern, longest) = word
                    .strip_prefix(modifier)
                    .map_or((word.as_str(), false), |pattern| (pattern, true));
                let pattern = ShellPattern::parse(pattern)?;
                let value = set.unwrap_or_default();
                self.limits.count_comparisons(&pattern, value)?;
                Ok(if modifier == '#' {
                    pattern.without_prefix(value, longest)
                } else {
                    pattern.without_suffix(value, longest)
                })
            }
        }
    }

    /// `${V/pattern/replacement}` behind its first slash.
    fn replaced(&mut self, value: &str) -> Result<String, ExpandProblem> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.part('/', true).map_err(|problem| match problem {
            ExpandProblem::MissingBrace => ExpandProblem::MissingSlash,
            problem => problem,
        })?;
        let replacement = self.part('}', true)?;
        let pattern = ShellPattern::parse(&pattern)?;
        self.limits.count_comparisons(&pattern, value)?;
        let room = self.limits.room();
        pattern
            .replaced(value, &replacement, all, room)
            .ok_or(ExpandProblem::TooLong)
    }
}
