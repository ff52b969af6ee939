//! The bodies of the platform's requests and answers (guides 000 to 004), without the decisions behind them.
//!
//! These types belong to the simulator; the daemon's adapter has its own. Neither may use the other's.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::contacts::Skill;
use super::faults::{ClockError, FaultKind};
use super::figures::SkillFigures;
use super::random::RandomStream;
use super::state::SimState;
use super::subscriptions::{Metric, Snapshot};
use super::world::AgentSnapshot;
use crate::domain::time::UtcMicros;

/// The faults that spoil a snapshot's rows.
const ROW_FAULTS: [FaultKind; 8] = [
    FaultKind::WrongTypes,
    FaultKind::Nonsense,
    FaultKind::Repeat,
    FaultKind::MissingRows,
    FaultKind::OldTimes,
    FaultKind::OtherZones,
    FaultKind::Bulky,
    FaultKind::OddTexts,
];
const HOUR_MS: i64 = 3_600_000;
/// The size of the filler in a bulky snapshot, in bytes.
const BULKY_BYTES: usize = 2_500_000;

/// A placeholder for half a surrogate pair until a snapshot is serialized, since no string can hold one.
const HALF_A_PAIR: char = '\u{e000}';
/// The length of an odd text, in characters.
const LONG_TEXT_CHARS: usize = 20_000;

/// The most skills or queues in one request (guide 001).
const MAX_IDS: usize = 100;

/// The page that an unavailable service shows to browsers.
pub(super) const HTML_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Service Notice</title></head>\
    <body><h1>We will be right back</h1><p>This page is not JSON.</p></body></html>\n";

/// An error answer: its status, a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) retry_after: Option<u64>,
}

impl Problem {
    /// Creates a problem without `Retry-After`.
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// Creates a 429 with the wait in whole seconds, at least one.
    pub(super) fn too_many(wait: Duration, message: &str) -> Self {
        let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        Self { retry_after: Some(seconds), ..Self::new(429, "RATE_LIMIT_EXCEEDED", message) }
    }

    /// Returns the body. Token answers name the code `error`, as OAuth does; the others have an object under that
    /// key.
    pub(super) fn body(&self, of_token: bool) -> Value {
        if of_token {
            json!({ "error": self.code, "error_description": self.message })
        } else {
            json!({ "error": { "code": self.code, "message": self.message } })
        }
    }

    /// Creates a 400 for a malformed request.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BAD_REQUEST", message)
    }
}

/// A token request, in any of the three styles.
#[derive(Deserialize)]
pub(super) struct TokenForm {
    #[serde(default)]
    pub(super) grant_type: String,
    #[serde(default)]
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) client_secret: String,
    pub(super) tenant_id: Option<String>,
    #[serde(default)]
    pub(super) scope: String,
    /// The refresh token, in a token request of the published services.
    #[serde(default)]
    pub(super) refresh_token: String,
    /// The access key's id, in a token request of the published services.
    #[serde(default)]
    pub(super) username: String,
    /// The access key's secret, in a token request of the published services.
    #[serde(default)]
    pub(super) password: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateBody {
    state: String,
    reason_code: Option<String>,
}

/// A requested state change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StateChangeRequest {
    pub(super) state: SimState,
    /// The state's name as it was sent.
    pub(super) name: String,
    pub(super) reason: String,
}

/// Parses the body of a state change.
pub(super) fn parse_state_change(body: &[u8]) -> Result<StateChangeRequest, Problem> {
    let read: StateBody = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    let state =
        SimState::settable(&read.state).ok_or_else(|| Problem::bad(format!("unknown state {:?}", read.state)))?;
    let reason = read.reason_code.unwrap_or_else(|| state.default_reason().to_owned());
    if reason.trim().is_empty() {
        return Err(Problem::bad("reasonCode is empty"));
    }
    Ok(StateChangeRequest { state, name: read.state, reason })
}

#[derive(Deserialize)]
struct SubscriptionBody {
    #[serde(default)]
    name: String,
    interval: u64,
    view: ViewBody,
}

#[derive(Deserialize)]
struct ViewBody {
    id: String,
    #[serde(default)]
    metrics: Vec<String>,
    filter: Option<FilterBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterBody {
    user_id: Option<BTreeSet<String>>,
}

/// A requested subscription.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubscriptionRequest {
    pub(super) interval: Duration,
    /// The users; `None` if the request has no filter and the subscription shows every user of the tenant (guide
    /// 004).
    pub(super) users: Option<BTreeSet<String>>,
    pub(super) metrics: Vec<Metric>,
}

