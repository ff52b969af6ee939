//! `[import]`: how shift files are read.

use std::time::Duration;

use crate::config::shared::complaint::Fault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloads};
use crate::domain::schedules::import::{COLUMNS, ImportOptions, LARGEST_FILE};
use crate::domain::words::nearest;

const DELIMITERS: &[(&str, Option<u8>)] =
    &[("auto", None), ("comma", Some(b',')), ("semicolon", Some(b';')), ("tab", Some(b'\t'))];

pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> ImportOptions {
    let usual = ImportOptions::default();
    ImportOptions {
        columns: section.value(
            reloads(
                "columns",
                "Columns that are named differently in this centre's tables, as in { agent_id = \"Employee\" }.",
            ),
            &kind::map(field(), kind::text()),
            usual.columns,
        ),
        delimiter: section.value(
            reloads("delimiter", "What stands between the fields of a table; auto looks which one fits."),
            &kind::choice(DELIMITERS),
            usual.delimiter,
        ),
        max_shift: section.value(
            reloads("max_shift", "A longer shift is taken for a mistake."),
            &kind::duration(Duration::from_secs(3_600)..=Duration::from_secs(48 * 3_600)),
            usual.max_shift,
        ),
        max_bytes: section.value(
            reloads("max_bytes", "A larger file is refused, by the daemon and by the command alike."),
            &kind::integer(1_000..=LARGEST_FILE),
            usual.max_bytes,
        ),
        max_rows: section.value(
            reloads("max_rows", "A file with more rows, or occurrences of calendar events, is refused."),
            &kind::integer(1..=100_000_000),
            usual.max_rows,
        ),
        max_days: section.value(
            reloads("max_days", "A file that spans more days is refused."),
            &kind::integer(1..=4_000),
            usual.max_days,
        ),
        default_zone: section
            .optional(reloads("default_zone", "The IANA time zone of rows and agents without one."), &kind::zone()),
        move_weeks: usual.move_weeks,
    }
}

fn field() -> Kind<String> {
    let convert = |text: &str| {
        if COLUMNS.contains(&text) {
            return Ok(text.to_owned());
        }
        let fault = Fault::new("names a column that shift files do not have");
        Err(match nearest(text, COLUMNS) {
            Some(name) => fault.advise(format!("did you mean \"{name}\"?")),
            None => fault.advise(format!("known: {}", COLUMNS.join(", "))),
        })
    };
    Kind::from_text("column", convert, String::clone)
}
