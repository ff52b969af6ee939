//! Lists of a tenant's agents, each with its state, its current and next planned activity, and its verdict.
//!
//! Only the keeper has this data. It builds a list after a commit, and requests within a second share it. A list shows
//! agents as the live view does, with the fields that only lists need. The names of agents may be shown but not logged.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::adherence::{AdherenceSettings, CurrentVerdict, Verdict};
use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::roster::AgentRecord;
use crate::domain::agents::skill::Skills;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Transition, TransitionStatus};
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, SkillId, TeamName, TransitionId};
use crate::domain::live::thresholds::{Level, Thresholds};
use crate::domain::rules::planner::DecideSettings;
use crate::domain::schedules::schedule::Segment;
use crate::domain::time::UtcMicros;

/// An agent as the picture has him.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Agent)]
pub struct AgentSummary {
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
    pub source: Option<ObservationSource>,
    /// The change of ours that brought the state about.
    pub transition: Option<TransitionId>,
    /// When the newest sight that included the agent was generated.
    pub seen_at: Option<UtcMicros>,
    /// How old that sight is, in milliseconds.
    pub age_ms: Option<u64>,
    /// Whether the state is one that the plan allows.
    pub adherence: AdherenceSummary,
    /// What is planned now.
    pub planned: PlannedActivity,
    /// A break that must be taken is planned now.
    pub mandatory: bool,
    /// What is planned next in the shift, or the start of the next one.
    pub next: Option<NextActivity>,
    /// The change that is under way for the agent.
    pub open: Option<OpenTransition>,
    /// The agent's skills, by id, as a schedule file or a person said them.
    pub skills: Vec<SkillId>,
    /// The same with what is known of them.
    #[serde(skip)]
    pub skills_by_level: Skills,
}

/// A verdict.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentAdherence)]
pub struct AdherenceSummary {
    /// What.
    pub verdict: Verdict,
    /// Since when the facts behind it are as they are.
    pub since: Option<UtcMicros>,
}

/// What is planned.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentPlanned)]
pub struct PlannedActivity {
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
pub struct NextActivity {
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
pub struct OpenTransition {
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
    pub status: TransitionStatus,
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

impl AgentSummary {
    /// Builds a summary from the roster, the agent's verdict and its open transition.
    pub fn from_record(
        record: &AgentRecord,
        verdict: CurrentVerdict,
        open: Option<&Transition>,
        thresholds: &Thresholds,
        now: UtcMicros,
    ) -> Self {
        let (agent, observed, plan_position) = (record.agent(), record.observed(), record.plan_position(now));
        let activity = plan_position.activity(record.plan());
        let planned = PlannedActivity {
            activity: activity.map_or_else(|| plan_position.kind().name(), |activity| activity.name()).to_owned(),
            since: plan_position.since(),
            until: Some(plan_position.until()).filter(|until| *until != UtcMicros::MAX),
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
            in_state_ms: observed.map(|observed| as_millis(now.since(observed.entered_at))),
            in_state_level: observed
                .and_then(|observed| thresholds.level(&observed.state, now.since(observed.entered_at))),
            source: observed.map(|observed| observed.source),
            transition: observed.and_then(|observed| observed.transition),
            seen_at: record.last_observed_at(),
            age_ms: record.last_observed_at().map(|at| as_millis(now.since(at))),
            adherence: AdherenceSummary { verdict: verdict.verdict, since: verdict.since },
            planned,
            mandatory: plan_position.is_mandatory(),
            next: next_segment(record, now).map(NextActivity::from),
            open: open.map(|open| OpenTransition::from_transition(open, agent.team.clone())),
            skills: record.skills().iter().map(|skill| skill.id.clone()).collect(),
            skills_by_level: record.skills().clone(),
        }
    }
}

/// Returns the segment after the current one, or the first upcoming one.
fn next_segment(record: &AgentRecord, now: UtcMicros) -> Option<&Segment> {
    let plan = record.plan();
    plan.segments().get(plan.first_starting_after(now))
}

impl From<&Segment> for NextActivity {
    fn from(segment: &Segment) -> Self {
        Self {
            activity: segment.activity.name().to_owned(),
            start: segment.start,
            end: segment.end,
            mandatory: segment.mandatory,
        }
    }
}

impl OpenTransition {
    fn from_transition(transition: &Transition, team: Option<TeamName>) -> Self {
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

/// Returns a duration in whole milliseconds.
fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// All agents of a tenant at one instant.
#[derive(Debug)]
pub struct AgentList {
    /// The instant of the list.
    pub at: UtcMicros,
    /// When the oldest of the subscriptions' newest snapshots was generated; `None` while one is missing.
    pub observed_at: Option<UtcMicros>,
    /// The age beyond which an observation says nothing about the current state.
    pub stale_after: Duration,
    /// Which states the tenant's activities allow.
    pub adherence: AdherenceSettings,
    /// The agents, in no particular order.
    pub agents: Vec<AgentSummary>,
}

impl AgentList {
    /// Creates a list of these agents with the given settings.
    pub fn new(
        at: UtcMicros,
        observed_at: Option<UtcMicros>,
        settings: &DecideSettings,
        agents: Vec<AgentSummary>,
    ) -> Self {
        let (stale_after, adherence) = (settings.stale_after, settings.adherence.clone());
        Self { at, observed_at, stale_after, adherence, agents }
    }

    /// Returns the agent with this id.
    pub fn agent(&self, id: &AgentId) -> Option<&AgentSummary> {
        self.agents.iter().find(|summary| summary.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::agents::agent::{Agent, ObservedState};
    use crate::domain::agents::roster::Roster;
    use crate::domain::schedules::schedule::{Activity, AgentPlan, Coverage, Shift, ShiftActivity};
    use crate::engine::live::message::AgentView;

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
        let observed = ObservedState {
            state: AgentState::Ready,
            reason: None,
            queue: Some("Voice".into()),
            entered_at: at(5),
            platform_entered_at: None,
            history_at: at(5),
            source: ObservationSource::Snapshot,
            transition: None,
            requested_by_person: false,
        };
        roster.record_observation(index, observed, at(9));
        let record = roster.agent("u_1").expect("there");
        let verdict = CurrentVerdict { verdict: Verdict::In, since: Some(at(5)) };
        let summary = json!(AgentSummary::from_record(record, verdict, None, &Thresholds::default(), at(10)));
        let view = json!(AgentView::of(record, verdict, None, at(10)));
        for (key, value) in view.as_object().expect("an object") {
            assert_eq!(&summary[key], value, "{key}");
        }
        assert_eq!(summary["in_state_ms"], json!(300_000));
        assert_eq!(summary["next"], json!({"activity": "lunch", "start": at(30), "end": at(60), "mandatory": true}));
        let in_break = AgentSummary::from_record(record, verdict, None, &Thresholds::default(), at(40));
        assert!(in_break.mandatory);
        assert_eq!(in_break.next.map(|next| (next.activity, next.start)), Some(("work".to_owned(), at(60))));
        assert_eq!(AgentSummary::from_record(record, verdict, None, &Thresholds::default(), at(95)).next, None);
    }
}
