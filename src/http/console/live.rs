//! Live: every agent now, the queues, and who is out of plan.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::ask::Ask;
use super::failure::Failure;
use super::filter::Filter;
use super::rows::{Row, Sort};
use super::shell::{Place, Shell, page};
use super::times::{Span, Stamp, Times};
use super::words::{self, Chip};
use crate::domain::adherence::Verdict;
use crate::domain::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::engine::live::picture::{Picture, QueueSeen, SkillSeen};
use crate::http::ApiState;
use crate::http::auth::Right;

/// Rows that are drawn here at most; the page says how many there are beside them, and the filter finds them.
const MOST_ROWS: usize = 3000;

/// Who is out of plan, in the short list above the table.
const MOST_WORST: usize = 6;

/// From these shares on a service level is good, and then worth a look.
const GOOD: f64 = 0.8;
const WARNING: f64 = 0.7;

/// A chip above the table that counts and narrows.
struct CountChip {
    chip: Chip,
    count: usize,
    on: bool,
    address: String,
    /// Seconds, for the module; 0 for none.
    watch_s: u64,
    act_s: u64,
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

/// The figures of a skill or a queue.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) name: String,
    /// `skill` or `queue`.
    pub(super) kind: &'static str,
    /// As a share of a hundred, or a dash.
    pub(super) service_level: String,
    /// `good`, `warning`, `poor` or `none`, with the word.
    pub(super) standing: &'static str,
    pub(super) word: &'static str,
    pub(super) waiting: String,
    pub(super) wait_label: &'static str,
    pub(super) wait: String,
    pub(super) available: String,
    pub(super) staffed: String,
    pub(super) taken: Stamp,
}

#[derive(Template)]
#[template(path = "live.html")]
struct LivePage {
    shell: Shell,
    filter: Filter,
    here: bool,
    seen: Option<Stamp>,
    age: String,
    total: usize,
    matching: usize,
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
    columns: Vec<Column>,
    clear: String,
}

/// `GET /`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let filter = Filter::of(&ask.query);
    let picture = ask.picture(&state).await;
    let at = picture.as_ref().map_or(ask.now, |picture| picture.at);
    let agents = picture.iter().flat_map(|picture| &picture.agents);
    let all: Vec<Row> = agents.map(|agent| Row::of(agent, &ask.times, at)).collect();
    let tenant = ask.tenant.as_str();
    let mut worst: Vec<Row> = all.iter().filter(|row| row.verdict.class == "out").cloned().collect();
    let out = worst.len();
    Sort::Worst.sort(&mut worst, false);
    worst.truncate(MOST_WORST);
    let mut rows: Vec<Row> = all.iter().filter(|row| filter.passes(row)).cloned().collect();
    let matching = rows.len();
    filter.sort.sort(&mut rows, filter.reversed);
    rows.truncate(MOST_ROWS);
    let seen = picture.as_ref().and_then(|picture| picture.seen_at);
    let nothing = Filter::of(&[]);
    Ok(page(&LivePage {
        here: picture.is_some(),
        seen: seen.map(|seen| ask.times.second(seen)),
        age: seen.map(|seen| Span(at.since(seen)).to_string()).unwrap_or_default(),
        total: all.len(),
        matching,
        worst,
        out,
        out_address: Filter { verdicts: vec!["out".to_owned()], ..nothing.clone() }.address(tenant),
        states: states(&all, &filter, tenant),
        verdicts: verdicts(&all, &filter, tenant),
        teams: distinct(&all, |row| &row.team),
        queues: distinct(&all, |row| &row.queue),
        cards: picture.as_ref().map(|picture| cards(picture, &ask.times)).unwrap_or_default(),
        columns: columns(&filter, tenant),
        clear: Filter { sort: filter.sort, reversed: filter.reversed, ..nothing }.address(tenant),
        blank: Row::blank(),
        rows,
        filter,
        shell: ask.shell(Place::Live, "Live"),
    }))
}

fn distinct(rows: &[Row], of: impl Fn(&Row) -> &String) -> Vec<String> {
    let values: BTreeSet<&String> = rows.iter().map(of).filter(|value| !value.is_empty()).collect();
    values.into_iter().cloned().collect()
}

