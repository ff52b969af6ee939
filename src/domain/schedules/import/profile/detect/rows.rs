//! The layout with a row for each activity.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cell::Row;
use super::agents::{self, Agents, KnownAgents};
use super::clock::{self, Clock};
use super::proposal::Draft;
use super::table::{Table, rows_text};
use super::words::{self, Known, Role};
use super::{activities, zones};

const MINUTES_PER_DAY: i64 = 1_440;

/// A row with its times in minutes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Span {
    agent: String,
    start: i64,
    end: i64,
    activity: String,
}

/// The columns of the layout.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) activity: usize,
    pub(super) start: usize,
    /// The end, or the length.
    pub(super) end: usize,
    pub(super) has_length: bool,
    pub(super) date: Option<usize>,
    pub(super) zone: Option<usize>,
    pub(super) shift: Option<usize>,
    pub(super) mandatory: Option<usize>,
}

impl Columns {
    fn find(table: &Table<'_>) -> Option<Self> {
        let end = table.column_of(Role::End);
        Some(Self {
            activity: table.column_of(Role::Activity)?,
            start: table.column_of(Role::Start)?,
            end: end.or_else(|| table.column_of(Role::Duration))?,
            has_length: end.is_none(),
            date: table.column_of(Role::Date),
            zone: table.column_of(Role::TimeZone),
            shift: table.column_of(Role::Shift),
            mandatory: table.column_of(Role::Mandatory),
        })
    }
}

/// Proposes the layout if the header has its columns. Returns whether it has.
pub(super) fn propose(table: &mut Table<'_>, known: &KnownAgents, draft: &mut Draft<'_>) -> bool {
    let Some(columns) = Columns::find(table) else { return false };
    draft.certain(&["layout"], "activities", "Each row has an activity with its own start and end.");
    let agent_columns = table.columns_of(Role::Agent);
    let needed: Vec<usize> = agent_columns.first().copied().into_iter().chain([columns.activity]).collect();
    table.skip_without(&needed, draft);
    let Some(agents) = agents::find(table, known, draft) else {
        draft.undecided(&["columns", "agent"], Vec::new(), "no heading is known to name the agents.");
        return true;
    };
    of_columns(table, &columns, &agents, known, draft);
    true
}

/// Proposes the rest of the layout, whose columns are known.
pub(super) fn of_columns(
    table: &Table<'_>,
    columns: &Columns,
    agents: &Agents,
    known: &KnownAgents,
    draft: &mut Draft<'_>,
) {
    for (role, column) in [("activity", columns.activity), ("start", columns.start)] {
        draft.certain(&["columns", role], table.name(column), table.why());
    }
    let end = if columns.has_length { "duration" } else { "end" };
    draft.certain(&["columns", end], table.name(columns.end), table.why());
    let times = if columns.has_length { vec![columns.start] } else { vec![columns.start, columns.end] };
    let Some(clock) = clock::read(table, columns.date, &times, draft) else { return };
    let unit = if columns.has_length { propose_length(table, columns.end, draft) } else { 1.0 };
    zones::propose(table, columns.zone, agents, known, &clock, draft);
    if let (Some(date), false) = (columns.date, clock.is_dated) {
        draft.certain(&["columns", "date"], table.name(date), "The times have no date of their own.");
        let times = table.rows.iter().filter_map(|row| clock_times(&clock, row, columns));
        clock::propose_midnight(&times.collect::<Vec<_>>(), draft);
    }
    let spans = |on_shift_date: bool| -> Vec<Span> {
        let mut firsts = BTreeMap::new();
        table
            .rows
            .iter()
            .filter_map(|row| span(&clock, row, columns, agents, unit, on_shift_date.then_some(&mut firsts)))
            .collect()
    };
    let own = spans(false);
    let names = table.texts(&[columns.activity]);
    let overlying = propose_shifts(table, columns, &own, &|| spans(true), draft);
    propose_mandatory(table, columns.mandatory, draft);
    let shift = draft.answer_text("shift_activity").map(str::to_owned).or_else(|| stated_shift(draft));
    let names = names.into_iter().filter(|(name, _)| Some(*name) != shift.as_deref()).collect();
    let overlying = overlying.iter().map(String::as_str).collect();
    activities::propose(&names, &overlying, columns.mandatory.is_some(), draft);
}

