//! The layout with a row for each agent and a column for each day.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::super::cell::{Cell, Row};
use super::agents::{self, Agents, KnownAgents};
use super::clock;
use super::file::Sheet;
use super::forms;
use super::proposal::{Draft, list, table as inline_table};
use super::table::{Table, is_day};
use super::words::{self, Known, Role};
use super::{activities, zones};

/// The signs between a start and an end.
const DASHES: [&str; 5] = ["–", "—", "-", " to ", " bis "];

/// The fewest days of a wide table.
const MIN_DAYS: usize = 3;

/// A span in the cell of a day: its start and its end.
type Times<'t> = (&'t str, &'t str);

/// What the cells of days hold.
#[derive(Default)]
struct Contents<'t> {
    /// The shifts.
    shifts: Vec<Times<'t>>,
    /// The activities within the shifts, by name.
    inner: BTreeMap<&'t str, Vec<Times<'t>>>,
    /// The cells that are no shift, with their number.
    words: BTreeMap<&'t str, usize>,
    /// The sign between a start and an end.
    dash: Option<&'static str>,
    has_brackets: bool,
    has_lines: bool,
    separators: BTreeSet<char>,
}

/// Proposes the layout if the header has days. Returns whether it has.
pub(super) fn propose(table: &mut Table<'_>, sheets: &[Sheet], known: &KnownAgents, draft: &mut Draft<'_>) -> bool {
    let days: Vec<usize> = (0..table.header.len()).filter(|index| is_day(&table.header[*index])).collect();
    if days.len() < MIN_DAYS {
        return false;
    }
    draft.certain(&["layout"], "wide", format!("The header has {} days.", days.len()));
    let has_pairs = has_pairs(table, &days);
    let agent = table.columns_of(Role::Agent).first().copied();
    if has_pairs {
        // The row below the days has no agent, and the reader skips it without a key.
        let rows: Vec<&Row> = table.rows.iter().skip(1).copied().collect();
        table.rows = rows;
    }
    let has_data = |row: &Row| {
        let is_named = agent.is_some_and(|agent| !row.cell(agent).is_empty());
        let others = table_columns(&days, row).filter(|cell| !cell.is_empty()).count();
        is_named && (others > 0 || row.cells.iter().filter(|cell| !cell.is_empty()).count() > 2)
    };
    table.skip(has_data, draft);
    let Some(agents) = agents::find(table, known, draft) else {
        draft.undecided(&["columns", "agent"], Vec::new(), "no heading is known to name the agents.");
        return true;
    };
    propose_days(table, &days, draft);
    ignore_columns(table, &days, &agents, has_pairs, draft);
    zones::propose_at(table, table.column_of(Role::TimeZone), &agents, known, draft);
    if has_pairs {
        pairs(table, &days, draft);
    } else {
        cells(table, &days, sheets, draft);
    }
    true
}

fn table_columns<'r>(days: &'r [usize], row: &'r Row) -> impl Iterator<Item = &'r Cell> {
    days.iter().map(|index| row.cell(*index))
}

/// Whether the row below the days names a start and an end for each.
fn has_pairs(table: &Table<'_>, days: &[usize]) -> bool {
    let Some(row) = table.rows.first() else { return false };
    days.iter().all(|index| words::is_pair(&row.cell(*index).text(), &row.cell(index + 1).text()))
}

/// Adds the form of the days in the header.
fn propose_days(table: &Table<'_>, days: &[usize], draft: &mut Draft<'_>) {
    let cells: Vec<&Cell> = days.iter().map(|index| &table.header[*index]).collect();
    if cells.iter().all(|cell| matches!(cell, Cell::Date(_))) {
        return draft.certain(&["date_format"], "cell", "All days of the header are real dates of the workbook.");
    }
    let texts: Vec<_> = cells.iter().filter_map(|cell| super::file::text_of(cell)).collect();
    if texts.len() < cells.len() {
        return draft.undecided(
            &["date_format"],
            Vec::new(),
            "some days are text and others real dates. Correct the file.",
        );
    }
    clock::of_date_texts(&texts.into_iter().collect(), draft);
}

/// Adds the columns that are neither of the agent nor of a day.
fn ignore_columns(table: &Table<'_>, days: &[usize], agents: &Agents, has_pairs: bool, draft: &mut Draft<'_>) {
    let named: Vec<&Value> = draft
        .proposal
        .entries
        .iter()
        .filter(|entry| entry.path.first().is_some_and(|key| key == "columns"))
        .filter_map(|entry| entry.value())
        .collect();
    let is_named = |index: usize| {
        let name = table.name(index);
        named.iter().any(|value| **value == name || value.as_array().is_some_and(|names| names.contains(&name)))
    };
    let is_end = |index: usize| has_pairs && index.checked_sub(1).is_some_and(|before| days.contains(&before));
    let other = (0..table.header.len()).filter(|index| {
        let is_used = *index == agents.column || days.contains(index) || is_named(*index) || is_end(*index);
        !is_used && !table.header[*index].is_empty()
    });
    let other: Vec<Value> = other.map(|index| table.name(index)).collect();
    if !other.is_empty() {
        draft.certain(&["ignore_columns"], Value::Array(other), "These headings are no days.");
    }
}

