//! One type per kind of identifier, so that an agent's id cannot be passed as a rule's.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Creates an id from the text as it is, without trimming or case folding.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }
    )+};
}

/// The error for a text that is not a valid UUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an id is 32 hexadecimal digits, as in 0192f0c1-7d2e-7cc0-8a51-3f2e6d1b9a77")]
pub struct InvalidId;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = "uuid")]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId)
            }
        }
    )+};
}

text_ids! {
    /// One CXone business unit, as the configuration names it.
    TenantId,
    /// An agent's id on the platform (`userId`). May be logged; the agent's name may not.
    AgentId,
    /// An agent's team, by its name on the platform or in the schedule.
    TeamName,
    /// A rule's id, as its file or the API names it.
    RuleId,
    /// A reason code that goes with a state, as the platform spells it (`WORKING`, `BREAK`, …).
    ReasonCode,
    /// A job's id, as the configuration names it.
    JobId,
    /// The id the platform gave a real-time subscription.
    SubscriptionId,
    /// The id the platform gave an aggregation query.
    PlatformQueryId,
    /// A skill, by the platform's id (a number there).
    SkillId,
    /// A queue, by the platform's id.
    QueueId,
    /// An analytics query, as the configuration names it.
    AnalyticsQueryId,
    /// A watched series, as the configuration names it.
    SeriesId,
    /// An endpoint of webhooks, as the configuration names it.
    EndpointId,
}

uuid_ids! {
    /// One wanted state change of one agent. Version 7, so that ids sort by the time of the request.
    TransitionId,
    /// One bulk change by a person. Version 7, so that ids sort by the time of the preview.
    ChangeSetId,
    /// The random name that stands for an agent in the audit chain; erasing the agent leaves the chain whole.
    SubjectId,
    /// One event of the outbox.
    EventId,
    /// One exception. Version 7, so that ids sort by when it was made.
    ExceptionId,
    /// One finding of a rule about an agent. Version 7, so that ids sort by time.
    FindingId,
    /// One anomaly of a watched series. Version 7, so that ids sort by when it was found.
    AnomalyId,
    /// One erasure of an agent. Version 7, so that ids sort by when it was asked for.
    ErasureId,
    /// One trial of rules over history.
    BacktestId,
    /// One report that the daemon was asked for. Version 7, so that ids sort by time.
    ReportRunId,
    /// One run of an analytics query. Version 7, so that ids sort by time.
    AnalyticsRunId,
}
