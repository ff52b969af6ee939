//! Rebuilds a tenant's picture from the store: for the keeper at its start, and for whoever looks without deciding.
//!
//! It reads and nothing else. What only the platform can tell (how fresh a sight is) is not in the store: an agent whose state
//! is known counts as last seen when that state was entered, and nothing is decided on it before a fresh sight.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::adherence::exception::excused_spans;
use crate::domain::agents::agent::{Agent, Observed};
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::agents::roster::{AgentSlot, Busy, Roster};
use crate::domain::agents::skill::Skill;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, SkillId, SubjectId, TenantId};
use crate::domain::schedules::breaks::SHORTEST_REST;
use crate::domain::schedules::schedule::{AgentPlan, LOOKS_AHEAD, LOOKS_BACK};
use crate::domain::time::UtcMicros;
use crate::store::{AutomaticChange, HistoryRow, ReadError, Reader, RemembersWrite, StoredHistory, StoredTransition};

/// The keeper reads plans anew this often, so that the days they hold move on.
pub const PLANS_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Continuous work counts from the shift's start at the most, so no rest before the longest shift matters.
const LONGEST_SHIFT: Duration = Duration::from_hours(24);

/// Automatic changes are remembered for as long as the guard against flapping looks back.
const AUTOMATIC_WITHIN: Duration = Duration::from_secs(3600);

/// A tenant as the store knows it.
#[derive(Debug)]
pub struct Picture {
    /// The agents with their last known states, plans, what automation did, and who has an open transition.
    pub roster: Roster,
    /// The names of the agents in the audit chain, by place in the roster; `None` for one that is only in the configuration.
    pub subjects: Vec<Option<SubjectId>>,
    /// The transitions that have not ended.
    pub open: Vec<StoredTransition>,
    /// Those of the roster whom neither a schedule nor the list names any more: they are there until their transitions and their
    /// history are ended.
    pub leaving: HashSet<AgentId>,
    /// Automatic changes of the last hour, oldest first.
    pub automatic: Vec<AutomaticChange>,
    /// The newest instant of the history.
    pub newest: Option<UtcMicros>,
}

/// Reads it. `listed` are agents of the configuration beside the stored ones.
pub async fn read_picture(
    reader: &Reader,
    tenant: &TenantId,
    now: UtcMicros,
    listed: &[AgentId],
) -> Result<Picture, ReadError> {
    let mut picture = Picture {
        roster: Roster::new(tenant.clone()),
        subjects: Vec::new(),
        open: reader.open_transitions(tenant).await?,
        leaving: HashSet::new(),
        automatic: reader.automatic_changes(tenant, now - AUTOMATIC_WITHIN).await?,
        newest: None,
    };
    let latest = reader.latest_states(tenant).await?;
    let unfinished = unfinished(&picture.open, &latest);
    let named: HashSet<&AgentId> = listed.iter().collect();
    for stored in reader.agents(tenant).await? {
        let id = &stored.agent.id;
        if !stored.imported && !named.contains(id) {
            if stored.is_stand_in || !unfinished.contains(id) {
                continue;
            }
            picture.leaving.insert(id.clone());
        }
        picture.roster.upsert(stored.agent);
        picture.subjects.push(Some(stored.subject));
    }
    for id in listed {
        if picture.roster.find(id.as_str()).is_none() {
            picture.roster.upsert(Agent { id: id.clone(), name: None, team: None, zone: None });
            picture.subjects.push(None);
        }
    }
    for stored in latest {
        let entered_at = stored.row.entered_at;
        picture.newest = picture.newest.max(Some(entered_at));
        if let Some(index) = picture.roster.find(stored.row.agent.as_str()) {
            picture.roster.observe(index, observed(stored.row), entered_at.min(now));
        }
    }
    for change in &picture.automatic {
        if let Some(index) = picture.roster.find(change.agent.as_str()) {
            picture.roster.note_change(index, change.accepted_at);
        }
    }
    for remembered in reader.automation_memory(tenant).await? {
        remember(&mut picture.roster, &remembered);
    }
    mark_busy(&mut picture);
    read_plans(reader, &mut picture.roster, now).await?;
    skills_of(&mut picture.roster, reader.skills(tenant).await?, &reader.agent_skills(tenant).await?);
    // Whether a stay was a rest is a question for the plan.
    for (agent, stays) in reader.rests(tenant, now - LONGEST_SHIFT, SHORTEST_REST).await? {
        let Some(index) = picture.roster.find(agent.as_str()) else { continue };
        for stay in stays {
            picture.roster.note_past_rest(index, stay);
        }
    }
    Ok(picture)
}

