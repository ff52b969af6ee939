//! The preview of a bulk change: one decision per agent, and the staffing floors over all agents together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AgentChange, ChangeSetRequest, FloorImpact, PlanComparison, PreviewOutcome, PreviewedAgent};
use crate::domain::adherence::{AdherenceSettings, Verdict};
use crate::domain::agents::roster::{AgentRecord, Roster};
use crate::domain::agents::skill::Skill;
use crate::domain::agents::staffing::{is_available, staffing_by_skill};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, PolicyDecision, PolicyFacts, UnscheduledPolicy, decide};
use crate::domain::changes::priority::Priority;
use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::schedules::schedule::Activity;
use crate::domain::time::{UtcMicros, rough_duration_text};

/// The facts that a preview is computed from.
#[derive(Clone, Copy)]
pub struct PreviewInput<'a> {
    /// The tenant's agents.
    pub roster: &'a Roster,
    /// Returns whether an open change takes the agent out of work.
    pub is_leaving: &'a dyn Fn(&AgentRecord) -> bool,
    /// Returns the priority of the agent's open change that is not sent yet and needs no approval.
    pub waiting_change: &'a dyn Fn(&AgentRecord) -> Option<Priority>,
    /// The policy settings.
    pub policy: PreviewPolicy,
    /// The adherence settings.
    pub adherence: &'a AdherenceSettings,
    /// The current instant.
    pub now: UtcMicros,
}

/// The policy settings that a preview uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreviewPolicy {
    /// The target states forbidden to agents who are not scheduled.
    pub unscheduled_policy: UnscheduledPolicy,
    /// The age beyond which an observation is stale.
    pub stale_after: Duration,
}

/// The result of a preview.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
    /// The agents, in the order of the request.
    pub agents: Vec<PreviewedAgent>,
    /// The skills with staffing floors that these agents have, ordered by id.
    pub floors: Vec<FloorImpact>,
    /// The number of state changes to send, including those only for the reason code.
    pub state_changes: usize,
    /// The number of calls for agents already in the state, including queries.
    pub reason_calls: usize,
    /// The number of queries to the platform before the changes.
    pub questions: usize,
    /// The teams of the agents.
    pub teams: BTreeSet<TeamName>,
    /// Whether some agent has no team.
    pub includes_teamless: bool,
}

/// A filter for agents. An agent must match every list that is not empty; one value of a list is enough.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectionCriteria {
    /// Names of teams.
    pub teams: Vec<TeamName>,
    /// States in the latest observation.
    pub states: Vec<AgentState>,
    /// Ids or names of skills, and the platform's names of queues.
    pub skills: Vec<String>,
    /// Current adherence verdicts.
    pub verdicts: Vec<Verdict>,
    /// A part of the id or the name, ignoring case.
    pub search: Option<String>,
}

impl SelectionCriteria {
    /// Returns whether the filter matches an agent.
    pub fn matches(&self, record: &AgentRecord, verdict: impl FnOnce() -> Verdict) -> bool {
        let (agent, observed) = (record.agent(), record.observed());
        let matches_team = self.teams.is_empty() || agent.team.as_ref().is_some_and(|team| self.teams.contains(team));
        let matches_state = self.states.is_empty() || observed.is_some_and(|seen| self.states.contains(&seen.state));
        let queue = || observed.and_then(|seen| seen.queue.as_deref());
        let has_skill_or_queue =
            |name: &String| record.skills().iter().any(|skill| skill.matches_name(name)) || queue() == Some(name);
        let matches_skill = self.skills.is_empty() || self.skills.iter().any(has_skill_or_queue);
        let matches_search = self.search.as_deref().is_none_or(|part| {
            let part = part.trim().to_lowercase();
            let name = agent.name.as_deref().map(str::to_lowercase);
            agent.id.as_str().to_lowercase().contains(&part) || name.is_some_and(|name| name.contains(&part))
        });
        matches_team
            && matches_state
            && matches_skill
            && matches_search
            && (self.verdicts.is_empty() || self.verdicts.contains(&verdict()))
    }
}

