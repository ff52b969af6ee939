//! What the messages of the relay hold. Each tells all that is known of what it is about, so that one which comes twice does
//! no harm; `docs/api.md` has them for whoever reads them.
//!
//! Names of agents may be shown to viewers; they are not to be logged.

use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::frame::{Frame, Kind};
use super::narrow::{About, Place};
use crate::domain::adherence::{LiveVerdict, Verdict};
use crate::domain::agents::agent::{Agent, Source};
use crate::domain::agents::roster::AgentSlot;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Status, Transition};
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TeamName, TenantId, TransitionId};
use crate::domain::live::figures::{
    Measure, PPM, QUEUE_MEASURES, QueueFigures, SKILL_MEASURES, SkillFigures, Taken, Unit,
};
use crate::domain::time::UtcMicros;
use crate::store::HistoryRow;

/// What every message begins with: `{"type": "agent", "tenant": "acme", "id": 12, "at": …, …}`.
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

/// A message about a tenant. `at` is the instant of what it tells.
pub fn frame(kind: Kind, tenant: &TenantId, id: Option<u64>, at: UtcMicros, body: impl Serialize) -> Frame {
    Frame::new(kind, id, &Message { kind: kind.name(), tenant, id, at, body })
}

/// What is planned for an agent.
#[derive(Serialize)]
pub struct PlannedShown<'a> {
    /// The activity, `off` outside of shifts, or `uncovered` where the schedule does not speak.
    pub activity: &'a str,
    /// Since when, where the schedule says.
    pub since: Option<UtcMicros>,
    /// The next edge of the plan, where there is one.
    pub until: Option<UtcMicros>,
}

/// A verdict on an agent.
#[derive(Serialize)]
pub struct VerdictShown {
    /// What.
    pub verdict: Verdict,
    /// Since when the facts behind it are as they are.
    pub since: Option<UtcMicros>,
}

impl From<LiveVerdict> for VerdictShown {
    fn from(judged: LiveVerdict) -> Self {
        Self { verdict: judged.verdict, since: judged.since }
    }
}

/// What is planned for an agent at an instant.
pub fn planned(slot: &AgentSlot, now: UtcMicros) -> PlannedShown<'_> {
    let standing = slot.standing(now);
    let activity = standing.activity(slot.plan());
    PlannedShown {
        activity: activity.map_or_else(|| standing.kind().name(), |activity| activity.name()),
        since: standing.since(),
        until: Some(standing.until()).filter(|until| *until != UtcMicros::MAX),
    }
}

/// An agent as the picture has him.
#[derive(Serialize)]
pub struct AgentShown<'a> {
    id: &'a AgentId,
    name: Option<&'a Arc<str>>,
    team: Option<&'a TeamName>,
    zone: Option<&'a Arc<str>>,
    state: Option<&'a AgentState>,
    reason: Option<&'a ReasonCode>,
    queue: Option<&'a Arc<str>>,
    entered_at: Option<UtcMicros>,
    source: Option<Source>,
    transition: Option<TransitionId>,
    seen_at: Option<UtcMicros>,
    age_ms: Option<u64>,
    adherence: VerdictShown,
    planned: PlannedShown<'a>,
    open: Option<TransitionShown<'a>>,
}

impl<'a> AgentShown<'a> {
    /// From the roster, with the verdict on the agent and an open transition.
    pub fn of(slot: &'a AgentSlot, judged: LiveVerdict, open: Option<&'a Transition>, now: UtcMicros) -> Self {
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
            seen_at: slot.seen_at(),
            age_ms: slot.seen_at().map(|at| millis(now.since(at))),
            adherence: judged.into(),
            planned: planned(slot, now),
            open: open.map(|open| TransitionShown::of(open, agent.team.as_ref())),
        }
    }
}

/// Where an agent is, for who watches a team or a queue.
pub fn place_of(slot: &AgentSlot) -> Place {
    Place {
        team: slot.agent().team.clone(),
        queue: slot.observed().and_then(|observed| observed.queue.clone()),
        skills: slot.skills().clone(),
    }
}

/// An agent's message.
#[derive(Serialize)]
pub struct AgentBody<A> {
    /// The agent.
    pub agent: A,
}

/// A row of history as it is told to a viewer who missed it: the state, and nothing that only the picture of then would know.
#[derive(Serialize)]
struct RowBody<'a> {
    replayed: bool,
    agent: RowShown<'a>,
}

#[derive(Serialize)]
struct RowShown<'a> {
    id: &'a AgentId,
    name: Option<&'a Arc<str>>,
    team: Option<&'a TeamName>,
    state: &'a AgentState,
    reason: Option<&'a ReasonCode>,
    queue: Option<&'a Arc<str>>,
    entered_at: UtcMicros,
    source: Source,
    transition: Option<TransitionId>,
}

/// The message of a row of history alone.
pub fn row_frame(id: u64, row: &HistoryRow, agent: Option<&Agent>, at: UtcMicros) -> Frame {
    let shown = RowShown {
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
    frame(Kind::Agent, &row.tenant, Some(id), at, RowBody { replayed: true, agent: shown })
}

/// A verdict or a planned activity that became another one.
#[derive(Serialize)]
pub struct AdherenceBody<'a> {
    /// Of whom.
    pub agent: &'a AgentId,
    /// The agent's team.
    pub team: Option<&'a TeamName>,
    /// Now.
    pub adherence: VerdictShown,
    /// Now.
    pub planned: PlannedShown<'a>,
}

