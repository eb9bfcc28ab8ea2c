//! Here-documents: `RUN <<EOF`, `COPY <<-"a.txt" b.txt /`.

use crate::Keyword;
use crate::words::{json_array, split_command};

/// Text that follows its instruction in the Dockerfile, up to a line with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HereDocument {
    /// The word after `<<`, without quotes.
    pub name: String,
    /// The lines as written, each with its line end.
    pub content: String,
    /// Whether variables in it are replaced: the name was not quoted.
    pub expand: bool,
    /// Whether leading tabs are dropped: `<<-`.
    pub strip_tabs: bool,
    /// The number before `<<`.
    pub descriptor: Option<u32>,
}

impl HereDocument {
    /// The content with leading tabs dropped if `<<-` asks for it.
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.clone();
        }
        self.content
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }

    /// Reads `<<NAME`, `<<-NAME`, `<<"NAME"`, `3<<NAME`; the content is empty yet.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let (number, rest) = word.split_once("<<")?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (strip_tabs, name) = rest
            .strip_prefix('-')
            .map_or((false, rest), |name| (true, name));
        if name.is_empty() || name.contains('<') {
            return None;
        }
        let bare = without_quotes(name)?;
        Some(Self {
            expand: bare == name,
            name: bare,
            content: String::new(),
            strip_tabs,
            descriptor: number.parse().ok(),
        })
    }

    /// Whether a line, without its line end, is the last one.
    pub(crate) fn ends_at(&self, line: &str) -> bool {
        let line = if self.strip_tabs {
            line.trim_start_matches('\t')
        } else {
            line
        };
        line == self.name
    }
}

/// The here-documents that a logical line announces, in order, without content.
pub(crate) fn announced(line: &str) -> Vec<HereDocument> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let mut command = split_command(line);
    if Keyword::from_word(command.keyword) == Some(Keyword::Onbuild) {
        command = split_command(command.arguments);
    }
    let possible = Keyword::from_word(command.keyword).is_some_and(Keyword::takes_here_documents)
        && matches!(json_array(command.arguments), Ok(None));
    if !possible {
        return Vec::new();
    }
    shell_words(line)
        .iter()
        .filter_map(|word| HereDocument::from_word(word))
        .collect()
}

/// Words as a shell splits them, quotes and escapes kept; none when a quote stays open.
fn shell_words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(start.take().and_then(|start| line.get(start..at)));
            continue;
        }
        start.get_or_insert(at);
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), character) if open == character => quote = None,
            (None | Some('"'), '\\') => {
                characters.next();
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return Vec::new();
    }
    words.extend(start.and_then(|start| line.get(start..)));
    words
}

/// The name without quotes and escapes; none when nothing is left, or more than one word.
fn without_quotes(name: &str) -> Option<String> {
    let mut bare = String::new();
    let mut quote = None;
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), character) if open == character => quote = None,
            (None, '\\') => bare.extend(characters.next()),
            (None, character) if character.is_whitespace() => return None,
            (_, character) => bare.push(character),
        }
    }
    (quote.is_none() && !bare.is_empty()).then_some(bare)
}
