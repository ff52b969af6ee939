//! Tables without a header, whose columns are found by their values alone.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::super::cell::{Cell, Row};
use super::agents::{self, Agents, KnownAgents};
use super::file::text_of;
use super::proposal::{Draft, list, table as inline_table};
use super::rows::{self, Columns};
use super::table::Table;
use super::{activities, clock, forms, zones};

/// The number of columns among which the columns of the agent and the date are looked for.
const MAX_COLUMNS: usize = 30;

/// Of ten rows, the fewest in which a column must have a date.
const MIN_OF_TEN: usize = 8;

/// Proposes a profile for a table without a header. Returns whether its columns were found.
pub(super) fn propose(table: &mut Table<'_>, known: &KnownAgents, draft: &mut Draft<'_>) -> bool {
    let stamps =
        (0..MAX_COLUMNS).find(|column| [*column, column + 1].iter().all(|column| are_dates(table, *column, true)));
    if let Some(start) = stamps {
        shifts(table, start, known, draft);
        return true;
    }
    let many = |column: &usize| count_dates(table, *column) * 10 >= table.rows.len() * MIN_OF_TEN;
    let Some(date) = (0..MAX_COLUMNS).find(|column| many(column) && are_dates(table, *column, false)) else {
        return false;
    };
    table.skip(|row| text_of(row.cell(date)).is_some_and(is_date), draft);
    let Some(from) = (date + 1..MAX_COLUMNS).find(|column| begins_groups(table, *column)) else { return false };
    let width = |row: &&Row| row.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    let is_single = table.rows.iter().all(|row| width(row) == from + 3);
    let what =
        if is_single { "a date, an activity, a start and an end" } else { "a date and activities with start and end" };
    let layout = if is_single { "activities" } else { "days" };
    draft.certain(&["layout"], layout, format!("Each row has {what}."));
    let zone = (0..from).find(|column| is_zone(table, *column));
    let candidates: Vec<usize> = (0..from).filter(|column| *column != date && Some(*column) != zone).collect();
    let agents = agents(table, &candidates, known, draft);
    if is_single {
        let (activity, start, end, date) = (from, from + 1, from + 2, Some(date));
        let columns = Columns { activity, start, end, has_length: false, date, zone, shift: None, mandatory: None };
        rows::of_columns(table, &columns, &agents, known, draft);
    } else {
        groups(table, date, from, draft);
        zones::propose_at(table, zone, &agents, known, draft);
    }
    true
}

/// Proposes the layout with a row for each shift.
fn shifts(table: &Table<'_>, start: usize, known: &KnownAgents, draft: &mut Draft<'_>) {
    draft.certain(&["layout"], "shifts", "Two columns have dates with a time, and no heading says more.");
    let agents = agents(table, &(0..start).collect::<Vec<_>>(), known, draft);
    draft.doubtful(&["columns", "shift_start"], table.name(start), "this is the first column with dates and times.");
    draft.doubtful(&["columns", "shift_end"], table.name(start + 1), "this is the second column with dates and times.");
    if let Some(clock) = clock::read(table, None, &[start, start + 1], draft) {
        zones::propose(table, None, &agents, known, &clock, draft);
    }
}

fn is_date(text: &str) -> bool {
    let is_long = text.len() >= 6 && text.starts_with(|c: char| c.is_ascii_digit());
    is_long && !forms::date_forms(&BTreeSet::from([text]), false).is_empty()
}

fn count_dates(table: &Table<'_>, column: usize) -> usize {
    table.filled(&[column]).filter_map(text_of).filter(|text| is_date(text)).count()
}

/// Whether all values of a column are dates of one form. Titles and totals are no values of a date without times.
fn are_dates(table: &Table<'_>, column: usize, has_times: bool) -> bool {
    let texts: BTreeSet<&str> = table.texts(&[column]).into_keys().filter(|text| has_times || is_date(text)).collect();
    !texts.is_empty() && !forms::date_forms(&texts, has_times).is_empty()
}

/// Whether a text is a time of day and no other number.
fn is_time(text: &str) -> bool {
    text.len() >= 4 && !forms::time_forms(&BTreeSet::from([text])).is_empty()
}

