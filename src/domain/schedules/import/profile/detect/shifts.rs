//! The layouts with a row for each shift, and for each agent and day.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::agents::{self, KnownAgents};
use super::clock::{self, Clock};
use super::file::text_of;
use super::proposal::{Choice, Draft, list, table as inline_table};
use super::table::Table;
use super::words::{self, Known, Role};
use super::{activities, zones};
use crate::domain::schedules::schedule::Activity;

/// A pair of columns with the start and the end of a break.
struct Break {
    stem: String,
    columns: [usize; 2],
}

/// Proposes the layout if the header has the columns of a shift. Returns whether it has.
pub(super) fn propose(table: &mut Table<'_>, known: &KnownAgents, draft: &mut Draft<'_>) -> bool {
    let (Some(start), Some(end)) = (table.column_of(Role::ShiftStart), table.column_of(Role::ShiftEnd)) else {
        return false;
    };
    let agent_columns = table.columns_of(Role::Agent);
    table.skip_without(&agent_columns.first().copied().into_iter().collect::<Vec<_>>(), draft);
    let breaks = breaks(table, [start, end]);
    let list_column = list_column(table);
    let inner = [Role::Activity, Role::Start, Role::End].map(|role| table.column_of(role));
    let is_days = !breaks.is_empty() || list_column.is_some();
    let reason =
        if is_days { "Each row is the day of an agent." } else { "Each row has the start and the end of a shift." };
    draft.certain(&["layout"], if is_days { "days" } else { "shifts" }, reason);
    let Some(agents) = agents::find(table, known, draft) else {
        draft.undecided(&["columns", "agent"], Vec::new(), "no heading is known to name the agents.");
        return true;
    };
    draft.certain(&["columns", "shift_start"], table.name(start), "This heading is known.");
    draft.certain(&["columns", "shift_end"], table.name(end), "This heading is known.");
    let mut times = vec![start, end];
    times.extend(breaks.iter().flat_map(|one| one.columns));
    if let ([Some(_), Some(from), Some(to)], false) = (inner, is_days) {
        times.extend([from, to]);
    }
    let date = table.column_of(Role::Date);
    let Some(clock) = clock::read(table, date, &times, draft) else { return true };
    zones::propose(table, table.column_of(Role::TimeZone), &agents, known, &clock, draft);
    if is_days {
        days(table, date, [start, end], &breaks, &clock, draft);
        if let Some(column) = list_column {
            propose_list(table, column, &clock, draft);
        }
    } else {
        inner_activities(table, inner, draft);
    }
    true
}

/// Adds the columns of the activities within shifts.
fn inner_activities(table: &Table<'_>, inner: [Option<usize>; 3], draft: &mut Draft<'_>) {
    let [Some(activity), Some(start), Some(end)] = inner else { return };
    for (role, column) in [("activity", activity), ("start", start), ("end", end)] {
        draft.certain(&["columns", role], table.name(column), "This heading is known.");
    }
    activities::propose(&table.texts(&[activity]), &BTreeSet::new(), false, draft);
}

/// Finds the pairs of columns with the start and the end of a break.
fn breaks(table: &Table<'_>, shift: [usize; 2]) -> Vec<Break> {
    let mut starts: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, cell) in table.header.iter().enumerate() {
        let is_role = shift.contains(&index) || words::roles(&cell.text()).next().is_some();
        let Some((stem, is_start)) = words::span_heading(&cell.text()).filter(|_| !is_role) else { continue };
        if is_start {
            starts.insert(stem, index);
        } else if let Some(start) = starts.remove(&stem) {
            found.push(Break { stem, columns: [start, index] });
        }
    }
    found
}

fn days(
    table: &Table<'_>,
    date: Option<usize>,
    [start, end]: [usize; 2],
    breaks: &[Break],
    clock: &Clock,
    draft: &mut Draft<'_>,
) {
    if let (Some(date), false) = (date, clock.is_dated) {
        draft.certain(&["columns", "date"], table.name(date), "The times have no date of their own.");
        let pairs = breaks.iter().map(|one| one.columns).chain([[start, end]]);
        let times = pairs.flat_map(|[start, end]| {
            table.rows.iter().filter_map(move |row| Some((clock.time(row.cell(start))?, clock.time(row.cell(end))?)))
        });
        clock::propose_midnight(&times.collect::<Vec<_>>(), draft);
    }
    for one in breaks {
        let [start, end] = one.columns.map(|column| table.name(column));
        let path = ["breaks", one.stem.as_str()];
        let keys = |activity: &Activity| {
            let Value::Table(mut keys) = activities::value(activity, *activity == Activity::Lunch) else {
                return inline_table([]);
            };
            keys.insert("start".to_owned(), start.clone());
            keys.insert("end".to_owned(), end.clone());
            Value::Table(keys)
        };
        match words::break_activity(&one.stem) {
            Some(activity) if activity == Activity::Lunch => {
                let reason = "the headings are known. The file does not say whether agents may be set ready during it.";
                draft.doubtful(&path, keys(&activity), reason);
            }
            Some(activity) => draft.certain(&path, keys(&activity), "The headings are known."),
            None => {
                let reason = "these columns may be an activity. Without this key, they are not read.";
                draft.undecided(&path, vec![keys(&Activity::Break)], reason);
            }
        }
    }
    status(table, [start, end], draft);
}

