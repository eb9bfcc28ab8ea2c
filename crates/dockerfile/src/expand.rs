//! Variables in words: `$V`, `${V:-default}`, `${V#pattern}`, quotes and escapes.
//!
//! Docker's lexer is no shell: nothing is run, `$(` is text, and quotes that enclose nothing leave no word behind.
//! A file can double a variable with each line, so the length of what one instruction expands to, the depth of
//! substitutions in substitutions, and the work of comparing patterns are bounded.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use crate::shell_pattern::ShellPattern;
use crate::word_lexer::{Expanded, Lexer};

/// What the variables of one instruction may add up to in bytes. Linux takes no longer argument than 128 KiB.
pub const LONGEST_RESULT: usize = 1 << 20;
/// Comparisons of characters with patterns in one instruction: some milliseconds.
const MOST_COMPARISONS: usize = 4 << 20;

/// Where the values of variables come from.
pub trait Lookup {
    /// The value of a variable; none when it is not set.
    fn lookup(&self, name: &str) -> Option<&str>;
}

impl Lookup for BTreeMap<String, String> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl<S: BuildHasher> Lookup for HashMap<String, String, S> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// The variables of an `Env` list, entries of which are `NAME=value`.
pub struct EnvList<'a>(HashMap<&'a str, &'a str>);

impl<'a> EnvList<'a> {
    /// Reads the list.
    pub fn new(env: &'a [String]) -> Self {
        Self(
            env.iter()
                .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
                .collect(),
        )
    }
}

impl Lookup for EnvList<'_> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.0.get(name).copied()
    }
}

/// A word that cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {word:?}: {problem}")]
pub struct ExpandError {
    /// The word as written.
    pub word: String,
    /// What is wrong with it.
    pub problem: ExpandProblem,
}

/// What is wrong with a word, in Docker's words where it has them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ExpandProblem {
    #[error("unexpected end of statement while looking for matching {0}")]
    OpenQuote(&'static str),
    #[error("syntax error: missing '}}'")]
    MissingBrace,
    #[error("syntax error: missing '/' in ${{}}")]
    MissingSlash,
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    #[error("unsupported modifier ({0}) in substitution")]
    UnsupportedModifier(String),
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")]
    Pattern { pattern: String, escaped: String },
    #[error("substitutions are nested too deeply")]
    TooDeep,
    #[error("the result is longer than {LONGEST_RESULT} bytes")]
    TooLong,
    #[error("the patterns of this word are too much work")]
    TooMuchWork,
}

/// Replaces variables and removes quotes; blanks stay.
pub fn expand_word(
    word: &str,
    escape: char,
    variables: &dyn Lookup,
) -> Result<String, ExpandError> {
    Expander::new(escape, variables).word(word)
}

/// Replaces variables, removes quotes and splits at blanks that are not quoted, also at those in values: EXPOSE.
pub fn expand_words(
    word: &str,
    escape: char,
    variables: &dyn Lookup,
) -> Result<Vec<String>, ExpandError> {
    Expander::new(escape, variables).words(word)
}

/// Replaces variables in a here-document: quotes stay, a backslash is dropped from before whatever follows it.
pub fn expand_text(text: &str, variables: &dyn Lookup) -> Result<String, ExpandError> {
    Expander::new('\\', variables).text(text)
}

/// Expands all words of one instruction, which share the limits.
pub(crate) struct Expander<'a> {
    escape: char,
    pub(crate) variables: &'a dyn Lookup,
    produced: Cell<usize>,
    compared: Cell<usize>,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(escape: char, variables: &'a dyn Lookup) -> Self {
        Self {
            escape,
            variables,
            produced: Cell::new(0),
            compared: Cell::new(0),
        }
    }

    pub(crate) fn word(&self, word: &str) -> Result<String, ExpandError> {
        self.lex(word, self.escape, false, false)
            .map(|expanded| expanded.text)
    }

    pub(crate) fn words(&self, word: &str) -> Result<Vec<String>, ExpandError> {
        self.lex(word, self.escape, false, true)
            .map(|expanded| expanded.words.unwrap_or_default().finish())
    }

    /// Docker gives here-documents the backslash, whatever the escape character is.
    pub(crate) fn text(&self, text: &str) -> Result<String, ExpandError> {
        self.lex(text, '\\', true, false)
            .map(|expanded| expanded.text)
    }

    fn lex(
        &self,
        word: &str,
        escape: char,
        quotes_are_text: bool,
        split: bool,
    ) -> Result<Expanded, ExpandError> {
        let mut lexer = Lexer::new(word, escape, quotes_are_text, self);
        // The word may be a megabyte; its start is enough to find it.
        let failed = |problem| ExpandError {
            word: word.chars().take(1000).collect(),
            problem,
        };
        lexer.all(split).map_err(failed)
    }

    pub(crate) fn count_result(&self, length: usize) -> Result<(), ExpandProblem> {
        self.produced
            .set(self.produced.get().saturating_add(length));
        if self.produced.get() > LONGEST_RESULT {
            Err(ExpandProblem::TooLong)
        } else {
            Ok(())
        }
    }

    /// What may still be produced.
    pub(crate) fn room(&self) -> usize {
        LONGEST_RESULT.saturating_sub(self.produced.get())
    }

    pub(crate) fn count_comparisons(
        &self,
        pattern: &ShellPattern,
        value: &str,
    ) -> Result<(), ExpandProblem> {
        let work = (pattern.length() + 1).saturating_mul(value.len() + 1);
        self.compared.set(self.compared.get().saturating_add(work));
        if self.compared.get() > MOST_COMPARISONS {
            Err(ExpandProblem::TooMuchWork)
        } else {
            Ok(())
        }
    }
}
