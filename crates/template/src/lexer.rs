//! Template text to tokens.

use std::borrow::Cow;

use crate::{
    quote,
    token::{Token, TokenKind},
};

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const COMMENT_START: &str = "/*";
const COMMENT_END: &str = "*/";
/// A space and a minus, in either order.
const TRIM_MARKER_BYTES: usize = 2;
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// All tokens of `text`; the last is `Eof` or `Error`.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        text,
        start: 0,
        position: 0,
        line: 1,
        line_position: 0,
        parens: 0,
        tokens: Vec::new(),
    };
    if let Err(message) = lexer.run() {
        lexer.push_text(TokenKind::Error, Cow::Owned(message));
    }
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    start: usize,
    position: usize,
    line: usize,
    /// Newlines before this offset are in `line`.
    line_position: usize,
    parens: usize,
    tokens: Vec<Token<'t>>,
}

impl<'t> Lexer<'t> {
    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(length) = self.rest().find(LEFT) else {
                self.position = self.text.len();
                if self.position > self.start {
                    self.push(TokenKind::Text);
                }
                self.push(TokenKind::Eof);
                return Ok(());
            };
            let delimiter = self.position + length;
            let text = self.between(self.position, delimiter);
            let trimmed = if has_left_trim_marker(self.from(delimiter + LEFT.len())) {
                text.trim_end_matches(SPACES)
            } else {
                text
            };
            self.position += trimmed.len();
            if !trimmed.is_empty() {
                self.push(TokenKind::Text);
            }
            self.position = delimiter;
            self.start = delimiter;
            self.delimiter_or_comment()?;
        }
    }

    fn delimiter_or_comment(&mut self) -> Result<(), String> {
        self.position += LEFT.len();
        let marker = if has_left_trim_marker(self.rest()) {
            TRIM_MARKER_BYTES
        } else {
            0
        };
        if self.from(self.position + marker).starts_with(COMMENT_START) {
            self.position += marker;
            self.start = self.position;
            return self.comment();
        }
        self.push(TokenKind::LeftDelimiter);
        self.position += marker;
        self.start = self.position;
        self.parens = 0;
        while self.inside_action()? {}
        Ok(())
    }

    fn comment(&mut self) -> Result<(), String> {
        let body = self.from(self.position + COMMENT_START.len());
        let length = body.find(COMMENT_END).ok_or("unclosed comment")?;
        self.position += COMMENT_START.len() + length + COMMENT_END.len();
        let marker = right_delimiter(self.rest()).ok_or("comment ends before closing delimiter")?;
        self.close(marker);
        Ok(())
    }

    /// Steps over the right delimiter, and over white space when it has a trim marker.
    fn close(&mut self, marker: usize) {
        self.position += marker + RIGHT.len();
        if marker > 0 {
            let rest = self.rest();
            self.position += rest.len() - rest.trim_start_matches(SPACES).len();
        }
        self.start = self.position;
    }

    /// One token of an action; whether the action goes on.
    fn inside_action(&mut self) -> Result<bool, String> {
        if let Some(marker) = right_delimiter(self.rest()) {
            if self.parens > 0 {
                return Err("unclosed left paren".to_owned());
            }
            self.start = self.position + marker;
            self.position = self.start + RIGHT.len();
            self.push(TokenKind::RightDelimiter);
            self.position = self.start - RIGHT.len() - marker;
            self.close(marker);
            return Ok(false);
        }
        let first = self.peek().ok_or("unclosed action")?;
        self.position += first.len_utf8();
        match first {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.push(TokenKind::Assign),
            ':' => {
                if !self.accept("=") {
                    return Err("expected :=".to_owned());
                }
                self.push(TokenKind::Declare);
            }
            '|' => self.push(TokenKind::Pipe),
            '"' => self.quoted('"', TokenKind::QuotedText, "unterminated quoted string")?,
            '\'' => self.quoted(
                '\'',
                TokenKind::CharConstant,
                "unterminated character constant",
            )?,
            '`' => {
                let length = self
                    .rest()
                    .find('`')
                    .ok_or("unterminated raw quoted string")?;
                self.position += length + 1;
                self.push(TokenKind::RawText);
            }
            '$' => self.name(TokenKind::Variable, TokenKind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) && !self.rest().is_empty() => {
                self.name(TokenKind::Field, TokenKind::Dot)?;
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.position -= 1;
                self.number()?;
            }
            '(' => {
                self.push(TokenKind::LeftParen);
                self.parens += 1;
            }
            ')' => {
                self.parens = self.parens.checked_sub(1).ok_or("unexpected right paren")?;
                self.push(TokenKind::RightParen);
            }
            _ if is_alphanumeric(first) => self.word()?,
            _ if first.is_ascii_graphic() => self.push(TokenKind::Char),
            _ => {
                return Err(format!(
                    "unrecognized character in action: {}",
                    code_point(first)
                ));
            }
        }
        Ok(true)
    }

    /// A run of white space, without the space that belongs to a trim marker.
    fn space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches(SPACES).len();
        let last = self.position - 1;
        if right_delimiter(self.from(last)).is_some_and(|marker| marker > 0) {
            self.position = last;
            if self.start == last {
                return;
            }
        }
        self.push(TokenKind::Space);
    }

    fn quoted(&mut self, mark: char, kind: TokenKind, unterminated: &str) -> Result<(), String> {
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices() {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == mark => {
                    self.position += offset + 1;
                    self.push(kind);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(unterminated.to_owned())
    }

    /// The name after a `.` or `$`, if there is one.
    fn name(&mut self, named: TokenKind, bare: TokenKind) -> Result<(), String> {
        if self.at_terminator() {
            self.push(bare);
            return Ok(());
        }
        self.take_while(is_alphanumeric);
        self.check_terminator()?;
        self.push(named);
        Ok(())
    }

    fn word(&mut self) -> Result<(), String> {
        self.take_while(is_alphanumeric);
        self.check_terminator()?;
        let kind = match self.between(self.start, self.position) {
            "block" => TokenKind::Block,
            "break" => TokenKind::Break,
            "continue" => TokenKind::Continue,
            "define" => TokenKind::Define,
            "else" => TokenKind::Else,
            "end" => TokenKind::End,
            "if" => TokenKind::If,
            "nil" => TokenKind::Nil,
            "range" => TokenKind::Range,
            "template" => TokenKind::Template,
            "with" => TokenKind::With,
            "true" | "false" => TokenKind::Bool,
            _ => TokenKind::Identifier,
        };
        self.push(kind);
        Ok(())
    }

    /// Anything that looks like a number; the parser finds out whether it is one.
    fn number(&mut self) -> Result<(), String> {
        self.accept("+-");
        let (mut digits, mut exponent) = ("0123456789_", "eE");
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.take_while(|c| digits.contains(c));
        if self.accept(".") {
            self.take_while(|c| digits.contains(c));
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.take_while(|c| c.is_ascii_digit() || c == '_');
        }
        self.accept("i");
        if let Some(c) = self.peek().filter(|&c| is_alphanumeric(c)) {
            self.position += c.len_utf8();
            return Err(format!(
                "bad number syntax: {}",
                quote::quote(self.between(self.start, self.position))
            ));
        }
        self.push(TokenKind::Number);
        Ok(())
    }

    fn check_terminator(&self) -> Result<(), String> {
        match self.peek() {
            Some(c) if !self.at_terminator() => Err(format!("bad character {}", code_point(c))),
            _ => Ok(()),
        }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    fn accept(&mut self, valid: &str) -> bool {
        match self.peek() {
            Some(c) if valid.contains(c) => {
                self.position += c.len_utf8();
                true
            }
            _ => false,
        }
    }

    fn take_while(&mut self, mut valid: impl FnMut(char) -> bool) {
        let rest = self.rest();
        self.position += rest.find(|c| !valid(c)).unwrap_or(rest.len());
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'t str {
        self.from(self.position)
    }

    fn from(&self, position: usize) -> &'t str {
        self.text.get(position..).unwrap_or_default()
    }

    fn between(&self, start: usize, end: usize) -> &'t str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn push(&mut self, kind: TokenKind) {
        self.push_text(kind, Cow::Borrowed(self.between(self.start, self.position)));
        self.start = self.position;
    }

    fn push_text(&mut self, kind: TokenKind, text: Cow<'t, str>) {
        self.line += self
            .between(self.line_position, self.start)
            .matches('\n')
            .count();
        self.line_position = self.line_position.max(self.start);
        self.tokens.push(Token {
            kind,
            position: self.start,
            line: self.line,
            text,
        });
    }
}

fn has_left_trim_marker(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(SPACES))
}

/// The length of the trim marker before the right delimiter that `text` starts with.
fn right_delimiter(text: &str) -> Option<usize> {
    if text.starts_with(RIGHT) {
        return Some(0);
    }
    let rest = text.strip_prefix(SPACES)?.strip_prefix('-')?;
    rest.starts_with(RIGHT).then_some(TRIM_MARKER_BYTES)
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn code_point(c: char) -> String {
    let code = u32::from(c);
    if quote::is_printable(c) {
        format!("U+{code:04X} '{c}'")
    } else {
        format!("U+{code:04X}")
    }
}
