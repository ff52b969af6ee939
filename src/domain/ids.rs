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
#[error("an id has 32 hexadecimal digits, as in 0192f0c1-7d2e-7cc0-8a51-3f2e6d1b9a77")]
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
    /// The id of a tenant in the configuration. A tenant is one CXone business unit.
    TenantId,
    /// The platform's id of an agent (`userId`). It may be logged, unlike the agent's name.
    AgentId,
    /// The name of a team on the platform or in the schedule.
    TeamName,
    /// The id of a rule, as its file or the API names it.
    RuleId,
    /// A reason code of a state, as the platform spells it, such as `WORKING` or `BREAK`.
    ReasonCode,
    /// The id of a scheduled job in the configuration.
    JobId,
    /// The id of a source of schedules in the configuration.
    ScheduleSourceId,
    /// The platform's id of a real-time subscription.
    SubscriptionId,
    /// The platform's id of an aggregation query.
    PlatformQueryId,
    /// The platform's id of a skill, which is a number on the platform.
    SkillId,
    /// The platform's id of a queue.
    QueueId,
    /// The id of an analytics query in the configuration.
    AnalyticsQueryId,
    /// The id of a monitored series in the configuration.
    SeriesId,
    /// The id of a webhook endpoint in the configuration.
    EndpointId,
}

uuid_ids! {
    /// The id of a transition. UUIDs of version 7 sort by the time of the request.
    TransitionId,
    /// The id of a change set. UUIDs of version 7 sort by the time of the preview.
    ChangeSetId,
    /// The random id that stands for an agent in the audit chain, so that an agent can be erased without changing the
    /// chain.
    SubjectId,
    /// The id of an event.
    EventId,
    /// The id of an exception. UUIDs of version 7 sort by the time of creation.
    ExceptionId,
    /// The id of an offer. UUIDs of version 7 sort by the time of the offer.
    OfferId,
    /// The id of a finding of a rule. UUIDs of version 7 sort by time.
    FindingId,
    /// The id of an anomaly. UUIDs of version 7 sort by the time at which it was found.
    AnomalyId,
    /// The id of an erasure. UUIDs of version 7 sort by the time of the request.
    ErasureId,
    /// The id of a backtest.
    BacktestId,
    /// The id of a requested report. UUIDs of version 7 sort by the time of the request.
    ReportRunId,
    /// The id of a run of an analytics query. UUIDs of version 7 sort by the time of the request.
    AnalyticsRunId,
}