/// Says of whom a transition is open.
fn mark_busy(picture: &mut Picture) {
    for stored in &picture.open {
        let transition = &stored.transition;
        if let Some(index) = picture.roster.find(transition.agent.as_str()) {
            let busy = picture.roster.get(index).and_then(AgentSlot::busy);
            picture.roster.set_busy(index, busy.max(Some(Busy::of(transition))));
        }
    }
}

/// Agents of whom something goes on: a transition, or history.
fn unfinished(open: &[StoredTransition], latest: &[StoredHistory]) -> HashSet<AgentId> {
    let on =
        latest.iter().filter(|stored| stored.row.state != AgentState::off_roster()).map(|stored| &stored.row.agent);
    on.chain(open.iter().map(|open| &open.transition.agent)).cloned().collect()
}

/// Puts the plans of the days around now into a roster.
pub async fn read_plans(reader: &Reader, roster: &mut Roster, now: UtcMicros) -> Result<(), ReadError> {
    let tenant = roster.tenant().clone();
    let stored = reader.plans(&tenant, (now - LOOKS_BACK, now + LOOKS_AHEAD + PLANS_EVERY), None).await?;
    let mut plans: HashMap<AgentId, Arc<AgentPlan>> =
        stored.into_iter().map(|plan| (plan.agent, Arc::new(AgentPlan::new(plan.shifts, plan.coverage)))).collect();
    let agents: Vec<_> = roster.iter().map(|(index, slot)| (index, slot.id().clone())).collect();
    for (index, agent) in agents {
        // No plan speaks any more for an agent whom the schedule in force does not name.
        roster.set_plan(index, plans.remove(&agent).unwrap_or_default());
    }
    Ok(())
}

/// Puts the skills of all agents into a roster. Agents share what is known of a skill; one that nobody named has its id alone.
pub fn skills_of(roster: &mut Roster, named: Vec<Skill>, carried: &BTreeMap<AgentId, Vec<SkillId>>) {
    let mut known: HashMap<SkillId, Arc<Skill>> =
        named.into_iter().map(|skill| (skill.id.clone(), Arc::new(skill))).collect();
    let agents: Vec<_> = roster.iter().map(|(index, slot)| (index, slot.id().clone())).collect();
    for (index, agent) in agents {
        let skills = carried
            .get(&agent)
            .into_iter()
            .flatten()
            .map(|id| known.entry(id.clone()).or_insert_with(|| Arc::new(Skill::unnamed(id.clone()))).clone());
        let skills = skills.collect();
        roster.set_skills(index, skills);
    }
}

/// Says on a roster who is excused from now on.
pub async fn mark_excused(reader: &Reader, roster: &mut Roster, now: UtcMicros) -> Result<(), ReadError> {
    let exceptions = reader.exceptions_touching(roster.tenant(), (now, UtcMicros::MAX)).await?;
    let spans: Vec<_> = roster
        .iter()
        .map(|(index, slot)| (index, excused_spans(&exceptions, slot.id(), slot.agent().team.as_ref())))
        .collect();
    for (index, spans) in spans {
        roster.set_excused(index, spans);
    }
    Ok(())
}

/// Puts what automation remembers of an agent and a rule into a roster.
pub fn remember(roster: &mut Roster, row: &RemembersWrite) {
    let Some(index) = roster.find(row.agent.as_str()) else { return };
    if let Some((at, fact_key)) = row.acted {
        roster.note_act(index, &row.rule, fact_key, false, at);
    }
    if let Some(fact_key) = row.held_key {
        roster.note_held(index, &row.rule, fact_key);
    }
    let memory = roster.get(index).and_then(AgentSlot::memory);
    let known = memory.and_then(AutomationMemory::left_alone_until);
    if let Some(until) = row.left_alone_until.filter(|until| Some(*until) > known) {
        roster.note_reversal(index, until);
    }
}

/// A row of history as the roster holds it.
pub fn observed(row: HistoryRow) -> Observed {
    Observed {
        state: row.state,
        reason: row.reason,
        queue: row.queue,
        entered_at: row.entered_at,
        platform_at: row.platform_at,
        row_at: row.entered_at,
        source: row.source,
        transition: row.transition,
        by_person: row.by_person,
    }
}