fn stated_shift(draft: &Draft<'_>) -> Option<String> {
    let entry = draft.proposal.entries.iter().find(|entry| entry.path == ["shift_activity"])?;
    entry.value()?.as_str().map(str::to_owned)
}

/// Adds the unit of lengths, and returns the minutes of one.
fn propose_length(table: &Table<'_>, column: usize, draft: &mut Draft<'_>) -> f64 {
    let has_decimals = table.filled(&[column]).any(clock::is_decimal);
    let most =
        table.texts(&[column]).keys().filter_map(|text| text.replace(',', ".").parse::<f64>().ok()).fold(0.0, f64::max);
    if has_decimals || most <= 12.0 {
        draft.certain(&["duration"], "hours", format!("No length is more than {most}, and some have decimals."));
        if table.texts(&[column]).keys().any(|text| text.contains(',')) {
            draft.certain(&["decimal"], ",", "Decimals are written with a comma.");
        }
        60.0
    } else {
        draft.certain(&["duration"], "minutes", format!("Lengths are whole numbers up to {most}, too many for hours."));
        1.0
    }
}

fn clock_times(clock: &Clock, row: &Row, columns: &Columns) -> Option<(i64, i64)> {
    Some((clock.time(row.cell(columns.start))?, clock.time(row.cell(columns.end))?))
}

/// Returns the times of a row. With `firsts`, the date is that of the shift: what starts before the first row of an agent's
/// date is on the next day.
fn span(
    clock: &Clock,
    row: &Row,
    columns: &Columns,
    agents: &Agents,
    unit: f64,
    firsts: Option<&mut BTreeMap<(String, i64), i64>>,
) -> Option<Span> {
    let agent = row.cell(agents.column).text().into_owned();
    let activity = row.cell(columns.activity).text().into_owned();
    if clock.is_dated {
        let start = clock.stamp(row.cell(columns.start))?;
        let end = row.cell(columns.end);
        let end = if columns.has_length { start + clock.length(end, unit)? } else { clock.stamp(end)? };
        return Some(Span { agent, start, end, activity });
    }
    let day = clock.day(row.cell(columns.date?))? * MINUTES_PER_DAY;
    let (mut start, mut end) = clock_times(clock, row, columns)?;
    if let Some(firsts) = firsts {
        let first = *firsts.entry((agent.clone(), day)).or_insert(start);
        start += if start < first { MINUTES_PER_DAY } else { 0 };
    }
    while end <= start {
        end += MINUTES_PER_DAY;
    }
    Some(Span { agent, start: day + start, end: day + end, activity })
}

/// Adds the keys that say how rows make shifts. Returns the activities whose rows overlap others.
fn propose_shifts(
    table: &Table<'_>,
    columns: &Columns,
    own: &[Span],
    on_shift_date: &dyn Fn() -> Vec<Span>,
    draft: &mut Draft<'_>,
) -> BTreeSet<String> {
    if let Some((name, count)) = enclosing(own) {
        let reason = format!("All other rows lie within the {} of {name}.", rows_text(count));
        draft.certain(&["shifts"], "row", reason);
        draft.certain(&["shift_activity"], name, "Its rows are the shifts.");
        return BTreeSet::new();
    }
    let overlying = overlying(own);
    let rest: Vec<&Span> = own.iter().filter(|span| !overlying.contains(&span.activity)).collect();
    if let Some(shift) = columns.shift {
        draft.certain(&["columns", "shift"], table.name(shift), table.why());
        draft.certain(&["shifts"], "key", "A column names the shift of each row.");
        return overlying;
    }
    let pieces = blocks(&rest);
    let shifted = if columns.date.is_some() { on_shift_date() } else { Vec::new() };
    let shifted: Vec<&Span> = shifted.iter().filter(|span| !overlying.contains(&span.activity)).collect();
    let fewer = blocks(&shifted);
    match columns.date {
        Some(date) if fewer > 0 && fewer < pieces => {
            draft.certain(&["columns", "shift"], table.name(date), "The date is that of the shift.");
            let reason = format!(
                "With the date as that of the shift, the rows are {fewer} shifts without gaps; with the date as that of the \
                 activity, {pieces}."
            );
            draft.certain(&["shifts"], "key", reason);
        }
        Some(_) | None => {
            let reason =
                format!("No row is a shift. {} without gaps between them are {pieces} shifts.", rows_text(rest.len()));
            draft.certain(&["shifts"], "touching", reason);
            propose_join(&rest, draft);
        }
    }
    overlying
}

