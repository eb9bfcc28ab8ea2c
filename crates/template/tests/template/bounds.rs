//! Hostile templates and data end in errors. Test threads have 2 MiB of stack, as those of the daemon.

use serde_json::{Value, json};
use shedbox_template::{MissingKey, Template};

use crate::outcome;

fn ends_with(template: &str, expected: &str) {
    let got = outcome(template, &Value::Null, MissingKey::NoValue);
    assert!(
        got.starts_with('!') && got.ends_with(expected),
        "{template:.60}: {got:.300}"
    );
}

#[test]
fn nesting_of_templates() {
    for count in [101, 1000, 50_000] {
        let nested = "nested deeper than 100 levels";
        ends_with(
            &format!("{{{{{}1{}}}}}", "(".repeat(count), ")".repeat(count)),
            nested,
        );
        ends_with(
            &format!("{{{{{}1{}}}}}", "print (".repeat(count), ")".repeat(count)),
            nested,
        );
        ends_with(&format!("{{{{{}1", "(".repeat(count)), nested);
        for open in [
            "{{if 1}}",
            "{{range 1}}",
            "{{with 1}}",
            "{{block \"a\" 1}}",
            "{{if 0}}{{else}}",
        ] {
            ends_with(
                &format!("{}{}", open.repeat(count), "{{end}}".repeat(count)),
                nested,
            );
        }
    }
}

#[test]
fn nesting_within_the_bound() {
    let deep = |open: &str, middle: &str, close: &str| {
        let template = format!("{}{middle}{}", open.repeat(98), close.repeat(98));
        outcome(&template, &Value::Null, MissingKey::NoValue)
    };
    assert_eq!(deep("{{if 1}}", "x", "{{end}}"), "x");
    assert_eq!(
        deep("{{range 1}}{{with 1}}", "", "{{end}}{{end}}")
            .chars()
            .next(),
        Some('!')
    );
    let parens = format!("{{{{{}1{}}}}}", "print (".repeat(98), ")".repeat(98));
    assert_eq!(outcome(&parens, &Value::Null, MissingKey::NoValue), "1");
}

#[test]
fn long_chains_are_no_nesting() {
    let chain = format!(
        "{{{{if 0}}}}{}{{{{else}}}}x{{{{end}}}}",
        "{{else if 0}}".repeat(10_000)
    );
    assert_eq!(outcome(&chain, &Value::Null, MissingKey::NoValue), "x");
    let pipeline = format!("{{{{1{}}}}}", "|print".repeat(10_000));
    assert_eq!(outcome(&pipeline, &Value::Null, MissingKey::NoValue), "1");
    let fields = format!("{{{{{}}}}}", ".a".repeat(10_000));
    assert_eq!(
        outcome(&fields, &Value::Null, MissingKey::NoValue),
        "<no value>"
    );
}

#[test]
fn recursion() {
    let expected = "exceeded maximum template depth (200)";
    ends_with(
        r#"{{define "a"}}{{template "a"}}{{end}}{{template "a"}}"#,
        expected,
    );
    ends_with(
        r#"{{define "a"}}{{template "a" (print (print .))}}{{end}}{{template "a" 1}}"#,
        expected,
    );
    ends_with(
        r#"{{define "a"}}{{range 1}}{{template "a"}}{{end}}{{end}}{{template "a"}}"#,
        expected,
    );
    ends_with(r#"{{template ""}}"#, expected);
}

#[test]
fn loops() {
    ends_with(
        "{{range 1000000000000}}{{end}}",
        "exceeded maximum of 20000000 steps",
    );
    ends_with(
        "{{range 10000000}}{{range 10000000}}{{break}}{{end}}{{end}}",
        "exceeded maximum of 20000000 steps",
    );
}

#[test]
fn output() {
    let too_long = "text has more than 67108864 bytes";
    ends_with(
        r#"{{$x := "12345678"}}{{range 100}}{{$x = print $x $x}}{{end}}"#,
        too_long,
    );
    ends_with(
        r#"{{pad "a" 9223372036854775807 9223372036854775807}}"#,
        too_long,
    );
    ends_with(
        r#"{{printf "%1000000v" (split (printf "%1000d" 1) "")}}"#,
        too_long,
    );
    ends_with(
        r#"{{len (split (printf "%1000000d%1000000d" 1 1) "")}}"#,
        "more than 1048576 parts",
    );
    ends_with(
        r#"{{range 100}}{{printf "%1000000d" .}}{{end}}"#,
        "output has more than 67108864 bytes",
    );
}

#[test]
fn nesting_of_data() {
    let nest = |count: usize, wrap: fn(Value) -> Value| {
        (0..count).fold(json!("x"), |inner, _| wrap(inner))
    };
    for wrap in [
        (|inner| json!([inner])) as fn(Value) -> Value,
        |inner| json!({"a": inner}),
    ] {
        for template in [
            "{{.}}",
            "{{json .}}",
            "{{html .}}",
            r#"{{printf "%#v %d" . .}}"#,
        ] {
            let template = Template::parse(template).expect("parses");
            assert!(template.render(&nest(500, wrap)).is_ok());
            let error = template.render(&nest(501, wrap)).expect_err("is too deep");
            assert_eq!(
                error.to_string(),
                "template: : data is nested deeper than 500 levels"
            );
        }
    }
}
