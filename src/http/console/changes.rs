//! The pages of bulk changes, from the selection through the preview and the progress to the undo.

pub(super) mod agent_changes;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::live::live_view::LiveView;
use super::shared::page_error::PageError;
use super::shared::page_request::PageRequest;
use super::shared::shell::{ConsolePage, Shell, render_page};
use super::shared::times::DurationText;
use super::shared::wording::{self, Chip};
use crate::domain::adherence::Verdict;
use crate::domain::agents::kind_sets::PlanKind;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{ONLY_REASON_CHANGES, PreviewOutcome};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::http::api::changes::change_sets;
use crate::http::api::changes::transitions::settable_states;
use crate::http::auth::Right;
use crate::http::request::extract::Path;
use crate::http::state::ApiState;

/// The maximum number of agents of a change set that are shown; counts include all.
const MAX_AGENTS_SHOWN: usize = 2500;

/// Returns the agents of a change set whose change takes them out of adherence.
///
/// # Errors
/// Returns the error of the API if the set cannot be shown.
pub(super) async fn agents_out_of_plan(
    state: &ApiState,
    request: &PageRequest,
    id: &str,
) -> Result<Vec<String>, PageError> {
    let set = load_set(state, request, id).await?;
    Ok(set.agents.into_iter().filter(ChangeSetAgent::would_be_out).map(|member| member.agent).collect())
}

async fn load_set(state: &ApiState, request: &PageRequest, id: &str) -> Result<ChangeSet, PageError> {
    let mut set: ChangeSet = request.api("/api/v1/change-sets/{id}").id(id).call(state, change_sets::show).await?;
    // An agent who has an approved exception since the preview is no longer out of adherence.
    if let Some(live_view) = LiveView::load(state, request).await {
        let neutral = live_view.agents().filter(|card| card.adherence.verdict == Verdict::Neutral);
        let neutral: BTreeSet<&str> = neutral.map(|card| card.id.as_str()).collect();
        for member in set.agents.iter_mut().filter(|member| neutral.contains(member.agent.as_str())) {
            member.would_be = member.would_be.map(|_| Verdict::Neutral);
        }
    }
    Ok(set)
}

/// A change set, as the API returns it.
#[derive(Deserialize)]
struct ChangeSet {
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
    counts: ChangeSetCounts,
    floors: Vec<FloorCheck>,
    agents: Vec<ChangeSetAgent>,
}

#[derive(Deserialize)]
struct Slots {
    per_minute: u64,
    free: u64,
}

#[derive(Deserialize)]
struct ChangeSetCounts {
    agents: u64,
    will_change: u64,
    reason_only: u64,
    left_out: u64,
    left_out_at_start: u64,
    open: u64,
    confirmed: u64,
    failed: u64,
}

impl ChangeSetCounts {
    /// Returns the number of agents who were left out, by the preview or at the start.
    fn all_left_out(&self) -> u64 {
        self.left_out + self.left_out_at_start
    }

    /// Returns the number of agents whose change has ended.
    fn ended(&self) -> u64 {
        self.will_change.saturating_sub(self.open)
    }
}

#[derive(Deserialize)]
struct FloorCheck {
    skill: String,
    name: Option<String>,
    available: u64,
    after: u64,
    floor: u64,
}

#[derive(Deserialize)]
struct ChangeSetAgent {
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

impl FloorCheck {
    fn holds(&self) -> bool {
        self.after >= self.floor
    }

    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.skill)
    }
}

impl ChangeSetAgent {
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.agent)
    }

    fn state(&self) -> Chip {
        self.state.as_ref().map_or_else(wording::no_state, wording::state)
    }

    fn to(&self) -> String {
        let to = self.to.as_ref().map(wording::state_label).unwrap_or_default();
        match &self.reason {
            Some(reason) => format!("{to} ({reason})"),
            None => to,
        }
    }

    /// Returns the class and the text of what becomes of the agent in a change set of this status.
    fn outcome(&self, set_status: &str) -> (&'static str, String) {
        match &self.status {
            Some(status) => transition_label(status),
            None if will_change(&self.outcome) && !is_preview(set_status) => ("outcome-no", "not changed".to_owned()),
            None => outcome(&self.outcome),
        }
    }

    /// Whether the agent is changed to a state outside the current plan.
    fn would_be_out(&self) -> bool {
        will_change(&self.outcome) && self.would_be == Some(Verdict::Out)
    }

    /// Whether the agent is in the state already, but with another reason than the named one.
    fn has_other_reason(&self) -> bool {
        self.outcome == PreviewOutcome::AlreadyThere.name() && self.why.as_deref() == Some(ONLY_REASON_CHANGES)
    }

    /// Whether the agent is changed during a planned break.
    fn is_on_break(&self) -> bool {
        let is_rest = |planned| ["break", "lunch"].contains(&planned);
        will_change(&self.outcome) && self.planned.as_deref().is_some_and(is_rest)
    }

    /// Returns the reason for the outcome, if there is one.
    fn because(&self) -> &str {
        self.error.as_deref().or(self.why.as_deref()).unwrap_or_default()
    }
}

