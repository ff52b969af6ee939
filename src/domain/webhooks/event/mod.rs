//! The kinds of events that are delivered to endpoints. Each kind has its own data type, so that it cannot carry
//! another's data.
//!
//! The body has the form of guide 003: `{"event": "AGENT_STATE_CHANGED", "timestamp": …, "data": {…}}`. The events of
//! one agent carry a `sequence` that counts from 1 without gaps. `docs/events.md` is generated from these types.

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
    JobFailed, OfferAnswered, OfferMade, OfferProposed, PictureStale, PolicyViolated, ReportCompleted, RuleTold,
    ScheduleImported, SnapshotOversize, SubscriptionNearExpiry, TransitionFinished, WebhookDisabled, WebhookTest,
};
pub use self::schema::schema_of;
pub use crate::domain::audit::head::AuditHead;
use crate::domain::ids::{AgentId, EventId, TenantId};
use crate::domain::time::UtcMicros;

/// The data of one kind of event.
///
/// Its documentation says when the event is sent. That of each field gives its meaning, its unit, and when it is null.
pub trait Details: ToSchema {
    /// Returns the agent concerned and the number among the agent's events.
    fn about(&self) -> Option<(&AgentId, u64)> {
        None
    }

    /// Returns example data for the documentation.
    fn example() -> Self;
}

/// Defines everything that depends on the kind of event in one table.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $selector:literal,)+) => {
        /// A kind of event. Each has a selector for use by endpoints and a name used in the body.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)+
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: [Self; [$(EventKind::$kind),+].len()] = [$(Self::$kind),+];

            /// Returns the name used to select the kind in the configuration of an endpoint.
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

            /// Returns example data for the documentation.
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
            /// Returns the kind of event.
            pub const fn kind(&self) -> EventKind {
                match self {
                    $(Self::$kind(_) => EventKind::$kind,)+
                }
            }

            /// Returns the agent concerned and the number among the agent's events.
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
    /// An agent's state changed, whoever changed it.
    AgentStateChanged = "agent.state_changed",
    /// A transition ended.
    TransitionFinished = "transition.finished",
    /// Policy refused or held a requested change.
    PolicyViolated = "policy.violated",
    /// The automation of a tenant was halted.
    AutomationHalted = "automation.halted",
    /// The automation of a tenant was resumed.
    AutomationResumed = "automation.resumed",
    /// An agent reverted an automatic change.
    AgentReversedChange = "agent.reversed_change",
    /// The live view is older than decisions allow.
    PictureStale = "picture.stale",
    /// A subscription nears its end and has no successor.
    SubscriptionNearExpiry = "subscription.near_expiry",
    /// A snapshot is larger than the limit.
    SnapshotOversize = "snapshot.oversize",
    /// A signed head of the audit chain.
    AuditHead = "audit.head",
    /// A schedule was imported.
    ScheduleImported = "schedule.imported",
    /// A rule proposes to offer a change of shifts to agents.
    OfferProposed = "offer.proposed",
    /// A change of shifts is offered to an agent.
    OfferMade = "offer.made",
    /// An agent accepted or declined an offer.
    OfferAnswered = "offer.answered",
    /// A job failed.
    JobFailed = "job.failed",
    /// A requested report ended.
    ReportCompleted = "report.completed",
    /// A run of an analytics query ended.
    AnalyticsCompleted = "analytics.completed",
    /// A monitored series has an anomaly.
    AnomalyDetected = "anomaly.detected",
    /// An anomaly has ended.
    AnomalyEnded = "anomaly.ended",
    /// A rule sent a message.
    RuleTold = "rule.told",
    /// A rule's change waits for approval.
    ApprovalWaiting = "approval.waiting",
    /// An endpoint was disabled and receives nothing until a person enables it.
    WebhookDisabled = "webhook.disabled",
    /// A person tests an endpoint. The event goes only to that endpoint and is not stored.
    WebhookTest = "webhook.test",
}

impl EventKind {
    /// Returns the schema of the data. All fields are always present, though some may be null.
    pub fn schema(self) -> Object {
        let mut object = self.schema_of_data();
        object.required = object.properties.keys().cloned().collect();
        object
    }

    /// Returns the name used in the body's `event`, such as `AGENT_STATE_CHANGED`.
    pub fn wire_name(self) -> String {
        self.selector().replace('.', "_").to_uppercase()
    }

    /// Returns the kind with this selector.
    pub fn from_selector(selector: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.selector() == selector)
    }
}

/// An event to be stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// The id, which is the same in every delivery.
    pub id: EventId,
    /// The tenant.
    pub tenant: TenantId,
    /// When it happened.
    pub at: UtcMicros,
    /// The data.
    pub data: EventData,
}

/// The body of a delivery with `format = "guide"`.
#[derive(Serialize, ToSchema)]
pub struct Body<'a> {
    /// The data of the event; its fields depend on the kind and are listed below.
    #[schema(value_type = Object)]
    data: &'a EventData,
    /// The kind of event.
    event: String,
    /// When it happened, by the daemon's clock.
    timestamp: UtcMicros,
}

impl Event {
    /// Returns the body as it is stored and delivered.
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
