//! `[import]`: how shift files are read.

use std::time::Duration;

use super::profile;
use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::schedules::import::{COLUMN_NAMES, ImportOptions, MAX_FILE_BYTES};

const DELIMITERS: &[(&str, Option<u8>)] =
    &[("auto", None), ("comma", Some(b',')), ("semicolon", Some(b';')), ("tab", Some(b'\t'))];

pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> ImportOptions {
    let defaults = ImportOptions::default();
    ImportOptions {
        columns: section.value(
            reloadable("columns", "Columns that have other names in your tables, as in { agent_id = \"Employee\" }."),
            &kind::map(field(), kind::text()),
            defaults.columns,
        ),
        delimiter: section.value(
            reloadable("delimiter", "The character between the fields of a table; `auto` detects it."),
            &kind::choice(DELIMITERS),
            defaults.delimiter,
        ),
        max_shift: section.value(
            reloadable("max_shift", "A longer shift is refused as a mistake."),
            &kind::duration(Duration::from_secs(3_600)..=Duration::from_secs(48 * 3_600)),
            defaults.max_shift,
        ),
        max_bytes: section.value(
            reloadable("max_bytes", "A larger file is refused, both by the daemon and by the command line."),
            &kind::integer(1_000..=MAX_FILE_BYTES),
            defaults.max_bytes,
        ),
        max_rows: section.value(
            reloadable("max_rows", "A file with more rows or calendar occurrences is refused."),
            &kind::integer(1..=100_000_000),
            defaults.max_rows,
        ),
        max_days: section.value(
            reloadable("max_days", "A file that covers more days is refused."),
            &kind::integer(1..=4_000),
            defaults.max_days,
        ),
        default_zone: section
            .optional(reloadable("default_zone", "The IANA time zone for rows and agents without one."), &kind::zone()),
        profiles: section.named_tables("profiles", profile::read),
        move_weeks: defaults.move_weeks,
    }
}

fn field() -> Kind<String> {
    let convert = |text: &str| {
        if COLUMN_NAMES.contains(&text) {
            return Ok(text.to_owned());
        }
        Err(ValueFault::new("names a column that shift files do not have")
            .with_suggestion(format!("known: {}", COLUMN_NAMES.join(", ")))
            .with_closest(text, COLUMN_NAMES))
    };
    Kind::from_text("column", convert, String::clone)
}
