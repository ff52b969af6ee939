//! Change: the bulk changes, from the selection over the preview and the progress to the undo.

pub(super) mod done;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::shared::ask::Ask;
use super::shared::failure::Failure;
use super::shared::read::{Want, read};
use super::shared::shell::{Place, Shell, page};
use super::shared::times::{Span, Stamp, Times};
use super::shared::words::{self, Chip};
use crate::domain::adherence::Verdict;
use crate::domain::agents::sets::PlanKind;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{ONLY_THE_REASON, Outcome};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::http::ApiState;
use crate::http::api::changes::change_sets;
use crate::http::api::changes::transitions::settable;
use crate::http::auth::Right;
use crate::http::extract::Path;

/// Agents of a set that are drawn; the counts are of all.
const MOST_DRAWN: usize = 2500;

/// Those of a set whose change takes them out of their plan.
///
/// # Errors
/// As the API refuses to show the set.
pub(super) async fn out_of_plan(state: &ApiState, ask: &Ask, id: &str) -> Result<Vec<String>, Failure> {
    let set = set(state, ask, id).await?;
    Ok(set.agents.into_iter().filter(Member::would_be_out).map(|member| member.agent).collect())
}

async fn set(state: &ApiState, ask: &Ask, id: &str) -> Result<Set, Failure> {
    let want = Want { route: "/api/v1/change-sets/{id}", id: Some(id), query: &[] };
    let mut set: Set = read(state, ask, want, change_sets::show).await?;
    // Who has an approved exception since it was shown is out of adherence no longer.
    if let Some(picture) = ask.picture(state).await {
        let neutral = picture.agents().filter(|card| card.adherence.verdict == Verdict::Neutral);
        let neutral: BTreeSet<&str> = neutral.map(|card| card.id.as_str()).collect();
        for member in set.agents.iter_mut().filter(|member| neutral.contains(member.agent.as_str())) {
            member.would_be = member.would_be.map(|_| Verdict::Neutral);
        }
    }
    Ok(set)
}

/// A change set as the API shows it.
#[derive(Deserialize)]
struct Set {
    id: String,
    status: String,
    hash: String,
    made_by: String,
    made_at: UtcMicros,
    expires_at: UtcMicros,
    started_by: Option<String>,
    started_at: Option<UtcMicros>,
    cancelled_by: Option<String>,
    ended_at: Option<UtcMicros>,
    undoes: Option<String>,
    undone_by: Option<String>,
    can_undo: bool,
    can_undo_until: Option<UtcMicros>,
    to: Option<AgentState>,
    reason: Option<String>,
    on_contact: String,
    urgent: bool,
    even_if_in_state: bool,
    below_floor: Option<String>,
    note: Option<String>,
    calls: u64,
    reason_calls: u64,
    ahead: u64,
    slots: Slots,
    finish_at: Option<UtcMicros>,
    finish_at_latest: Option<UtcMicros>,
    counts: Counts,
    floors: Vec<Staffing>,
    agents: Vec<Member>,
}

#[derive(Deserialize)]
struct Slots {
    per_minute: u64,
    free: u64,
}

#[derive(Deserialize)]
struct Counts {
    agents: u64,
    will_change: u64,
    reason_only: u64,
    left_out: u64,
    left_out_at_start: u64,
    outcomes: BTreeMap<String, u64>,
    open: u64,
    confirmed: u64,
    failed: u64,
}

impl Counts {
    /// Those who were left out, by the preview or at the start.
    fn all_left_out(&self) -> u64 {
        self.left_out + self.left_out_at_start
    }

    /// Those of whom it is known how it ended.
    fn ended(&self) -> u64 {
        self.will_change.saturating_sub(self.open)
    }
}

#[derive(Deserialize)]
struct Staffing {
    skill: String,
    name: Option<String>,
    available: u64,
    after: u64,
    floor: u64,
}

#[derive(Deserialize)]
struct Member {
    agent: String,
    name: Option<String>,
    team: Option<String>,
    state: Option<AgentState>,
    to: Option<AgentState>,
    reason: Option<String>,
    outcome: String,
    why: Option<String>,
    planned: Option<String>,
    planned_until: Option<UtcMicros>,
    would_be: Option<Verdict>,
    status: Option<String>,
    error: Option<String>,
}

impl Staffing {
    fn holds(&self) -> bool {
        self.after >= self.floor
    }

    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.skill)
    }
}

