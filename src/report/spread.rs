//! How a section is laid out where its columns do not fit side by side: turned by a quarter when it has few rows, else cut into several
//! tables that begin with the same columns. Nothing is left out.

use super::document::{CellKind, Section};

/// Sections of so many rows are turned.
const MOST_TURNED: usize = 4;

/// So many columns, at most, are repeated in each table.
const MOST_KEYS: usize = 3;

/// How a section is laid out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Spread {
    /// As it is.
    Whole,
    /// A line for each column, and a column for each row. The first so many columns say which row it is.
    Turned(usize),
    /// Tables of these columns, by their places; each begins with those that say which row it is.
    Cut(Vec<Vec<usize>>),
}

/// The leading columns that say which row it is.
pub fn keys(section: &Section) -> usize {
    let says_which = |kind: CellKind| match kind {
        CellKind::Text | CellKind::Instant | CellKind::Day => true,
        CellKind::Count | CellKind::Number | CellKind::Seconds | CellKind::Share => false,
    };
    section.columns.iter().take(MOST_KEYS).take_while(|column| says_which(column.kind)).count()
}

/// Lays a section out over a line of `most` characters: `widths` are its columns', `gap` stands between two of them.
pub fn spread(section: &Section, widths: &[usize], rows: usize, (most, gap): (usize, usize)) -> Spread {
    let width = |columns: &[usize]| columns.iter().map(|place| widths[*place] + gap).sum::<usize>().saturating_sub(gap);
    let all: Vec<usize> = (0..widths.len()).collect();
    if width(&all) <= most {
        return Spread::Whole;
    }
    let keys = keys(section);
    if keys == all.len() {
        return Spread::Whole;
    }
    if rows <= MOST_TURNED {
        return Spread::Turned(keys);
    }
    let (keys, figures) = all.split_at(keys);
    let mut tables: Vec<Vec<usize>> = Vec::new();
    for figure in figures {
        match tables.last_mut() {
            Some(table) if width(table) + gap + widths[*figure] <= most => table.push(*figure),
            // A column that is too wide by itself stands alone.
            Some(_) | None => tables.push(keys.iter().chain([figure]).copied().collect()),
        }
    }
    Spread::Cut(tables)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::reports::report_run::Kind;

    #[test]
    fn what_fits_stays_whole_and_few_rows_are_turned() {
        let section = &Kind::Adherence.sections()[0];
        let widths = vec![8; section.columns.len()];
        assert_eq!(spread(section, &widths, 100, (10_000, 2)), Spread::Whole);
        assert_eq!(spread(section, &widths, 1, (120, 2)), Spread::Turned(keys(section)));
    }

    proptest! {
        #[test]
        fn every_column_stands_somewhere_and_no_table_is_too_wide(
            kind in 0..Kind::ALL.len(), width in 1_usize..30, most in 20_usize..200, rows in 5_usize..50
        ) {
            for section in Kind::ALL[kind].sections() {
                let widths: Vec<usize> = (0..section.columns.len()).map(|place| width + place % 7).collect();
                let Spread::Cut(tables) = spread(section, &widths, rows, (most, 2)) else { continue };
                let keys: Vec<usize> = (0..keys(section)).collect();
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
