//! The contents of live messages. Each message holds everything known about its subject, so that receiving one twice
//! does no harm; `docs/api.md` describes them.
//!
//! Names of agents may be shown to viewers but must not be logged.

use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::filter::{AgentMembership, MessageSubject};
use super::frame::{Frame, Kind};
use crate::domain::adherence::{CurrentVerdict, Verdict};
use crate::domain::agents::agent::{Agent, ObservationSource};
use crate::domain::agents::roster::AgentRecord;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Transition, TransitionStatus};
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TeamName, TenantId, TransitionId};
use crate::domain::live::figures::{
    Measure, PPM, QUEUE_MEASURES, QueueFigures, SKILL_MEASURES, SkillFigures, TimedFigures, Unit,
};
use crate::domain::time::UtcMicros;
use crate::store::HistoryRow;

/// The common start of every message: `{"type": "agent", "tenant": "acme", "id": 12, "at": …, …}`.
#[derive(Serialize)]
struct Message<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    tenant: &'a TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    at: UtcMicros,
    #[serde(flatten)]
    body: T,
}

/// Encodes a message about a tenant. `at` is the time of what it reports.
pub fn frame(kind: Kind, tenant: &TenantId, id: Option<u64>, at: UtcMicros, body: impl Serialize) -> Frame {
    Frame::new(kind, id, &Message { kind: kind.name(), tenant, id, at, body })
}

/// An agent's planned activity.
#[derive(Serialize)]
pub struct PlannedView<'a> {
    /// The activity, `off` outside of shifts, or `uncovered` where the schedule has no data.
    pub activity: &'a str,
    /// When it started, if the schedule says.
    pub since: Option<UtcMicros>,
    /// When the plan changes next, if it does.
    pub until: Option<UtcMicros>,
}

/// An agent's adherence verdict.
#[derive(Serialize)]
pub struct VerdictView {
    /// The verdict.
    pub verdict: Verdict,
    /// Since when the facts behind it have been unchanged.
    pub since: Option<UtcMicros>,
}

impl From<CurrentVerdict> for VerdictView {
    fn from(judged: CurrentVerdict) -> Self {
        Self { verdict: judged.verdict, since: judged.since }
    }
}

/// Returns what is planned for an agent at an instant.
pub fn planned_view(slot: &AgentRecord, now: UtcMicros) -> PlannedView<'_> {
    let standing = slot.plan_position(now);
    let activity = standing.activity(slot.plan());
    PlannedView {
        activity: activity.map_or_else(|| standing.kind().name(), |activity| activity.name()),
        since: standing.since(),
        until: Some(standing.until()).filter(|until| *until != UtcMicros::MAX),
    }
}

/// An agent in the live view.
#[derive(Serialize)]
pub struct AgentView<'a> {
    id: &'a AgentId,
    name: Option<&'a Arc<str>>,
    team: Option<&'a TeamName>,
    zone: Option<&'a Arc<str>>,
    state: Option<&'a AgentState>,
    reason: Option<&'a ReasonCode>,
    queue: Option<&'a Arc<str>>,
    entered_at: Option<UtcMicros>,
    source: Option<ObservationSource>,
    transition: Option<TransitionId>,
    seen_at: Option<UtcMicros>,
    age_ms: Option<u64>,
    adherence: VerdictView,
    planned: PlannedView<'a>,
    open: Option<TransitionView<'a>>,
}

impl<'a> AgentView<'a> {
    /// Creates the view from the agent's record, the verdict and the open transition.
    pub fn of(slot: &'a AgentRecord, judged: CurrentVerdict, open: Option<&'a Transition>, now: UtcMicros) -> Self {
        let (agent, observed) = (slot.agent(), slot.observed());
        Self {
            id: &agent.id,
            name: agent.name.as_ref(),
            team: agent.team.as_ref(),
            zone: agent.zone.as_ref(),
            state: observed.map(|observed| &observed.state),
            reason: observed.and_then(|observed| observed.reason.as_ref()),
            queue: observed.and_then(|observed| observed.queue.as_ref()),
            entered_at: observed.map(|observed| observed.entered_at),
            source: observed.map(|observed| observed.source),
            transition: observed.and_then(|observed| observed.transition),
            seen_at: slot.last_observed_at(),
            age_ms: slot.last_observed_at().map(|at| millis(now.since(at))),
            adherence: judged.into(),
            planned: planned_view(slot, now),
            open: open.map(|open| TransitionView::of(open, agent.team.as_ref())),
        }
    }
}

