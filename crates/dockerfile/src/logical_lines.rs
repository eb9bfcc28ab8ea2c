//! Physical lines into logical ones: directives, comments, continuation, here-documents.

use crate::here_document::announced;
use crate::{Directives, HereDocument, ParseError, Problem};

/// One instruction as text.
pub(crate) struct LogicalLine {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) text: String,
    pub(crate) here_documents: Vec<HereDocument>,
}

/// A file as a list of instructions.
#[derive(Default)]
pub(crate) struct LogicalLines {
    pub(crate) directives: Directives,
    pub(crate) lines: Vec<LogicalLine>,
    pub(crate) warnings: Vec<String>,
}

/// Reads all lines of a file.
pub(crate) fn logical_lines(text: &str) -> Result<LogicalLines, ParseError> {
    let mut result = LogicalLines::default();
    let mut reading_directives = true;
    // An iterator that is shared by the loops below: each line is looked at once.
    let mut physical = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .split_inclusive('\n')
        .enumerate();
    while let Some((index, raw)) = physical.next() {
        let start = index + 1;
        let mut end = start;
        let line = without_line_end(raw).trim_start();
        if reading_directives {
            reading_directives = result
                .directives
                .read_line(line)
                .map_err(|problem| ParseError::at(start, problem))?;
        }
        if is_comment(line) {
            continue;
        }
        let escape = result.directives.escape;
        let (first, mut continued) = without_continuation(line, escape);
        if !continued && first.is_empty() {
            continue;
        }
        let mut joined = first.to_owned();
        let mut empty_line = false;
        while continued && let Some((index, raw)) = physical.next() {
            end = index + 1;
            let line = without_line_end(raw);
            if is_comment(line) {
                continue;
            }
            if line.trim().is_empty() {
                empty_line = true;
                continue;
            }
            let part;
            (part, continued) = without_continuation(line, escape);
            joined.push_str(part);
        }
        if empty_line {
            result.warnings.push(format!(
                "[WARNING]: Empty continuation line found in:\n    {joined}"
            ));
        }
        if joined.trim().is_empty() {
            continue;
        }
        let mut here_documents = announced(&joined);
        for document in &mut here_documents {
            let mut ended = false;
            for (index, raw) in physical.by_ref() {
                end = index + 1;
                if document.ends_at(without_line_end(raw)) {
                    ended = true;
                    break;
                }
                document.content.push_str(raw);
            }
            if !ended {
                return Err(ParseError::at(start, Problem::UnterminatedHereDocument));
            }
        }
        result.lines.push(LogicalLine {
            start,
            end,
            text: joined,
            here_documents,
        });
    }
    if result.lines.is_empty() {
        return Err(ParseError {
            line: None,
            problem: Problem::NoInstructions,
        });
    }
    Ok(result)
}

fn without_line_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without the escape character that continues it, and whether there was one. Two of them are no continuation.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}