impl Member {
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.agent)
    }

    fn state(&self) -> Chip {
        self.state.as_ref().map_or_else(words::no_state, words::state)
    }

    fn to(&self) -> String {
        let to = self.to.as_ref().map(words::state_label).unwrap_or_default();
        match &self.reason {
            Some(reason) => format!("{to} ({reason})"),
            None => to,
        }
    }

    /// What becomes of the agent, in words, with the class of its mark.
    fn outcome(&self) -> (&'static str, String) {
        match &self.status {
            None => outcome(&self.outcome),
            Some(status) => standing(status),
        }
    }

    /// It is changed, and to something that its plan does not have now.
    fn would_be_out(&self) -> bool {
        will_change(&self.outcome) && self.would_be == Some(Verdict::Out)
    }

    /// It is in the state already, and its reason is not the one that was named.
    fn has_other_reason(&self) -> bool {
        self.outcome == Outcome::AlreadyThere.name() && self.why.as_deref() == Some(ONLY_THE_REASON)
    }

    /// It is changed, and has a break by its plan.
    fn rests(&self) -> bool {
        let is_rest = |planned| ["break", "lunch"].contains(&planned);
        will_change(&self.outcome) && self.planned.as_deref().is_some_and(is_rest)
    }

    /// Why, where it is not plain.
    fn because(&self) -> &str {
        self.error.as_deref().or(self.why.as_deref()).unwrap_or_default()
    }
}

/// Whether an outcome of a preview is a change.
fn will_change(outcome: &str) -> bool {
    Outcome::from_name(outcome).is_some_and(Outcome::changes)
}

/// An outcome of a preview.
fn outcome(name: &str) -> (&'static str, String) {
    let (class, text) = match name {
        "change" => ("outcome-good", "will change"),
        "after_contact" => ("outcome-wait", "after the contact"),
        "change_reason" => ("outcome-good", "only the reason will change"),
        "already_there" => ("outcome-no", "already in this state"),
        "not_scheduled" => ("outcome-bad", "left out: not scheduled"),
        "mandatory_break" => ("outcome-bad", "left out: mandatory break"),
        "break_under_way" => ("outcome-bad", "left out: a mandatory break is about to begin"),
        "on_contact" => ("outcome-no", "left out: on a contact"),
        "below_floor" => ("outcome-bad", "left out: a skill would fall below its floor"),
        "unseen" => ("outcome-bad", "left out: the agent is not observed"),
        "stale" => ("outcome-bad", "left out: the live view is too old"),
        "unknown_agent" => ("outcome-bad", "left out: no such agent"),
        "not_changed" => ("outcome-no", "left out: was not changed"),
        "moved_on" => ("outcome-no", "left out: state has changed since"),
        "cannot_go_back" => ("outcome-bad", "left out: the previous state cannot be set"),
        other => return ("outcome-no", other.replace('_', " ")),
    };
    (class, text.to_owned())
}

/// Where the transition of an agent stands.
fn standing(name: &str) -> (&'static str, String) {
    let (class, text) = match name {
        "confirmed" => ("outcome-good", "confirmed by the platform"),
        "accepted" => ("outcome-good", "accepted, not yet confirmed"),
        "requested" | "waiting" => ("outcome-wait", "queued"),
        "sending" => ("outcome-wait", "being sent"),
        "in_doubt" => ("outcome-wait", "in doubt, being checked"),
        "unconfirmed" => ("outcome-bad", "sent, never confirmed"),
        "refused" => ("outcome-bad", "refused"),
        "failed" => ("outcome-bad", "failed"),
        "cancelled" => ("outcome-no", "cancelled before it was sent"),
        "superseded" => ("outcome-no", "superseded by another change"),
        "expired" => ("outcome-bad", "expired before it was sent"),
        "left_out" => ("outcome-no", "left out"),
        other => return ("outcome-no", other.replace('_', " ")),
    };
    (class, text.to_owned())
}

/// A set's status.
fn status_words(status: &str) -> &str {
    match status {
        "previewed" => "previewed, not started",
        "expired" => "preview expired, never started",
        "running" => "running",
        "done" => "done",
        "cancelled" => "cancelled",
        other => other,
    }
}

/// So many agents, with the verb for what they have.
fn so_many(agents: &usize) -> String {
    format!("{} {}", count(*agents, "agent"), if *agents == 1 { "has" } else { "have" })
}

/// So many calls.
fn calls(calls: &usize) -> String {
    count(*calls, "call")
}

/// What a set does, as a heading.
fn heading(set: &Set) -> String {
    let agents = set.counts.agents;
    let who = if agents == 1 { "1 agent".to_owned() } else { format!("{agents} agents") };
    match &set.to {
        Some(state) => format!("{who} to {}", words::state_label(state)),
        None => format!("{who} back to their previous states"),
    }
}