/// Returns an agent's team, queue and skills, for filters.
pub fn membership_of(slot: &AgentRecord) -> AgentMembership {
    AgentMembership {
        team: slot.agent().team.clone(),
        queue: slot.observed().and_then(|observed| observed.queue.clone()),
        skills: slot.skills().clone(),
    }
}

/// The body of an agent message.
#[derive(Serialize)]
pub struct AgentBody<A> {
    /// The agent.
    pub agent: A,
}

/// A history row for a viewer who missed it: the state only, without verdict and plan, which were not stored.
#[derive(Serialize)]
struct HistoryRowBody<'a> {
    replayed: bool,
    agent: HistoryRowView<'a>,
}

#[derive(Serialize)]
struct HistoryRowView<'a> {
    id: &'a AgentId,
    name: Option<&'a Arc<str>>,
    team: Option<&'a TeamName>,
    state: &'a AgentState,
    reason: Option<&'a ReasonCode>,
    queue: Option<&'a Arc<str>>,
    entered_at: UtcMicros,
    source: ObservationSource,
    transition: Option<TransitionId>,
}

/// Encodes a history row that a viewer missed.
pub fn history_row_frame(id: u64, row: &HistoryRow, agent: Option<&Agent>, at: UtcMicros) -> Frame {
    let view = HistoryRowView {
        id: &row.agent,
        name: agent.and_then(|agent| agent.name.as_ref()),
        team: agent.and_then(|agent| agent.team.as_ref()),
        state: &row.state,
        reason: row.reason.as_ref(),
        queue: row.queue.as_ref(),
        entered_at: row.entered_at,
        source: row.source,
        transition: row.transition,
    };
    frame(Kind::Agent, &row.tenant, Some(id), at, HistoryRowBody { replayed: true, agent: view })
}

/// The body of a message about a changed verdict or planned activity.
#[derive(Serialize)]
pub struct AdherenceBody<'a> {
    /// The agent.
    pub agent: &'a AgentId,
    /// The agent's team.
    pub team: Option<&'a TeamName>,
    /// The verdict now.
    pub adherence: VerdictView,
    /// The plan now.
    pub planned: PlannedView<'a>,
}

/// The body of a message about an agent who left the roster.
#[derive(Serialize)]
pub struct AgentLeftBody<'a> {
    /// The agent.
    pub agent: &'a AgentId,
}

/// A transition as shown to viewers.
#[derive(Serialize)]
pub struct TransitionView<'a> {
    id: TransitionId,
    agent: &'a AgentId,
    team: Option<&'a TeamName>,
    target: &'a AgentState,
    reason: &'a ReasonCode,
    priority: Priority,
    actor: String,
    #[serde(flatten)]
    status: &'a TransitionStatus,
    open: bool,
    requested_at: UtcMicros,
    deadline: UtcMicros,
    attempts: u32,
    violation: Option<Violation>,
    change_set: Option<ChangeSetId>,
}

impl<'a> TransitionView<'a> {
    /// Creates the view of a transition, with its agent's team.
    pub fn of(transition: &'a Transition, team: Option<&'a TeamName>) -> Self {
        Self {
            id: transition.id,
            agent: &transition.agent,
            team,
            target: &transition.target,
            reason: &transition.reason,
            priority: transition.priority,
            actor: transition.actor.label(),
            status: &transition.status,
            open: !transition.status.is_final(),
            requested_at: transition.requested_at,
            deadline: transition.deadline,
            attempts: transition.attempts,
            violation: transition.violation,
            change_set: transition.change_set,
        }
    }
}

/// The body of a transition message.
#[derive(Serialize)]
pub struct TransitionBody<'a> {
    /// The transition.
    pub transition: TransitionView<'a>,
}

/// The figures of a skill or a queue. Field names include the unit; shares are from 0 to 1.
pub struct FiguresView<'a> {
    id: &'a str,
    name: Option<&'a Arc<str>>,
    taken_at: UtcMicros,
    age_ms: u64,
    measures: &'a [Measure],
    values: Vec<Option<u64>>,
}

impl<'a> FiguresView<'a> {
    /// Creates the view of a skill's figures.
    pub fn of_skill(TimedFigures { at, figures }: &'a TimedFigures<SkillFigures>, now: UtcMicros) -> Self {
        Self {
            id: figures.id.as_str(),
            name: figures.name.as_ref(),
            taken_at: *at,
            age_ms: millis(now.since(*at)),
            measures: &SKILL_MEASURES,
            values: figures.values().into(),
        }
    }

    /// Creates the view of a queue's figures.
    pub fn of_queue(TimedFigures { at, figures }: &'a TimedFigures<QueueFigures>, now: UtcMicros) -> Self {
        Self {
            id: figures.id.as_str(),
            name: figures.name.as_ref(),
            taken_at: *at,
            age_ms: millis(now.since(*at)),
            measures: &QUEUE_MEASURES,
            values: figures.values().into(),
        }
    }

