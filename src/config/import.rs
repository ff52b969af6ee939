//! `[import]`: how shift files are read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::complaint::{Fault, nearest};
use super::kind::{self, Kind};
use super::reader::{Section, reloads};

/// How shift files are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// Column names of this centre's tables: our field to the file's header.
    pub columns: BTreeMap<String, String>,
    /// The byte between fields; `None` looks which one fits.
    pub delimiter: Option<u8>,
    /// The longest shift, in elapsed time.
    pub max_shift: Duration,
    /// The largest file, in bytes.
    pub max_bytes: usize,
    /// The IANA zone of rows and agents without one.
    pub default_zone: Option<String>,
}

/// The fields of a shift row, by the names of their columns.
const FIELDS: [&str; 8] = ["agent_id", "agent_name", "team", "time_zone", "activity", "start", "end", "mandatory"];

const DELIMITERS: &[(&str, Option<u8>)] =
    &[("auto", None), ("comma", Some(b',')), ("semicolon", Some(b';')), ("tab", Some(b'\t'))];

impl Import {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            columns: section.value(
                reloads(
                    "columns",
                    "Columns that are named differently in this centre's tables, as in { agent_id = \"Employee\" }.",
                ),
                &kind::map(field(), kind::text()),
                BTreeMap::new(),
            ),
            delimiter: section.value(
                reloads("delimiter", "What stands between the fields of a table; auto looks which one fits."),
                &kind::choice(DELIMITERS),
                None,
            ),
            max_shift: section.value(
                reloads("max_shift", "A longer shift is taken for a mistake."),
                &kind::duration(Duration::from_secs(3_600)..=Duration::from_secs(48 * 3_600)),
                Duration::from_secs(24 * 3_600),
            ),
            max_bytes: section.value(
                reloads("max_bytes", "A larger file is refused."),
                &kind::integer(1_000..=1_000_000_000),
                64 << 20,
            ),
            default_zone: section
                .optional(reloads("default_zone", "The IANA time zone of rows and agents without one."), &zone()),
        }
    }
}

fn field() -> Kind<String> {
    let convert = |text: &str| {
        if FIELDS.contains(&text) {
            return Ok(text.to_owned());
        }
        let fault = Fault::new("names a column that shift files do not have");
        Err(match nearest(text, FIELDS) {
            Some(name) => fault.advise(format!("did you mean \"{name}\"?")),
            None => fault.advise(format!("known: {}", FIELDS.join(", "))),
        })
    };
    Kind::from_text("column", convert, String::clone)
}

fn zone() -> Kind<String> {
    let convert = |text: &str| match jiff::tz::TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Fault::new("is not a known IANA time zone").advise("as in \"Europe/London\"")),
    };
    Kind::from_text("IANA zone", convert, |zone| format!("{zone:?}"))
}