/// Proposes the keys of days with a column for the start and one for the end.
fn pairs(table: &Table<'_>, days: &[usize], draft: &mut Draft<'_>) {
    draft.certain(
        &["day_columns"],
        list(["start", "end"]),
        "The row below the days names a start and an end for each.",
    );
    let both: Vec<usize> = days.iter().flat_map(|index| [*index, index + 1]).collect();
    let spans = |time: &dyn Fn(&Cell) -> Option<i64>| -> Vec<(i64, i64)> {
        let rows = table.rows.iter().flat_map(|row| days.iter().map(move |day| (row.cell(*day), row.cell(day + 1))));
        rows.filter_map(|(start, end)| Some((time(start)?, time(end)?))).collect()
    };
    if table.filled(&both).any(|cell| matches!(cell, Cell::Time(_))) {
        draft.certain(&["time_format"], "cell", "All times are real times of the workbook.");
        let minutes = |cell: &Cell| match cell {
            #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within a few days")]
            Cell::Time(days) => Some((days * 1_440.0).round() as i64),
            Cell::Empty | Cell::Text(_) | Cell::Number(_) | Cell::Date(_) | Cell::Error(_) => None,
        };
        clock::propose_midnight(&spans(&minutes), draft);
        let words = table.texts(days);
        return propose_off(&words, draft);
    }
    let texts = table.texts(&both);
    let (times, words): (BTreeMap<&str, usize>, _) = texts.into_iter().partition(|(text, _)| is_time(text));
    let forms = forms::time_forms(&times.into_keys().collect());
    clock::propose_time(&forms, draft);
    if let Some(form) = forms.first() {
        let minutes = |cell: &Cell| form.seconds.get(&*cell.text()).map(|seconds| i64::from(*seconds) / 60);
        clock::propose_midnight(&spans(&minutes), draft);
    }
    propose_off(&words, draft);
}

/// Proposes the keys of days with one cell each.
fn cells(table: &Table<'_>, days: &[usize], sheets: &[Sheet], draft: &mut Draft<'_>) {
    let texts = table.texts(days);
    let contents = contents(&texts);
    let has_empty = table.rows.iter().any(|row| table_columns(days, row).any(Cell::is_empty));
    let Some(dash) = contents.dash else { return codes(&contents, has_empty, sheets, draft) };
    propose_cell(dash, &contents, draft);
    let all = || contents.inner.values().flatten().chain(&contents.shifts);
    let times: BTreeSet<&str> = all().flat_map(|(start, end)| [*start, *end]).collect();
    let forms = forms::time_forms(&times);
    clock::propose_time(&forms, draft);
    if let Some(form) = forms.first() {
        let minutes = |text: &str| form.seconds.get(text).map(|seconds| i64::from(*seconds) / 60);
        let spans = all().filter_map(|(start, end)| Some((minutes(start)?, minutes(end)?)));
        clock::propose_midnight(&spans.collect::<Vec<_>>(), draft);
    }
    let mut words = contents.words;
    if has_empty {
        words.insert("", 1);
    }
    propose_off(&words, draft);
    if !contents.inner.is_empty() {
        let names = contents.inner.iter().map(|(name, spans)| (*name, spans.len())).collect();
        activities::propose(&names, &BTreeSet::new(), false, draft);
    }
}

fn propose_cell(dash: &str, contents: &Contents<'_>, draft: &mut Draft<'_>) {
    let shifts = format!("{} different cells have a start and an end", contents.shifts.len());
    let dash = ("dash", Value::from(dash.trim()));
    match (contents.has_lines, contents.has_brackets, contents.separators.first()) {
        (true, ..) => {
            let value = inline_table([dash, ("activities", "lines".into())]);
            draft.certain(&["cell"], value, format!("{shifts}, with activities on the lines below."));
        }
        (false, true, Some(separator)) if contents.separators.len() == 1 => {
            let value =
                inline_table([dash, ("activities", "brackets".into()), ("separator", separator.to_string().into())]);
            draft.certain(
                &["cell"],
                value,
                format!("{shifts}, with activities in brackets and {separator} between them."),
            );
        }
        (false, true, _) => {
            let value = inline_table([dash, ("activities", "brackets".into()), ("separator", ";".into())]);
            draft.undecided(
                &["cell"],
                vec![value],
                format!("{shifts}, but the sign between the activities in brackets is not clear."),
            );
        }
        (false, false, _) => draft.certain(&["cell"], inline_table([dash]), format!("{shifts}, and nothing else.")),
    }
}

/// Whether a text looks like a time of day.
fn is_time(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && !forms::time_forms(&BTreeSet::from([text])).is_empty()
}

/// Splits a text into a start and an end.
fn span<'t>(text: &'t str, dash: &str) -> Option<Times<'t>> {
    let (start, end) = text.split_once(dash)?;
    let (start, end) = (start.trim(), end.trim());
    (is_time(start) && is_time(end)).then_some((start, end))
}