/// Whether nothing of a change set was started.
fn is_preview(status: &str) -> bool {
    ["previewed", "expired"].contains(&status)
}

/// Whether an outcome of a preview is a change.
fn will_change(outcome: &str) -> bool {
    PreviewOutcome::from_name(outcome).is_some_and(PreviewOutcome::is_change)
}

/// Returns the class and the text of an outcome of a preview.
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
        "not_settable" => ("outcome-bad", "left out: the team has no code for the state"),
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

/// Returns the class and the text of a transition's status.
pub(super) fn transition_label(name: &str) -> (&'static str, String) {
    let (class, text) = match name {
        "confirmed" => ("outcome-good", "confirmed by the platform"),
        "accepted" => ("outcome-good", "accepted, not yet confirmed"),
        "pending" => ("outcome-wait", "accepted, takes effect after the contact"),
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

/// Returns the text of a change set's status.
fn status_text(status: &str) -> &str {
    match status {
        "previewed" => "previewed, not started",
        "expired" => "preview expired, never started",
        "running" => "running",
        "done" => "done",
        "cancelled" => "cancelled",
        other => other,
    }
}

/// Returns a number of agents with the matching form of "have".
fn agents_have(agents: &usize) -> String {
    format!("{} {}", count_with_noun(*agents, "agent"), if *agents == 1 { "has" } else { "have" })
}

/// Returns a number of API calls.
fn calls(calls: &usize) -> String {
    count_with_noun(*calls, "call")
}

/// Returns the heading of a change set.
fn heading(set: &ChangeSet) -> String {
    let agents = set.counts.agents;
    let agents_text = if agents == 1 { "1 agent".to_owned() } else { format!("{agents} agents") };
    match &set.to {
        Some(state) => format!("{agents_text} to {}", wording::state_label(state)),
        None => format!("{agents_text} back to their previous states"),
    }
}

#[derive(Deserialize)]
struct ChangeSetList {
    change_sets: Vec<ChangeSet>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "changes/changes.html")]
struct ChangesPage {
    shell: Shell,
    sets: Vec<ChangeSet>,
    older: Option<String>,
    may: bool,
}

/// `GET /changes`.
pub(in crate::http) async fn list(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let query = [("limit", "50"), ("cursor", request.value("cursor").unwrap_or_default())];
    let ChangeSetList { change_sets: sets, next } =
        request.api("/api/v1/change-sets").query(&query).call(&state, change_sets::list).await?;
    let older = next.map(|next| {
        let cursor: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        format!("/changes?tenant={}&cursor={cursor}", request.tenant)
    });
    let (shell, may) = (request.shell(ConsolePage::Changes, "Changes"), request.has_right(Right::Change));
    Ok(render_page(&ChangesPage { shell, sets, older, may }))
}

#[derive(Template)]
#[template(path = "changes/change_new.html")]
struct NewChangePage {
    shell: Shell,
    agents: Vec<String>,
    /// The number of agents that the viewer can access; `None` if it is unknown.
    all: Option<usize>,
    teams: Vec<String>,
    states: Vec<Chip>,
    verdicts: Vec<Chip>,
    settable: Vec<Chip>,
}

impl NewChangePage {
    /// Returns how many agents a change without a selection would affect.
    fn everyone(&self) -> Option<String> {
        self.all.map(|all| count_with_noun(all, "agent"))
    }
}

/// `GET /changes/new`: whom to change, to which state, and why.
pub(in crate::http) async fn new(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Change)?;
    let live_view = LiveView::load(&state, &request).await;
    let agents = request.query.iter().filter(|(key, _)| key == "agent").map(|(_, agent)| agent.clone()).collect();
    let settable = settable_states(&state, &request.tenant);
    Ok(render_page(&NewChangePage {
        shell: request.shell(ConsolePage::Changes, "New change"),
        agents,
        all: live_view.as_ref().map(|picture| picture.agents().count()),
        teams: live_view.map(|picture| picture.teams()).unwrap_or_default(),
        states: AgentState::KNOWN.iter().map(wording::state).collect(),
        verdicts: wording::VERDICTS.map(wording::verdict).into(),
        settable: settable.iter().map(wording::state).collect(),
    }))
}

