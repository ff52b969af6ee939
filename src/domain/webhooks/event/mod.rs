//! What the outbox tells the world: the kinds of event, and for each the type of its data, so that a kind cannot go with the
//! data of another.
//!
//! The body keeps the shape of guide 003: `{"event": "AGENT_STATE_CHANGED", "timestamp": …, "data": {…}}`. Events of one agent
//! carry a `sequence` that counts from 1 without a hole. `docs/events.md` is written from here.

mod anomaly;
mod data;
mod schema;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

pub use self::anomaly::{AnomalyDetected, AnomalyEnded};
pub(in crate::domain) use self::data::EXAMPLE_AT;
pub use self::data::{
    AgentReversedChange, AgentStateChanged, AnalyticsCompleted, ApprovalWaiting, AutomationHalted, AutomationResumed,
    JobFailed, PictureStale, PolicyViolated, ReportCompleted, RuleTold, ScheduleImported, SnapshotOversize,
    SubscriptionNearExpiry, TransitionFinished, WebhookDisabled, WebhookTest,
};
pub use self::schema::schema_of;
pub use crate::domain::audit::head::AuditHead;
use crate::domain::ids::{AgentId, EventId, TenantId};
use crate::domain::time::UtcMicros;

/// The data of one kind of event. Its documentation says when the event comes; that of each field what it means, in which unit,
/// and when it is null.
pub trait Details: ToSchema {
    /// The agent whom it is about, and the number among the agent's events.
    fn about(&self) -> Option<(&AgentId, u64)> {
        None
    }

    /// One for people to look at.
    fn example() -> Self;
}

/// Everything that goes by the kind of event stands in this one table.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $selector:literal,)+) => {
        /// The kinds of event, by the name that endpoints select them with and the name in the body.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)+
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: [Self; [$(EventKind::$kind),+].len()] = [$(Self::$kind),+];

            /// The name that the configuration of an endpoint uses.
            pub const fn selector(self) -> &'static str {
                match self {
                    $(Self::$kind => $selector,)+
                }
            }

            fn schema_of_data(self) -> Object {
                match self {
                    $(Self::$kind => schema_of::<$kind>(),)+
                }
            }

            /// Data for people to look at.
            pub fn example(self) -> EventData {
                match self {
                    $(Self::$kind => $kind::example().into(),)+
                }
            }
        }

        /// The `data` of an event, by its kind.
        #[derive(Clone, PartialEq, Debug, Serialize)]
        #[serde(untagged)]
        pub enum EventData {
            $($(#[$doc])* $kind($kind),)+
        }

        impl EventData {
            /// What kind of event it makes.
            pub const fn kind(&self) -> EventKind {
                match self {
                    $(Self::$kind(_) => EventKind::$kind,)+
                }
            }

            /// The agent whom it is about, and the number among the agent's events.
            pub fn about(&self) -> Option<(&AgentId, u64)> {
                match self {
                    $(Self::$kind(data) => data.about(),)+
                }
            }
        }

        $(impl From<$kind> for EventData {
            fn from(data: $kind) -> Self {
                Self::$kind(data)
            }
        })+
    };
}

kinds! {
    /// An agent's state changed, by whomever.
    AgentStateChanged = "agent.state_changed",
    /// A transition ended.
    TransitionFinished = "transition.finished",
    /// Policy refused or held a request.
    PolicyViolated = "policy.violated",
    /// Automation of a tenant halted.
    AutomationHalted = "automation.halted",
    /// It resumed.
    AutomationResumed = "automation.resumed",
    /// An agent undid an automatic change.
    AgentReversedChange = "agent.reversed_change",
    /// The picture is older than decisions allow.
    PictureStale = "picture.stale",
    /// A subscription nears the end of its life without a successor.
    SubscriptionNearExpiry = "subscription.near_expiry",
    /// A snapshot is larger than the limit.
    SnapshotOversize = "snapshot.oversize",
    /// A signed head of the audit chain.
    AuditHead = "audit.head",
    /// A schedule was imported.
    ScheduleImported = "schedule.imported",
    /// A job failed.
    JobFailed = "job.failed",
    /// A report that somebody asked for ended.
    ReportCompleted = "report.completed",
    /// A run of an analytics query ended.
    AnalyticsCompleted = "analytics.completed",
    /// A watched series is odd.
    AnomalyDetected = "anomaly.detected",
    /// An anomaly is over.
    AnomalyEnded = "anomaly.ended",
    /// A rule has something to tell.
    RuleTold = "rule.told",
    /// A rule's change waits for a person.
    ApprovalWaiting = "approval.waiting",
    /// An endpoint gets nothing any more, until a person says otherwise.
    WebhookDisabled = "webhook.disabled",
    /// A person tries an endpoint; goes to that one alone and is not kept.
    WebhookTest = "webhook.test",
}

impl EventKind {
    /// What its data looks like. All fields are always there, also those that may be null.
    pub fn schema(self) -> Object {
        let mut object = self.schema_of_data();
        object.required = object.properties.keys().cloned().collect();
        object
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

/// An event on its way into the store.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its id, the same at every delivery.
    pub id: EventId,
    /// Whose.
    pub tenant: TenantId,
    /// When it happened.
    pub at: UtcMicros,
    /// What happened.
    pub data: EventData,
}

/// The body of a delivery with `format = "guide"`.
#[derive(Serialize, ToSchema)]
pub struct Body<'a> {
    /// What is told, by the kind of event: below.
    #[schema(value_type = Object)]
    data: &'a EventData,
    /// The kind of event.
    event: String,
    /// When it happened, by the daemon's clock.
    timestamp: UtcMicros,
}

impl Event {
    /// The body as it is stored and delivered.
    pub fn body(&self) -> Body<'_> {
        Body { data: &self.data, event: self.data.kind().wire_name(), timestamp: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_selector() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_selector(kind.selector()), Some(kind));
            assert_eq!(kind.example().kind(), kind);
        }
        assert_eq!(EventKind::AgentStateChanged.wire_name(), "AGENT_STATE_CHANGED");
        assert_eq!(EventKind::PolicyViolated.wire_name(), "POLICY_VIOLATED");
    }

    #[test]
    fn a_body_has_the_shape_of_guide_003() {
        let event = Event {
            id: EventId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            at: UtcMicros::EPOCH,
            data: AgentStateChanged { sequence: 3, transition_id: None, ..AgentStateChanged::example() }.into(),
        };
        insta::assert_json_snapshot!(serde_json::to_value(event.body()).expect("plain data"), @r#"
        {
          "data": {
            "enteredAt": "2026-10-26T13:30:00Z",
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

    #[test]
    fn the_fields_that_are_listed_are_those_that_are_written() {
        for kind in EventKind::ALL {
            let written = serde_json::to_value(kind.example()).expect("plain data");
            let written: Vec<_> = written.as_object().expect("an object").keys().cloned().collect();
            let mut listed: Vec<_> = kind.schema().properties.keys().cloned().collect();
            listed.sort();
            assert_eq!(listed, written, "{}", kind.selector());
            let about = kind.example().about().is_some();
            assert_eq!(about, listed.iter().any(|name| name == "sequence"), "{}", kind.selector());
        }
    }
}
