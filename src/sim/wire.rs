//! The bodies of the platform's requests and answers (guides 000 to 004), and nothing of how they come to be.
//!
//! These types are the simulator's own; the daemon's adapter has its own. Neither may use the other's.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::contacts::Skill;
use super::dice::Dice;
use super::faults::{Ambience, Kind};
use super::figures::SkillFigures;
use super::state::SimState;
use super::subscriptions::{Metric, Snapshot};
use super::world::Look;
use crate::domain::time::UtcMicros;

/// The faults that spoil a snapshot's rows.
const SPOIL_ROWS: [Kind; 8] = [
    Kind::WrongTypes,
    Kind::Nonsense,
    Kind::Repeat,
    Kind::MissingRows,
    Kind::OldTimes,
    Kind::OtherZones,
    Kind::Bulky,
    Kind::OddTexts,
];
const HOUR_MS: i64 = 3_600_000;
/// What a bulky snapshot holds beside its rows, in bytes.
const BULK: usize = 2_500_000;

/// Stands for half a surrogate pair until a snapshot is written out: no string can hold one.
const HALF_A_PAIR: char = '\u{e000}';
/// The length of an odd text, in characters.
const LONG: usize = 20_000;

/// The most skills or queues that one request may name (guide 001).
const MOST_IDS: usize = 100;

/// What a service that is not there shows to browsers.
pub(super) const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Service Notice</title></head>\
    <body><h1>We will be right back</h1><p>This page is not JSON.</p></body></html>\n";

/// An answer that is no success: its status, a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) retry_after: Option<u64>,
}

impl Problem {
    /// A problem without `Retry-After`.
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// 429, with the wait in whole seconds, at least one.
    pub(super) fn too_many(wait: Duration, message: &str) -> Self {
        let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        Self { retry_after: Some(seconds), ..Self::new(429, "RATE_LIMIT_EXCEEDED", message) }
    }

    /// The body. Token answers name the code `error`, as OAuth does; the others have an object under it.
    pub(super) fn body(&self, of_token: bool) -> Value {
        if of_token {
            json!({ "error": self.code, "error_description": self.message })
        } else {
            json!({ "error": { "code": self.code, "message": self.message } })
        }
    }

    /// 400: the request is not as it must be.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BAD_REQUEST", message)
    }
}

/// A token request, in whichever of the three styles.
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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateBody {
    state: String,
    reason_code: Option<String>,
}

/// A state change as asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StateChange {
    pub(super) state: SimState,
    /// The state's name as it was sent.
    pub(super) name: String,
    pub(super) reason: String,
}

/// Reads the body of a state change.
pub(super) fn state_change(body: &[u8]) -> Result<StateChange, Problem> {
    let read: StateBody = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    let state =
        SimState::settable(&read.state).ok_or_else(|| Problem::bad(format!("unknown state {:?}", read.state)))?;
    let reason = read.reason_code.unwrap_or_else(|| state.default_reason().to_owned());
    if reason.trim().is_empty() {
        return Err(Problem::bad("reasonCode is empty"));
    }
    Ok(StateChange { state, name: read.state, reason })
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

/// A subscription as asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubscriptionAsk {
    pub(super) interval: Duration,
    /// None where the request has no filter: then the subscription shows every user of the tenant (guide 004).
    pub(super) users: Option<BTreeSet<String>>,
    pub(super) metrics: Vec<Metric>,
}

/// Reads the body of a subscription; `least` is the shortest interval that is allowed.
pub(super) fn subscription(body: &[u8], least: Duration) -> Result<SubscriptionAsk, Problem> {
    let read: SubscriptionBody = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    if read.name.trim().is_empty() {
        return Err(Problem::bad("name is missing"));
    }
    let interval = Duration::from_millis(read.interval);
    if interval < least {
        return Err(Problem::bad(format!("interval is at least {} ms", least.as_millis())));
    }
    if read.view.id != "users" {
        return Err(Problem::bad(format!("unknown view {:?}", read.view.id)));
    }
    let users = read.view.filter.and_then(|filter| filter.user_id);
    if users.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(Problem::bad("view.filter.userId is empty"));
    }
    Ok(SubscriptionAsk { interval, users, metrics: metrics(&read.view.metrics)? })
}