/// Finds the activity within whose rows all others lie.
fn enclosing(spans: &[Span]) -> Option<(String, usize)> {
    let names: BTreeSet<&str> = spans.iter().map(|span| span.activity.as_str()).collect();
    let is_likely = |name: &&&str| matches!(words::known(name), Some(Known::Shift | Known::Work));
    if names.len() < 2 {
        return None;
    }
    names.iter().filter(is_likely).find_map(|name| {
        let mut outer: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
        for span in spans.iter().filter(|span| span.activity == **name) {
            outer.entry(&span.agent).or_default().push((span.start, span.end));
        }
        let lies_within = |span: &Span| {
            let shifts = outer.get(span.agent.as_str());
            shifts.is_some_and(|shifts| shifts.iter().any(|(start, end)| *start <= span.start && span.end <= *end))
        };
        let others = || spans.iter().filter(|span| span.activity != **name);
        others().all(lies_within).then(|| ((*name).to_owned(), spans.len() - others().count()))
    })
}

/// Returns the activities that are not known and overlap other rows of the same agent.
fn overlying(spans: &[Span]) -> BTreeSet<String> {
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort();
    let mut found = BTreeSet::new();
    for (index, span) in sorted.iter().enumerate() {
        let same = sorted[index + 1..].iter().take_while(|next| next.agent == span.agent && next.start < span.end);
        for next in same {
            let unknown = [span, next].into_iter().filter(|one| words::known(&one.activity).is_none());
            found.extend(unknown.map(|one| one.activity.clone()));
        }
    }
    found
}

/// Returns the number of blocks of rows without gaps.
fn blocks(spans: &[&Span]) -> usize {
    let mut sorted = spans.to_vec();
    sorted.sort();
    let starts = sorted.iter().enumerate().filter(|(index, span)| {
        !index
            .checked_sub(1)
            .is_some_and(|before| sorted[before].agent == span.agent && sorted[before].end >= span.start)
    });
    starts.count()
}

/// Proposes to join activities that were cut at midnight.
fn propose_join(spans: &[&Span], draft: &mut Draft<'_>) {
    let passes =
        spans.iter().any(|span| span.start.div_euclid(MINUTES_PER_DAY) != (span.end - 1).div_euclid(MINUTES_PER_DAY));
    let starts: BTreeSet<(&str, i64, &str)> =
        spans.iter().map(|span| (span.agent.as_str(), span.start, span.activity.as_str())).collect();
    let is_cut = |span: &&&Span| {
        span.end % MINUTES_PER_DAY == 0 && starts.contains(&(span.agent.as_str(), span.end, span.activity.as_str()))
    };
    let cut = spans.iter().filter(is_cut).count();
    if cut > 0 && !passes {
        let reason = format!("No row passes midnight, and {} go on with the same activity at 0:00.", rows_text(cut));
        draft.certain(&["join_at_midnight"], true, reason);
    }
}

/// Adds the words of a column that says what is mandatory.
fn propose_mandatory(table: &Table<'_>, column: Option<usize>, draft: &mut Draft<'_>) {
    const YES: [&str; 6] = ["true", "yes", "1", "ja", "oui", "sí"];
    const NO: [&str; 5] = ["false", "no", "0", "nein", "non"];
    let Some(column) = column else { return };
    draft.certain(&["columns", "mandatory"], table.name(column), table.why());
    let words = table.texts(&[column]);
    let of = |known: &[&str]| -> Vec<&str> {
        words.keys().filter(|word| known.contains(&word.to_lowercase().as_str())).copied().collect()
    };
    let (yes, no) = (of(&YES), of(&NO));
    if yes.len() + no.len() == words.len() {
        draft.certain(&["yes"], super::proposal::list(yes), "Known words for yes.");
        draft.certain(&["no"], super::proposal::list(no), "Known words for no.");
    } else {
        let all: Vec<&str> = words.into_keys().collect();
        draft.undecided(&["yes"], Vec::new(), format!("these are the words of the column: {}.", all.join(", ")));
    }
}