/// Finds out what the cells of days hold.
fn contents<'t>(texts: &BTreeMap<&'t str, usize>) -> Contents<'t> {
    let shift_of = |text: &'t str| text.split(['(', '\n']).next().unwrap_or_default();
    let mut found = Contents {
        dash: DASHES.into_iter().find(|dash| texts.keys().any(|text| span(shift_of(text), dash).is_some())),
        ..Contents::default()
    };
    let Some(dash) = found.dash else { return Contents { words: texts.clone(), ..found } };
    for (text, count) in texts {
        let Some(shift) = span(shift_of(text), dash) else {
            found.words.insert(text, *count);
            continue;
        };
        found.shifts.push(shift);
        found.has_lines |= text.contains('\n');
        found.has_brackets |= text.contains('(');
        let rest = &text[shift_of(text).len()..];
        found.separators.extend(rest.chars().filter(|c| [';', ',', '/', '|', '+'].contains(c)));
        for item in rest.trim_matches(['(', ')']).split([';', ',', '/', '|', '+', '\n']) {
            let activity = item.trim().split_once(' ').and_then(|(name, times)| Some((name, span(times, dash)?)));
            if let Some((name, times)) = activity {
                found.inner.entry(name).or_default().push(times);
            }
        }
    }
    found
}

/// Adds the words that say that there is no shift.
fn propose_off(words: &BTreeMap<&str, usize>, draft: &mut Draft<'_>) {
    if words.is_empty() {
        return;
    }
    let all = || list(words.keys().copied());
    let unknown: Vec<String> = words
        .keys()
        .filter(|word| words::known(word) != Some(Known::Off))
        .map(|word| if word.is_empty() { "an empty cell".to_owned() } else { format!("\"{word}\"") })
        .collect();
    if unknown.is_empty() {
        draft.certain(&["off"], all(), "Known words for a day without a shift.");
    } else {
        let reason = format!("is there no shift on days with {}?", unknown.join(" and "));
        draft.undecided(&["off"], vec![all()], reason);
    }
}

/// Proposes shifts that are named by codes, with what another sheet says about them.
fn codes(contents: &Contents<'_>, has_empty: bool, sheets: &[Sheet], draft: &mut Draft<'_>) {
    let (mut off, codes): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = contents
        .words
        .iter()
        .map(|(word, count)| (*word, *count))
        .partition(|(word, _)| words::known(word) == Some(Known::Off));
    if has_empty {
        off.insert("", 1);
    }
    propose_off(&off, draft);
    let mut times = Vec::new();
    for code in codes.keys() {
        let path = ["shift_codes", code];
        if let Some((start, end)) = explained(code, sheets) {
            times.push((start, end));
            let value = inline_table([("start", start.into()), ("end", end.into())]);
            draft.doubtful(&path, value, "another sheet says so. It does not say whether there are breaks.");
        } else {
            let value = inline_table([("start", "06:00".into()), ("end", "14:30".into())]);
            draft.undecided(&path, vec![value], format!("the file does not say when a shift {code} is."));
        }
    }
    activities_of_codes(draft);
    let texts: BTreeSet<&str> = times.iter().flat_map(|(start, end)| [*start, *end]).collect();
    if texts.is_empty() {
        draft.undecided(&["time_format"], vec!["HH:mm".into()], "this is how you write the times of shift_codes.");
        let values = ["next_day", "over_24"].map(Value::from).to_vec();
        return draft.undecided(&["midnight"], values, "this is how you write the times of shift_codes over midnight.");
    }
    let forms = forms::time_forms(&texts);
    clock::propose_time(&forms, draft);
    if let Some(form) = forms.first() {
        let minutes = |text: &str| form.seconds.get(text).map(|seconds| i64::from(*seconds) / 60);
        let spans = times.iter().filter_map(|(start, end)| Some((minutes(start)?, minutes(end)?)));
        clock::propose_midnight(&spans.collect::<Vec<_>>(), draft);
    }
}

/// Adds the activities that a person has stated within codes.
fn activities_of_codes(draft: &mut Draft<'_>) {
    let stated = draft.answers_below("shift_codes").filter_map(|value| value.get("activities")?.as_array());
    let names = stated.flatten().filter_map(|activity| activity.get("activity")?.as_str());
    let names: BTreeMap<&str, usize> = names.map(|name| (name, 1)).collect();
    if !names.is_empty() {
        activities::propose(&names, &BTreeSet::new(), false, draft);
    }
}

/// Returns the times of a code from a row of any sheet that has nothing else.
fn explained<'s>(code: &str, sheets: &'s [Sheet]) -> Option<Times<'s>> {
    let rows = sheets.iter().flat_map(|sheet| &sheet.rows);
    let mut found = rows.filter_map(|row| match row.cells.as_slice() {
        [Cell::Text(name), Cell::Text(times)] if name == code => DASHES.into_iter().find_map(|dash| span(times, dash)),
        _ => None,
    });
    found.next()
}
