//! A tenant's agents as they stand, for lists: who, in which state, what is planned and what comes next, and the verdict.
//!
//! The keeper alone has that, and fills a board after a commit; whoever asks within a second shares it. It is the relay's picture of
//! an agent with what only a list needs. Names of agents may be shown; they are not to be logged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::domain::adherence::{AdherenceSettings, LiveVerdict, Verdict};
use crate::domain::agents::agent::Source;
use crate::domain::agents::roster::AgentSlot;
use crate::domain::agents::skill::Skills;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Status, Transition};
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, SkillId, TeamName, TenantId, TransitionId};
use crate::domain::live::thresholds::{Level, Thresholds};
use crate::domain::rules::planner::DecideSettings;
use crate::domain::schedules::schedule::Segment;
use crate::domain::time::UtcMicros;
use crate::engine::changes::door::DoorError;
use crate::engine::message::Message;
use crate::engine::operations::tenants::Tenants;

/// A board serves whoever comes within this, in real time.
const SHARED_REAL: Duration = Duration::from_secs(1);

/// An agent as the picture has him.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Agent)]
pub struct AgentCard {
    /// The id on the platform.
    pub id: AgentId,
    /// The name, where one is known.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team, where it is known.
    pub team: Option<TeamName>,
    /// The IANA zone, where it is known.
    #[schema(value_type = Option<String>)]
    pub zone: Option<Arc<str>>,
    /// The state last seen; null where nobody ever saw the agent.
    pub state: Option<AgentState>,
    /// Its reason code; known only after a change of ours.
    pub reason: Option<ReasonCode>,
    /// The queue that the platform names.
    #[schema(value_type = Option<String>)]
    pub queue: Option<Arc<str>>,
    /// Since when the state holds.
    pub entered_at: Option<UtcMicros>,
    /// How long that is, in milliseconds.
    pub in_state_ms: Option<u64>,
    /// How that stands against the tenant's thresholds: `watch` is long, `act` too long, null neither.
    pub in_state_level: Option<Level>,
    /// Where the knowledge of the state comes from.
    pub source: Option<Source>,
    /// The change of ours that brought the state about.
    pub transition: Option<TransitionId>,
    /// When the newest sight that included the agent was generated.
    pub seen_at: Option<UtcMicros>,
    /// How old that sight is, in milliseconds.
    pub age_ms: Option<u64>,
    /// Whether the state is one that the plan allows.
    pub adherence: VerdictCard,
    /// What is planned now.
    pub planned: PlannedCard,
    /// A break that must be taken is planned now.
    pub mandatory: bool,
    /// What is planned next in the shift, or the start of the next one.
    pub next: Option<NextCard>,
    /// The change that is under way for the agent.
    pub open: Option<OpenCard>,
    /// The agent's skills, by id, as a schedule file or a person said them.
    pub skills: Vec<SkillId>,
    /// The same with what is known of them.
    #[serde(skip)]
    pub carried: Skills,
}

/// A verdict.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentAdherence)]
pub struct VerdictCard {
    /// What.
    pub verdict: Verdict,
    /// Since when the facts behind it are as they are.
    pub since: Option<UtcMicros>,
}

/// What is planned.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentPlanned)]
pub struct PlannedCard {
    /// The activity, `off` outside of shifts, or `uncovered` where no schedule speaks.
    pub activity: String,
    /// Since when, where the schedule says.
    pub since: Option<UtcMicros>,
    /// The next edge of the plan, where there is one.
    pub until: Option<UtcMicros>,
}

/// What is planned next.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentNext)]
pub struct NextCard {
    /// The activity.
    pub activity: String,
    /// Its first instant.
    pub start: UtcMicros,
    /// The first instant after it.
    pub end: UtcMicros,
    /// A break that must be taken.
    pub mandatory: bool,
}

