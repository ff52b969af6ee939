//! Rebuilds a tenant's live view from the store, for a keeper that starts and for readers that decide nothing.
//!
//! This module only reads. The store does not know how fresh an observation is: a known state counts as last observed
//! when it was entered, and nothing is decided before a fresh observation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::adherence::exception::exception_spans;
use crate::domain::agents::agent::{Agent, ObservedState};
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::agents::roster::{AgentRecord, BlockingTransition, Roster};
use crate::domain::agents::skill::Skill;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, SkillId, SubjectId, TenantId};
use crate::domain::rules::rule::staffing::MAX_STAFFING_AHEAD;
use crate::domain::schedules::rest::MIN_REST;
use crate::domain::schedules::schedule::{AgentPlan, PLAN_LOOKAHEAD, PLAN_LOOKBACK};
use crate::domain::schedules::staffing::STAFFING_INTERVAL;
use crate::domain::time::UtcMicros;
use crate::store::{AutomaticChange, HistoryRow, ReadError, Reader, RuleMemoryWrite, StoredHistory, StoredTransition};

/// How often the keeper reloads plans, so that the days that they cover move on.
pub const PLAN_RELOAD_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// The longest shift. Continuous work counts from the start of the shift at most, so older rests do not matter.
const MAX_SHIFT: Duration = Duration::from_hours(24);

/// How long automatic changes are remembered, as far back as the flapping guard looks.
const AUTOMATIC_CHANGES_WINDOW: Duration = Duration::from_secs(3600);

/// The live view of a tenant as stored.
#[derive(Debug)]
pub struct StoredLiveView {
    /// The agents with their last known states, plans, rule memory and blocking transitions.
    pub roster: Roster,
    /// The subject ids of the agents, by position in the roster; `None` for an agent that is only in the configuration.
    pub subjects: Vec<Option<SubjectId>>,
    /// The open transitions.
    pub open: Vec<StoredTransition>,
    /// The agents that neither a schedule nor the configuration names any more. They stay in the roster until their
    /// transitions and their history have ended.
    pub finishing: HashSet<AgentId>,
    /// The automatic changes of the last hour, oldest first.
    pub automatic_changes: Vec<AutomaticChange>,
    /// The newest instant in the history.
    pub newest_observation: Option<UtcMicros>,
}

/// Reads the live view. `configured_agents` are agents of the configuration, added to the stored ones.
pub async fn read_live_view(
    reader: &Reader,
    tenant: &TenantId,
    now: UtcMicros,
    configured_agents: &[AgentId],
) -> Result<StoredLiveView, ReadError> {
    let mut view = StoredLiveView {
        roster: Roster::new(tenant.clone()),
        subjects: Vec::new(),
        open: reader.open_transitions(tenant).await?,
        finishing: HashSet::new(),
        automatic_changes: reader.automatic_changes(tenant, now - AUTOMATIC_CHANGES_WINDOW).await?,
        newest_observation: None,
    };
    let latest = reader.latest_states(tenant).await?;
    let unfinished = agents_in_transition(&view.open, &latest);
    let configured: HashSet<&AgentId> = configured_agents.iter().collect();
    for stored in reader.agents(tenant).await? {
        let id = &stored.agent.id;
        if !stored.is_on_roster() && !configured.contains(id) {
            if stored.is_stand_in || !unfinished.contains(id) {
                continue;
            }
            view.finishing.insert(id.clone());
        }
        view.roster.upsert(stored.agent);
        view.subjects.push(Some(stored.subject));
    }
    for id in configured_agents {
        if view.roster.find(id.as_str()).is_none() {
            view.roster.upsert(Agent { id: id.clone(), name: None, team: None, zone: None });
            view.subjects.push(None);
        }
    }
    for stored in latest {
        let entered_at = stored.row.entered_at;
        view.newest_observation = view.newest_observation.max(Some(entered_at));
        if let Some(index) = view.roster.find(stored.row.agent.as_str()) {
            view.roster.record_observation(index, observation_of(stored.row), entered_at.min(now));
        }
    }
    for change in &view.automatic_changes {
        if let Some(index) = view.roster.find(change.agent.as_str()) {
            view.roster.record_change(index, change.accepted_at);
        }
    }
    for memory_row in reader.automation_memory(tenant).await? {
        apply_memory(&mut view.roster, &memory_row);
    }
    mark_agents_in_transition(&mut view);
    read_plans(reader, &mut view.roster, now).await?;
    apply_skills(&mut view.roster, reader.skills(tenant).await?, &reader.agent_skills(tenant).await?);
    // Whether an interval was a rest depends on the plan.
    for (agent, rests) in reader.rest_periods(tenant, now - MAX_SHIFT, MIN_REST).await? {
        let Some(index) = view.roster.find(agent.as_str()) else { continue };
        for rest in rests {
            view.roster.record_past_rest(index, rest);
        }
    }
    Ok(view)
}

