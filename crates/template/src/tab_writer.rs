//! Columns made of tabs, as Go's `text/tabwriter` aligns them.
//!
//! A cell is text that a tab ends; what follows the last tab of a line is no cell. Cells of consecutive lines form a
//! column, as wide as the widest of them; a line without that cell ends the column.

/// The least width of a column.
const MIN_WIDTH: usize = 10;
/// Spaces after the widest cell.
const PADDING: usize = 3;

/// `text` with docker's widths: no column is narrower than ten, three spaces follow the widest cell.
pub(crate) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text
        .split('\n')
        .map(|line| line.split('\t').collect())
        .collect();
    let widths = column_widths(&lines);
    let mut out = String::with_capacity(text.len());
    for (index, (line, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (column, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(column) {
                out.extend(std::iter::repeat_n(
                    ' ',
                    width.saturating_sub(cell.chars().count()),
                ));
            }
        }
    }
    out
}

/// For each line the widths of its cells.
fn column_widths(lines: &[Vec<&str>]) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|_| Vec::new()).collect();
    let columns = lines
        .iter()
        .map(|line| line.len() - line.len().min(1))
        .max()
        .unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let has_cell = |line: &Vec<&str>| line.len() > column + 1;
            let block = lines
                .iter()
                .skip(start)
                .take_while(|line| has_cell(line))
                .count();
            let cells = lines
                .iter()
                .skip(start)
                .take(block)
                .filter_map(|line| line.get(column));
            let width = cells
                .map(|cell| cell.chars().count() + PADDING)
                .fold(MIN_WIDTH, usize::max);
            for line in widths.iter_mut().skip(start).take(block) {
                line.push(width);
            }
            start += block.max(1);
        }
    }
    widths
}
