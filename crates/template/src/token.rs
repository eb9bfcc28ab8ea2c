//! Tokens, as the lexer cuts them and messages show them.

use std::borrow::Cow;

use crate::quote;

/// What a token is. Those from `Dot` on are keywords to Go, which shows in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TokenKind {
    Error,
    Eof,
    Text,
    LeftDelimiter,
    RightDelimiter,
    LeftParen,
    RightParen,
    Space,
    Assign,
    Declare,
    Pipe,
    Bool,
    CharConstant,
    Number,
    QuotedText,
    RawText,
    Field,
    Identifier,
    Variable,
    Char,
    Dot,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A piece of a template.
#[derive(Debug, Clone)]
pub(crate) struct Token<'t> {
    pub(crate) kind: TokenKind,
    /// Offset in the template.
    pub(crate) position: usize,
    /// Line of `position`, from 1.
    pub(crate) line: usize,
    /// The text, or the message of an error.
    pub(crate) text: Cow<'t, str>,
}

impl Token<'_> {
    /// As messages show it.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            TokenKind::Eof => "EOF".to_owned(),
            TokenKind::Error => self.text.clone().into_owned(),
            kind if kind >= TokenKind::Dot => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                format!(
                    "{}...",
                    quote::quote(&self.text.chars().take(10).collect::<String>())
                )
            }
            _ => quote::quote(&self.text),
        }
    }
}
