//! The platform room: what a contact-centre platform can be asked, in our words, and what goes wrong when it is asked.
//!
//! [`Platform`] is implemented once per dialect ([`guide`]) and by [`dry_run`]. The pure parts around a call stand beside it:
//! [`budget`], [`retry`], [`breaker`], [`poll`], [`offset`]. Nothing here decides what to ask, repeats a request by itself,
//! reads the store, or keeps state history; the engine does, and takes a slot of the budget before every call.

pub mod address;
pub mod analytics;
pub mod breaker;
pub mod budget;
pub mod client;
pub mod dry_run;
pub mod error;
pub mod feed;
pub mod figures;
pub mod guide;
#[cfg(test)]
mod loopback;
pub mod offset;
pub mod poll;
pub mod retry;
pub mod share;
pub mod snapshot;
pub mod text;
pub mod token;
pub mod trust;
pub mod vitals;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::domain::agents::state::AgentState;
use crate::domain::analytics::{AggregationQuery, QuerySpan};
use crate::domain::ids::{AgentId, QueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::domain::time::UtcMicros;

pub use analytics::{PageAsk, QueryState};
pub use error::{CallError, Effect, Failure, Trouble};
pub use feed::{Command, Feed, FeedCall, FeedMessage};
pub use figures::{FigureComplaint, FiguresRead, ListedQueue, MOST_IN_ONE_READ, ShareUnit};
pub use offset::ClockOffset;
pub use snapshot::{Complaint, Fault, Sighting, SnapshotBody, SnapshotDelta, SnapshotReader, UnreadableRows};
pub use vitals::{CallKind, Vitals};

/// A call under way.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<Answer<T>, CallError>> + Send + 'a>>;

/// One tenant's platform. Every method sends at most one request of its kind and never repeats it; a token that is missing or
/// about to expire is fetched on the way, outside the request budget.
///
/// Dropping the future of a call does not undo the request: its effect is then unknown.
pub trait Platform: Send + Sync + fmt::Debug {
    /// What this dialect can do for this tenant; the same for as long as the adapter lives.
    fn capabilities(&self) -> Capabilities;

    /// Asks for a state. The answer means *accepted*, not *done*. Not idempotent: see [`CallError::effect`].
    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()>;

    /// Whether the platform's own schedule has the agent at work now.
    fn is_scheduled<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool>;

    /// Whether the agent is in a mandatory break now.
    fn break_required<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool>;

    /// Makes a real-time subscription of some agents, which is never all of them by leaving them out: an empty list is
    /// refused without a call. Outside the request budget is only [`Platform::snapshot`], not this.
    fn subscribe<'a>(&'a self, wanted: SubscriptionRequest<'a>) -> Call<'a, Subscription>;

    /// The current snapshot of a subscription, unread. Outside the request budget, but never more often than its interval.
    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody>;

    /// The figures of some skills, at most [`MOST_IN_ONE_READ`]. Within the reporting budget, like the next two.
    fn skill_figures<'a>(&'a self, _skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        figures::not_told("read skill figures")
    }

    /// The queues that there are.
    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        figures::not_told("list the queues")
    }

    /// The figures of some queues, at most [`MOST_IN_ONE_READ`].
    fn queue_figures<'a>(&'a self, _queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        figures::not_told("read queue figures")
    }

    /// Submits an aggregation query over one part of its span, to be read in pages of at most `page_rows` rows. Within the reporting
    /// budget, like the next one. It changes nothing, so that it may be repeated: see [`analytics::after_submit`].
    fn submit_query<'a>(
        &'a self,
        _query: &'a AggregationQuery,
        _part: QuerySpan,
        _page_rows: u32,
    ) -> Call<'a, QueryId> {
        figures::not_told("submit a query")
    }

    /// How a query stands, and some of its rows once it is done. [`Failure::NotFound`] is an id that the platform does not know.
    fn query_page<'a>(&'a self, _ask: PageAsk<'a>) -> Call<'a, QueryState> {
        figures::not_told("read a query's result")
    }

    /// How the connection is: what calls came to, how the token is. Sends nothing.
    fn vitals(&self) -> Vitals;

    /// Opens the live feed, which says nothing before it is told what to show. Outside the request budget; of one tenant there
    /// should never be two.
    fn feed(&self) -> Call<'_, Box<dyn Feed>>;

    /// A reader of this dialect's snapshots for one slice of the roster; it remembers what it read last.
    fn reader(&self, agents: &[AgentId]) -> Box<dyn SnapshotReader>;
}

/// What a dialect can do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says of one method whether it is of use")]
pub struct Capabilities {
    /// The states that [`Platform::set_state`] takes.
    pub settable: Vec<AgentState>,
    /// Whether an agent can be logged out.
    pub can_log_out: bool,
    /// Whether [`Platform::is_scheduled`] has an answer.
    pub tells_schedule: bool,
    /// Whether [`Platform::break_required`] has an answer.
    pub tells_breaks: bool,
    /// Whether there is a [`Platform::feed`].
    pub has_feed: bool,
    /// The shortest interval of a subscription.
    pub shortest_interval: Duration,
    /// How long a subscription lives after it was made.
    pub subscription_life: Duration,
}

/// What came back, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer<T> {
    /// The answer itself.
    pub value: T,
    /// From sending to the last byte, in real time.
    pub latency: Duration,
    /// Our clock just before the request was sent.
    pub asked_at: UtcMicros,
    /// Our clock when the answer was whole.
    pub answered_at: UtcMicros,
    /// The platform's clock by its `Date` header, in whole seconds; feeds [`ClockOffset::observe`].
    pub platform_now: Option<UtcMicros>,
}

impl<T> Answer<T> {
    /// The same answer with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: change(self.value),
            latency: self.latency,
            asked_at: self.asked_at,
            answered_at: self.answered_at,
            platform_now: self.platform_now,
        }
    }
}

/// A subscription that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionRequest<'a> {
    /// A name for the platform's own lists.
    pub name: &'a str,
    /// How often the platform should prepare a snapshot.
    pub interval: Duration,
    /// The agents; never empty.
    pub agents: &'a [AgentId],
    /// How much each row should say.
    pub detail: Detail,
}

/// How much each row of a snapshot should say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// Everything that is shown to people, names and teams too.
    #[default]
    Full,
    /// Only what rules need: for slices whose snapshots are [`SnapshotBody::is_oversize`].
    Needed,
}

/// A subscription that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// The platform's id; survives our restarts.
    pub id: SubscriptionId,
    /// The interval that holds: the answer's where it says one, else the requested one.
    pub interval: Duration,
}
