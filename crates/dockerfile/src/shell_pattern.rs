//! Patterns of `${V#pattern}` and its kin: `*` is any text, `?` any character, `\` takes `*`, `?` and `\` literally.
//!
//! A pattern is its literal pieces between the stars. The first place where a piece fits leaves the most room for the
//! pieces behind it, so no search ever goes back.

use crate::expand::ExpandProblem;

/// A character, or any character.
type Atom = Option<char>;

/// A parsed pattern.
pub(crate) struct ShellPattern {
    /// One piece at least; a star is between each two.
    pieces: Vec<Vec<Atom>>,
}

impl ShellPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, ExpandProblem> {
        let mut pieces = Vec::new();
        let mut piece = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '*' => pieces.push(std::mem::take(&mut piece)),
                '?' => piece.push(None),
                // Escaped for the sake of `${}`; the escape is not part of the pattern.
                '\\' if matches!(characters.peek(), Some('}' | '/')) => {}
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => piece.push(Some(escaped)),
                    other => {
                        let escaped = other.map(String::from).unwrap_or_default();
                        return Err(ExpandProblem::Pattern {
                            pattern: text.to_owned(),
                            escaped,
                        });
                    }
                },
                character => piece.push(Some(character)),
            }
        }
        pieces.push(piece);
        Ok(Self { pieces })
    }

    /// Characters and stars: how much work one place of a value is.
    pub(crate) fn length(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len() + 1).sum()
    }

    /// The value without the shortest or longest text at its start that matches.
    pub(crate) fn without_prefix(&self, value: &str, longest: bool) -> String {
        let value: Vec<char> = value.chars().collect();
        let end = match_at(&self.pieces, &value, 0, longest).unwrap_or(0);
        value.into_iter().skip(end).collect()
    }

    /// The value without the shortest or longest text at its end that matches: the same, read backwards.
    pub(crate) fn without_suffix(&self, value: &str, longest: bool) -> String {
        let backwards: Vec<char> = value.chars().rev().collect();
        let pieces: Vec<Vec<Atom>> = self
            .pieces
            .iter()
            .rev()
            .map(|piece| piece.iter().rev().copied().collect())
            .collect();
        let end = match_at(&pieces, &backwards, 0, longest).unwrap_or(0);
        backwards.into_iter().skip(end).rev().collect()
    }

    /// The value with the first or every longest match replaced; none when the result gets longer than `room`.
    pub(crate) fn replaced(
        &self,
        value: &str,
        replacement: &str,
        all: bool,
        room: usize,
    ) -> Option<String> {
        let value: Vec<char> = value.chars().collect();
        let mut result = String::new();
        let mut copied = 0;
        let mut from = 0;
        let mut previous_end = None;
        while let Some((start, end)) = self.find(&value, from) {
            // An empty match right behind a match is part of it.
            if !(start == end && previous_end == Some(start)) {
                result.extend(value.get(copied..start).unwrap_or_default());
                result.push_str(replacement);
                copied = end;
                previous_end = Some(end);
            }
            if !all || result.len() > room {
                break;
            }
            from = if end > start { end } else { end + 1 };
            if from > value.len() {
                break;
            }
        }
        result.extend(value.get(copied..).unwrap_or_default());
        (result.len() <= room).then_some(result)
    }

    /// The leftmost match that starts at `from` or later, as long as it can be.
    fn find(&self, value: &[char], from: usize) -> Option<(usize, usize)> {
        let first = self.pieces.first()?;
        let start = find_piece(first, value, from)?;
        match_at(&self.pieces, value, start, true).map(|end| (start, end))
    }
}

/// Where a match that starts at `start` ends.
fn match_at(pieces: &[Vec<Atom>], value: &[char], start: usize, longest: bool) -> Option<usize> {
    let (first, others) = pieces.split_first()?;
    if !fits(first, value, start) {
        return None;
    }
    let mut end = start + first.len();
    let Some((last, middle)) = others.split_last() else {
        return Some(end);
    };
    for piece in middle {
        end = find_piece(piece, value, end)? + piece.len();
    }
    let place = if longest {
        find_last_piece(last, value, end)
    } else {
        find_piece(last, value, end)
    };
    place.map(|place| place + last.len())
}

fn fits(piece: &[Atom], value: &[char], at: usize) -> bool {
    value.get(at..at + piece.len()).is_some_and(|part| {
        piece
            .iter()
            .zip(part)
            .all(|(atom, character)| atom.is_none_or(|atom| atom == *character))
    })
}

fn find_piece(piece: &[Atom], value: &[char], from: usize) -> Option<usize> {
    let last = value.len().checked_sub(piece.len())?;
    (from..=last).find(|at| fits(piece, value, *at))
}

fn find_last_piece(piece: &[Atom], value: &[char], from: usize) -> Option<usize> {
    let last = value.len().checked_sub(piece.len())?;
    (from..=last).rev().find(|at| fits(piece, value, *at))
}
