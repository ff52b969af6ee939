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

/// An agent with current state, plan and adherence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Agent)]
pub struct AgentSummary {
    /// The agent's id on the platform.
    pub id: AgentId,
    /// The name of the agent; null if unknown.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team of the agent; null if unknown.
    pub team: Option<TeamName>,
    /// The IANA time zone of the agent; null if unknown.
    #[schema(value_type = Option<String>)]
    pub zone: Option<Arc<str>>,
    /// The last observed state; null if the agent was never observed.
    pub state: Option<AgentState>,
    /// The reason; null if unknown. The guide dialect shows none, so there it is known only for states that
    /// Shiftkeeper set.
    pub reason: Option<ReasonCode>,
    /// The queue that the platform named; null if it named none.
    #[schema(value_type = Option<String>)]
    pub queue: Option<Arc<str>>,
    /// When the agent entered the state; null if the agent was never observed.
    pub entered_at: Option<UtcMicros>,
    /// How long the agent has been in the state, in milliseconds; null if the agent was never observed.
    pub in_state_ms: Option<u64>,
    /// How that time compares with the tenant's thresholds; null if it is below all of them.
    pub in_state_level: Option<Level>,
    /// Where the state was learned from; null if the agent was never observed.
    pub source: Option<ObservationSource>,
    /// The id of the transition that caused the state; null if Shiftkeeper did not cause it.
    pub transition: Option<TransitionId>,
    /// When the platform generated the latest observation of the agent; null if there was none.
    pub seen_at: Option<UtcMicros>,
    /// The age of that observation in milliseconds; null if there was none.
    pub age_ms: Option<u64>,
    /// The adherence of the agent.
    pub adherence: AdherenceSummary,
    /// The activity that is planned now.
    pub planned: PlannedActivity,
    /// Whether a mandatory break is planned now.
    pub mandatory: bool,
    /// The next planned activity of the shift, or the start of the next shift; null if none is known.
    pub next: Option<NextActivity>,
    /// The open state change of the agent; null if there is none.
    pub open: Option<OpenTransition>,
    /// The ids of the agent's skills, ordered, as assigned by a schedule file or a person.
    pub skills: Vec<SkillId>,
    /// The agent's skills with all that is known about them.
    #[serde(skip)]
    pub skills_by_level: Skills,
}

/// The adherence of an agent now.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentAdherence)]
pub struct AdherenceSummary {
    /// The verdict.
    pub verdict: Verdict,
    /// Since when the verdict's state and activity have lasted; null if unknown.
    pub since: Option<UtcMicros>,
}

/// The activity that is planned now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentPlanned)]
pub struct PlannedActivity {
    /// The planned activity, `off` outside shifts, or `uncovered` if no schedule covers the time.
    pub activity: String,
    /// Since when it has been planned; null if unknown.
    pub since: Option<UtcMicros>,
    /// Until when it is planned; null if unknown.
    pub until: Option<UtcMicros>,
}

/// The next planned activity.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentNext)]
pub struct NextActivity {
    /// The name of the activity.
    pub activity: String,
    /// The start of the activity (inclusive).
    pub start: UtcMicros,
    /// The end of the activity (exclusive).
    pub end: UtcMicros,
    /// Whether it is a mandatory break.
    pub mandatory: bool,
}

/// An open state change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenTransition)]
pub struct OpenTransition {
    /// The id of the transition.
    pub id: TransitionId,
    /// The id of the agent.
    pub agent: AgentId,
    /// The team of the agent; null if unknown.
    pub team: Option<TeamName>,
    /// The requested state.
    pub target: AgentState,
    /// The requested reason code.
    pub reason: ReasonCode,
    /// The priority.
    pub priority: Priority,
    /// Who requested the change: `person:` or `rule:` followed by an id, or `daemon`.
    pub actor: String,
    /// The status of the transition.
    #[serde(flatten)]
    pub status: TransitionStatus,
    /// Whether the transition has not ended.
    pub open: bool,
    /// When the change was requested.
    pub requested_at: UtcMicros,
    /// The deadline, after which no attempt starts.
    pub deadline: UtcMicros,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The policy that held the change; null if none did.
    pub violation: Option<Violation>,
    /// The id of the change set that the transition belongs to; null if there is none.
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
