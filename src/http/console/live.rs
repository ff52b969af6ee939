//! Live: every agent now, the queues, and who is out of adherence.

pub(super) mod cards;
pub(super) mod filter;
pub(super) mod picture;
pub(super) mod rows;
pub(super) mod thresholds;
pub(super) mod wallboard;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use self::cards::{Card, cards, standings};
use self::filter::Filter;
use self::picture::Picture;
use self::rows::{Row, Sort};
use self::thresholds::Marks;
use super::shared::ask::Ask;
use super::shared::failure::Failure;
use super::shared::shell::{Place, Shell, page};
use super::shared::times::{Span, Stamp};
use super::shared::words::{self, Chip};
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::auth::Right;

/// Rows that are drawn here at most; the page says how many there are beside them, and the filter finds them.
const MOST_ROWS: usize = 3000;

/// Who is out of adherence, in the short list above the table.
const MOST_WORST: usize = 6;

/// A chip above the table that counts and narrows.
struct CountChip {
    chip: Chip,
    count: usize,
    on: bool,
    address: String,
}

/// A column that can be sorted by.
struct Column {
    label: &'static str,
    class: &'static str,
    key: &'static str,
    address: String,
    /// `ascending`, `descending`, or empty.
    sorted: &'static str,
}

#[derive(Template)]
#[template(path = "live/live.html")]
struct LivePage {
    shell: Shell,
    filter: Filter,
    /// What the filter narrows to; empty where it narrows nothing.
    narrowed: String,
    here: bool,
    seen: Option<Stamp>,
    age: String,
    total: usize,
    matching: usize,
    most: usize,
    rows: Vec<Row>,
    blank: Row,
    worst: Vec<Row>,
    out: usize,
    out_address: String,
    states: Vec<CountChip>,
    verdicts: Vec<CountChip>,
    teams: Vec<String>,
    queues: Vec<String>,
    cards: Vec<Card>,
    standings: String,
    columns: Vec<Column>,
    clear: String,
    marks: Marks,
}

/// `GET /`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let filter = Filter::of(&ask.query);
    let picture = ask.picture(&state).await;
    let at = picture.as_ref().map_or(ask.now, Picture::at);
    let agents = picture.iter().flat_map(Picture::agents);
    let all: Vec<Row> = agents.map(|agent| Row::of(agent, &ask.times, at)).collect();
    let tenant = ask.tenant.as_str();
    let of_any_verdict = filter.of_any_verdict();
    let is_out = |row: &&Row| row.verdict.class == "out" && of_any_verdict.passes(row);
    let mut worst: Vec<Row> = all.iter().filter(is_out).cloned().collect();
    let out = worst.len();
    Sort::Worst.sort(&mut worst, false);
    worst.truncate(MOST_WORST);
    let narrowed = filter.in_words();
    let title = if narrowed.is_empty() { "Live".to_owned() } else { format!("Live: {narrowed}") };
    let mut rows: Vec<Row> = all.iter().filter(|row| filter.passes(row)).cloned().collect();
    let matching = rows.len();
    filter.sort.sort(&mut rows, filter.reversed);
    rows.truncate(MOST_ROWS);
    let seen = picture.as_ref().and_then(Picture::seen_at);
    let nothing = Filter { open: filter.open.clone(), ..Filter::of(&[]) };
    let cards = picture.as_ref().map(|picture| cards(picture, &ask.times)).unwrap_or_default();
    Ok(page(&LivePage {
        here: picture.is_some(),
        seen: seen.map(|seen| ask.times.second(seen)),
        age: seen.map(|seen| Span(at.since(seen)).to_string()).unwrap_or_default(),
        total: all.len(),
        matching,
        most: MOST_ROWS,
        worst,
        out,
        out_address: Filter { verdicts: vec!["out".to_owned()], ..filter.clone() }.address(tenant),
        states: states(&all, &filter, tenant),
        verdicts: verdicts(&all, &filter, tenant),
        teams: distinct(&all, |row| &row.team),
        queues: distinct(&all, |row| &row.queue),
        standings: standings(&cards),
        cards,
        columns: columns(&filter, tenant),
        clear: Filter { sort: filter.sort, reversed: filter.reversed, ..nothing }.address(tenant),
        marks: Marks::of(picture.as_ref()),
        blank: Row::blank(),
        rows,
        filter,
        narrowed,
        shell: ask.shell(Place::Live, title),
    }))
}

fn distinct(rows: &[Row], of: impl Fn(&Row) -> &String) -> Vec<String> {
    let values: BTreeSet<&String> = rows.iter().map(of).filter(|value| !value.is_empty()).collect();
    values.into_iter().cloned().collect()
}

/// The states: those with a name of their own always, so that a chip stays in its place, and what else is there. A chip counts
/// whom one gets by it beside what else narrows; the module `floor.js` counts the same.
fn states(rows: &[Row], filter: &Filter, tenant: &str) -> Vec<CountChip> {
    let left = filter.of_any_state();
    let mut counts: BTreeMap<&str, (&Chip, usize)> = BTreeMap::new();
    for row in rows {
        counts.entry(&row.state.key).or_insert((&row.state, 0)).1 += usize::from(left.passes(row));
    }
    let count = |key: &str| counts.get(key).map_or(0, |(_, count)| *count);
    let chip = |chip: Chip, count| CountChip {
        on: filter.states.contains(&chip.key),
        address: filter.with_state(&chip.key, tenant),
        chip,
        count,
    };
    let known = AgentState::KNOWN.iter().map(|state| chip(words::state(state), count(state.name())));
    let is_known = |key: &str| AgentState::KNOWN.iter().any(|state| state.name() == key);
    let others = counts.iter().filter(|(key, _)| !is_known(key));
    let others = others.map(|(_, (of, count))| chip((*of).clone(), *count));
    known.chain(others).collect()
}

fn verdicts(rows: &[Row], filter: &Filter, tenant: &str) -> Vec<CountChip> {
    let left = filter.of_any_verdict();
    let chip = |verdict: Verdict| {
        let chip = words::verdict(verdict);
        CountChip {
            count: rows.iter().filter(|row| row.verdict == chip && left.passes(row)).count(),
            on: filter.verdicts.contains(&chip.key),
            address: filter.with_verdict(&chip.key, tenant),
            chip,
        }
    };
    [Verdict::Out, Verdict::In, Verdict::Neutral, Verdict::Unscheduled, Verdict::Unknown].map(chip).into()
}

fn columns(filter: &Filter, tenant: &str) -> Vec<Column> {
    let column = |label, class, sort: Sort| {
        let downwards = matches!(sort, Sort::Time | Sort::Worst);
        let sorted = match filter.sort == sort {
            false => "",
            true if filter.reversed == downwards => "ascending",
            true => "descending",
        };
        Column { label, class, key: sort.name(), address: filter.with_sort(sort, tenant), sorted }
    };
    vec![
        column("Agent", "c-agent", Sort::Name),
        column("State", "c-state", Sort::State),
        column("In state for", "c-time", Sort::Time),
        column("Planned now", "c-plan", Sort::Plan),
        column("Adherence", "c-verdict", Sort::Worst),
        column("Team", "c-team", Sort::Team),
        column("Queue", "c-queue", Sort::Queue),
    ]
}

/// How old a picture is, in words; empty where nothing was seen yet.
pub(super) fn age(seen: Option<UtcMicros>, now: UtcMicros) -> String {
    seen.map(|seen| Span(now.since(seen)).to_string()).unwrap_or_default()
}
