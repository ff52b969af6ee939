//! What the outbox tells the world.
//!
//! The body keeps the shape of guide 003: `{"event": "AGENT_STATE_CHANGED", "timestamp": …, "data": {…}}`. Events of one agent
//! carry a `sequence` that counts from 1 without a hole.

use serde::Serialize;
use serde_json::{Value, json};

use super::ids::{AgentId, EventId, TenantId};
use super::time::UtcMicros;

/// The kinds of event, by the name that endpoints select them with and the name in the body.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventKind {
    /// An agent's state changed, by whomever.
    AgentStateChanged,
    /// A transition ended.
    TransitionFinished,
    /// Policy refused or held a request.
    PolicyViolated,
    /// Automation of a tenant halted.
    AutomationHalted,
    /// It resumed.
    AutomationResumed,
    /// An agent undid an automatic change.
    AgentReversedChange,
    /// The picture is older than decisions allow.
    PictureStale,
    /// A subscription nears the end of its life without a successor.
    SubscriptionNearExpiry,
    /// A snapshot is larger than the limit.
    SnapshotOversize,
    /// A signed head of the audit chain.
    AuditHead,
    /// A schedule was imported.
    ScheduleImported,
    /// A job failed.
    JobFailed,
    /// A rule has something to tell.
    RuleTold,
    /// An endpoint gets nothing any more, until a person says otherwise.
    WebhookDisabled,
    /// A person tries an endpoint; goes to that one alone and is not kept.
    WebhookTest,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::AgentStateChanged,
        Self::TransitionFinished,
        Self::PolicyViolated,
        Self::AutomationHalted,
        Self::AutomationResumed,
        Self::AgentReversedChange,
        Self::PictureStale,
        Self::SubscriptionNearExpiry,
        Self::SnapshotOversize,
        Self::AuditHead,
        Self::ScheduleImported,
        Self::JobFailed,
        Self::RuleTold,
        Self::WebhookDisabled,
        Self::WebhookTest,
    ];

    /// The name that the configuration of an endpoint uses.
    pub const fn selector(self) -> &'static str {
        match self {
            Self::AgentStateChanged => "agent.state_changed",
            Self::TransitionFinished => "transition.finished",
            Self::PolicyViolated => "policy.violated",
            Self::AutomationHalted => "automation.halted",
            Self::AutomationResumed => "automation.resumed",
            Self::AgentReversedChange => "agent.reversed_change",
            Self::PictureStale => "picture.stale",
            Self::SubscriptionNearExpiry => "subscription.near_expiry",
            Self::SnapshotOversize => "snapshot.oversize",
            Self::AuditHead => "audit.head",
            Self::ScheduleImported => "schedule.imported",
            Self::JobFailed => "job.failed",
            Self::RuleTold => "rule.told",
            Self::WebhookDisabled => "webhook.disabled",
            Self::WebhookTest => "webhook.test",
        }
    }

    /// The name in the body's `event`: `AGENT_STATE_CHANGED`.
    pub fn wire_name(self) -> String {
        self.selector().replace('.', "_").to_uppercase()
    }

    /// The kind that a selector names.
    pub fn from_selector(selector: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.selector() == selector)
    }
}

/// An event as the store keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its id, the same at every delivery.
    pub id: EventId,
    /// Whose.
    pub tenant: TenantId,
    /// When it happened.
    pub at: UtcMicros,
    /// What kind.
    pub kind: EventKind,
    /// The agent concerned.
    pub agent: Option<AgentId>,
    /// The number among the agent's events.
    pub sequence: Option<u64>,
    /// The body's `data`.
    pub data: Value,
}

impl Event {
    /// The body as it is delivered.
    pub fn body(&self) -> Value {
        json!({"event": self.kind.wire_name(), "timestamp": self.at, "data": self.data})
    }
}

/// The `data` of [`EventKind::AgentStateChanged`]; the first five fields are guide 003's.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStateChanged<'a> {
    /// The agent.
    pub user_id: &'a AgentId,
    /// The state entered.
    pub new_state: &'a str,
    /// Real milliseconds from send to answer, for a change of ours.
    pub latency_ms: Option<u64>,
    /// Not-ready time of the agent's local day so far, in milliseconds.
    pub idle_time_ms: u64,
    /// Violations of the agent's local day so far.
    pub violation_count: u32,
    /// The state left.
    pub previous_state: Option<&'a str>,
    /// The reason code, where it is known.
    pub reason_code: Option<&'a str>,
    /// Since when the new state holds.
    pub entered_at: UtcMicros,
    /// The transition that brought it about.
    pub transition_id: Option<super::ids::TransitionId>,
    /// The number among the agent's events.
    pub sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_selector() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_selector(kind.selector()), Some(kind));
        }
        assert_eq!(EventKind::AgentStateChanged.wire_name(), "AGENT_STATE_CHANGED");
        assert_eq!(EventKind::PolicyViolated.wire_name(), "POLICY_VIOLATED");
    }

    #[test]
    fn a_body_has_the_shape_of_guide_003() {
        let agent = AgentId::new("u_0001");
        let data = AgentStateChanged {
            user_id: &agent,
            new_state: "Ready",
            latency_ms: Some(120),
            idle_time_ms: 900_000,
            violation_count: 1,
            previous_state: Some("Paused"),
            reason_code: Some("WORKING"),
            entered_at: UtcMicros::EPOCH,
            transition_id: None,
            sequence: 3,
        };
        let event = Event {
            id: EventId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            at: UtcMicros::EPOCH,
            kind: EventKind::AgentStateChanged,
            agent: Some(agent.clone()),
            sequence: Some(3),
            data: serde_json::to_value(&data).expect("plain data"),
        };
        insta::assert_json_snapshot!(event.body(), @r#"
        {
          "data": {
            "enteredAt": "1970-01-01T00:00:00Z",
            "idleTimeMs": 900000,
            "latencyMs": 120,
            "newState": "Ready",
            "previousState": "Paused",
            "reasonCode": "WORKING",
            "sequence": 3,
            "transitionId": null,
            "userId": "u_0001",
            "violationCount": 1
          },
          "event": "AGENT_STATE_CHANGED",
          "timestamp": "1970-01-01T00:00:00Z"
        }
        "#);
    }
}
