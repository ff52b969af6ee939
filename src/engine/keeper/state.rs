//! What a keeper owns, and what of it survives a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::agents::observed_span::OpenObservedSpan;
use super::agents::tracking::AgentTracking;
use super::arrival::{PlanQueryResult, StateChangeResult};
use super::changes::open_transitions::OpenTransitions;
use super::published::PublishedView;
use super::rules::catalog::RuleCatalog;
use crate::domain::adherence::exception::Exception;
use crate::domain::agents::merge::FeedObservation;
use crate::domain::agents::roster::Roster;
use crate::domain::ids::{AgentId, RuleId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::request::{IdempotencyKey, KeeperError, RequestedChange};
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::Link;
use crate::platform::breaker::Breaker;
use crate::platform::call_share::CallShare;
use crate::store::CommitError;

/// The parts of a keeper that survive its restart.
#[derive(Clone, Debug)]
pub struct KeeperContext {
    /// The link that the tenant's workers share.
    pub link: Arc<Link>,
    /// The keeper's inbox.
    pub inbox: Arc<Mutex<mpsc::Receiver<KeeperMessage>>>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<TenantSettings>>,
    /// Publishes the roster to the worker that maintains the subscriptions.
    pub roster: watch::Sender<Arc<[AgentId]>>,
}

/// An automatic change that the agent may revert.
#[derive(Clone, Debug)]
pub(super) struct AutomaticChange {
    pub(super) transition: TransitionId,
    pub(super) rule: RuleId,
    pub(super) set_at: UtcMicros,
}

/// The keeper of one tenant.
pub(super) struct Keeper {
    pub(super) link: Arc<Link>,
    /// The settings, including the rules of the store.
    pub(super) settings: Arc<TenantSettings>,
    pub(super) rule_catalog: RuleCatalog,
    /// The exceptions that have not ended.
    pub(super) exceptions: Vec<Exception>,
    pub(super) roster: Roster,
    /// Indexed by position in the roster.
    pub(super) agent_tracking: Vec<AgentTracking>,
    pub(super) open_transitions: OpenTransitions,
    pub(super) breaker: Breaker,
    pub(super) retry_share: CallShare,
    pub(super) read_share: CallShare,
    pub(super) automatic_changes: HashMap<AgentId, AutomaticChange>,
    /// Agents that leave the roster once nothing of theirs is in flight.
    pub(super) finishing: HashSet<AgentId>,
    pub(super) pending_replies: Vec<PendingReply>,
    pub(super) state_change_tasks: JoinSet<StateChangeResult>,
    pub(super) plan_query_tasks: JoinSet<Result<PlanQueryResult, CommitError>>,
    pub(super) roster_sender: watch::Sender<Arc<[AgentId]>>,
    pub(super) started_at: UtcMicros,
    /// When the newest snapshot of each subscription was generated, by the subscription's number.
    pub(super) newest_observations: BTreeMap<u32, UtcMicros>,
    /// The current observed span, as stored.
    pub(super) observed_span: Option<OpenObservedSpan>,
    /// Feed observations that may be older than the known state.
    pub(super) held_feed: BTreeMap<AgentId, FeedObservation>,
    /// Since when the subscriptions have observed the current agents.
    pub(super) observing_since: UtcMicros,
    /// The subscriptions that have been reported as stale.
    pub(super) reported_stale: BTreeSet<u32>,
    pub(super) plans_read_at: UtcMicros,
    /// What has been published to viewers.
    pub(super) published: PublishedView,
    /// How far the wall clock is ahead of steady time; a change means that the clock was set.
    pub(super) ahead_of_steady_us: Option<i64>,
    /// The steady time, in microseconds, since which our clock is known not to have been set, judging by the calls
    /// checked so far.
    pub(super) clock_unchanged_since_us: Option<i64>,
    /// How far steady time is ahead of monotonic time; an increase means that the host slept.
    pub(super) total_host_sleep: Option<Duration>,
    /// When the budget, the breaker or an allowance may permit another call, in monotonic time.
    pub(super) next_slot: Option<Duration>,
    /// The recent mean time from recording a state POST to its answer.
    pub(super) mean_response_time: Option<Duration>,
}

/// The channel for the answer to a request.
pub(super) type Reply = oneshot::Sender<Result<Vec<RequestedChange>, KeeperError>>;

/// A reply that waits for the end of the pass.
#[derive(Debug)]
pub(super) struct PendingReply {
    pub(super) changes: Vec<RequestedChange>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) actor: Arc<str>,
    pub(super) reply: Reply,
}