/// Proposes a column that says whether the day is worked.
fn status(table: &Table<'_>, [start, end]: [usize; 2], draft: &mut Draft<'_>) {
    let is_empty = |row: &&&super::super::cell::Row| row.cell(start).is_empty() && row.cell(end).is_empty();
    let free = table.rows.iter().filter(is_empty).count();
    if free == 0 {
        return;
    }
    let column = (0..table.header.len()).find(|column| {
        let texts = table.texts(&[*column]);
        let is_off = |text: &&str| words::known(text) == Some(Known::Off);
        table.rows.iter().all(|row| {
            !row.cell(*column).is_empty()
                && is_empty(&row) == text_of(row.cell(*column)).is_some_and(|text| is_off(&text))
        }) && texts.len() > 1
    });
    let Some(column) = column else {
        let reason =
            format!("{free} rows have no start and no end. State the column that says so, and its words in off.");
        return draft.undecided(&["columns", "activity"], Vec::new(), reason);
    };
    draft.certain(&["columns", "activity"], table.name(column), "It says on which days there is no shift.");
    let (off, work): (Vec<&str>, Vec<&str>) =
        table.texts(&[column]).into_keys().partition(|text| words::known(text) == Some(Known::Off));
    draft.certain(&["work"], list(work), "All rows with these words have a shift.");
    draft.certain(&["off"], list(off), format!("The {free} rows with these words have no shift."));
}

/// Finds the column whose cells list activities, separated by `~`.
fn list_column(table: &Table<'_>) -> Option<usize> {
    (0..table.header.len())
        .find(|column| table.texts(&[*column]).keys().any(|text| text.contains('~') && text.contains(',')))
}

fn propose_list(table: &Table<'_>, column: usize, clock: &Clock, draft: &mut Draft<'_>) {
    let texts = table.texts(&[column]);
    let items: Vec<Vec<&str>> =
        texts.keys().flat_map(|text| text.split('~')).map(|item| item.split(',').collect()).collect();
    let Some(width) = items.first().map(Vec::len).filter(|width| items.iter().all(|item| item.len() == *width)) else {
        return draft.undecided(&["list"], Vec::new(), "the activities in this column do not all have the same parts.");
    };
    let part = |index: usize| items.iter().map(move |item| item[index].trim());
    let is_time =
        |index: &usize| part(*index).all(|text| clock.stamp(&super::super::cell::Cell::from_text(text)).is_some());
    let times: Vec<usize> = (0..width).filter(is_time).collect();
    let activity =
        (0..width).find(|index| part(*index).any(|text| matches!(words::known(text), Some(Known::Activity(_)))));
    let ([start, end], Some(activity)) = (times.as_slice(), activity) else {
        return draft.undecided(&["list"], Vec::new(), "the parts of the activities in this column are not known.");
    };
    let is_number = |index: usize| part(index).all(|text| text.parse::<u16>().is_ok_and(|number| number > 0));
    let field = |index: usize| match index {
        index if index == *start => "start",
        index if index == *end => "end",
        index if index == activity => "activity",
        index if is_number(index) => "duration",
        _ => "-",
    };
    let fields: Vec<&str> = (0..width).map(field).collect();
    let value = inline_table([
        ("column", table.name(column)),
        ("items", "~".into()),
        ("parts", ",".into()),
        ("fields", list(fields.clone())),
    ]);
    draft.certain(
        &["list"],
        value,
        format!("All {} activities in this column have {width} parts of this kind.", items.len()),
    );
    if fields.contains(&"duration") {
        draft.push(
            &["duration"],
            Choice::Certain("minutes".into()),
            "The length agrees with start and end.".to_owned(),
        );
    }
    let mut names = BTreeMap::new();
    for name in part(activity) {
        *names.entry(name).or_insert(0) += 1;
    }
    activities::propose(&names, &BTreeSet::new(), false, draft);
}