/// A change under way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenTransition)]
pub struct OpenCard {
    /// Its id.
    pub id: TransitionId,
    /// For whom.
    pub agent: AgentId,
    /// The agent's team.
    pub team: Option<TeamName>,
    /// The wanted state.
    pub target: AgentState,
    /// With this reason code.
    pub reason: ReasonCode,
    /// How urgent.
    pub priority: Priority,
    /// Who wanted it: `person:` and an id, `rule:` and an id, or `daemon`.
    pub actor: String,
    /// Where it stands.
    #[serde(flatten)]
    pub status: Status,
    /// It has not ended.
    pub open: bool,
    /// When it was requested.
    pub requested_at: UtcMicros,
    /// No attempt starts after this instant.
    pub deadline: UtcMicros,
    /// Attempts so far.
    pub attempts: u32,
    /// The policy that held it, if one did.
    pub violation: Option<Violation>,
    /// The change set that it is a part of.
    pub change_set: Option<ChangeSetId>,
}

impl AgentCard {
    /// From the roster, with the verdict on the agent and an open transition.
    pub fn of(
        slot: &AgentSlot,
        judged: LiveVerdict,
        open: Option<&Transition>,
        thresholds: &Thresholds,
        now: UtcMicros,
    ) -> Self {
        let (agent, observed, standing) = (slot.agent(), slot.observed(), slot.standing(now));
        let activity = standing.activity(slot.plan());
        let planned = PlannedCard {
            activity: activity.map_or_else(|| standing.kind().name(), |activity| activity.name()).to_owned(),
            since: standing.since(),
            until: Some(standing.until()).filter(|until| *until != UtcMicros::MAX),
        };
        Self {
            id: agent.id.clone(),
            name: agent.name.clone(),
            team: agent.team.clone(),
            zone: agent.zone.clone(),
            state: observed.map(|observed| observed.state.clone()),
            reason: observed.and_then(|observed| observed.reason.clone()),
            queue: observed.and_then(|observed| observed.queue.clone()),
            entered_at: observed.map(|observed| observed.entered_at),
            in_state_ms: observed.map(|observed| millis(now.since(observed.entered_at))),
            in_state_level: observed
                .and_then(|observed| thresholds.level(&observed.state, now.since(observed.entered_at))),
            source: observed.map(|observed| observed.source),
            transition: observed.and_then(|observed| observed.transition),
            seen_at: slot.seen_at(),
            age_ms: slot.seen_at().map(|at| millis(now.since(at))),
            adherence: VerdictCard { verdict: judged.verdict, since: judged.since },
            planned,
            mandatory: standing.mandatory(),
            next: next(slot, now).map(NextCard::from),
            open: open.map(|open| OpenCard::of(open, agent.team.clone())),
            skills: slot.skills().iter().map(|skill| skill.id.clone()).collect(),
            carried: slot.skills().clone(),
        }
    }
}

/// The segment after the one that runs, or the first to come.
fn next(slot: &AgentSlot, now: UtcMicros) -> Option<&Segment> {
    let plan = slot.plan();
    plan.segments().get(plan.first_starting_after(now))
}

impl From<&Segment> for NextCard {
    fn from(segment: &Segment) -> Self {
        Self {
            activity: segment.activity.name().to_owned(),
            start: segment.start,
            end: segment.end,
            mandatory: segment.mandatory,
        }
    }
}

impl OpenCard {
    fn of(transition: &Transition, team: Option<TeamName>) -> Self {
        Self {
            id: transition.id,
            agent: transition.agent.clone(),
            team,
            target: transition.target.clone(),
            reason: transition.reason.clone(),
            priority: transition.priority,
            actor: transition.actor.label(),
            status: transition.status.clone(),
            open: !transition.status.is_final(),
            requested_at: transition.requested_at,
            deadline: transition.deadline,
            attempts: transition.attempts,
            violation: transition.violation,
            change_set: transition.change_set,
        }
    }
}

/// Whole milliseconds.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// All agents of a tenant at one instant.
#[derive(Debug)]
pub struct Board {
    /// When.
    pub at: UtcMicros,
    /// When the oldest of the newest snapshots was generated; none while one is missing.
    pub seen_at: Option<UtcMicros>,
    /// Older than this, a sight tells nothing of now.
    pub stale_after: Duration,
    /// Which states the tenant's activities allow.
    pub adherence: AdherenceSettings,
    /// The agents, in no order.
    pub agents: Vec<AgentCard>,
}

impl Board {
    /// With these agents, judged by these settings.
    pub fn new(at: UtcMicros, seen_at: Option<UtcMicros>, settings: &DecideSettings, agents: Vec<AgentCard>) -> Self {
        let (stale_after, adherence) = (settings.stale_after, settings.adherence.clone());
        Self { at, seen_at, stale_after, adherence, agents }
    }