#[derive(Template)]
#[template(path = "changes/change.html")]
struct ChangePage {
    shell: Shell,
    set: ChangeSet,
    now: UtcMicros,
    may: bool,
    may_excuse: bool,
    drawn: usize,
    failed: Vec<String>,
    /// How many agents are changed during a planned break.
    resting: usize,
    /// How many agents are changed to a state outside their current plan.
    out_after: usize,
    /// How many agents are left out because they are in the state already, with another reason or an unknown one.
    other_reason: usize,
    /// How many agents have each outcome, as a class and a text.
    outcomes: BTreeMap<(&'static str, String), usize>,
}

impl ChangePage {
    /// Returns what the change does or did, in one sentence or two.
    fn summary(&self) -> String {
        let ChangeSet { counts, status, to, .. } = &self.set;
        let (changes, left_out) = (counts.will_change - counts.left_out_at_start, counts.all_left_out());
        let target = to.as_ref().map(wording::state_label);
        let target = target.map_or_else(|| "back to their previous states".to_owned(), |state| format!("to {state}"));
        let (agents, others) = (count_with_noun(changes, "agent"), count_with_noun(left_out, "agent"));
        let main = match status.as_str() {
            "previewed" => format!("{agents} will change {target}."),
            "expired" => format!("{agents} would have changed {target}."),
            "running" => format!("{agents} are being changed {target}: {} confirmed so far.", counts.confirmed),
            _ => format!("{} of {agents} changed {target}.", counts.confirmed),
        };
        let reasons = match counts.reason_only {
            0 => String::new(),
            only => format!(" For {only} of them only the reason changes."),
        };
        let rest = if left_out > 0 { format!(" {others} left out.") } else { String::new() };
        format!("{main}{reasons}{rest}")
    }

    /// Returns the planned activity of an agent and its end.
    fn planned(&self, member: &ChangeSetAgent) -> String {
        let Some(planned) = &member.planned else { return String::new() };
        let label = wording::activity_label(planned);
        match &member.planned_until {
            // Outside of shifts the end may be days away, so it is not shown.
            Some(until) if *planned != *PlanKind::Off.name() && *planned != *PlanKind::Uncovered.name() => {
                format!("{label} until {}", self.shell.times.clock(*until, None).text)
            }
            _ => label.into_owned(),
        }
    }

    /// Whether the time in which the change could be undone has passed.
    fn is_past_undo(&self) -> bool {
        self.set.undone_by.is_none() && !self.set.can_undo && self.set.can_undo_until.is_some()
    }

    /// Returns how long it is until an instant, or `now` if it has passed.
    fn time_until(&self, at: &UtcMicros) -> String {
        if *at > self.now { format!("in {}", DurationText(at.since(self.now))) } else { "now".to_owned() }
    }
}

/// `GET /changes/{id}`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let mut set = load_set(&state, &request, &id).await?;
    let has_failed = |member: &&ChangeSetAgent| {
        let status = member.status.as_deref().unwrap_or_default();
        ["failed", "unconfirmed", "refused", "expired"].contains(&status)
    };
    let failed = set.agents.iter().filter(has_failed).map(|member| member.agent.clone()).collect();
    // First list agents whose change fails or waits, then those whose plan conflicts with it: people must check them.
    set.agents.sort_by_key(|member| match member.outcome(&set.status).0 {
        "outcome-bad" => 0,
        "outcome-wait" => 1,
        "outcome-good" if member.is_on_break() => 2,
        "outcome-good" if member.would_be_out() => 3,
        "outcome-good" => 4,
        _ => 5,
    });
    let resting = set.agents.iter().filter(|member| member.is_on_break()).count();
    let out_after = set.agents.iter().filter(|member| member.would_be_out()).count();
    let other_reason = set.agents.iter().filter(|member| member.has_other_reason()).count();
    let outcomes = count_outcomes(&set);
    set.agents.truncate(MAX_AGENTS_SHOWN);
    Ok(render_page(&ChangePage {
        shell: request.shell(ConsolePage::Changes, heading(&set)),
        may: request.has_right(Right::Change),
        may_excuse: request.has_right(Right::Excuse),
        now: request.now,
        drawn: set.agents.len(),
        failed,
        resting,
        out_after,
        other_reason,
        outcomes,
        set,
    }))
}

