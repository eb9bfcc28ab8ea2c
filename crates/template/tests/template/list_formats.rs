//! Formats of lists: tables, rows, JSON lines.

use serde_json::{Map, Value, json};
use shedbox_template::Table;

fn headers() -> Map<String, Value> {
    let headers =
        json!({"ID": "CONTAINER ID", "Names": "NAMES", "Status": "STATUS", "Ports": "PORTS"});
    headers.as_object().cloned().unwrap_or_default()
}

fn rows() -> Vec<Value> {
    vec![
        json!({"ID": "0123456789ab", "Names": "web", "Status": "Up 2 minutes", "Ports": "", "Label": {"a.b-c": "x"}}),
        json!({"ID": "ba9876543210", "Names": "a-much-longer-name", "Status": "Created", "Ports": "80/tcp", "Label": {}}),
    ]
}

fn render(format: &str) -> String {
    Table::parse(format)
        .and_then(|table| table.render(&headers(), &rows()))
        .unwrap_or_else(|error| format!("!{error}"))
}

#[test]
fn rows_of_text() {
    assert_eq!(render("{{.ID}}"), "0123456789ab\nba9876543210\n");
    assert_eq!(
        render(r"{{.ID}}\t{{.Names}}"),
        "0123456789ab\tweb\nba9876543210\ta-much-longer-name\n"
    );
    assert_eq!(
        render(r" {{.ID}}\n{{.Names}} "),
        "0123456789ab\nweb\nba9876543210\na-much-longer-name\n"
    );
    assert_eq!(render(""), "\n\n");
    assert_eq!(render(r#"{{.Label "a.b-c"}}"#), "x\n\n");
    assert!(!Table::parse("{{.ID}}").expect("parses").is_aligned());
}

#[test]
fn rows_of_json() {
    let first = r#"{"ID":"0123456789ab","Label":{"a.b-c":"x"},"Names":"web","Ports":"","Status":"Up 2 minutes"}"#;
    assert_eq!(render("json").lines().next(), Some(first));
    assert_eq!(render("{{json .}}"), render("json"));
}

#[test]
fn aligned_columns() {
    assert_eq!(
        render(r"table {{.ID}}\t{{.Names}}"),
        "CONTAINER ID   NAMES\n0123456789ab   web\nba9876543210   a-much-longer-name\n"
    );
    assert_eq!(
        render(r"table {{.Names}}\t{{.Status}}\t{{.Ports}}"),
        "NAMES                STATUS         PORTS\n\
         web                  Up 2 minutes   \n\
         a-much-longer-name   Created        80/tcp\n"
    );
    assert_eq!(
        render("table {{.Names}}"),
        "NAMES\nweb\na-much-longer-name\n"
    );
    assert!(Table::parse("table {{.ID}}").expect("parses").is_aligned());
}

#[test]
fn headers_name_the_columns_whatever_the_functions() {
    let header = |format: &str| render(format).lines().next().unwrap_or_default().to_owned();
    assert_eq!(
        header(r"table {{upper .Names}}\t{{json .ID}}"),
        "NAMES                CONTAINER ID"
    );
    assert_eq!(
        header(r"table {{lower .Names}}\t{{truncate .ID 4}}"),
        "NAMES                CONTAINER ID"
    );
    assert_eq!(
        header(r#"table {{.Label "a.b-c"}}\t{{.ID}}"#),
        "b c       CONTAINER ID"
    );
    assert_eq!(header(r"table {{pad .ID 1 1}}|"), " CONTAINER ID |");
    assert_eq!(header(r"table {{.Label}}"), "<no value>");
}

#[test]
fn narrow_columns_are_ten_wide() {
    let table = Table::parse(r"table {{.A}}\t{{.B}}").expect("parses");
    let headers = json!({"A": "A", "B": "B"})
        .as_object()
        .cloned()
        .unwrap_or_default();
    let rows = [
        json!({"A": "é", "B": "1"}),
        json!({"A": "1234567", "B": "2"}),
        json!({"A": "12345678", "B": "3"}),
    ];
    let expected = [
        "A          B",
        "é          1",
        "1234567    2",
        "12345678   3",
        "",
    ]
    .join("\n");
    assert_eq!(
        table.render(&headers, &rows).as_deref(),
        Ok(expected.as_str())
    );
    let expected = ["A         B", "é         1", ""].join("\n");
    assert_eq!(
        table.render(&headers, &rows[..1]).as_deref(),
        Ok(expected.as_str())
    );
    assert_eq!(table.render(&headers, &[]).as_deref(), Ok("A         B\n"));
}

#[test]
fn a_line_without_the_cell_ends_the_column() {
    let table = Table::parse(r"table {{.A}}").expect("parses");
    let headers = json!({"A": "first column\tx"})
        .as_object()
        .cloned()
        .unwrap_or_default();
    let rows = [
        json!({"A": "no cell"}),
        json!({"A": "a\tb\tc"}),
        json!({"A": "\tb"}),
    ];
    let expected = [
        "first column   x",
        "no cell",
        "a         b         c",
        "          b",
        "",
    ]
    .join("\n");
    assert_eq!(
        table.render(&headers, &rows).as_deref(),
        Ok(expected.as_str())
    );
}

#[test]
fn mistakes() {
    let error = Table::parse("table {{.ID").expect_err("is no template");
    assert_eq!(error.to_string(), "template: :1: unclosed action");
    assert_eq!(
        render("table {{.Nope}}"),
        r#"!template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope""#
    );
}

#[test]
fn lines_around_cells_end_columns() {
    assert_eq!(
        render(r"table {{.ID}}\n{{.Names}}\t{{.Status}}"),
        "CONTAINER ID\nNAMES     STATUS\n0123456789ab\nweb       Up 2 minutes\n\
         ba9876543210\na-much-longer-name   Created\n"
    );
}

#[test]
fn sizes_are_bounded() {
    let table = Table::parse(r"table {{.A}}\t|").expect("parses");
    let mut rows = vec![json!({"A": "x"}); 1000];
    rows.push(json!({"A": "x".repeat(100_000)}));
    let error = table.render(&Map::new(), &rows).expect_err("is too long");
    assert_eq!(
        error.to_string(),
        "template: : output has more than 67108864 bytes"
    );
    let tabs = json!({"A": "\t".repeat(100_000)});
    let aligned = table
        .render(&Map::new(), &vec![json!({"A": ""}); 10_000])
        .expect("is short");
    assert!(aligned.ends_with("          |\n"));
    let mut rows = vec![json!({"A": ""}); 10_000];
    rows.push(tabs);
    assert!(table.render(&Map::new(), &rows).is_ok());
}