/// Sets the blocking transitions in the roster.
fn mark_agents_in_transition(view: &mut StoredLiveView) {
    for stored in &view.open {
        let transition = &stored.transition;
        if let Some(index) = view.roster.find(transition.agent.as_str()) {
            let current = view.roster.get(index).and_then(AgentRecord::blocking_transition);
            view.roster
                .set_blocking_transition(index, current.max(Some(BlockingTransition::from_transition(transition))));
        }
    }
}

/// Returns the agents with an open transition or an unfinished history.
fn agents_in_transition(open: &[StoredTransition], latest: &[StoredHistory]) -> HashSet<AgentId> {
    let present =
        latest.iter().filter(|stored| stored.row.state != AgentState::off_roster()).map(|stored| &stored.row.agent);
    present.chain(open.iter().map(|open| &open.transition.agent)).cloned().collect()
}

/// Reads the plans of the days around `now`, and the agents required in the hours ahead, into a roster.
pub async fn read_plans(reader: &Reader, roster: &mut Roster, now: UtcMicros) -> Result<(), ReadError> {
    let tenant = roster.tenant().clone();
    let stored =
        reader.plans(&tenant, (now - PLAN_LOOKBACK, now + PLAN_LOOKAHEAD + PLAN_RELOAD_INTERVAL), None).await?;
    let mut plans: HashMap<AgentId, Arc<AgentPlan>> =
        stored.into_iter().map(|plan| (plan.agent, Arc::new(AgentPlan::new(plan.shifts, plan.coverage)))).collect();
    let agents: Vec<_> = roster.iter().map(|(index, slot)| (index, slot.id().clone())).collect();
    for (index, agent) in agents {
        // An agent that the current schedule does not name has no plan.
        roster.set_plan(index, plans.remove(&agent).unwrap_or_default());
    }
    let ahead = MAX_STAFFING_AHEAD + STAFFING_INTERVAL + PLAN_RELOAD_INTERVAL;
    roster.set_required_staffing(reader.required_staffing(&tenant, (now, now + ahead)).await?.into());
    Ok(())
}

/// Sets the skills of all agents in a roster. Agents share the details of a skill; an unnamed skill has only its id.
pub fn apply_skills(roster: &mut Roster, named_skills: Vec<Skill>, agent_skills: &BTreeMap<AgentId, Vec<SkillId>>) {
    let mut known: HashMap<SkillId, Arc<Skill>> =
        named_skills.into_iter().map(|skill| (skill.id.clone(), Arc::new(skill))).collect();
    let agents: Vec<_> = roster.iter().map(|(index, slot)| (index, slot.id().clone())).collect();
    for (index, agent) in agents {
        let skills = agent_skills
            .get(&agent)
            .into_iter()
            .flatten()
            .map(|id| known.entry(id.clone()).or_insert_with(|| Arc::new(Skill::unnamed(id.clone()))).clone());
        let skills = skills.collect();
        roster.set_skills(index, skills);
    }
}

/// Sets the exception periods in a roster, from `now` on.
pub async fn apply_exceptions(reader: &Reader, roster: &mut Roster, now: UtcMicros) -> Result<(), ReadError> {
    let exceptions = reader.exceptions_touching(roster.tenant(), (now, UtcMicros::MAX)).await?;
    let spans: Vec<_> = roster
        .iter()
        .map(|(index, slot)| (index, exception_spans(&exceptions, slot.id(), slot.agent().team.as_ref())))
        .collect();
    for (index, spans) in spans {
        roster.set_exceptions(index, spans);
    }
    Ok(())
}

/// Restores the stored memory of a rule about an agent into a roster.
pub fn apply_memory(roster: &mut Roster, row: &RuleMemoryWrite) {
    let Some(index) = roster.find(row.agent.as_str()) else { return };
    if let Some((at, fact_key)) = row.last_action {
        roster.record_rule_action(index, &row.rule, fact_key, false, at);
    }
    if let Some(fact_key) = row.held_key {
        roster.record_held(index, &row.rule, fact_key);
    }
    let memory = roster.get(index).and_then(AgentRecord::memory);
    let known = memory.and_then(AutomationMemory::paused_until);
    if let Some(until) = row.left_alone_until.filter(|until| Some(*until) > known) {
        roster.pause_automation(index, until);
    }
}

/// Converts a history row to the roster's representation.
pub fn observation_of(row: HistoryRow) -> ObservedState {
    ObservedState {
        state: row.state,
        reason: row.reason,
        queue: row.queue,
        entered_at: row.entered_at,
        platform_entered_at: row.platform_at,
        history_at: row.entered_at,
        source: row.source,
        transition: row.transition,
        requested_by_person: row.by_person,
    }
}
