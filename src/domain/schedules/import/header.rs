//! The header of a table: which column holds which field, under the default or a configured name.

use csv::ByteRecord;

use super::assembler::Assembler;
use super::diagnostic::{DiagnosticCollector, ImportDiagnostic};
use super::options::ImportOptions;

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

/// The least Jaro-Winkler similarity (0 to 1) at which a column is suggested for a missing field.
const MIN_SIMILARITY: f64 = 0.8;

impl Field {
    /// Returns the default name of the column.
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

    /// Returns the name of the column in this file.
    pub(super) fn column(self, options: &ImportOptions) -> &str {
        options.columns.get(self.name()).map_or(self.name(), String::as_str)
    }
}

/// The default names of the columns, in their usual order; the option `columns` can rename them.
pub const COLUMN_NAMES: [&str; 9] = {
    let mut names = [""; 9];
    let mut at = 0;
    while at < names.len() {
        names[at] = FIELDS[at].name();
        at += 1;
    }
    names
};

/// The position of each field.
pub(super) struct Header {
    positions: [Option<usize>; 9],
    columns: usize,
}

impl Header {
    /// Returns the number of known columns in a row taken as the header.
    pub(super) fn count_known_columns(row: &ByteRecord, options: &ImportOptions) -> usize {
        let titles = normalized_titles(row);
        FIELDS.iter().filter(|field| titles.contains(&normalize_title(field.column(options)))).count()
    }

    /// Parses the header; `None` if a column is missing or duplicated, in which case the errors have been reported.
    pub(super) fn read(
        row: &ByteRecord,
        line: u64,
        options: &ImportOptions,
        errors: &mut DiagnosticCollector,
        assembler: &mut Assembler,
    ) -> Option<Self> {
        check_renames(options, errors);
        let titles = normalized_titles(row);
        // Spreadsheets leave empty columns at the end, which rows need not have.
        let columns = titles.iter().rposition(|title| !title.is_empty()).map_or(0, |last| last + 1);
        if errors.is_empty() && Self::count_known_columns(row, options) == 0 {
            let needed = FIELDS.iter().filter(|field| **field != Field::Skills);
            let names: Vec<_> = needed.map(|field| field.column(options)).collect();
            let names = names.join(", ");
            errors.push(ImportDiagnostic::for_line(
                line,
                format!("this is not a header; the first line names the columns {names}"),
            ));
            return None;
        }
        let mut positions = [None; 9];
        for (field, position) in FIELDS.into_iter().zip(&mut positions) {
            *position = Self::find_column(field, &titles, line, options, errors);
        }
        for (at, title) in titles.iter().enumerate() {
            if !title.is_empty() && !positions.contains(&Some(at)) {
                assembler.report_warning(ImportDiagnostic::for_column(
                    line,
                    &column_title(row, at),
                    "is not a column of a shift file; it is ignored",
                ));
            }
        }
        errors.is_empty().then_some(Self { positions, columns })
    }

    fn find_column(
        field: Field,
        titles: &[String],
        line: u64,
        options: &ImportOptions,
        errors: &mut DiagnosticCollector,
    ) -> Option<usize> {
        let column = field.column(options);
        let normalized = normalize_title(column);
        let mut found = titles.iter().enumerate().filter(|(_, title)| **title == normalized).map(|(at, _)| at);
        let first = found.next();
        if let Some(second) = found.next() {
            let (first, second) = (first.unwrap_or_default() + 1, second + 1);
            let reason = format!("is in the header twice, as column {first} and {second}; keep one");
            errors.push(ImportDiagnostic::for_column(line, column, reason));
        }
        let is_optional = match field {
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
        if first.is_none() && !is_optional {
            errors.push(ImportDiagnostic::for_column(
                line,
                column,
                missing_column_text(field, &normalized, titles, options),
            ));
        }
        first
    }

    /// Returns the position of a field in a row; `None` if the file does not have the column.
    pub(super) const fn position(&self, field: Field) -> Option<usize> {
        self.positions[field as usize]
    }

    /// Returns the number of fields that a row must have.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }
}

/// Returns the error text for a missing column, with a suggestion of another column that may be meant.
fn missing_column_text(field: Field, normalized: &str, titles: &[String], options: &ImportOptions) -> String {
    let is_known = |title: &String| FIELDS.iter().any(|field| normalize_title(field.column(options)) == *title);
    let near = titles
        .iter()
        .filter(|title| !title.is_empty() && title.len() <= 64 && !is_known(title))
        .map(|title| (strsim::jaro_winkler(normalized, title), title))
        .filter(|(score, _)| *score >= MIN_SIMILARITY)
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

fn check_renames(options: &ImportOptions, errors: &mut DiagnosticCollector) {
    for key in options.columns.keys().filter(|key| !COLUMN_NAMES.contains(&key.as_str())) {
        let known = COLUMN_NAMES.join(", ");
        errors.push(ImportDiagnostic::for_file(format!(
            "columns.{key} renames no field of a shift file; the fields are {known}"
        )));
    }
}

pub(super) fn normalized_titles(row: &ByteRecord) -> Vec<String> {
    row.iter().map(|title| normalize_title(&String::from_utf8_lossy(title))).collect()
}

/// Normalizes a column title for comparison: `Agent ID`, `agent-id` and `agent_id` are the same.
fn normalize_title(title: &str) -> String {
    title.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Returns a column title for a message, shortened and without control characters.
pub(super) fn column_title(row: &ByteRecord, at: usize) -> String {
    let title = String::from_utf8_lossy(row.get(at).unwrap_or_default()).into_owned();
    title.trim().chars().filter(|c| !c.is_control()).take(60).collect()
}
