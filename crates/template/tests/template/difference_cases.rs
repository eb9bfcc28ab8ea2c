//! Where docker's own answer depends on its structures: numbers, lists of texts, missing fields, keys of labels.

use serde_json::json;
use shedbox_template::{MissingKey, Template};

use crate::check;

#[test]
fn numbers_of_the_data_are_numbers() {
    let data = json!({
        "I": 5, "Neg": -3, "Big": 18_446_744_073_709_551_615_u64, "F": 5.0, "Half": 1_234_567.5, "Tiny": 1e-9,
        "Huge": 1e21, "Zero": 0, "Nums": [1, 2.5, -3],
    });
    let cases = [
        ("{{.I}} {{.Neg}} {{.Big}}", "5 -3 18446744073709551615"),
        (
            "{{.F}} {{.Half}} {{.Tiny}} {{.Huge}}",
            "5 1234567.5 1e-9 1e+21",
        ),
        (
            "{{json .}}",
            r#"{"Big":18446744073709551615,"F":5,"Half":1234567.5,"Huge":1e+21,"I":5,"Neg":-3,"Nums":[1,2.5,-3],"Tiny":1e-9,"Zero":0}"#,
        ),
        ("{{.Nums}} {{json .Nums}}", "[1 2.5 -3] [1,2.5,-3]"),
        (
            r#"{{printf "%d %5d %x %s" .I .I .I .I}}"#,
            "5     5 5 %!s(int=5)",
        ),
        (
            r#"{{printf "%.2f %g %v %d" .Half .Half .Half .Half}}"#,
            "1234567.50 1.2345675e+06 1234567.5 %!d(float64=1234567.5)",
        ),
        (
            r#"{{printf "%T %T %T %#v" .I .F .Big .Big}}"#,
            "int float64 uint64 0xffffffffffffffff",
        ),
        (
            r#"{{printf "%d %v" .Nums .Nums}}"#,
            "[1 %!d(float64=2.5) -3] [1 2.5 -3]",
        ),
        (
            "{{eq .I 5}} {{lt .Neg .I}} {{gt .Big .I}} {{lt .Neg .Big}} {{ge .Half 1.0}}",
            "true true true true true",
        ),
        ("{{if .Zero}}a{{else}}b{{end}}{{if .Neg}}c{{end}}", "bc"),
        ("{{range .I}}{{.}}{{end}}", "01234"),
        ("{{range .Zero}}{{else}}none{{end}}", "none"),
        (
            "{{index .Nums 1}} {{range $i, $n := .Nums}}{{$i}}:{{$n}} {{end}}",
            "2.5 0:1 1:2.5 2:-3 ",
        ),
        ("{{index .Nums .Zero}}", "1"),
        (
            r#"{{slice "abcdefgh" 1 .I}} {{pad "a" .Zero .I}}|"#,
            "bcde a     |",
        ),
        (
            "{{range .F}}{{end}}",
            r#"!template: :1:8: executing "" at <.F>: range can't iterate over 5"#,
        ),
        (
            "{{eq .I 5.0}}",
            r#"!template: :1:2: executing "" at <eq .I 5.0>: error calling eq: incompatible types for comparison"#,
        ),
        (
            "{{upper .I}}",
            r#"!template: :1:8: executing "" at <.I>: wrong type for value; expected string; got int"#,
        ),
        (
            r#"{{pad "a" .F 1}}"#,
            r#"!template: :1:10: executing "" at <.F>: wrong type for value; expected int; got float64"#,
        ),
        (
            "{{index .I 1}}",
            r#"!template: :1:2: executing "" at <index .I 1>: error calling index: can't index item of type int"#,
        ),
        (
            "{{.I.X}}",
            r#"!template: :1:4: executing "" at <.I.X>: can't evaluate field X in type interface {}"#,
        ),
    ];
    check(&cases, &data, MissingKey::Error);
}

#[test]
fn missing_fields_as_go_has_them_for_maps() {
    let data = json!({"A": {"B": 1}, "N": null, "S": "s"});
    let cases = [
        ("{{.Nope}}", "<no value>"),
        ("{{.Nope.X.Y}}", "<no value>"),
        ("{{.A.Nope}}", "<no value>"),
        (r#"{{printf "%v" .Nope}} {{print .Nope}}"#, "<nil> <nil>"),
        ("{{json .Nope}}", "null"),
        ("{{if .Nope}}a{{else}}b{{end}}", "b"),
        ("{{range .Nope}}a{{else}}b{{end}}", "b"),
        ("{{with .Nope}}a{{else}}b{{end}}", "b"),
        (r#"{{or .Nope "x"}}"#, "x"),
        ("{{$x := .Nope}}{{$x}}", "<no value>"),
        (
            "{{upper .Nope}}",
            r#"!template: :1:8: executing "" at <.Nope>: invalid value; expected string"#,
        ),
        (
            "{{.N.X}}",
            r#"!template: :1:4: executing "" at <.N.X>: nil pointer evaluating interface {}.X"#,
        ),
        (
            "{{.S.X}}",
            r#"!template: :1:4: executing "" at <.S.X>: can't evaluate field X in type interface {}"#,
        ),
    ];
    check(&cases, &data, MissingKey::NoValue);
}

#[test]
fn lists_of_texts_and_keys_of_labels() {
    let data = json!({"T": ["a", "b"], "Mixed": ["a", 1], "Label": {"com.x/my-key": "v"}, "Labels": "a=b"});
    let cases = [
        (r#"{{join .T "-"}}"#, "a-b"),
        (r"{{.T | len}} {{range .T}}{{upper .}}{{end}}", "2 AB"),
        (
            r#"{{join .Mixed "-"}}"#,
            r#"!template: :1:7: executing "" at <.Mixed>: wrong type for value; expected []string; got []interface {}"#,
        ),
        (r#"{{.Label "com.x/my-key"}}"#, "v"),
        (r#"{{.Label "none"}}|"#, "|"),
        (r#"{{"com.x/my-key" | .Label}}"#, "v"),
        (
            r"{{.Label 1}}",
            r#"!template: :1:2: executing "" at <.Label>: Label is not a method but has arguments"#,
        ),
        (
            r#"{{.Labels "x"}}"#,
            r#"!template: :1:2: executing "" at <.Labels>: Labels is not a method but has arguments"#,
        ),
        (r#"{{truncate "héllo" 2}}"#, "h\u{fffd}"),
    ];
    check(&cases, &data, MissingKey::Error);
}

#[test]
fn a_template_renders_more_than_once() {
    let template = Template::parse("{{$x := .A}}{{$x}}").expect("parses");
    assert_eq!(template.render(&json!({"A": 1})).as_deref(), Ok("1"));
    assert_eq!(
        template.clone().render(&json!({"A": 2})).as_deref(),
        Ok("2")
    );
    assert!(template.render(&json!(null)).is_err());
}
