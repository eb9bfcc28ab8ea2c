//! Columns made of tabs, as Go's `text/tabwriter` aligns them.
//!
//! A cell is text that a tab ends; what follows the last tab of a line is no cell. Cells of consecutive lines form a
//! column, as wide as the widest of them; a line without that cell ends the column.

/// The least width of a column.
const MIN_WIDTH: usize = 10;
/// Spaces after the widest cell.
const PADDING: usize = 3;

/// `text` with docker's widths: no column is narrower than ten, three spaces follow the widest cell. `None` when that
/// is more than `limit` bytes, as a wide cell makes every line of its column wide.
pub(crate) fn align(text: &str, limit: usize) -> Option<String> {
    let lines: Vec<Vec<&str>> = text
        .split('\n')
        .map(|line| line.split('\t').collect())
        .collect();
    let widths = column_widths(&lines);
    let padding = widths
        .iter()
        .flatten()
        .fold(0, |sum: usize, width| sum.saturating_add(*width));
    if text.len().saturating_add(padding) > limit {
        return None;
    }
    let mut out = String::with_capacity(text.len() + padding);
    for (index, (line, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (column, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(column) {
                let missing = width.saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', missing));
            }
        }
    }
    Some(out)
}

/// For each line the widths of its cells. Takes time in proportion to the cells, not to lines times columns.
fn column_widths(lines: &[Vec<&str>]) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|_| Vec::new()).collect();
    let mut with_cell: Vec<usize> = (0..lines.len()).collect();
    let cell = |line: usize, column: usize| {
        let cells = lines.get(line).map_or(&[][..], Vec::as_slice);
        cells.get(column).filter(|_| cells.len() > column + 1)
    };
    for column in 0.. {
        with_cell.retain(|&line| cell(line, column).is_some());
        if with_cell.is_empty() {
            break;
        }
        for block in with_cell.chunk_by(|line, next| line + 1 == *next) {
            let cells = block.iter().filter_map(|&line| cell(line, column));
            let width = cells
                .map(|cell| cell.chars().count() + PADDING)
                .fold(MIN_WIDTH, usize::max);
            for &line in block {
                if let Some(widths) = widths.get_mut(line) {
                    widths.push(width);
                }
            }
        }
    }
    widths
}