/// Computes what would happen to each agent.
pub fn preview(context: PreviewInput<'_>, request: &ChangeSetRequest) -> Preview {
    let mut floors = FloorTracker::new(context, request);
    let mut preview = Preview {
        agents: Vec::with_capacity(request.agents.len()),
        floors: Vec::new(),
        state_changes: 0,
        reason_calls: 0,
        questions: 0,
        teams: BTreeSet::new(),
        includes_teamless: false,
    };
    for agent_request in &request.agents {
        let known = context.roster.agent(agent_request.agent.as_str());
        let slot = known.filter(|slot| is_in_teams(slot, request.teams.as_ref()));
        let decision =
            slot.map_or_else(AgentDecision::unknown, |slot| decide_agent(context, request, agent_request, slot));
        if let Some(slot) = slot {
            match &slot.agent().team {
                Some(team) => {
                    preview.teams.insert(team.clone());
                }
                None => preview.includes_teamless = true,
            }
        }
        let mut agent_preview = PreviewedAgent {
            agent: agent_request.agent.clone(),
            state: slot.and_then(AgentRecord::observed).map(|seen| seen.state.clone()),
            state_reason: slot.and_then(AgentRecord::observed).and_then(|seen| seen.reason.clone()),
            target: agent_request.target.clone(),
            reason: agent_request.reason.clone(),
            undoes_transition: agent_request.undoes_transition,
            outcome: decision.outcome,
            detail: decision.detail,
            skills: Vec::new(),
            plan_comparison: slot.map(|slot| compare_with_plan(context, slot, &agent_request.target)),
        };
        if let Some(slot) = slot.filter(|_| agent_preview.outcome.is_change()) {
            floors.remove_agent(context, request, slot, &mut agent_preview);
        }
        if agent_preview.outcome.is_change() {
            preview.state_changes += 1;
            preview.questions += decision.questions;
            if agent_preview.outcome == PreviewOutcome::ChangeReason {
                preview.reason_calls += 1 + decision.questions;
            }
        }
        preview.agents.push(agent_preview);
    }
    preview.floors = floors.into_impacts();
    preview
}

/// Returns whether an agent is visible to a requester limited to `teams`.
fn is_in_teams(record: &AgentRecord, teams: Option<&BTreeSet<TeamName>>) -> bool {
    teams.is_none_or(|teams| record.agent().team.as_ref().is_some_and(|team| teams.contains(team)))
}

/// Returns what is planned for the agent now, and the verdict in the requested state.
fn compare_with_plan(context: PreviewInput<'_>, record: &AgentRecord, target: &AgentState) -> PlanComparison {
    let position = record.plan_position(context.now);
    let activity = position.activity(record.plan());
    let verdict = context.adherence.judge_lasting_state(position.kind(), activity, target);
    let under_exception = matches!(verdict, Verdict::In | Verdict::Out) && record.exception(context.now).is_some();
    PlanComparison {
        planned: activity.map_or_else(|| position.kind().name(), Activity::name).into(),
        until: Some(position.until()).filter(|until| *until != UtcMicros::MAX),
        resulting_verdict: if under_exception { Verdict::Neutral } else { verdict },
    }
}

/// The decision for one agent, before the staffing floors.
struct AgentDecision {
    outcome: PreviewOutcome,
    detail: Option<String>,
    questions: usize,
}

impl AgentDecision {
    const fn from_outcome(outcome: PreviewOutcome) -> Self {
        Self { outcome, detail: None, questions: 0 }
    }

    fn unknown() -> Self {
        Self::from_outcome(PreviewOutcome::UnknownAgent)
    }

    fn with_detail(outcome: PreviewOutcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: Some(detail.into()), questions: 0 }
    }
}

fn decide_agent(
    context: PreviewInput<'_>,
    request: &ChangeSetRequest,
    agent_request: &AgentChange,
    record: &AgentRecord,
) -> AgentDecision {
    if let Some((outcome, detail)) = &agent_request.excluded {
        return AgentDecision { outcome: *outcome, detail: detail.clone(), questions: 0 };
    }
    if let Some(decision) = decide_by_observation(context, request, agent_request, record) {
        return decision;
    }
    match (context.waiting_change)(record) {
        Some(Priority::MandatoryBreak) => return AgentDecision::from_outcome(PreviewOutcome::BreakUnderWay),
        Some(Priority::Urgent) if !request.urgent => {
            return AgentDecision::from_outcome(PreviewOutcome::UrgentUnderWay);
        }
        Some(Priority::Housekeeping | Priority::Schedule | Priority::Person | Priority::Urgent) | None => {}
    }
    let decision = decide_by_policy(context, request.on_contact, agent_request, record);
    let in_state = record.observed().is_some_and(|seen| seen.state == agent_request.target);
    if in_state && decision.outcome == PreviewOutcome::Change {
        return AgentDecision { outcome: PreviewOutcome::ChangeReason, ..decision };
    }
    decision
}