fn metrics(names: &[String]) -> Result<Vec<Metric>, Problem> {
    if names.is_empty() {
        return Ok(Metric::ALL.to_vec());
    }
    let one = |name: &String| {
        let known = Metric::ALL.into_iter().find(|metric| metric.name() == name);
        known.ok_or_else(|| Problem::bad(format!("unknown metric {name:?}")))
    };
    let asked: BTreeSet<Metric> = names.iter().map(one).collect::<Result<_, _>>()?;
    // A row that did not say whose it is would be of no use to anyone.
    Ok(Metric::ALL.into_iter().filter(|metric| *metric == Metric::UserId || asked.contains(metric)).collect())
}

/// RFC 3339 in milliseconds, moved by a count of milliseconds.
pub(super) fn instant(at: UtcMicros, moved_ms: i64) -> String {
    format!("{:.3}", at.offset(moved_ms.saturating_mul(1000)).timestamp())
}

/// The skills that a query names, as in `1001,1002`.
pub(super) fn skill_ids(text: &str) -> Result<Vec<u32>, Problem> {
    let one = |id: &str| id.trim().parse().map_err(|_| Problem::bad(format!("skillId {id:?} is no number")));
    at_most_a_hundred(text.split(',').map(one).collect::<Result<_, _>>()?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueuesBody {
    queue_id: Option<String>,
    queue_ids: Option<Vec<String>>,
}

/// The queues that a body names: one, or a list.
pub(super) fn queue_ids(body: &[u8]) -> Result<Vec<String>, Problem> {
    let read: QueuesBody = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    match (read.queue_id, read.queue_ids) {
        (Some(one), None) => Ok(vec![one]),
        (None, Some(several)) if !several.is_empty() => at_most_a_hundred(several),
        _ => Err(Problem::bad("queueId or queueIds, and not both")),
    }
}

fn at_most_a_hundred<T>(ids: Vec<T>) -> Result<Vec<T>, Problem> {
    if ids.len() <= MOST_IDS { Ok(ids) } else { Err(Problem::bad(format!("at most {MOST_IDS} ids in one request"))) }
}

/// The figures of skills (guide 000), in the order asked. Unknown skills are left out, and idle ones unless `idle_too`.
pub(super) fn skill_data(
    asked: &[u32],
    skills: &[Skill],
    figures: &[SkillFigures],
    idle_too: bool,
    fault: Option<Kind>,
) -> Value {
    let row = |(skill, figures): (&Skill, &SkillFigures)| {
        json!({
            "skillId": skill.id,
            "skillName": &*skill.name,
            "contactsQueued": figures.line.waiting,
            "contactsActive": figures.on_contact,
            "longestQueueDuration": figures.line.longest.as_secs(),
            "serviceLevel": figures.line.service_level,
            "agentsAvailable": figures.available,
            "agentsStaffed": figures.staffed,
            "agentsOnContact": figures.on_contact,
            "agentsInACW": figures.wrapping_up,
            "currentEstimatedWaitTime": figures.estimated_wait_s(),
        })
    };
    let found = asked.iter().filter_map(|id| skills.iter().zip(figures).find(|(skill, _)| skill.id == *id));
    let shown = found.filter(|(_, figures)| idle_too || !figures.is_idle());
    json!({ "skillData": spoilt(shown.map(row).collect(), fault, "skillId", "contactsQueued") })
}

/// The queues that there are (guide 001).
pub(super) fn queue_list(skills: &[Skill]) -> Value {
    let row = |skill: &Skill| json!({ "queueId": skill.queue, "name": &*skill.name });
    json!({ "queues": skills.iter().map(row).collect::<Vec<_>>() })
}

/// The figures of queues (guide 001), in the order asked. The service level is in percent, times are in milliseconds.
pub(super) fn queue_figures(
    asked: &[String],
    skills: &[Skill],
    figures: &[SkillFigures],
    fault: Option<Kind>,
) -> Value {
    let row = |(skill, figures): (&Skill, &SkillFigures)| {
        json!({
            "queueId": skill.queue,
            "name": &*skill.name,
            "agentsLoggedOn": figures.staffed,
            "agentsAvailable": figures.available,
            "agentsBusy": figures.on_contact + figures.wrapping_up,
            "callsWaiting": figures.line.waiting,
            "averageWaitTime": u64::try_from(figures.line.average.as_millis()).unwrap_or(u64::MAX),
            "serviceLevel": figures.line.service_level * 100.0,
        })
    };
    let found = asked.iter().filter_map(|id| skills.iter().zip(figures).find(|(skill, _)| skill.queue == *id));
    json!({ "queues": spoilt(found.map(row).collect(), fault, "queueId", "callsWaiting") })
}

/// Rows of figures, with values that they must not have where a fault wants it.
fn spoilt(mut rows: Vec<Value>, fault: Option<Kind>, id: &str, count: &str) -> Vec<Value> {
    for (at, row) in rows.iter_mut().enumerate() {
        let (key, value) = match (fault, at % 4) {
            (Some(Kind::WrongTypes), 0) => (count, json!("several")),
            (Some(Kind::WrongTypes), 1) => (id, json!({ "is": 7 })),
            (Some(Kind::WrongTypes), 2) => ("serviceLevel", json!([0.5])),
            (Some(Kind::WrongTypes), _) => (count, Value::Null),
            (Some(Kind::Nonsense), 0) => (count, json!(-3)),
            (Some(Kind::Nonsense), 1) => (id, json!("nobody\u{0}")),
            (Some(Kind::Nonsense), 2) => ("serviceLevel", json!(1.0e9)),
            (Some(Kind::Nonsense), _) => (count, json!(1.0e30)),
            _ => return rows,
        };
        if let Some(fields) = row.as_object_mut() {
            fields.insert(key.to_owned(), value);
        }
    }
    if fault == Some(Kind::Nonsense) {
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

/// The bytes of a snapshot; the same ones again until the next is made, unless a fault colours them.
pub(super) fn snapshot(snapshot: &Snapshot, ambience: Ambience, fault: Option<Kind>, dice: &Dice) -> Bytes {
    let spoilt = fault.filter(|kind| SPOIL_ROWS.contains(kind));
    if ambience == Ambience::default() && spoilt.is_none() {
        return snapshot.rendered.get_or_init(|| render(snapshot, ambience, None, dice)).clone();
    }
    render(snapshot, ambience, spoilt, dice)
}

fn render(snapshot: &Snapshot, ambience: Ambience, spoilt: Option<Kind>, dice: &Dice) -> Bytes {
    let mut data: Vec<_> = snapshot
        .looks
        .iter()
        .enumerate()
        .map(|(at, look)| {
            let older_ms = if spoilt == Some(Kind::OldTimes) { HOUR_MS } else { 0 };
            let moved = ambience.skew_ms + dice.swing_ms(ambience.jitter_ms) - older_ms;
            let mut row = row(snapshot, look, moved);
            match spoilt {
                Some(Kind::WrongTypes) => mistype(&mut row, at),
                Some(Kind::Nonsense) => befuddle(&mut row, at),
                Some(Kind::OddTexts) => garble(&mut row, at),
                Some(Kind::OtherZones) => rezone(&mut row, look.since, moved, at),
                Some(Kind::Bulky) => {
                    row.insert("comment".to_owned(), "-".repeat(BULK / snapshot.looks.len().max(1)).into());
                }
                Some(_) | None => {}
            }
            Value::from(row)
        })
        .collect();
    match spoilt {
        Some(Kind::Nonsense) => data.extend(data.first().cloned()),
        Some(Kind::WrongTypes) => data.extend([Value::Null, json!("available"), json!([1, 2])]),
        Some(Kind::Repeat) => data.extend(data.clone()),
        Some(Kind::MissingRows) => data = data.into_iter().step_by(2).collect(),
        Some(_) | None => {}
    }
    let body = SnapshotBody {
        subscription_id: snapshot.id.as_str(),
        status: "active",
        last_updated_timestamp: instant(snapshot.generated, ambience.skew_ms),
        data,
    };
    let text = serde_json::to_string(&body).unwrap_or_default();
    if spoilt == Some(Kind::OddTexts) { text.replace(HALF_A_PAIR, r"\ud800").into() } else { text.into() }
}

fn row(snapshot: &Snapshot, look: &Look, moved_ms: i64) -> serde_json::Map<String, Value> {
    let who = snapshot.roster.get(look.index);
    let value = |metric: &Metric| match metric {
        Metric::UserId => json!(who.map(|who| who.id.as_str())),
        Metric::UserName => json!(who.map(|who| &*who.name)),
        Metric::AgentState => json!(look.state),
        Metric::QueueName => {
            let skill = look.queue.and_then(|skill| snapshot.skills.get(usize::from(skill)));
            json!(skill.map(|skill| &*skill.name))
        }
        Metric::WrapUpCode => json!(look.wrap_up),
        Metric::StatusChangedTimestamp => json!(instant(look.since, moved_ms)),
        Metric::TeamName => json!(who.map(|who| &*who.team)),
    };
    snapshot.metrics.iter().map(|metric| (metric.name().to_owned(), value(metric))).collect()
}

/// Writes a row's timestamp in another zone.
fn rezone(row: &mut serde_json::Map<String, Value>, since: UtcMicros, moved_ms: i64, at: usize) {
    let (minutes, zone) = if at.is_multiple_of(2) { (330, "+05:30") } else { (-480, "-08:00") };
    let local = instant(since, moved_ms + minutes * 60_000);
    row.insert("statusChangedTimestamp".to_owned(), format!("{}{zone}", local.trim_end_matches('Z')).into());
}

/// Gives a row values of types that it must not have; which ones depends on its place.
fn mistype(row: &mut serde_json::Map<String, Value>, at: usize) {
    let (key, value) = match at % 4 {
        0 => ("userId", json!(at)),
        1 => ("agentState", json!({ "name": "available" })),
        2 => ("statusChangedTimestamp", json!(1_790_000_000_000_i64)),
        _ => ("agentState", Value::Null),
    };
    row.insert(key.to_owned(), value);
}

/// Gives a row texts that no program should trip over; which ones depends on its place.
fn garble(row: &mut serde_json::Map<String, Value>, at: usize) {
    let (key, value) = match at % 4 {
        0 => ("userName", format!("Ada{HALF_A_PAIR}")),
        1 => ("teamName", format!("{HALF_A_PAIR}Care")),
        2 => ("userName", "Ada\0".to_owned()),
        _ => ("userName", "é".repeat(LONG)),
    };
    row.insert(key.to_owned(), value.into());
}

/// Gives a row values that cannot be true; which ones depends on its place.
fn befuddle(row: &mut serde_json::Map<String, Value>, at: usize) {
    let (key, value) = match at % 4 {
        0 => ("agentState", json!("hovering")),
        1 => ("userId", json!("nobody\u{0}")),
        2 => ("statusChangedTimestamp", json!("9999-12-31T23:59:59.999Z")),
        _ => ("statusChangedTimestamp", json!("2026-02-30T25:61:00Z")),
    };
    row.insert(key.to_owned(), value);
}