#[derive(Deserialize)]
struct Sets {
    change_sets: Vec<Set>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "changes/changes.html")]
struct ChangesPage {
    shell: Shell,
    times: Times,
    sets: Vec<Set>,
    older: Option<String>,
    may: bool,
}

impl ChangesPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// `GET /changes`.
pub(in crate::http) async fn list(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let query = [("limit", "50"), ("cursor", ask.value("cursor").unwrap_or_default())];
    let want = Want { route: "/api/v1/change-sets", id: None, query: &query };
    let Sets { change_sets: sets, next } = read(&state, &ask, want, change_sets::list).await?;
    let older = next.map(|next| {
        let cursor: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        format!("/changes?tenant={}&cursor={cursor}", ask.tenant)
    });
    let (shell, may) = (ask.shell(Place::Changes, "Changes"), ask.has(Right::Change));
    Ok(page(&ChangesPage { shell, times: ask.times, sets, older, may }))
}

#[derive(Template)]
#[template(path = "changes/change_new.html")]
struct NewChangePage {
    shell: Shell,
    agents: Vec<String>,
    /// How many are within the viewer's reach.
    all: Option<usize>,
    teams: Vec<String>,
    states: Vec<Chip>,
    settable: Vec<Chip>,
}

impl NewChangePage {
    /// Whom no choice at all would take.
    fn everyone(&self) -> Option<String> {
        self.all.map(|all| count(all, "agent"))
    }
}

/// `GET /changes/new`: who, to what, and why.
pub(in crate::http) async fn new(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Change)?;
    let picture = ask.picture(&state).await;
    let agents = ask.query.iter().filter(|(key, _)| key == "agent").map(|(_, agent)| agent.clone()).collect();
    let settable = settable(&state, &ask.tenant);
    Ok(page(&NewChangePage {
        shell: ask.shell(Place::Changes, "New change"),
        agents,
        all: picture.as_ref().map(|picture| picture.agents().count()),
        teams: picture.map(|picture| picture.teams()).unwrap_or_default(),
        states: AgentState::KNOWN.iter().map(words::state).collect(),
        settable: settable.iter().map(words::state).collect(),
    }))
}

#[derive(Template)]
#[template(path = "changes/change.html")]
struct ChangePage {
    shell: Shell,
    times: Times,
    set: Set,
    now: UtcMicros,
    may: bool,
    may_excuse: bool,
    drawn: usize,
    failed: Vec<String>,
    /// How many are changed while their plan gives them a break.
    resting: usize,
    /// How many are changed to what their plan does not have now.
    out_after: usize,
    /// How many are left alone in the state already, with another reason or one that nobody knows.
    other_reason: usize,
}

impl ChangePage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// What an agent had planned, and until when.
    fn planned(&self, member: &Member) -> String {
        let Some(planned) = &member.planned else { return String::new() };
        let label = words::activity_label(planned);
        match &member.planned_until {
            // Of the time outside of shifts the end may be days away.
            Some(until) if *planned != *PlanKind::Off.name() && *planned != *PlanKind::Uncovered.name() => {
                format!("{label} until {}", self.times.clock(*until, None).text)
            }
            _ => label.into_owned(),
        }
    }

    /// The hour in which it could be taken back has passed.
    fn is_past_undo(&self) -> bool {
        self.set.undone_by.is_none() && !self.set.can_undo && self.set.can_undo_until.is_some()
    }

    /// How long until an instant, or `now` where it has passed.
    fn in_(&self, at: &UtcMicros) -> String {
        if *at > self.now { format!("in {}", Span(at.since(self.now))) } else { "now".to_owned() }
    }
}

