//! The bodies of the platform's requests and answers (guides 000 to 004), and nothing of how they come to be.
//!
//! These types are the simulator's own; the daemon's adapter has its own. Neither may use the other's.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dice::Dice;
use super::faults::{Ambience, Kind};
use super::state::SimState;
use super::subscriptions::{Metric, Snapshot};
use super::world::Look;
use crate::domain::time::UtcMicros;

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

    fn bad(message: impl Into<String>) -> Self {
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
    #[serde(default)]
    reason_code: String,
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
    if read.reason_code.trim().is_empty() {
        return Err(Problem::bad("reasonCode is missing"));
    }
    Ok(StateChange { state, name: read.state, reason: read.reason_code })
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
    #[serde(default)]
    user_id: BTreeSet<String>,
}

/// A subscription as asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubscriptionAsk {
    pub(super) interval: Duration,
    pub(super) users: BTreeSet<String>,
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
    let users = read.view.filter.map(|filter| filter.user_id).unwrap_or_default();
    if users.is_empty() {
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotBody<'a> {
    subscription_id: &'a str,
    status: &'static str,
    last_updated_timestamp: String,
    data: Vec<serde_json::Map<String, Value>>,
}

/// The bytes of a snapshot; the same ones again until the next is made, unless a fault colours them.
pub(super) fn snapshot(snapshot: &Snapshot, ambience: Ambience, fault: Option<Kind>, dice: &Dice) -> Bytes {
    let spoilt = fault.filter(|kind| matches!(kind, Kind::WrongTypes | Kind::Nonsense));
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
            let moved = ambience.skew_ms + dice.swing_ms(ambience.jitter_ms);
            let mut row = row(snapshot, look, moved);
            match spoilt {
                Some(Kind::WrongTypes) => mistype(&mut row, at),
                Some(_) => befuddle(&mut row, at),
                None => {}
            }
            row
        })
        .collect();
    if spoilt == Some(Kind::Nonsense) {
        data.extend(data.first().cloned());
    }
    let body = SnapshotBody {
        subscription_id: snapshot.id.as_str(),
        status: "active",
        last_updated_timestamp: instant(snapshot.generated, ambience.skew_ms),
        data,
    };
    serde_json::to_vec(&body).unwrap_or_default().into()
}

fn row(snapshot: &Snapshot, look: &Look, moved_ms: i64) -> serde_json::Map<String, Value> {
    let who = snapshot.roster.get(look.index);
    let value = |metric: &Metric| match metric {
        Metric::UserId => json!(who.map(|who| who.id.as_str())),
        Metric::UserName => json!(who.map(|who| &*who.name)),
        Metric::AgentState => json!(look.state),
        Metric::QueueName => json!(look.queue),
        Metric::WrapUpCode => json!(look.wrap_up),
        Metric::StatusChangedTimestamp => json!(instant(look.since, moved_ms)),
        Metric::TeamName => json!(who.map(|who| &*who.team)),
    };
    snapshot.metrics.iter().map(|metric| (metric.name().to_owned(), value(metric))).collect()
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
