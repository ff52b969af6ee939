//! Access to a contact-centre platform: the calls that it takes, in terms of the domain, and the ways in which they
//! fail.
//!
//! [`Platform`] is implemented once per dialect ([`guide`], [`incontact`]) and by [`dry_run`]. The modules [`budget`], [`retry`],
//! [`breaker`], [`poll`] and [`offset`] hold the logic around a call and do no I/O. This module does not decide which
//! calls to make, repeats no request by itself, does not read the store and keeps no state history. The engine does all
//! of that, and takes a slot of the budget before every call.

pub mod analytics;
mod api_client;
pub mod breaker;
pub mod budget;
pub mod call_share;
pub mod client;
pub mod directory;
pub mod dry_run;
pub mod error;
pub mod feed;
pub mod figures;
pub mod guide;
pub mod incontact;
pub mod offset;
pub mod poll;
pub mod retry;
pub mod snapshot;
pub mod status;
#[cfg(test)]
mod test_servers;
pub mod text;
pub mod token;
pub mod trust;
pub mod url_path;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::civil::Date;

use crate::domain::agents::past_states::PastState;
use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::UnavailableCode;
use crate::domain::analytics::{AggregationQuery, QuerySpan};
use crate::domain::ids::{AgentId, PlatformQueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::domain::schedules::platform_schedule::PlatformShift;
use crate::domain::time::UtcMicros;

pub use analytics::{PageRequest, QueryState};
pub use directory::{ListPage, ListedAgent, ListedTeam, read_pages};
pub use error::{CallError, Effect, Failure, PlatformTrouble};
pub use feed::{Feed, FeedCall, FeedCommand, FeedMessage};
pub use figures::{FigureDiagnostic, FiguresRead, ListedQueue, MAX_PER_READ, ShareUnit};
pub use offset::ClockOffset;
pub use snapshot::{
    AgentObservation, SnapshotBody, SnapshotDelta, SnapshotDiagnostic, SnapshotFault, SnapshotReader, UnreadableRows,
};
pub use status::{CallKind, PlatformHealth};

/// The future of a platform call.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<Answer<T>, CallError>> + Send + 'a>>;

/// One tenant's platform.
///
/// Every method sends at most one request of its kind and never repeats it. A token that is missing or about to expire
/// is requested first, outside the request budget.
///
/// Dropping the future of a call does not undo the request: its effect is then unknown.
pub trait Platform: Send + Sync + fmt::Debug {
    /// Returns what this dialect can do for this tenant. The result does not change while the adapter exists.
    fn capabilities(&self) -> Capabilities;

    /// Requests a state for an agent. A successful answer means *accepted*, not *done*. Not idempotent: see
    /// [`CallError::effect`].
    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()>;

    /// Returns whether the agent is at work now according to the platform's own schedule.
    fn is_scheduled<'a>(&'a self, _agent: &'a AgentId) -> Call<'a, bool> {
        unsupported("say who is scheduled")
    }

    /// Returns whether the agent has to be in a mandatory break now.
    fn break_required<'a>(&'a self, _agent: &'a AgentId) -> Call<'a, bool> {
        unsupported("say who has to take a break")
    }

    /// Creates a real-time subscription for `request.agents`.
    ///
    /// An empty list of agents never means all agents: it is refused without a call. Unlike [`Platform::snapshot`],
    /// this call counts against the request budget.
    fn subscribe<'a>(&'a self, _request: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        unsupported("subscribe to agents")
    }

    /// Fetches the current snapshot of a subscription, or its next page, unparsed. Must not be called more often than the
    /// subscription's interval, except for further pages. Counts against the request budget only if
    /// [`Capabilities::polls_count`] says so.
    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody>;

    /// Reads the figures of at most [`MAX_PER_READ`] skills. Counts against the reporting budget, as do
    /// [`Platform::queues`] and [`Platform::queue_figures`].
    fn skill_figures<'a>(&'a self, _skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        unsupported("read skill figures")
    }

    /// Lists the queues.
    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        unsupported("list the queues")
    }

    /// Reads the figures of at most [`MAX_PER_READ`] queues.
    fn queue_figures<'a>(&'a self, _queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        unsupported("read queue figures")
    }

    /// Submits an aggregation query over one part of its span, to be read in pages of at most `page_rows` rows.
    ///
    /// Counts against the reporting budget, as does [`Platform::query_page`]. It changes nothing on the platform and
    /// may be repeated: see [`analytics::after_submit`].
    fn submit_query<'a>(
        &'a self,
        _query: &'a AggregationQuery,
        _part: QuerySpan,
        _page_rows: u32,
    ) -> Call<'a, PlatformQueryId> {
        unsupported("submit a query")
    }

    /// Returns the status of a query, and some of its rows once it is done. Fails with [`Failure::NotFound`] if the
    /// platform does not know the id.
    fn query_page<'a>(&'a self, _request: PageRequest<'a>) -> Call<'a, QueryState> {
        unsupported("read a query's result")
    }

    /// Lists the teams, from the row after `skip` on. Counts against the request budget, as do
    /// [`Platform::unavailable_codes`] and [`Platform::listed_agents`].
    fn teams(&self, _skip: usize) -> Call<'_, ListPage<ListedTeam>> {
        unsupported("list the teams")
    }

    /// Lists the unavailable codes of a team. From then on, [`Platform::check_settable`] refuses those that cannot be
    /// set.
    fn unavailable_codes<'a>(&'a self, _team: &'a ListedTeam) -> Call<'a, Vec<UnavailableCode>> {
        unsupported("list a team's unavailable codes")
    }

    /// Lists the agents, from the row after `skip` on; only those who changed since `since`, if it is a
    /// [`ListPage::polled_at`].
    fn listed_agents<'a>(&'a self, _since: Option<&'a str>, _skip: usize) -> Call<'a, ListPage<ListedAgent>> {
        unsupported("list the agents")
    }

    /// Reads the exported schedule of an agent from one day through another, at most seven days, by the id of the user
    /// account. Counts against the request budget.
    fn exported_schedule<'a>(&'a self, _user_id: &'a str, _days: (Date, Date)) -> Call<'a, Vec<PlatformShift>> {
        unsupported("export schedules")
    }

    /// Reads the states that agents entered from one instant until another, on the platform's clock, from the row after
    /// `skip` on. Rows may come late and be corrected. Counts against the request budget.
    fn past_states(&self, _span: (UtcMicros, UtcMicros), _skip: usize) -> Call<'_, ListPage<PastState>> {
        unsupported("read the state history")
    }

    /// Returns why a state cannot be set for an agent, as far as is known without a call.
    fn check_settable(&self, _agent: &AgentId, state: &AgentState, _reason: &ReasonCode) -> Result<(), Failure> {
        if self.capabilities().settable.contains(state) { Ok(()) } else { Err(Failure::cannot_set(state)) }
    }

    /// Returns the configured codes that cannot be set in some team, one sentence each.
    fn code_faults(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns whether an answer of the platform showed that the directory has changed.
    fn is_directory_outdated(&self) -> bool {
        false
    }

    /// Returns the health of the connection: counts of calls and the state of the token. Sends nothing.
    fn status(&self) -> PlatformHealth;

    /// Opens the live feed, which stays silent until it is subscribed to skills. Outside the request budget. A tenant
    /// should have at most one open feed.
    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        unsupported("open a live feed")
    }

    /// Returns a reader of this dialect's snapshots for the given agents. The reader remembers the previous snapshot.
    fn reader(&self, agents: &[AgentId]) -> Box<dyn SnapshotReader>;
}