/// The explanation for an agent where only the reason code would change.
pub const ONLY_REASON_CHANGES: &str = "only the reason would change; even_if_in_state asks for that";

/// Decides by the last observation, where that is possible.
fn decide_by_observation(
    context: PreviewInput<'_>,
    request: &ChangeSetRequest,
    agent_request: &AgentChange,
    record: &AgentRecord,
) -> Option<AgentDecision> {
    let observed = match (record.observed(), record.last_observed_at()) {
        (None, _) | (_, None) => return Some(AgentDecision::from_outcome(PreviewOutcome::Unseen)),
        (Some(seen), Some(_)) if seen.state.is_unobserved() => {
            return Some(AgentDecision::from_outcome(PreviewOutcome::Unseen));
        }
        (Some(seen), Some(observed_at)) => {
            let age = context.now.since(observed_at);
            if age > context.policy.stale_after {
                return Some(AgentDecision::with_detail(
                    PreviewOutcome::Stale,
                    format!("last seen {} ago", rough_duration_text(age)),
                ));
            }
            seen
        }
    };
    if agent_request.undoes_transition.is_some() && observed.transition != agent_request.undoes_transition {
        let reason = observed.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        return Some(AgentDecision::with_detail(
            PreviewOutcome::MovedOn,
            format!("is {}{reason} since {:.0}", observed.state, observed.entered_at),
        ));
    }
    if observed.state == agent_request.target {
        // The platform may show another spelling of the reason, or none. An undo asks for the reason too.
        let other_reason = agent_request.reason.as_ref().is_some_and(|named| observed.reason.as_ref() != Some(named));
        return match (other_reason, request.even_if_in_state || agent_request.undoes_transition.is_some()) {
            (false, _) => Some(AgentDecision::from_outcome(PreviewOutcome::AlreadyThere)),
            (true, true) => None,
            (true, false) => Some(AgentDecision::with_detail(PreviewOutcome::AlreadyThere, ONLY_REASON_CHANGES)),
        };
    }
    (observed.state == AgentState::LoggedOut).then(|| AgentDecision::from_outcome(PreviewOutcome::LoggedOut))
}

fn decide_by_policy(
    context: PreviewInput<'_>,
    on_contact: OnContact,
    agent_request: &AgentChange,
    record: &AgentRecord,
) -> AgentDecision {
    let position = record.plan_position(context.now);
    let state = record.observed().map(|seen| &seen.state);
    let facts = PolicyFacts {
        planned: position.planned(record.plan()),
        platform_plan: record.platform_plan(context.now),
        state,
    };
    let busy_with_contact = state.is_some_and(AgentState::is_on_contact);
    match decide(&agent_request.target, facts, context.policy.unscheduled_policy, on_contact) {
        PolicyDecision::Allow if busy_with_contact => {
            AgentDecision::with_detail(PreviewOutcome::Change, "on a contact; changed all the same")
        }
        PolicyDecision::Allow => AgentDecision::from_outcome(PreviewOutcome::Change),
        PolicyDecision::HoldForContact => AgentDecision::from_outcome(PreviewOutcome::AfterContact),
        PolicyDecision::SkipOnContact => AgentDecision::from_outcome(PreviewOutcome::OnContact),
        PolicyDecision::HoldForBreak(until) => AgentDecision {
            outcome: PreviewOutcome::MandatoryBreak,
            detail: until.map(|until| format!("until {until}")),
            questions: 0,
        },
        PolicyDecision::Refuse(violation) => AgentDecision::with_detail(PreviewOutcome::NotScheduled, violation.code()),
        PolicyDecision::AskPlatform => {
            // One query for the schedule and, for `Ready`, one for the break.
            let questions = if agent_request.target == AgentState::Ready { 2 } else { 1 };
            let detail = Some("no imported schedule covers this time: the platform is asked first".to_owned());
            let outcome = match on_contact {
                OnContact::After if busy_with_contact => PreviewOutcome::AfterContact,
                OnContact::Skip if busy_with_contact => return AgentDecision::from_outcome(PreviewOutcome::OnContact),
                OnContact::Now | OnContact::After | OnContact::Skip => PreviewOutcome::Change,
            };
            AgentDecision { outcome, detail, questions }
        }
    }
}

