//! Bounds on hostile templates. Each ends in an error, never in an abort or an endless loop.

/// Bytes a rendered template may have, and any string made on the way.
pub(crate) const OUTPUT_BYTES: usize = 64 << 20;

/// Parentheses and control structures inside each other. Parsing, executing and dropping recurse once a level.
pub(crate) const NESTING: usize = 100;

/// Templates, bodies and pipelines executing inside each other, counted together.
pub(crate) const EXECUTION_DEPTH: usize = 200;

/// Arrays and objects inside each other in the data. Printing recurses once a level.
pub(crate) const DATA_DEPTH: usize = 500;

/// Steps of one rendering: nodes, pipelines and operands, and the work of functions.
pub(crate) const STEPS: usize = 20_000_000;

/// Bytes or list elements that count as one step for a function that goes through them.
pub(crate) const PARTS_PER_STEP: usize = 64;

/// Strings that `split` may make of one: each costs memory beyond its bytes.
pub(crate) const SPLIT_PARTS: usize = 1 << 20;

/// Widths and precisions of `printf`, as in Go.
pub(crate) const FORMAT_NUMBER: usize = 1_000_000;

/// Whether arrays and objects in `data` nest deeper than `limit`. Does not recurse.
pub(crate) fn is_deeper_than(data: &serde_json::Value, limit: usize) -> bool {
    use serde_json::Value;
    let mut open = vec![(data, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > limit {
            return true;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(map) => open.extend(map.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    false
}