/// The states: those with a name of their own always, so that a chip stays in its place, and what else is there.
fn states(rows: &[Row], filter: &Filter, tenant: &str) -> Vec<CountChip> {
    let mut counts: BTreeMap<&str, (&Chip, usize)> = BTreeMap::new();
    for row in rows {
        counts.entry(&row.state.key).or_insert((&row.state, 0)).1 += 1;
    }
    let count = |key: &str| counts.get(key).map_or(0, |(_, count)| *count);
    let chip = |chip: Chip, count, (watch_s, act_s)| CountChip {
        on: filter.states.contains(&chip.key),
        address: filter.with_state(&chip.key, tenant),
        chip,
        count,
        watch_s,
        act_s,
    };
    let bounds = |state: &AgentState| {
        words::threshold(state).map_or((0, 0), |bounds| (bounds.watch.as_secs(), bounds.act.as_secs()))
    };
    let known = AgentState::KNOWN.iter().map(|state| chip(words::state(state), count(state.name()), bounds(state)));
    let is_known = |key: &str| AgentState::KNOWN.iter().any(|state| state.name() == key);
    let others = counts.iter().filter(|(key, _)| !is_known(key));
    let others = others.map(|(_, (of, count))| chip((*of).clone(), *count, (0, 0)));
    known.chain(others).collect()
}

fn verdicts(rows: &[Row], filter: &Filter, tenant: &str) -> Vec<CountChip> {
    let chip = |verdict: Verdict| {
        let chip = words::verdict(verdict);
        CountChip {
            count: rows.iter().filter(|row| row.verdict == chip).count(),
            on: filter.verdicts.contains(&chip.key),
            address: filter.with_verdict(&chip.key, tenant),
            chip,
            watch_s: 0,
            act_s: 0,
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
        column("Against the plan", "c-verdict", Sort::Worst),
        column("Team", "c-team", Sort::Team),
        column("Queue", "c-queue", Sort::Queue),
    ]
}

/// The figures of all skills, then of all queues.
pub(super) fn cards(picture: &Picture, times: &Times) -> Vec<Card> {
    let skills = picture.skills.iter().map(|skill| skill_card(skill, times));
    let queues = picture.queues.iter().map(|queue| queue_card(queue, times));
    skills.chain(queues).collect()
}

fn figure(value: Option<u64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn share(level: Option<f64>) -> (String, &'static str, &'static str) {
    match level {
        None => ("–".to_owned(), "none", "no figure"),
        Some(level) => {
            let (standing, word) = match level {
                level if level >= GOOD => ("good", "good"),
                level if level >= WARNING => ("warning", "watch"),
                _ => ("poor", "act"),
            };
            // Cut, not rounded: 79.9 % is not yet 80.
            let text = format!("{:.2}", level * 100.0);
            (format!("{} %", text.split('.').next().unwrap_or_default()), standing, word)
        }
    }
}

fn skill_card(skill: &SkillSeen, times: &Times) -> Card {
    let (service_level, standing, word) = share(skill.service_level);
    let wait = skill.longest_queue_duration_s.map(std::time::Duration::from_secs);
    Card {
        id: skill.id.clone(),
        name: skill.name.clone().unwrap_or_else(|| skill.id.clone()),
        kind: "skill",
        service_level,
        standing,
        word,
        waiting: figure(skill.contacts_queued),
        wait_label: "Longest wait",
        wait: wait.map_or_else(|| "–".to_owned(), |wait| Span(wait).to_string()),
        available: figure(skill.agents_available),
        staffed: figure(skill.agents_staffed),
        taken: times.second(skill.taken_at),
    }
}

fn queue_card(queue: &QueueSeen, times: &Times) -> Card {
    let (service_level, standing, word) = share(queue.service_level);
    let wait = queue.average_wait_time_ms.map(std::time::Duration::from_millis);
    Card {
        id: queue.id.clone(),
        name: queue.name.clone().unwrap_or_else(|| queue.id.clone()),
        kind: "queue",
        service_level,
        standing,
        word,
        waiting: figure(queue.calls_waiting),
        wait_label: "Average wait",
        wait: wait.map_or_else(|| "–".to_owned(), |wait| Span(wait).to_string()),
        available: figure(queue.agents_available),
        staffed: figure(queue.agents_logged_on),
        taken: times.second(queue.taken_at),
    }
}

/// How old a picture is, in words; empty where nothing was seen yet.
pub(super) fn age(seen: Option<UtcMicros>, now: UtcMicros) -> String {
    seen.map(|seen| Span(now.since(seen)).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_level_is_good_from_eighty_and_worth_a_look_from_seventy_per_cent() {
        for (level, text, standing) in [
            (Some(0.8), "80 %", "good"),
            (Some(0.799), "79 %", "warning"),
            (Some(0.29), "29 %", "poor"),
            (Some(0.7), "70 %", "warning"),
            (Some(0.2), "20 %", "poor"),
            (None, "–", "none"),
        ] {
            let (shown, class, _) = share(level);
            assert_eq!((shown.as_str(), class), (text, standing));
        }
    }
}
