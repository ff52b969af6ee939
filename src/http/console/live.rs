//! The live page: the queues in a strip, and all agents now, those out of adherence first.

pub(super) mod cards;
pub(super) mod filter;
pub(super) mod live_view;
pub(super) mod rows;
pub(super) mod thresholds;
pub(super) mod wallboard;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use self::cards::{Card, build_cards, summarize_standings};
use self::filter::LiveFilter;
use self::live_view::LiveView;
use self::rows::{AgentRow, RowSort};
use self::thresholds::ClientThresholds;
use super::shared::page_error::PageError;
use super::shared::page_request::PageRequest;
use super::shared::shell::{ConsolePage, Shell, render_page};
use super::shared::times::{DurationText, Stamp};
use super::shared::wording::{self, Chip};
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::http::auth::Right;
use crate::http::state::ApiState;

/// The maximum number of rows rendered here; the page says how many more there are, and the filter finds them.
const MAX_ROWS: usize = 3000;

/// A chip above the table that shows a count and filters by it.
struct CountChip {
    chip: Chip,
    count: usize,
    on: bool,
    address: String,
}

/// A column that the table can be sorted by.
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
    filter: LiveFilter,
    /// A description of the filter; empty if it selects everything.
    narrowed: String,
    here: bool,
    seen: Option<Stamp>,
    age: String,
    total: usize,
    matching: usize,
    most: usize,
    rows: Vec<AgentRow>,
    blank: AgentRow,
    states: Vec<CountChip>,
    verdicts: Vec<CountChip>,
    teams: Vec<String>,
    queues: Vec<String>,
    cards: Vec<Card>,
    standings: String,
    columns: Vec<Column>,
    clear: String,
    marks: ClientThresholds,
}

/// `GET /`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let filter = LiveFilter::from_query(&request.query);
    let live_view = LiveView::load(&state, &request).await;
    let at = live_view.as_ref().map_or(request.now, LiveView::at);
    let agents = live_view.iter().flat_map(LiveView::agents);
    let all: Vec<AgentRow> = agents.map(|agent| AgentRow::from_card(agent, &request.times, at)).collect();
    let tenant = request.tenant.as_str();
    let narrowed = filter.description();
    let title = if narrowed.is_empty() { "Live".to_owned() } else { format!("Live: {narrowed}") };
    let mut rows: Vec<AgentRow> = all.iter().filter(|row| filter.matches(row)).cloned().collect();
    let matching = rows.len();
    filter.sort.sort(&mut rows, filter.reversed);
    rows.truncate(MAX_ROWS);
    let observed_at = live_view.as_ref().and_then(LiveView::observed_at);
    let empty_filter = LiveFilter { open: filter.open.clone(), ..LiveFilter::from_query(&[]) };
    let mut cards = live_view.as_ref().map(|picture| build_cards(picture, &request.times)).unwrap_or_default();
    cards.sort_by_key(Card::urgency);
    Ok(render_page(&LivePage {
        here: live_view.is_some(),
        seen: observed_at.map(|seen| request.times.second(seen)),
        age: age_text(observed_at, at),
        total: all.len(),
        matching,
        most: MAX_ROWS,
        states: state_chips(&all, &filter, tenant),
        verdicts: verdict_chips(&all, &filter, tenant),
        teams: distinct(&all, |row| &row.team),
        queues: distinct(&all, |row| &row.queue),
        standings: summarize_standings(&cards),
        cards,
        columns: sortable_columns(&filter, tenant),
        clear: LiveFilter { sort: filter.sort, reversed: filter.reversed, ..empty_filter }.address(tenant),
        marks: ClientThresholds::from_live_view(live_view.as_ref()),
        blank: AgentRow::template(),
        rows,
        filter,
        narrowed,
        shell: request.shell(ConsolePage::Live, title),
    }))
}

fn distinct(rows: &[AgentRow], value_of: impl Fn(&AgentRow) -> &String) -> Vec<String> {
    let values: BTreeSet<&String> = rows.iter().map(value_of).filter(|value| !value.is_empty()).collect();
    values.into_iter().cloned().collect()
}

/// Returns the chips of states. Known states always have one, so that chips keep their place; other states have one if
/// they occur.
///
/// A chip counts the agents that it would show together with the other filters; the module `floor.js` counts the same.
fn state_chips(rows: &[AgentRow], filter: &LiveFilter, tenant: &str) -> Vec<CountChip> {
    let remaining = filter.without_states();
    let mut counts: BTreeMap<&str, (&Chip, usize)> = BTreeMap::new();
    for row in rows {
        counts.entry(&row.state.key).or_insert((&row.state, 0)).1 += usize::from(remaining.matches(row));
    }
    let count = |key: &str| counts.get(key).map_or(0, |(_, count)| *count);
    let chip = |chip: Chip, count| CountChip {
        on: filter.states.contains(&chip.key),
        address: filter.with_state(&chip.key, tenant),
        chip,
        count,
    };
    let known = AgentState::KNOWN.iter().map(|state| chip(wording::state(state), count(state.name())));
    let is_known = |key: &str| AgentState::KNOWN.iter().any(|state| state.name() == key);
    let others = counts.iter().filter(|(key, _)| !is_known(key));
    let others = others.map(|(_, (of, count))| chip((*of).clone(), *count));
    known.chain(others).collect()
}

fn verdict_chips(rows: &[AgentRow], filter: &LiveFilter, tenant: &str) -> Vec<CountChip> {
    let remaining = filter.without_verdicts();
    let chip = |verdict: Verdict| {
        let chip = wording::verdict(verdict);
        CountChip {
            count: rows.iter().filter(|row| row.verdict == chip && remaining.matches(row)).count(),
            on: filter.verdicts.contains(&chip.key),
            address: filter.with_verdict(&chip.key, tenant),
            chip,
        }
    };
    wording::VERDICTS.map(chip).into()
}

fn sortable_columns(filter: &LiveFilter, tenant: &str) -> Vec<Column> {
    let column = |label, class, sort: RowSort| {
        let downwards = matches!(sort, RowSort::Time | RowSort::Worst);
        let sorted = match filter.sort == sort {
            false => "",
            true if filter.reversed == downwards => "ascending",
            true => "descending",
        };
        Column { label, class, key: sort.name(), address: filter.with_sort(sort, tenant), sorted }
    };
    vec![
        column("Agent", "c-agent", RowSort::Name),
        column("State", "c-state", RowSort::State),
        column("In state for", "c-time", RowSort::Time),
        column("Planned now", "c-plan", RowSort::Plan),
        column("Adherence", "c-verdict", RowSort::Worst),
        column("Team", "c-team", RowSort::Team),
        column("Queue", "c-queue", RowSort::Queue),
    ]
}

/// Returns the age of the live view, for people; empty if nothing was observed yet.
pub(super) fn age_text(observed_at: Option<UtcMicros>, now: UtcMicros) -> String {
    observed_at.map(|seen| DurationText(now.since(seen)).to_string()).unwrap_or_default()
}
