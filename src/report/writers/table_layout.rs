//! The layout of a section whose columns do not fit side by side: transposed if it has few rows, and otherwise split
//! into several tables that begin with the same columns. Nothing is left out.

use crate::report::document::{CellKind, Section};

/// The most rows of a section that is transposed.
const MAX_TRANSPOSED_ROWS: usize = 4;

/// The most columns that are repeated in each table.
const MAX_KEYS: usize = 3;

/// The layout of a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableLayout {
    /// One table, unchanged.
    OneTable,
    /// A line for each column and a column for each row. The value is the number of leading columns that identify the
    /// row.
    Transposed(usize),
    /// Tables of the columns at these positions; each begins with those that identify the row.
    Split(Vec<Vec<usize>>),
}

/// Returns the number of leading columns that identify a row.
pub fn key_column_count(section: &Section) -> usize {
    let identifies_row = |kind: CellKind| match kind {
        CellKind::Text | CellKind::Instant | CellKind::Day => true,
        CellKind::Count | CellKind::Number | CellKind::Seconds | CellKind::Share => false,
    };
    section.columns.iter().take(MAX_KEYS).take_while(|column| identifies_row(column.kind)).count()
}

/// Chooses the layout for lines of `max` characters, from the columns' `widths` and the `gap` between two columns.
pub fn choose_layout(section: &Section, widths: &[usize], rows: usize, (max, gap): (usize, usize)) -> TableLayout {
    let width = |columns: &[usize]| columns.iter().map(|place| widths[*place] + gap).sum::<usize>().saturating_sub(gap);
    let all: Vec<usize> = (0..widths.len()).collect();
    if width(&all) <= max {
        return TableLayout::OneTable;
    }
    let keys = key_column_count(section);
    if keys == all.len() {
        return TableLayout::OneTable;
    }
    if rows <= MAX_TRANSPOSED_ROWS {
        return TableLayout::Transposed(keys);
    }
    let (keys, figures) = all.split_at(keys);
    let mut tables: Vec<Vec<usize>> = Vec::new();
    for figure in figures {
        match tables.last_mut() {
            Some(table) if width(table) + gap + widths[*figure] <= max => table.push(*figure),
            // A column that is too wide by itself gets a table of its own.
            Some(_) | None => tables.push(keys.iter().chain([figure]).copied().collect()),
        }
    }
    TableLayout::Split(tables)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::reports::report_run::ReportKind;

    #[test]
    fn tables_that_fit_are_not_split_and_few_rows_are_transposed() {
        let section = &ReportKind::Adherence.sections()[0];
        let widths = vec![8; section.columns.len()];
        assert_eq!(choose_layout(section, &widths, 100, (10_000, 2)), TableLayout::OneTable);
        assert_eq!(choose_layout(section, &widths, 1, (120, 2)), TableLayout::Transposed(key_column_count(section)));
    }

    proptest! {
        #[test]
        fn every_column_is_placed_and_no_table_is_too_wide(
            kind in 0..ReportKind::ALL.len(), width in 1_usize..30, most in 20_usize..200, rows in 5_usize..50
        ) {
            for section in ReportKind::ALL[kind].sections() {
                let widths: Vec<usize> = (0..section.columns.len()).map(|place| width + place % 7).collect();
                let TableLayout::Split(tables) = choose_layout(section, &widths, rows, (most, 2)) else { continue };
                let keys: Vec<usize> = (0..key_column_count(section)).collect();
                let mut seen: Vec<usize> = tables.iter().flat_map(|table| table[keys.len()..].to_vec()).collect();
                seen.splice(0..0, keys.clone());
                prop_assert_eq!(seen, (0..section.columns.len()).collect::<Vec<_>>());
                for table in &tables {
                    prop_assert_eq!(&table[..keys.len()], &keys[..]);
                    let wide: usize = table.iter().map(|place| widths[*place] + 2).sum::<usize>() - 2;
                    prop_assert!(wide <= most || table.len() == keys.len() + 1, "{} of {}", wide, most);
                }
            }
        }
    }
}