/// Counts the agents by what becomes of them.
fn count_outcomes(set: &ChangeSet) -> BTreeMap<(&'static str, String), usize> {
    let mut outcomes = BTreeMap::new();
    for member in &set.agents {
        *outcomes.entry(member.outcome(&set.status)).or_default() += 1;
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::super::shared::times::TimeFormat;
    use super::*;

    fn shell() -> Shell {
        Shell {
            title: "2 agents to Ready".to_owned(),
            place: ConsolePage::Changes,
            tenant: "acme".to_owned(),
            tenants: vec!["acme".to_owned()],
            theme: "",
            times: TimeFormat::from_headers(&HeaderMap::new()),
            here: "/changes/1".to_owned(),
            who: "Sam".to_owned(),
            role: "supervisor",
            can_sign_out: true,
            places: vec![ConsolePage::Changes],
            waiting: None,
            may_change: true,
            now_ms: 0,
            speed: 1,
        }
    }

    /// The page of a preview of two agents, one of whom is in the state already.
    fn render_preview(even_if_in_state: bool) -> String {
        let at = "2026-10-26T13:30:00Z";
        let member = |agent: &str, state: &str, outcome: &str, why: Option<&str>| {
            json!({"agent": agent, "name": null, "team": null, "state": state, "to": "Ready", "reason": "WORKING",
                "outcome": outcome, "why": why, "planned": null, "planned_until": null, "would_be": null, "status": null,
                "error": null})
        };
        let (other, why, will_change) =
            if even_if_in_state { ("change_reason", None, 2) } else { ("already_there", Some(ONLY_REASON_CHANGES), 1) };
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
        let set: ChangeSet = serde_json::from_value(set).expect("the API's shape");
        let other_reason = set.agents.iter().filter(|member| member.has_other_reason()).count();
        let page = ChangePage {
            shell: shell(),
            now: at.parse().expect("an instant"),
            may: true,
            may_excuse: false,
            drawn: 2,
            failed: Vec::new(),
            resting: 0,
            out_after: 0,
            other_reason,
            outcomes: count_outcomes(&set),
            set,
        };
        page.render().expect("drawn")
    }

    #[test]
    fn a_preview_offers_to_set_the_reason_of_those_who_are_in_the_state_already_and_names_the_price() {
        let plain = render_preview(false);
        assert!(plain.contains("1 already in this state") && plain.contains("costs 1 call more"), "{plain}");
        assert!(plain.contains("1 agent will change to Ready. 1 agent left out."), "{plain}");
        assert!(plain.contains("id=\"reasons\"") && !plain.contains("only the reason changes"), "{plain}");
        let with_reasons = render_preview(true);
        assert!(
            with_reasons.contains("2 agents will change to Ready. For 1 of them only the reason"),
            "{with_reasons}"
        );
        assert!(with_reasons.contains("1 of them only for the reason"), "{with_reasons}");
        assert!(
            with_reasons.contains("only the reason will change") && !with_reasons.contains("id=\"reasons\""),
            "{with_reasons}"
        );
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
            "not_settable",
            "unseen",
            "stale",
            "unknown_agent",
            "not_changed",
            "moved_on",
            "cannot_go_back",
        ];
        let texts: std::collections::BTreeSet<_> = outcomes.iter().map(|name| outcome(name).1).collect();
        assert_eq!(texts.len(), outcomes.len());
        for name in crate::domain::changes::transition::STATUS_NAMES {
            let (_, text) = transition_label(name);
            assert!(!text.is_empty() && text != name || name == "refused" || name == "failed", "{name}: {text}");
        }
    }
}