/// Returns the answer of a dialect that does not offer a call. Nothing is sent.
fn unsupported<'a, T: Send + 'a>(purpose: &'static str) -> Call<'a, T> {
    let failure = Failure::Unsupported { what: purpose.to_owned() };
    Box::pin(std::future::ready(Err(CallError::without_request(purpose, failure))))
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
    pub reports_schedule: bool,
    /// Whether [`Platform::break_required`] has an answer.
    pub reports_breaks: bool,
    /// Whether there are lists of teams and agents, see [`Platform::listed_agents`].
    pub has_directory: bool,
    /// Whether there is a [`Platform::exported_schedule`].
    pub exports_schedules: bool,
    /// Whether there are [`Platform::past_states`].
    pub has_state_history: bool,
    /// Whether there is a [`Platform::feed`].
    pub has_feed: bool,
    /// The shortest interval of a subscription that the platform accepts.
    pub min_interval: Duration,
    /// How long a subscription lives after its creation. If `None`, there are no subscriptions:
    /// [`Platform::subscribe`] sends nothing, and one snapshot shows all agents.
    pub subscription_lifetime: Option<Duration>,
    /// Whether a call of [`Platform::snapshot`] counts against the request budget.
    pub polls_count: bool,
}

/// A successful answer with its times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer<T> {
    /// The answer itself.
    pub value: T,
    /// Real time from sending the request to the last byte of the answer.
    pub latency: Duration,
    /// The daemon's clock just before the request was sent.
    pub sent_at: UtcMicros,
    /// The daemon's clock when the answer was complete.
    pub received_at: UtcMicros,
    /// The platform's clock according to its `Date` header, in whole seconds. Input of [`ClockOffset::observe`].
    pub platform_now: Option<UtcMicros>,
}

impl<T> Answer<T> {
    /// Returns the same answer with its value converted by `change`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: change(self.value),
            latency: self.latency,
            sent_at: self.sent_at,
            received_at: self.received_at,
            platform_now: self.platform_now,
        }
    }
}

/// A request for a subscription.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionRequest<'a> {
    /// The subscription's name in the platform's own lists.
    pub name: &'a str,
    /// How often the platform should prepare a snapshot.
    pub interval: Duration,
    /// The agents; must not be empty.
    pub agents: &'a [AgentId],
    /// How much each row contains.
    pub detail: Detail,
}

/// How much each row of a snapshot contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// Everything that is shown to people, including names and teams.
    #[default]
    Full,
    /// Only what rules need, for subscriptions whose snapshots are [`SnapshotBody::is_oversize`].
    Needed,
}

/// A subscription that the platform created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// The platform's id, which stays valid when the daemon restarts.
    pub id: SubscriptionId,
    /// The interval in effect: the one in the answer, or the requested one if the answer has none.
    pub interval: Duration,
}