/// Whether groups of activity, start and end begin in a column.
fn begins_groups(table: &Table<'_>, column: usize) -> bool {
    let text = |row: &Row, offset: usize| text_of(row.cell(column + offset)).map(str::to_owned);
    let mut found = table.rows.iter().filter(|row| !row.cell(column + 1).is_empty()).peekable();
    found.peek().is_some()
        && found.all(|row| {
            let is_name = text(row, 0).is_some_and(|text| text.starts_with(char::is_alphabetic));
            is_name && [1, 2].iter().all(|offset| text(row, *offset).is_some_and(|text| is_time(&text)))
        })
}

/// Whether all values of a column can be names of time zones.
fn is_zone(table: &Table<'_>, column: usize) -> bool {
    let texts = table.texts(&[column]);
    let is_short = |text: &str| (2..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
    !texts.is_empty()
        && texts.keys().all(|text| is_short(text) || text.contains('/') || text.ends_with("Standard Time"))
}

/// Adds the keys about the agents, whose column only the known agents can show.
fn agents(table: &Table<'_>, candidates: &[usize], known: &KnownAgents, draft: &mut Draft<'_>) -> Agents {
    let stated = draft.answer(&["columns", "agent"]).and_then(Value::as_integer);
    let stated = stated.and_then(|number| usize::try_from(number - 1).ok());
    let candidates: Vec<usize> = stated.map_or_else(|| candidates.to_vec(), |column| vec![column]);
    let texts: Vec<usize> = candidates.iter().copied().filter(|column| has_words(table, *column)).collect();
    let numbers = |columns: &[usize]| columns.iter().map(|column| table.name(*column)).collect::<Vec<_>>();
    let found = candidates.iter().copied().find(|column| known.has_all(&table.texts(&[*column]).into_keys().collect()));
    let agents = found.or(stated).and_then(|column| agents::find_among(table, &[column], known, draft));
    for (role, what) in [("name", "the name of the agent"), ("team", "the team")] {
        draft.undecided(
            &["columns", role],
            numbers(&texts),
            format!("without a header, nothing shows which column has {what}. If none has it, leave the answer empty."),
        );
    }
    agents.unwrap_or_else(|| {
        let reason = "without a header, only the values show which column names the agents. State a roster, and they are \
                      looked up in it.";
        draft.undecided(&["columns", "agent"], numbers(&candidates), reason);
        let keys = ["employee_no", "login", "id"].map(Value::from).to_vec();
        draft.undecided(&["agent_key"], keys, "nothing shows what names the agents.");
        Agents { column: candidates.first().copied().unwrap_or_default(), key: None }
    })
}

/// Whether the values of a column are words.
fn has_words(table: &Table<'_>, column: usize) -> bool {
    let texts = table.texts(&[column]);
    !texts.is_empty() && texts.keys().all(|text| text.starts_with(char::is_alphabetic))
}

/// Proposes the layout in which activity, start and end repeat to the end of the row.
fn groups(table: &Table<'_>, date: usize, from: usize, draft: &mut Draft<'_>) {
    draft.certain(&["columns", "date"], table.name(date), "Its values are dates.");
    let dates = table.texts(&[date]).into_keys().collect();
    clock::of_date_texts(&dates, draft);
    let (mut names, mut times) = (BTreeMap::new(), Vec::new());
    for row in &table.rows {
        for group in row.cells.get(from..).unwrap_or_default().chunks(3) {
            let [name, rest @ ..] = group else { continue };
            if let Some(name) = text_of(name) {
                *names.entry(name).or_insert(0) += 1;
            }
            times.extend(match rest {
                [Cell::Text(start), Cell::Text(end)] => Some((start.as_str(), end.as_str())),
                _ => None,
            });
        }
    }
    let forms = forms::time_forms(&times.iter().flat_map(|(start, end)| [*start, *end]).collect());
    clock::propose_time(&forms, draft);
    if let Some(form) = forms.first() {
        let minutes = |text: &str| form.seconds.get(text).map(|seconds| i64::from(*seconds) / 60);
        let spans = times.iter().filter_map(|(start, end)| Some((minutes(start)?, minutes(end)?)));
        clock::propose_midnight(&spans.collect::<Vec<_>>(), draft);
    }
    let column = i64::try_from(from + 1).unwrap_or(i64::MAX);
    let value = inline_table([("from", column.into()), ("columns", list(["activity", "start", "end"]))]);
    draft.certain(&["repeat"], value, format!("Activity, start and end repeat from column {column} on."));
    draft.certain(&["shifts"], "touching", "The activities of a row are its shift.");
    activities::propose(&names, &BTreeSet::new(), false, draft);
}