/// `GET /changes/{id}`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let mut set = set(&state, &ask, &id).await?;
    let bad = |member: &&Member| {
        let status = member.status.as_deref().unwrap_or_default();
        ["failed", "unconfirmed", "refused", "expired"].contains(&status)
    };
    let failed = set.agents.iter().filter(bad).map(|member| member.agent.clone()).collect();
    // What will not change comes first, then whose plan speaks against it: it is what a person has to look at.
    set.agents.sort_by_key(|member| match member.outcome().0 {
        "outcome-bad" => 0,
        "outcome-wait" => 1,
        "outcome-good" if member.rests() => 2,
        "outcome-good" if member.would_be_out() => 3,
        "outcome-good" => 4,
        _ => 5,
    });
    let resting = set.agents.iter().filter(|member| member.rests()).count();
    let out_after = set.agents.iter().filter(|member| member.would_be_out()).count();
    let other_reason = set.agents.iter().filter(|member| member.has_other_reason()).count();
    set.agents.truncate(MOST_DRAWN);
    Ok(page(&ChangePage {
        shell: ask.shell(Place::Changes, heading(&set)),
        may: ask.has(Right::Change),
        may_excuse: ask.has(Right::Excuse),
        now: ask.now,
        times: ask.times,
        drawn: set.agents.len(),
        failed,
        resting,
        out_after,
        other_reason,
        set,
    }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn shell() -> Shell {
        Shell {
            title: "2 agents to Ready".to_owned(),
            place: Place::Changes,
            tenant: "acme".to_owned(),
            tenants: vec!["acme".to_owned()],
            theme: "",
            by_agent: false,
            zone: "UTC".to_owned(),
            told_zone: String::new(),
            here: "/changes/1".to_owned(),
            who: "Sam".to_owned(),
            role: "supervisor",
            signs_out: true,
            places: vec![Place::Changes],
            waiting: None,
            may_change: true,
            now_ms: 0,
            speed: 1,
        }
    }

    /// The page of a preview of two agents, one of whom is in the state already.
    fn drawn(even_if_in_state: bool) -> String {
        let at = "2026-10-26T13:30:00Z";
        let member = |agent: &str, state: &str, outcome: &str, why: Option<&str>| {
            json!({"agent": agent, "name": null, "team": null, "state": state, "to": "Ready", "reason": "WORKING",
                "outcome": outcome, "why": why, "planned": null, "planned_until": null, "would_be": null, "status": null,
                "error": null})
        };
        let (other, why, will_change) =
            if even_if_in_state { ("change_reason", None, 2) } else { ("already_there", Some(ONLY_THE_REASON), 1) };
        let reasons = will_change - 1;
        let set = json!({
            "id": "1", "status": "previewed", "hash": "5f", "made_by": "sam", "made_at": at, "expires_at": at,
            "can_undo": false, "to": "Ready", "reason": "WORKING", "on_contact": "after", "urgent": false,
            "even_if_in_state": even_if_in_state, "calls": will_change, "reason_calls": reasons, "ahead": 0,
            "slots": {"per_minute": 100, "free": 60}, "floors": [],
            "counts": {"agents": 2, "will_change": will_change, "reason_only": reasons, "left_out": 2 - will_change,
                "left_out_at_start": 0, "outcomes": {"change": 1, other: 1}, "open": 0, "confirmed": 0, "failed": 0},
            "agents": [member("u_1", "NotReady", "change", None), member("u_2", "Ready", other, why)],
        });
        let set: Set = serde_json::from_value(set).expect("the API's shape");
        let other_reason = set.agents.iter().filter(|member| member.has_other_reason()).count();
        let page = ChangePage {
            shell: shell(),
            times: Times::of(&HeaderMap::new()),
            now: at.parse().expect("an instant"),
            may: true,
            may_excuse: false,
            drawn: 2,
            failed: Vec::new(),
            resting: 0,
            out_after: 0,
            other_reason,
            set,
        };
        page.render().expect("drawn")
    }

    #[test]
    fn a_preview_offers_to_set_the_reason_of_those_who_are_in_the_state_already_and_names_the_price() {
        let plain = drawn(false);
        assert!(plain.contains("1 already in this state") && plain.contains("costs 1 call more"), "{plain}");
        assert!(plain.contains("id=\"reasons\"") && !plain.contains("id=\"reason-only\""), "{plain}");
        let chosen = drawn(true);
        assert!(chosen.contains("1 their state, 1 only their reason"), "{chosen}");
        assert!(chosen.contains("1 of them only for the reason"), "{chosen}");
        assert!(chosen.contains("only the reason will change") && !chosen.contains("id=\"reasons\""), "{chosen}");
    }

    #[test]
    fn every_outcome_and_status_has_words_of_its_own() {
        let outcomes = [
            "change",
            "after_contact",
            "change_reason",
            "already_there",
            "not_scheduled",
            "mandatory_break",
            "break_under_way",
            "on_contact",
            "below_floor",
            "unseen",
            "stale",
            "unknown_agent",
            "not_changed",
            "moved_on",
            "cannot_go_back",
        ];
        let words: std::collections::BTreeSet<_> = outcomes.iter().map(|name| outcome(name).1).collect();
        assert_eq!(words.len(), outcomes.len());
        for name in crate::domain::changes::transition::STATUS_NAMES {
            let (_, text) = standing(name);
            assert!(!text.is_empty() && text != name || name == "refused" || name == "failed", "{name}: {text}");
        }
    }
}