/// Parses the body of a subscription; `min_interval` is the shortest interval allowed.
pub(super) fn parse_subscription(body: &[u8], min_interval: Duration) -> Result<SubscriptionRequest, Problem> {
    let read: SubscriptionBody = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    if read.name.trim().is_empty() {
        return Err(Problem::bad("name is missing"));
    }
    let interval = Duration::from_millis(read.interval);
    if interval < min_interval {
        return Err(Problem::bad(format!("interval is at least {} ms", min_interval.as_millis())));
    }
    if read.view.id != "users" {
        return Err(Problem::bad(format!("unknown view {:?}", read.view.id)));
    }
    let users = read.view.filter.and_then(|filter| filter.user_id);
    if users.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(Problem::bad("view.filter.userId is empty"));
    }
    Ok(SubscriptionRequest { interval, users, metrics: parse_metrics(&read.view.metrics)? })
}

fn parse_metrics(names: &[String]) -> Result<Vec<Metric>, Problem> {
    if names.is_empty() {
        return Ok(Metric::ALL.to_vec());
    }
    let one = |name: &String| {
        let known = Metric::ALL.into_iter().find(|metric| metric.name() == name);
        known.ok_or_else(|| Problem::bad(format!("unknown metric {name:?}")))
    };
    let requested: BTreeSet<Metric> = names.iter().map(one).collect::<Result<_, _>>()?;
    // Always include the user id, since a row without it would be useless.
    Ok(Metric::ALL.into_iter().filter(|metric| *metric == Metric::UserId || requested.contains(metric)).collect())
}

/// Formats an instant in RFC 3339 with milliseconds, shifted by `moved_ms` milliseconds.
pub(super) fn instant_text(at: UtcMicros, moved_ms: i64) -> String {
    format!("{:.3}", at.offset(moved_ms.saturating_mul(1000)).timestamp())
}

