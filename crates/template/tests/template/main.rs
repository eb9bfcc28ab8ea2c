//! Templates and what becomes of them. The tables of cases hold what docker itself printed.

mod bounds;
mod data_cases;
mod difference_cases;
mod harness_cases;
mod list_formats;
mod random_templates;
mod syntax_cases;

use serde_json::{Value, json};
use shedbox_template::{MissingKey, Template};

/// What becomes of `template`; an error begins with `!`.
fn outcome(template: &str, data: &Value, missing_key: MissingKey) -> String {
    Template::parse(template)
        .and_then(|template| template.with_missing_key(missing_key).render(data))
        .unwrap_or_else(|error| format!("!{error}"))
}

/// Compares all cases, then tells of all that differ.
fn check(cases: &[(&str, &str)], data: &Value, missing_key: MissingKey) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(template, expected)| (template, expected, outcome(template, data, missing_key)))
        .filter(|(_, expected, got)| *expected != got)
        .map(|(template, expected, got)| {
            format!("template {template}\nexpected {expected}\ngot      {got}")
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What the cases of [`data_cases`] are about.
fn data() -> Value {
    json!({
        "Raw": true, "S": "a<b>&c", "B": true, "Z": null, "L": ["a", "b", null], "M": {"b": "2", "a": null},
        "E": {"x": []}, "W": ["x", "y"],
    })
}

#[test]
fn syntax_and_functions_as_in_docker() {
    check(syntax_cases::PLAIN, &json!({}), MissingKey::Error);
}

#[test]
fn data_as_in_docker() {
    check(data_cases::DATA, &data(), MissingKey::Error);
}