    /// Returns the subject for filters.
    pub fn subject(&self) -> MessageSubject {
        MessageSubject::Figures { id: Arc::from(self.id), name: self.name.cloned() }
    }
}

impl Serialize for FiguresView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("taken_at", &self.taken_at)?;
        map.serialize_entry("age_ms", &self.age_ms)?;
        for (measure, value) in self.measures.iter().zip(&self.values) {
            match measure.unit {
                Unit::Ppm => map.serialize_entry(measure.name, &value.map(share))?,
                Unit::Count | Unit::Seconds | Unit::Millis => map.serialize_entry(measure.column, value)?,
            }
        }
        map.end()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a million at the most")]
fn share(ppm: u64) -> f64 {
    ppm as f64 / PPM as f64
}

/// The body of a skill message.
#[derive(Serialize)]
pub struct SkillBody<'a> {
    /// The skill.
    pub skill: &'a FiguresView<'a>,
}

/// The body of a queue message.
#[derive(Serialize)]
pub struct QueueBody<'a> {
    /// The queue.
    pub queue: &'a FiguresView<'a>,
}

/// Why a viewer cannot continue from its last message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The store has never assigned the viewer's id; it belongs to another database.
    UnknownId,
    /// The viewer missed so many rows that a new snapshot is shorter.
    TooFarBehind,
}

/// The body of a reset message: the viewer cannot continue, and a snapshot follows.
#[derive(Serialize)]
struct ResetBody {
    reason: ResetReason,
}

/// Encodes a reset message.
pub fn reset_frame(tenant: &TenantId, reason: ResetReason, at: UtcMicros) -> Frame {
    frame(Kind::Reset, tenant, None, at, ResetBody { reason })
}

/// The age of a tenant's live view.
#[derive(Serialize)]
pub struct TenantFreshness<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// When the oldest of its newest snapshots was generated.
    pub seen_at: Option<UtcMicros>,
    /// The age of that snapshot, in milliseconds.
    pub age_ms: Option<u64>,
    /// When the tenant's feed last sent anything, if it has one.
    pub feed_heard_at: Option<UtcMicros>,
    /// The time since then, in milliseconds.
    pub feed_age_ms: Option<u64>,
}

/// How fresh a tenant's live view is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Freshness {
    /// When the oldest of its newest snapshots was generated; `None` while one is missing.
    pub observed_at: Option<UtcMicros>,
    /// When its feed last sent anything.
    pub feed_message_at: Option<UtcMicros>,
}

#[derive(Serialize)]
struct Heartbeat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    at: UtcMicros,
    tenants: Vec<TenantFreshness<'a>>,
}

/// Encodes a heartbeat with the age of each tenant's live view.
pub fn heartbeat<'a>(at: UtcMicros, freshness: impl Iterator<Item = (&'a TenantId, Freshness)>) -> Frame {
    let ago = |instant: Option<UtcMicros>| instant.map(|instant| millis(at.since(instant)));
    let age =
        |(tenant, Freshness { observed_at: seen_at, feed_message_at: feed_heard_at }): (&'a TenantId, Freshness)| {
            TenantFreshness { tenant, seen_at, age_ms: ago(seen_at), feed_heard_at, feed_age_ms: ago(feed_heard_at) }
        };
    Frame::new(Kind::Heartbeat, None, &Heartbeat { kind: "heartbeat", at, tenants: freshness.map(age).collect() })
}

/// Why a viewer's connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The daemon is stopping.
    GoingAway,
    /// The viewer read messages more slowly than they were published.
    TooSlow,
    /// The tenant is no longer configured.
    TenantGone,
    /// The token no longer has access.
    NotPermitted,
    /// The viewer named no tenant, and the tenants that it may watch have changed.
    TenantsChanged,
}

impl EndReason {
    /// Returns the name used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GoingAway => "going_away",
            Self::TooSlow => "too_slow",
            Self::TenantGone => "tenant_gone",
            Self::NotPermitted => "not_permitted",
            Self::TenantsChanged => "tenants_changed",
        }
    }
}

#[derive(Serialize)]
struct EndBody {
    #[serde(rename = "type")]
    kind: &'static str,
    reason: EndReason,
    retry_ms: u64,
}

/// Encodes the last message of a connection: why it ends, and after which time to reconnect.
pub fn end_frame(reason: EndReason, retry: Duration) -> Frame {
    Frame::new(Kind::End, None, &EndBody { kind: "end", reason, retry_ms: millis(retry) })
}

/// Returns a duration in whole milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
