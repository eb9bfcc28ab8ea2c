//! Go's `filepath.Match`, and the same with `**` for `.dockerignore`.
//!
//! A pattern becomes a list of steps, and matching follows all possible positions in it at once: a text of n
//! characters takes n times the number of positions in use, never more than the length of the pattern.

/// A pattern that is none, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// A pattern for COPY sources: `*`, `?`, `[a-z]`, `[^a-z]`, `\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    steps: Steps,
}

impl Glob {
    /// Parses a pattern.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        Ok(Self {
            steps: Steps::parse(pattern, false)?,
        })
    }

    /// Whether the whole name matches. `*` and `?` match no slash.
    pub fn matches(&self, name: &str) -> bool {
        let mut walk = self.steps.start();
        name.chars().for_each(|character| walk.advance(character));
        walk.accepts()
    }
}

/// Whether a source has wildcards and is looked for instead of named.
pub fn has_wildcards(source: &str) -> bool {
    let mut characters = source.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' | '[' => return true,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    false
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    One(char),
    /// Any character but a slash.
    NotSlash,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// Any number of characters that are no slash.
    WithinName,
    /// Any text.
    Anything,
    /// Nothing, or any text that ends in a slash; is two positions: before and inside the text.
    Directories,
    InsideDirectories,
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    /// Parses a pattern; `deep` gives `**` its meaning.
    pub(crate) fn parse(pattern: &str, deep: bool) -> Result<Self, BadPattern> {
        let mut steps = Vec::new();
        let mut characters = pattern.chars().peekable();
        // Docker compares `**name` with the end of the path when nothing else in it is special.
        if deep
            && let Some(rest) = pattern.strip_prefix("**")
            && !rest.starts_with('/')
            && !has_wildcards(rest)
            && !rest.contains('\\')
        {
            steps.push(Step::Anything);
            steps.extend(rest.chars().map(Step::One));
            return Ok(Self(steps));
        }
        while let Some(character) = characters.next() {
            match character {
                '*' if deep && characters.next_if_eq(&'*').is_some() => {
                    characters.next_if_eq(&'/');
                    if characters.peek().is_none() {
                        steps.push(Step::Anything);
                    } else {
                        steps.extend([Step::Directories, Step::InsideDirectories]);
                    }
                }
                '*' => steps.push(Step::WithinName),
                '?' => steps.push(Step::NotSlash),
                '[' => steps.push(class(&mut characters)?),
                '\\' => steps.push(Step::One(characters.next().ok_or(BadPattern)?)),
                character => steps.push(Step::One(character)),
            }
        }
        // Neighbours that mean the same as one of them would only add positions.
        steps.dedup_by(|next, step| {
            next == step && matches!(step, Step::WithinName | Step::Anything)
        });
        Ok(Self(steps))
    }

    /// Starts to match a text.
    pub(crate) fn start(&self) -> Walk<'_> {
        let mut walk = Walk {
            steps: &self.0,
            positions: Vec::new(),
            spare: Vec::new(),
            seen: vec![0; self.0.len() + 1],
            round: 1,
        };
        walk.enter(0);
        std::mem::swap(&mut walk.positions, &mut walk.spare);
        walk
    }
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Step, BadPattern> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Ok(Step::Class { negated, ranges });
        }
        let low = class_character(characters)?;
        let high = if characters.next_if_eq(&'-').is_some() {
            class_character(characters)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn class_character(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<char, BadPattern> {
    match characters.next().ok_or(BadPattern)? {
        '-' | ']' => Err(BadPattern),
        '\\' => characters.next().ok_or(BadPattern),
        character => Ok(character),
    }
}

/// A match under way.
pub(crate) struct Walk<'a> {
    steps: &'a [Step],
    positions: Vec<usize>,
    /// The positions of the next round, kept for their memory.
    spare: Vec<usize>,
    /// The round in which a position was last entered.
    seen: Vec<u32>,
    round: u32,
}

impl Walk<'_> {
    /// Takes the next character of the text.
    pub(crate) fn advance(&mut self, character: char) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.fill(0);
            self.round = 1;
        }
        let positions = std::mem::take(&mut self.positions);
        for &position in &positions {
            let Some(step) = self.steps.get(position) else {
                continue;
            };
            match step {
                Step::One(one) if *one == character => self.enter(position + 1),
                Step::NotSlash if character != '/' => self.enter(position + 1),
                Step::Class { negated, ranges } => {
                    let inside = ranges
                        .iter()
                        .any(|(low, high)| (*low..=*high).contains(&character));
                    if inside != *negated {
                        self.enter(position + 1);
                    }
                }
                Step::WithinName if character != '/' => self.enter(position),
                Step::Anything => self.enter(position),
                Step::InsideDirectories => {
                    self.enter(position);
                    if character == '/' {
                        self.enter(position + 1);
                    }
                }
                // Its text has begun with entering the position behind it.
                Step::Directories | Step::One(_) | Step::NotSlash | Step::WithinName => {}
            }
        }
        self.positions = std::mem::replace(&mut self.spare, positions);
        self.spare.clear();
    }

    /// Whether the text so far is a match.
    pub(crate) fn accepts(&self) -> bool {
        self.positions.contains(&self.steps.len())
    }

    /// Whether some continuation of the text could be one.
    pub(crate) fn is_alive(&self) -> bool {
        self.positions
            .iter()
            .any(|position| *position < self.steps.len())
    }

    /// Adds a position, and those that need no further character.
    fn enter(&mut self, position: usize) {
        let mut next = Some(position);
        while let Some(position) = next {
            match self.seen.get_mut(position) {
                Some(seen) if *seen != self.round => *seen = self.round,
                _ => return,
            }
            self.spare.push(position);
            next = match self.steps.get(position) {
                Some(Step::WithinName | Step::Anything) => Some(position + 1),
                Some(Step::Directories) => {
                    self.enter_inside(position + 1);
                    Some(position + 2)
                }
                _ => None,
            };
        }
    }

    /// Adds the position inside `Directories`, which leads nowhere without a slash.
    fn enter_inside(&mut self, position: usize) {
        if let Some(seen) = self.seen.get_mut(position)
            && *seen != self.round
        {
            *seen = self.round;
            self.spare.push(position);
        }
    }
}
