//! The header of a table: which column holds which field, under its own name or the one that the configuration gives it.

use csv::ByteRecord;

use super::ImportOptions;
use super::assemble::Assembler;
use super::complaint::{Complaint, Complaints};

/// A field of a shift row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    AgentId,
    AgentName,
    Team,
    TimeZone,
    Activity,
    Start,
    End,
    Mandatory,
    Skills,
}

const FIELDS: [Field; 9] = [
    Field::AgentId,
    Field::AgentName,
    Field::Team,
    Field::TimeZone,
    Field::Activity,
    Field::Start,
    Field::End,
    Field::Mandatory,
    Field::Skills,
];

/// How alike a column and a missing field must be for the one to be suggested for the other (Jaro and Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

impl Field {
    /// The name of its column unless the configuration gives another.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AgentId => "agent_id",
            Self::AgentName => "agent_name",
            Self::Team => "team",
            Self::TimeZone => "time_zone",
            Self::Activity => "activity",
            Self::Start => "start",
            Self::End => "end",
            Self::Mandatory => "mandatory",
            Self::Skills => "skills",
        }
    }

    /// The name of its column in this file.
    pub(super) fn column(self, options: &ImportOptions) -> &str {
        options.columns.get(self.name()).map_or(self.name(), String::as_str)
    }
}

/// The fields that `columns` of the options can rename: the columns of a shift file in their usual order.
pub const COLUMNS: [&str; 9] = {
    let mut names = [""; 9];
    let mut at = 0;
    while at < names.len() {
        names[at] = FIELDS[at].name();
        at += 1;
    }
    names
};

/// Where each field stands.
pub(super) struct Header {
    positions: [Option<usize>; 9],
    columns: usize,
}

impl Header {
    /// How many fields a row would have under this header.
    pub(super) fn known_columns(row: &ByteRecord, options: &ImportOptions) -> usize {
        let titles = titles(row);
        FIELDS.iter().filter(|field| titles.contains(&folded(field.column(options)))).count()
    }

    /// Reads the header; `None` when a column is missing or stands there twice, with the faults reported.
    pub(super) fn read(
        row: &ByteRecord,
        line: u64,
        options: &ImportOptions,
        faults: &mut Complaints,
        assembler: &mut Assembler,
    ) -> Option<Self> {
        unknown_renames(options, faults);
        let titles = titles(row);
        // Spreadsheets leave empty columns at the end; rows need not have them.
        let columns = titles.iter().rposition(|title| !title.is_empty()).map_or(0, |last| last + 1);
        if faults.is_empty() && Self::known_columns(row, options) == 0 {
            let needed = FIELDS.iter().filter(|field| **field != Field::Skills);
            let names: Vec<_> = needed.map(|field| field.column(options)).collect();
            let names = names.join(", ");
            faults
                .push(Complaint::line(line, format!("this is not a header; the first line names the columns {names}")));
            return None;
        }
        let mut positions = [None; 9];
        for (field, position) in FIELDS.into_iter().zip(&mut positions) {
            *position = Self::find(field, &titles, line, options, faults);
        }
        for (at, title) in titles.iter().enumerate() {
            if !title.is_empty() && !positions.contains(&Some(at)) {
                assembler.warn(Complaint::column(
                    line,
                    &shown(row, at),
                    "is not a column of a shift file; it is ignored",
                ));
            }
        }
        faults.is_empty().then_some(Self { positions, columns })
    }

    fn find(
        field: Field,
        titles: &[String],
        line: u64,
        options: &ImportOptions,
        faults: &mut Complaints,
    ) -> Option<usize> {
        let column = field.column(options);
        let wanted = folded(column);
        let mut found = titles.iter().enumerate().filter(|(_, title)| **title == wanted).map(|(at, _)| at);
        let first = found.next();
        if let Some(second) = found.next() {
            let (first, second) = (first.unwrap_or_default() + 1, second + 1);
            let reason = format!("stands in the header twice, as column {first} and {second}; keep one");
            faults.push(Complaint::column(line, column, reason));
        }
        let may_be_missing = match field {
            Field::Skills => true,
            Field::TimeZone => options.default_zone.is_some(),
            Field::AgentId
            | Field::AgentName
            | Field::Team
            | Field::Activity
            | Field::Start
            | Field::End
            | Field::Mandatory => false,
        };
        if first.is_none() && !may_be_missing {
            faults.push(Complaint::column(line, column, missing(field, &wanted, titles, options)));
        }
        first
    }

    /// Where a field stands in a row; `None` for a column that the file does without.
    pub(super) const fn position(&self, field: Field) -> Option<usize> {
        self.positions[field as usize]
    }

    /// How many fields a row must have.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }
}

/// Says that a column is missing and which other one may be meant.
fn missing(field: Field, wanted: &str, titles: &[String], options: &ImportOptions) -> String {
    let taken = |title: &String| FIELDS.iter().any(|field| folded(field.column(options)) == *title);
    let near = titles
        .iter()
        .filter(|title| !title.is_empty() && title.len() <= 64 && !taken(title))
        .map(|title| (strsim::jaro_winkler(wanted, title), title))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    match near {
        Some((_, title)) => {
            let title: String = title.chars().filter(|c| !c.is_control()).collect();
            format!(
                "is missing from the header; did you mean \"{title}\"? Rename it, or map it as columns.{}",
                field.name()
            )
        }
        None => format!("is missing from the header; add it, or map another column as columns.{}", field.name()),
    }
}

fn unknown_renames(options: &ImportOptions, faults: &mut Complaints) {
    for key in options.columns.keys().filter(|key| !COLUMNS.contains(&key.as_str())) {
        let known = COLUMNS.join(", ");
        faults.push(Complaint::file(format!("columns.{key} renames no field of a shift file; the fields are {known}")));
    }
}

fn titles(row: &ByteRecord) -> Vec<String> {
    row.iter().map(|title| folded(&String::from_utf8_lossy(title))).collect()
}

/// A column's name for comparison: `Agent ID`, `agent-id` and `agent_id` are the same.
fn folded(title: &str) -> String {
    title.trim().to_lowercase().replace([' ', '-'], "_")
}

/// A column's name for a message.
fn shown(row: &ByteRecord, at: usize) -> String {
    let title = String::from_utf8_lossy(row.get(at).unwrap_or_default()).into_owned();
    title.trim().chars().filter(|c| !c.is_control()).take(60).collect()
}