/// Parses the skills in a query, such as `1001,1002`.
pub(super) fn parse_skill_ids(text: &str) -> Result<Vec<u32>, Problem> {
    let one = |id: &str| id.trim().parse().map_err(|_| Problem::bad(format!("skillId {id:?} is no number")));
    check_id_count(text.split(',').map(one).collect::<Result<_, _>>()?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueuesBody {
    queue_id: Option<String>,
    queue_ids: Option<Vec<String>>,
}

/// Parses the queues in a body: one, or a list.
pub(super) fn parse_queue_ids(body: &[u8]) -> Result<Vec<String>, Problem> {
    let read: QueuesBody = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    match (read.queue_id, read.queue_ids) {
        (Some(one), None) => Ok(vec![one]),
        (None, Some(several)) if !several.is_empty() => check_id_count(several),
        _ => Err(Problem::bad("queueId or queueIds, and not both")),
    }
}

fn check_id_count<T>(ids: Vec<T>) -> Result<Vec<T>, Problem> {
    if ids.len() <= MAX_IDS { Ok(ids) } else { Err(Problem::bad(format!("at most {MAX_IDS} ids in one request"))) }
}

/// Returns the figures of skills (guide 000), in the order requested. Unknown skills are left out, and idle ones
/// unless `with_idle`.
pub(super) fn skill_data(
    requested: &[u32],
    skills: &[Skill],
    figures: &[SkillFigures],
    with_idle: bool,
    fault: Option<FaultKind>,
) -> Value {
    let row = |(skill, figures): (&Skill, &SkillFigures)| {
        json!({
            "skillId": skill.id,
            "skillName": &*skill.name,
            "contactsQueued": figures.queue.waiting,
            "contactsActive": figures.on_contact,
            "longestQueueDuration": figures.queue.longest.as_secs(),
            "serviceLevel": figures.queue.service_level,
            "agentsAvailable": figures.available,
            "agentsStaffed": figures.staffed,
            "agentsOnContact": figures.on_contact,
            "agentsInACW": figures.wrapping_up,
            "currentEstimatedWaitTime": figures.estimated_wait_s(),
        })
    };
    let found = requested.iter().filter_map(|id| skills.iter().zip(figures).find(|(skill, _)| skill.id == *id));
    let shown = found.filter(|(_, figures)| with_idle || !figures.is_idle());
    json!({ "skillData": with_garbled_values(shown.map(row).collect(), fault, "skillId", "contactsQueued") })
}

/// Returns the list of queues (guide 001).
pub(super) fn queue_list(skills: &[Skill]) -> Value {
    let row = |skill: &Skill| json!({ "queueId": skill.queue, "name": &*skill.name });
    json!({ "queues": skills.iter().map(row).collect::<Vec<_>>() })
}

/// Returns the figures of queues (guide 001), in the order requested. The service level is in percent, times are in
/// milliseconds.
pub(super) fn queue_figures(
    requested: &[String],
    skills: &[Skill],
    figures: &[SkillFigures],
    fault: Option<FaultKind>,
) -> Value {
    let row = |(skill, figures): (&Skill, &SkillFigures)| {
        json!({
            "queueId": skill.queue,
            "name": &*skill.name,
            "agentsLoggedOn": figures.staffed,
            "agentsAvailable": figures.available,
            "agentsBusy": figures.on_contact + figures.wrapping_up,
            "callsWaiting": figures.queue.waiting,
            "averageWaitTime": u64::try_from(figures.queue.average.as_millis()).unwrap_or(u64::MAX),
            "serviceLevel": figures.queue.service_level * 100.0,
        })
    };
    let found = requested.iter().filter_map(|id| skills.iter().zip(figures).find(|(skill, _)| skill.queue == *id));
    json!({ "queues": with_garbled_values(found.map(row).collect(), fault, "queueId", "callsWaiting") })
}

/// Garbles the values of rows of figures if a fault requires it.
pub(super) fn with_garbled_values(mut rows: Vec<Value>, fault: Option<FaultKind>, id: &str, count: &str) -> Vec<Value> {
    for (at, row) in rows.iter_mut().enumerate() {
        let (key, value) = match (fault, at % 4) {
            (Some(FaultKind::WrongTypes), 0) => (count, json!("several")),
            (Some(FaultKind::WrongTypes), 1) => (id, json!({ "is": 7 })),
            (Some(FaultKind::WrongTypes), 2) => ("serviceLevel", json!([0.5])),
            (Some(FaultKind::WrongTypes), _) => (count, Value::Null),
            (Some(FaultKind::Nonsense), 0) => (count, json!(-3)),
            (Some(FaultKind::Nonsense), 1) => (id, json!("nobody\u{0}")),
            (Some(FaultKind::Nonsense), 2) => ("serviceLevel", json!(1.0e9)),
            (Some(FaultKind::Nonsense), _) => (count, json!(1.0e30)),
            _ => return rows,
        };
        if let Some(fields) = row.as_object_mut() {
            fields.insert(key.to_owned(), value);
        }
    }
    if fault == Some(FaultKind::Nonsense) {
        rows.extend(rows.first().cloned());
    }
    rows
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotBody<'a> {
    subscription_id: &'a str,
    status: &'static str,
    last_updated_timestamp: String,
    data: Vec<Value>,
}

/// Returns the bytes of a snapshot. They are cached until the next snapshot, unless a fault changes them.
pub(super) fn snapshot_body(
    snapshot: &Snapshot,
    clock_error: ClockError,
    fault: Option<FaultKind>,
    random: &RandomStream,
) -> Bytes {
    let row_fault = fault.filter(|kind| ROW_FAULTS.contains(kind));
    if clock_error == ClockError::default() && row_fault.is_none() {
        return snapshot.rendered.get_or_init(|| render(snapshot, clock_error, None, random)).clone();
    }
    render(snapshot, clock_error, row_fault, random)
}

fn render(snapshot: &Snapshot, clock_error: ClockError, row_fault: Option<FaultKind>, random: &RandomStream) -> Bytes {
    let mut data: Vec<_> = snapshot
        .agents
        .iter()
        .enumerate()
        .map(|(at, look)| {
            let older_ms = if row_fault == Some(FaultKind::OldTimes) { HOUR_MS } else { 0 };
            let moved = clock_error.skew_ms + random.signed_ms(clock_error.jitter_ms) - older_ms;
            let mut row = snapshot_row(snapshot, look, moved);
            match row_fault {
                Some(FaultKind::WrongTypes) => set_wrong_type(&mut row, at),
                Some(FaultKind::Nonsense) => set_impossible_value(&mut row, at),
                Some(FaultKind::OddTexts) => set_odd_text(&mut row, at),
                Some(FaultKind::OtherZones) => rezone(&mut row, look.since, moved, at),
                Some(FaultKind::Bulky) => {
                    row.insert("comment".to_owned(), "-".repeat(BULKY_BYTES / snapshot.agents.len().max(1)).into());
                }
                Some(_) | None => {}
            }
            Value::from(row)
        })
        .collect();
    match row_fault {
        Some(FaultKind::Nonsense) => data.extend(data.first().cloned()),
        Some(FaultKind::WrongTypes) => data.extend([Value::Null, json!("available"), json!([1, 2])]),
        Some(FaultKind::Repeat) => data.extend(data.clone()),
        Some(FaultKind::MissingRows) => data = data.into_iter().step_by(2).collect(),
        Some(_) | None => {}
    }
    let body = SnapshotBody {
        subscription_id: snapshot.id.as_str(),
        status: "active",
        last_updated_timestamp: instant_text(snapshot.generated, clock_error.skew_ms),
        data,
    };
    let text = serde_json::to_string(&body).unwrap_or_default();
    if row_fault == Some(FaultKind::OddTexts) { text.replace(HALF_A_PAIR, r"\ud800").into() } else { text.into() }
}

fn snapshot_row(snapshot: &Snapshot, agent: &AgentSnapshot, moved_ms: i64) -> serde_json::Map<String, Value> {
    let identity = snapshot.roster.get(agent.index);
    let value = |metric: &Metric| match metric {
        Metric::UserId => json!(identity.map(|who| who.id.as_str())),
        Metric::UserName => json!(identity.map(|who| &*who.name)),
        Metric::AgentState => json!(agent.state),
        Metric::QueueName => {
            let skill = agent.queue.and_then(|skill| snapshot.skills.get(usize::from(skill)));
            json!(skill.map(|skill| &*skill.name))
        }
        Metric::WrapUpCode => json!(agent.wrap_up),
        Metric::StatusChangedTimestamp => json!(instant_text(agent.since, moved_ms)),
        Metric::TeamName => json!(identity.map(|who| &*who.team)),
    };
    snapshot.metrics.iter().map(|metric| (metric.name().to_owned(), value(metric))).collect()
}

/// Writes a row's timestamp in another zone.
fn rezone(row: &mut serde_json::Map<String, Value>, since: UtcMicros, moved_ms: i64, at: usize) {
    let (minutes, zone) = if at.is_multiple_of(2) { (330, "+05:30") } else { (-480, "-08:00") };
    let local = instant_text(since, moved_ms + minutes * 60_000);
    row.insert("statusChangedTimestamp".to_owned(), format!("{}{zone}", local.trim_end_matches('Z')).into());
}

/// Gives a row values of wrong types, chosen by its position.
fn set_wrong_type(row: &mut serde_json::Map<String, Value>, at: usize) {
    let (key, value) = match at % 4 {
        0 => ("userId", json!(at)),
        1 => ("agentState", json!({ "name": "available" })),
        2 => ("statusChangedTimestamp", json!(1_790_000_000_000_i64)),
        _ => ("agentState", Value::Null),
    };
    row.insert(key.to_owned(), value);
}

/// Gives a row unusual texts, chosen by its position.
fn set_odd_text(row: &mut serde_json::Map<String, Value>, at: usize) {
    let (key, value) = match at % 4 {
        0 => ("userName", format!("Ada{HALF_A_PAIR}")),
        1 => ("teamName", format!("{HALF_A_PAIR}Care")),
        2 => ("userName", "Ada\0".to_owned()),
        _ => ("userName", "é".repeat(LONG_TEXT_CHARS)),
    };
    row.insert(key.to_owned(), value.into());
}

/// Gives a row impossible values, chosen by its position.
fn set_impossible_value(row: &mut serde_json::Map<String, Value>, at: usize) {
    let (key, value) = match at % 4 {
        0 => ("agentState", json!("hovering")),
        1 => ("userId", json!("nobody\u{0}")),
        2 => ("statusChangedTimestamp", json!("9999-12-31T23:59:59.999Z")),
        _ => ("statusChangedTimestamp", json!("2026-02-30T25:61:00Z")),
    };
    row.insert(key.to_owned(), value);
}
