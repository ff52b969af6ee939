//! Request bodies and answers of the guide dialect, except the rows of a snapshot.
//!
//! Unknown fields are ignored. A missing required field makes the answer malformed; it never gets a default.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::ids::{AgentId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::platform::client::ApiReply;
use crate::platform::error::{Failure, excerpt};
use crate::platform::snapshot::SnapshotBody;
use crate::platform::text;

/// The fields of a row with full detail (source: guide 004).
const ALL_METRICS: [&str; 7] =
    ["userId", "userName", "agentState", "queueName", "wrapUpCode", "statusChangedTimestamp", "teamName"];

/// The fields of a row that rules need.
const NEEDED_METRICS: [&str; 4] = ["userId", "agentState", "queueName", "statusChangedTimestamp"];

/// Returns the body of a state change.
pub(super) fn state_body(state: &str, reason: &ReasonCode) -> Vec<u8> {
    json!({ "state": state, "reasonCode": reason }).to_string().into_bytes()
}

/// Returns the body of a subscription.
pub(super) fn subscription_body(name: &str, interval: Duration, agents: &[AgentId], needed_only: bool) -> Vec<u8> {
    let metrics: &[&str] = if needed_only { &NEEDED_METRICS } else { &ALL_METRICS };
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let view = json!({ "id": "users", "metrics": metrics, "filter": { "userId": agents } });
    json!({ "name": name, "interval": interval_ms, "view": view }).to_string().into_bytes()
}

/// Returns the query string that selects skills: `skillId=1,2`.
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

/// Returns the body of a read of queue figures.
pub(super) fn queues_body(queues: &[QueueId]) -> Vec<u8> {
    json!({ "queueIds": queues }).to_string().into_bytes()
}

/// Returns whether the agent is scheduled to work now.
pub(super) fn parse_schedule(reply: &mut ApiReply, secrets: &[&str]) -> Result<bool, Failure> {
    #[derive(Deserialize)]
    struct Schedule {
        status: String,
    }
    let schedule: Schedule = parse_object(reply, "a schedule with its status", secrets)?;
    Ok(schedule.status.eq_ignore_ascii_case("ACTIVE"))
}

/// Returns whether a mandatory break is in progress.
pub(super) fn parse_break_required(reply: &mut ApiReply, secrets: &[&str]) -> Result<bool, Failure> {
    #[derive(Deserialize)]
    struct BreakStatus {
        #[serde(rename = "mandatoryBreakRequired")]
        required: bool,
    }
    let status: BreakStatus = parse_object(reply, "a break status with mandatoryBreakRequired", secrets)?;
    Ok(status.required)
}

/// Returns the subscription's id, and the interval if the answer has one.
pub(super) fn parse_subscription(
    reply: &mut ApiReply,
    secrets: &[&str],
) -> Result<(SubscriptionId, Option<Duration>), Failure> {
    #[derive(Deserialize)]
    struct CreatedSubscription {
        #[serde(rename = "subscriptionId")]
        id: Value,
        #[serde(default)]
        interval: Value,
    }
    let expected = "a subscription with its subscriptionId";
    let created: CreatedSubscription = parse_object(reply, expected, secrets)?;
    let id = text::id_of(&created.id).ok_or_else(|| reply.malformed(expected, secrets))?;
    Ok((SubscriptionId::new(id), created.interval.as_u64().map(Duration::from_millis)))
}

/// Returns the bytes of a snapshot, which are empty if the platform says that nothing changed.
pub(super) fn parse_snapshot(reply: &mut ApiReply, secrets: &[&str]) -> Result<SnapshotBody, Failure> {
    if reply.is_html() {
        return Err(reply.malformed("a snapshot", secrets));
    }
    Ok(SnapshotBody::new(std::mem::take(&mut reply.body)))
}

/// Returns the platform's name of the policy that forbids a change, shortened to what an audit entry can hold.
pub(super) fn conflict_code(body: &[u8], secrets: &[&str]) -> Option<String> {
    let answer: Value = text::parse_lenient(body)?;
    let code =
        ["/code", "/errorCode", "/error", "/error/code"].into_iter().find_map(|at| answer.pointer(at)?.as_str())?;
    Some(excerpt(code.as_bytes(), secrets)).filter(|code| !code.is_empty())
}

fn parse_object<T: DeserializeOwned>(reply: &ApiReply, expected: &str, secrets: &[&str]) -> Result<T, Failure> {
    reply.parse_object().ok_or_else(|| reply.malformed(expected, secrets))
}