/// An agent who left the roster.
#[derive(Serialize)]
pub struct GoneBody<'a> {
    /// Who.
    pub agent: &'a AgentId,
}

/// A transition as viewers see it.
#[derive(Serialize)]
pub struct TransitionShown<'a> {
    id: TransitionId,
    agent: &'a AgentId,
    team: Option<&'a TeamName>,
    target: &'a AgentState,
    reason: &'a ReasonCode,
    priority: Priority,
    actor: String,
    #[serde(flatten)]
    status: &'a Status,
    open: bool,
    requested_at: UtcMicros,
    deadline: UtcMicros,
    attempts: u32,
    violation: Option<Violation>,
    change_set: Option<ChangeSetId>,
}

impl<'a> TransitionShown<'a> {
    /// Of an agent of a team.
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

/// A transition's message.
#[derive(Serialize)]
pub struct TransitionBody<'a> {
    /// The transition.
    pub transition: TransitionShown<'a>,
}

/// Figures of a skill or a queue. Names have their units with them; a share is of 1.
pub struct FiguresShown<'a> {
    id: &'a str,
    name: Option<&'a Arc<str>>,
    taken_at: UtcMicros,
    age_ms: u64,
    measures: &'a [Measure],
    values: Vec<Option<u64>>,
}

impl<'a> FiguresShown<'a> {
    /// Of a skill.
    pub fn of_skill(taken: &'a Taken<SkillFigures>, now: UtcMicros) -> Self {
        let Taken { at, figures } = taken;
        let (id, name) = (figures.id.as_str(), figures.name.as_ref());
        Self {
            id,
            name,
            taken_at: *at,
            age_ms: millis(now.since(*at)),
            measures: &SKILL_MEASURES,
            values: figures.values().into(),
        }
    }

    /// Of a queue.
    pub fn of_queue(taken: &'a Taken<QueueFigures>, now: UtcMicros) -> Self {
        let Taken { at, figures } = taken;
        let (id, name) = (figures.id.as_str(), figures.name.as_ref());
        Self {
            id,
            name,
            taken_at: *at,
            age_ms: millis(now.since(*at)),
            measures: &QUEUE_MEASURES,
            values: figures.values().into(),
        }
    }

    /// Which skill or queue it is about.
    pub fn about(&self) -> About {
        About::Figures { id: Arc::from(self.id), name: self.name.cloned() }
    }
}

impl Serialize for FiguresShown<'_> {
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

/// A skill's message.
#[derive(Serialize)]
pub struct SkillBody<'a> {
    /// The skill.
    pub skill: &'a FiguresShown<'a>,
}

/// A queue's message.
#[derive(Serialize)]
pub struct QueueBody<'a> {
    /// The queue.
    pub queue: &'a FiguresShown<'a>,
}

/// Why a viewer's line does not go on as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The id that the viewer named is none that the store has given yet: it is of another database.
    UnknownId,
    /// So many rows came since that a fresh picture is the shorter way.
    TooFarBehind,
}

/// What a viewer knows does not lead up to what comes: a snapshot follows.
#[derive(Serialize)]
struct ResetBody {
    reason: ResetReason,
}

/// Tells a viewer that its line begins anew.
pub fn reset_frame(tenant: &TenantId, reason: ResetReason, at: UtcMicros) -> Frame {
    frame(Kind::Reset, tenant, None, at, ResetBody { reason })
}

/// The age of a tenant's picture.
#[derive(Serialize)]
pub struct Age<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// When the oldest of its newest snapshots was generated.
    pub seen_at: Option<UtcMicros>,
    /// How long that is ago.
    pub age_ms: Option<u64>,
    /// When the tenant's feed last said anything, where it has one.
    pub feed_heard_at: Option<UtcMicros>,
    /// How long that is ago.
    pub feed_age_ms: Option<u64>,
}

/// How fresh a tenant's picture is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Freshness {
    /// When the oldest of its newest snapshots was generated; none while one is missing.
    pub seen_at: Option<UtcMicros>,
    /// When its feed last said anything.
    pub feed_heard_at: Option<UtcMicros>,
}

#[derive(Serialize)]
struct Heartbeat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    at: UtcMicros,
    tenants: Vec<Age<'a>>,
}

/// The line lives, and so old is what it tells.
pub fn heartbeat<'a>(at: UtcMicros, seen: impl Iterator<Item = (&'a TenantId, Freshness)>) -> Frame {
    let ago = |instant: Option<UtcMicros>| instant.map(|instant| millis(at.since(instant)));
    let age = |(tenant, Freshness { seen_at, feed_heard_at }): (&'a TenantId, Freshness)| Age {
        tenant,
        seen_at,
        age_ms: ago(seen_at),
        feed_heard_at,
        feed_age_ms: ago(feed_heard_at),
    };
    Frame::new(Kind::Heartbeat, None, &Heartbeat { kind: "heartbeat", at, tenants: seen.map(age).collect() })
}

/// Why a viewer's line ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The daemon stops.
    GoingAway,
    /// The viewer took messages more slowly than they came.
    TooSlow,
    /// The tenant is not in the configuration any more.
    TenantGone,
    /// The token may not look any more.
    NotPermitted,
    /// The viewer named no tenant, and now there is another one that it may watch.
    TenantsChanged,
}

impl EndReason {
    /// The name in messages.
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

/// The last message of a line: why it ends, and after which wait to come back.
pub fn end_frame(reason: EndReason, retry: Duration) -> Frame {
    Frame::new(Kind::End, None, &EndBody { kind: "end", reason, retry_ms: millis(retry) })
}

/// Whole milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