    /// The agent of this id.
    pub fn agent(&self, id: &AgentId) -> Option<&AgentCard> {
        self.agents.iter().find(|card| card.id == *id)
    }
}

/// A board that several share with when it was taken, and who waits for it.
type Shared = Arc<tokio::sync::Mutex<Option<(Duration, Arc<Board>)>>>;

/// Asks keepers for boards. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Boards {
    tenants: Tenants,
    shared: Arc<Mutex<BTreeMap<TenantId, Shared>>>,
}

impl Boards {
    /// Of these tenants.
    pub fn new(tenants: Tenants) -> Self {
        Self { tenants, shared: Arc::default() }
    }

    /// A tenant's board, at most a second old.
    ///
    /// # Errors
    /// There is no such tenant, or its keeper is away.
    pub async fn look(&self, tenant: &TenantId) -> Result<Arc<Board>, DoorError> {
        let link = self.tenants.link(tenant).ok_or_else(|| DoorError::NoTenant(tenant.clone()))?;
        let shared = self.of(tenant);
        let mut shared = shared.lock().await;
        // Counts a sleep of the host: a board from before it is old.
        let now = link.clock.steady().unwrap_or_else(|| link.clock.monotonic());
        let good_for = link.clock.span_of_real(SHARED_REAL);
        if let Some((_, known)) = shared.as_ref().filter(|(taken, _)| now.saturating_sub(*taken) < good_for) {
            return Ok(known.clone());
        }
        let (reply, answer) = oneshot::channel();
        link.inbox.send(Message::Board { reply }).await.map_err(|_| DoorError::Unavailable)?;
        let board = Arc::new(answer.await.map_err(|_| DoorError::Unavailable)?);
        *shared = Some((now, board.clone()));
        Ok(board)
    }

    fn of(&self, tenant: &TenantId) -> Shared {
        let mut all = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of tenants that are gone are let go.
        all.retain(|id, _| self.tenants.has(id));
        all.entry(tenant.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::agents::agent::{Agent, Observed};
    use crate::domain::agents::roster::Roster;
    use crate::domain::schedules::schedule::{Activity, AgentPlan, Coverage, Shift, ShiftActivity};
    use crate::engine::live::message::AgentShown;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    #[test]
    fn a_card_says_all_that_the_relay_says_and_what_comes_next() {
        let mut roster = Roster::new("acme".into());
        let agent = Agent {
            id: "u_1".into(),
            name: Some("Ann".into()),
            team: Some("Care".into()),
            zone: Some("Europe/Berlin".into()),
        };
        let index = roster.upsert(agent);
        let pause = ShiftActivity { activity: Activity::Lunch, start: at(30), end: at(60), mandatory: true };
        let shift = Shift { start: at(0), end: at(90), activities: vec![pause] };
        let plan = AgentPlan::new(vec![shift], vec![Coverage { start: at(-100), end: at(100) }]);
        roster.set_plan(index, Arc::new(plan));
        let observed = Observed {
            state: AgentState::Ready,
            reason: None,
            queue: Some("Voice".into()),
            entered_at: at(5),
            platform_at: None,
            row_at: at(5),
            source: Source::Snapshot,
            transition: None,
            by_person: false,
        };
        roster.observe(index, observed, at(9));
        let slot = roster.agent("u_1").expect("there");
        let judged = LiveVerdict { verdict: Verdict::In, since: Some(at(5)) };
        let card = json!(AgentCard::of(slot, judged, None, &Thresholds::default(), at(10)));
        let shown = json!(AgentShown::of(slot, judged, None, at(10)));
        for (key, value) in shown.as_object().expect("an object") {
            assert_eq!(&card[key], value, "{key}");
        }
        assert_eq!(card["in_state_ms"], json!(300_000));
        assert_eq!(card["next"], json!({"activity": "lunch", "start": at(30), "end": at(60), "mandatory": true}));
        let in_break = AgentCard::of(slot, judged, None, &Thresholds::default(), at(40));
        assert!(in_break.mandatory);
        assert_eq!(in_break.next.map(|next| (next.activity, next.start)), Some(("work".to_owned(), at(60))));
        assert_eq!(AgentCard::of(slot, judged, None, &Thresholds::default(), at(95)).next, None);
    }
}
