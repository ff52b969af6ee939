//! Bodies and answers of the guide dialect, except the rows of a snapshot.
//!
//! Readers take what they need and are deaf to the rest; what they need and do not find is nonsense, never a default.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use crate::domain::ids::{AgentId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::platform::client::Reply;
use crate::platform::error::{Failure, excerpt};
use crate::platform::snapshot::SnapshotBody;
use crate::platform::text;

/// What a row says when everything is wanted (source: guide 004).
const ALL_METRICS: [&str; 7] =
    ["userId", "userName", "agentState", "queueName", "wrapUpCode", "statusChangedTimestamp", "teamName"];

/// What rules need of a row.
const NEEDED_METRICS: [&str; 4] = ["userId", "agentState", "queueName", "statusChangedTimestamp"];

/// The body of a state change.
pub(super) fn state_body(state: &str, reason: &ReasonCode) -> Vec<u8> {
    json!({ "state": state, "reasonCode": reason }).to_string().into_bytes()
}

/// The body of a subscription.
pub(super) fn subscription_body(name: &str, interval: Duration, agents: &[AgentId], lean: bool) -> Vec<u8> {
    let metrics: &[&str] = if lean { &NEEDED_METRICS } else { &ALL_METRICS };
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let view = json!({ "id": "users", "metrics": metrics, "filter": { "userId": agents } });
    json!({ "name": name, "interval": interval_ms, "view": view }).to_string().into_bytes()
}

/// Which skills are asked about: `skillId=1,2`.
pub(super) fn skills_query(skills: &[SkillId]) -> String {
    let mut query = "skillId=".to_owned();
    for (number, skill) in skills.iter().enumerate() {
        if number > 0 {
            query.push(',');
        }
        for byte in skill.as_str().bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                query.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(query, "%{byte:02X}");
            }
        }
    }
    query
}

/// The body of a read of queue figures.
pub(super) fn queues_body(queues: &[QueueId]) -> Vec<u8> {
    json!({ "queueIds": queues }).to_string().into_bytes()
}

/// A success of the state change. The guides show no body: none, a short text or any JSON will do. A page, or JSON that breaks
/// off, may come from something on the way: then nobody knows.
pub(super) fn accepted(reply: &mut Reply, secrets: &[&str]) -> Result<(), Failure> {
    let looks_like_json = matches!(reply.body.trim_ascii_start().first(), Some(b'{' | b'['));
    let broken = looks_like_json && serde_json::from_slice::<IgnoredAny>(&reply.body).is_err();
    if reply.status.is_redirection() || reply.is_page() || broken {
        return Err(reply.nonsense("an acceptance", secrets));
    }
    Ok(())
}

/// Whether the schedule says that the agent is at work now.
pub(super) fn scheduled(reply: &mut Reply, secrets: &[&str]) -> Result<bool, Failure> {
    #[derive(Deserialize)]
    struct Schedule {
        status: String,
    }
    let schedule: Schedule = parsed(reply, "a schedule with its status", secrets)?;
    Ok(schedule.status.eq_ignore_ascii_case("ACTIVE"))
}

/// Whether a mandatory break is on.
pub(super) fn break_required(reply: &mut Reply, secrets: &[&str]) -> Result<bool, Failure> {
    #[derive(Deserialize)]
    struct BreakStatus {
        #[serde(rename = "mandatoryBreakRequired")]
        required: bool,
    }
    let status: BreakStatus = parsed(reply, "a break status with mandatoryBreakRequired", secrets)?;
    Ok(status.required)
}

/// The subscription's id, and the interval if the answer names one.
pub(super) fn subscription(reply: &mut Reply, secrets: &[&str]) -> Result<(SubscriptionId, Option<Duration>), Failure> {
    #[derive(Deserialize)]
    struct Made {
        #[serde(rename = "subscriptionId")]
        id: Value,
        #[serde(default)]
        interval: Value,
    }
    let expected = "a subscription with its subscriptionId";
    let made: Made = parsed(reply, expected, secrets)?;
    let id = match made.id {
        Value::String(text) if text::is_id(&text) => text,
        Value::Number(number) => number.to_string(),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(reply.nonsense(expected, secrets));
        }
    };
    Ok((SubscriptionId::new(id), made.interval.as_u64().map(Duration::from_millis)))
}

/// The bytes of a snapshot; none when the platform says that nothing changed.
pub(super) fn snapshot(reply: &mut Reply, secrets: &[&str]) -> Result<SnapshotBody, Failure> {
    if reply.is_page() {
        return Err(reply.nonsense("a snapshot", secrets));
    }
    Ok(SnapshotBody { bytes: std::mem::take(&mut reply.body) })
}

/// The platform's name for the policy that stands against a change, cut to what an audit entry can hold.
pub(super) fn conflict_code(body: &[u8], secrets: &[&str]) -> Option<String> {
    let answer: Value = text::read(body)?;
    let code =
        ["/code", "/errorCode", "/error", "/error/code"].into_iter().find_map(|at| answer.pointer(at)?.as_str())?;
    Some(excerpt(code.as_bytes(), secrets)).filter(|code| !code.is_empty())
}

fn parsed<T: DeserializeOwned>(reply: &Reply, expected: &str, secrets: &[&str]) -> Result<T, Failure> {
    reply.object().ok_or_else(|| reply.nonsense(expected, secrets))
}
