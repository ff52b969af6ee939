//! The header of a sheet: where the columns of the profile are.

use super::cell::{Cell, Row};
use super::context::{Context, Fault, Spot};
use super::{ColumnName, FileFormat, Layout};

/// Finds the columns of the profile in the header of a sheet, and removes the text before the first heading.
pub(super) fn read(context: &mut Context<'_, '_>, header: &mut Row) -> Result<(), Fault> {
    remove_prefix(context, header)?;
    let titles: Vec<String> = header.cells.iter().map(|cell| cell.text().into_owned()).collect();
    if !matches!(context.profile.layout, Layout::Wide(_)) {
        for (index, title) in titles.iter().enumerate() {
            if !title.is_empty() && titles[..index].contains(title) {
                let column = context.assembler.places.column(title);
                return Err(Fault::of_value(column, title, "is in the header twice; rename one of the columns"));
            }
        }
    }
    let profile = context.profile;
    for (id, name) in profile.columns.iter().enumerate() {
        let ColumnName::Heading(name) = name else { continue };
        let column = context.assembler.places.column(name);
        let Some(index) = titles.iter().position(|title| title == name) else {
            return Err(Fault::of_column(column, missing_text(name, &titles, &profile.file)));
        };
        context.spots[id] = Spot { index, column };
    }
    Ok(())
}

fn missing_text(name: &str, titles: &[String], file: &FileFormat) -> String {
    let similar =
        titles.iter().filter(|title| !title.is_empty()).map(|title| (strsim::jaro_winkler(name, title), title));
    let advice = match similar.filter(|(score, _)| *score > 0.8).max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((_, title)) => format!("; did you mean \"{}\"?", title.chars().take(60).collect::<String>()),
        None if matches!(file, FileFormat::Text { .. }) => {
            "; check header_row, delimiter and encoding of the profile".to_owned()
        }
        None => "; check header_row and the columns of the profile".to_owned(),
    };
    format!("\"{name}\" is missing from the header{advice}")
}

fn remove_prefix(context: &Context<'_, '_>, header: &mut Row) -> Result<(), Fault> {
    let prefix = &context.profile.header_prefix;
    if prefix.is_empty() {
        return Ok(());
    }
    let first = header.cell(0).text().into_owned();
    let Some(rest) = first.strip_prefix(prefix.as_str()) else {
        return Err(Fault::of_row(format!(
            "the header does not begin with {prefix}, as the profile's header_prefix says"
        )));
    };
    if let Some(cell) = header.cells.first_mut() {
        *cell = Cell::from_text(rest.trim_start_matches([':', ' ', '|']));
    }
    Ok(())
}

/// Assigns the columns that the profile gives by number.
pub(super) fn number_columns(context: &mut Context<'_, '_>) {
    for (id, name) in context.profile.columns.iter().enumerate() {
        if let ColumnName::Number(number) = name {
            let column = context.assembler.places.column(&number.to_string());
            context.spots[id] = Spot { index: usize::from(number.saturating_sub(1)), column };
        }
    }
}