/// The remaining staffing of each skill with a floor while the agents are processed.
struct FloorTracker(BTreeMap<SkillId, FloorImpact>);

impl FloorTracker {
    fn new(context: PreviewInput<'_>, request: &ChangeSetRequest) -> Self {
        let mut floors: BTreeMap<SkillId, FloorImpact> = BTreeMap::new();
        let mut add = |skill: &Skill| {
            if let Some(floor) = skill.floor {
                let new =
                    || FloorImpact { skill: skill.id.clone(), name: skill.name.clone(), available: 0, after: 0, floor };
                floors.entry(skill.id.clone()).or_insert_with(new);
            }
        };
        for agent_request in &request.agents {
            let known = context.roster.agent(agent_request.agent.as_str());
            if let Some(slot) = known.filter(|slot| is_in_teams(slot, request.teams.as_ref())) {
                slot.skills().iter().for_each(|skill| add(skill));
            }
        }
        if !floors.is_empty() {
            let staffing =
                staffing_by_skill(context.roster, context.policy.stale_after, context.now, context.is_leaving);
            for (skill, floor) in &mut floors {
                let available = staffing.get(skill).map_or(0, |count| count.available);
                (floor.available, floor.after) = (available, available);
            }
        }
        Self(floors)
    }

    /// Counts an agent as leaving work, or sets the outcome if skills would fall below their floors.
    fn remove_agent(
        &mut self,
        context: PreviewInput<'_>,
        request: &ChangeSetRequest,
        record: &AgentRecord,
        agent_preview: &mut PreviewedAgent,
    ) {
        let stays_at_work = agent_preview.target.is_working();
        let counts_as_available =
            is_available(record, context.policy.stale_after, context.now) && !(context.is_leaving)(record);
        if stays_at_work || !counts_as_available {
            return;
        }
        let skills_below: Vec<SkillId> = record
            .skills()
            .iter()
            .filter(|skill| self.0.get(&skill.id).is_some_and(|floor| floor.after <= floor.floor))
            .map(|skill| skill.id.clone())
            .collect();
        if !skills_below.is_empty() && request.below_floor_reason.is_none() {
            let floors: Vec<String> =
                skills_below.iter().filter_map(|skill| self.0.get(skill)).map(describe_floor).collect();
            agent_preview.outcome = PreviewOutcome::BelowFloor;
            agent_preview.detail = Some(floors.join(", "));
            agent_preview.skills = skills_below;
            return;
        }
        for skill in record.skills().iter() {
            if let Some(floor) = self.0.get_mut(&skill.id) {
                floor.after = floor.after.saturating_sub(1);
            }
        }
    }

    fn into_impacts(self) -> Vec<FloorImpact> {
        self.0.into_values().collect()
    }
}

fn describe_floor(floor: &FloorImpact) -> String {
    let name = floor.name.as_deref().unwrap_or(floor.skill.as_str());
    format!("{name} would have {} available, its floor is {}", floor.after.saturating_sub(1), floor.floor)
}

/// Returns the agents that match a selection, ordered by id.
pub fn select_agents(
    roster: &Roster,
    teams: Option<&BTreeSet<TeamName>>,
    selection: &SelectionCriteria,
    verdict: impl Fn(&AgentRecord) -> Verdict,
) -> Vec<AgentId> {
    let slots = roster.agents().iter().filter(|slot| is_in_teams(slot, teams));
    let mut agents: Vec<AgentId> =
        slots.filter(|slot| selection.matches(slot, || verdict(slot))).map(|slot| slot.id().clone()).collect();
    agents.sort();
    agents
}
