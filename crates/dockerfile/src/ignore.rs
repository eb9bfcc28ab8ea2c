//! `.dockerignore`: which files of the context are not sent.
//!
//! As Docker's pattern matcher: the last line that matches a path or one of the directories above it decides, `!`
//! brings files back, `*` stays within a name, `**` does not.

use crate::glob::{BadPattern, Steps};
use crate::path::clean;

/// A line that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// `!` alone.
    #[error("illegal exclusion pattern: \"!\"")]
    NothingToInclude,
    /// Brackets that do not close, or the like.
    #[error("{pattern:?}: {source}")]
    Pattern {
        /// The line.
        pattern: String,
        /// What is wrong.
        source: BadPattern,
    },
}

#[derive(Debug, Clone)]
struct Pattern {
    steps: Steps,
    /// The line starts with `!`.
    includes: bool,
}

/// A parsed `.dockerignore`.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    always_sent: Vec<String>,
}

/// The files that may hold the patterns for a Dockerfile; the first that exists does.
pub fn file_names(dockerfile: &str) -> [String; 2] {
    [
        format!("{dockerfile}.dockerignore"),
        ".dockerignore".to_owned(),
    ]
}

impl Ignore {
    /// Parses the file.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        let patterns = lines
            .filter(|line| !line.starts_with('#'))
            .map(str::trim)
            .filter(|line| !line.is_empty());
        Ok(Self {
            patterns: patterns.map(pattern).collect::<Result<_, _>>()?,
            always_sent: Vec::new(),
        })
    }

    /// The same, but the Dockerfile and the ignore files are sent even though they match: the builder needs them.
    #[must_use]
    pub fn keeping(mut self, dockerfile: &str) -> Self {
        self.always_sent = file_names(dockerfile).map(|name| relative(&name)).to_vec();
        self.always_sent.push(relative(dockerfile));
        self
    }

    /// Whether a file or directory of the context is left out.
    pub fn excludes(&self, path: &str) -> bool {
        let path = relative(path);
        path != "." && !self.always_sent.contains(&path) && self.is_matched(&path)
    }

    /// Whether something below a directory may be sent, so that one has to look into it. It may say so wrongly.
    pub fn could_include_below(&self, directory: &str) -> bool {
        let directory = relative(directory);
        if directory == "." || !self.is_matched(&directory) {
            return true;
        }
        let inside = format!("{directory}/");
        let is_below = |pattern: &&Pattern| {
            let mut walk = pattern.steps.start();
            inside.chars().for_each(|character| walk.advance(character));
            walk.is_alive()
        };
        self.always_sent
            .iter()
            .any(|path| path.starts_with(&inside))
            || self
                .patterns
                .iter()
                .filter(|pattern| pattern.includes)
                .any(|pattern| is_below(&pattern))
    }

    fn is_matched(&self, path: &str) -> bool {
        let mut excluded = false;
        for pattern in &self.patterns {
            // Only a pattern that would change the answer is looked at.
            if pattern.includes == excluded && pattern.matches_or_parent_matches(path) {
                excluded = !pattern.includes;
            }
        }
        excluded
    }
}

impl Pattern {
    fn matches_or_parent_matches(&self, path: &str) -> bool {
        let mut walk = self.steps.start();
        for character in path.chars() {
            if character == '/' && walk.accepts() {
                return true;
            }
            walk.advance(character);
        }
        walk.accepts()
    }
}

fn pattern(line: &str) -> Result<Pattern, IgnoreError> {
    let (includes, text) = line
        .strip_prefix('!')
        .map_or((false, line), |text| (true, text.trim()));
    if text.is_empty() {
        return Err(IgnoreError::NothingToInclude);
    }
    let cleaned = clean(text);
    let text = match cleaned.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest,
        _ => cleaned.as_str(),
    };
    let steps = Steps::parse(text, true).map_err(|source| IgnoreError::Pattern {
        pattern: line.to_owned(),
        source,
    })?;
    Ok(Pattern { steps, includes })
}

/// A path from the context root, without slashes around it.
fn relative(path: &str) -> String {
    let cleaned = clean(path);
    match cleaned.strip_prefix('/') {
        Some("") => ".".to_owned(),
        Some(rest) => rest.to_owned(),
        None => cleaned,
    }
}
