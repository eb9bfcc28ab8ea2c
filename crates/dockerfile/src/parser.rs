//! The way from bytes to instructions.

use crate::instruction_parser::instruction;
use crate::logical_lines::{LogicalLine, logical_lines};
use crate::{Instruction, Located, ParseError, Problem};

/// A parsed Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// `# key=value` lines at the top.
    pub directives: Directives,
    /// All instructions in order.
    pub instructions: Vec<Located>,
    /// What Docker warns about, ready to print.
    pub warnings: Vec<String>,
}

/// Parser directives: comments at the top of the file that mean something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The character that continues lines and escapes others: `\` or `` ` ``.
    pub escape: char,
    /// The frontend image asked for; a classic builder ignores it.
    pub syntax: Option<String>,
    /// The checks asked for; a classic builder ignores them.
    pub check: Option<String>,
    escape_seen: bool,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            escape: '\\',
            syntax: None,
            check: None,
            escape_seen: false,
        }
    }
}

impl Directives {
    /// Takes one line. False when it is no directive, after which none can follow.
    pub(crate) fn read_line(&mut self, line: &str) -> Result<bool, Problem> {
        let Some((key, value)) = line
            .strip_prefix('#')
            .and_then(|comment| comment.split_once('='))
        else {
            return Ok(false);
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if value.is_empty() {
            return Ok(false);
        }
        let repeated = match key.as_str() {
            "escape" => std::mem::replace(&mut self.escape_seen, true),
            "syntax" => self.syntax.replace(value.to_owned()).is_some(),
            "check" => self.check.replace(value.to_owned()).is_some(),
            _ => return Ok(false),
        };
        if repeated {
            return Err(Problem::RepeatedDirective(key));
        }
        if key == "escape" {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                _ => return Err(Problem::InvalidEscape(value.to_owned())),
            };
        }
        Ok(true)
    }
}

/// Parses a Dockerfile. Bytes that are no UTF-8 become U+FFFD.
pub fn parse(text: &[u8]) -> Result<Dockerfile, ParseError> {
    let text = String::from_utf8_lossy(text);
    let read = logical_lines(&text)?;
    let mut instructions = Vec::with_capacity(read.lines.len());
    let mut in_stage = false;
    for line in read.lines {
        let parsed = locate(line, read.directives.escape)?;
        match parsed.instruction {
            Instruction::From(_) => in_stage = true,
            Instruction::Arg(_) => {}
            _ if !in_stage => return Err(ParseError::at(parsed.line, Problem::NoBuildStage)),
            _ => {}
        }
        instructions.push(parsed);
    }
    Ok(Dockerfile {
        directives: read.directives,
        instructions,
        warnings: read.warnings,
    })
}

/// Parses one instruction out of any stage: an ONBUILD trigger of a base image, or a `--change`.
pub fn parse_trigger(expression: &str) -> Result<Located, ParseError> {
    let read = logical_lines(expression)?;
    let count = read.lines.len();
    let mut lines = read.lines.into_iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => locate(line, read.directives.escape),
        _ => Err(ParseError {
            line: None,
            problem: Problem::TriggerCount(count),
        }),
    }
}

fn locate(line: LogicalLine, escape: char) -> Result<Located, ParseError> {
    let original = line.text.trim().to_owned();
    let instruction = instruction(&original, line.here_documents, escape)
        .map_err(|problem| ParseError::at(line.start, problem))?;
    Ok(Located {
        line: line.start,
        end_line: line.end,
        original,
        instruction,
    })
}
