//! Random templates never panic, whatever becomes of them.

use proptest::prelude::*;
use shedbox_template::{MissingKey, Table, Template};

use crate::data;

/// Words that get further into parser and functions than random characters do.
const WORDS: [&str; 72] = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    "|",
    "(",
    ")",
    ".",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    "if",
    "else",
    "end",
    "range",
    "with",
    "define",
    "template",
    "block",
    "break",
    "continue",
    "nil",
    "true",
    "\"a\"",
    "`b`",
    "'c'",
    "1",
    "-2",
    "0x1F",
    "1.5",
    "1e9",
    ".S",
    ".L",
    ".M",
    ".M.b",
    ".Z",
    ".W",
    ".Nope",
    "and",
    "or",
    "not",
    "len",
    "index",
    "slice",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "eq",
    "ne",
    "lt",
    "ge",
    "json",
    "split",
    "join",
    "title",
    "lower",
    "upper",
    "pad",
    "truncate",
    "\"%5.2v %[2]*d %#x\"",
    "{{end}}",
    "{{if 1}}",
    "{{range .L}}",
    "/*",
    "*/",
];

fn run(text: &str) {
    let data = data();
    for missing_key in [MissingKey::Error, MissingKey::NoValue] {
        if let Ok(template) = Template::parse(text) {
            let _ = template.with_missing_key(missing_key).render(&data);
        }
    }
    if let Ok(table) = Table::parse(text) {
        let _ = table.render(&serde_json::Map::new(), [&data]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn characters(text in "\\PC{0,60}") {
        run(&text);
        run(&format!("{{{{{text}}}}}"));
        run(&format!("table {text}"));
    }

    #[test]
    fn words(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..30)) {
        run(&words.concat());
        run(&words.join(" "));
        run(&format!("{{{{{}}}}}", words.join(" ")));
    }

    #[test]
    fn calls(
        function in prop::sample::select(&WORDS[42..66]),
        arguments in prop::collection::vec(prop::sample::select(&WORDS[25..42]), 0..4),
    ) {
        run(&format!("{{{{{function} {}}}}}", arguments.join(" ")));
        run(&format!("{{{{with {function} {}}}}}{{{{.X}}}}{{{{range .}}}}{{{{.}}}}{{{{end}}}}{{{{end}}}}", arguments.join(" ")));
    }

    #[test]
    fn formats(format in "[%#0+ .*\\[\\]0-9a-zA-Zé-]{0,12}", value in prop::sample::select(&WORDS[25..42])) {
        run(&format!("{{{{printf `%{format}` {value} {value} 3}}}}"));
    }

    #[test]
    fn literals(text in "[0-9a-fxXobB_.eEpP+'\"\\\\-]{0,12}") {
        run(&format!("{{{{print {text}}}}}"));
        run(&format!("{{{{print '{text}'}}}}"));
        run(&format!("{{{{print \"{text}\"}}}}"));
    }
}
