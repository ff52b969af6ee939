//! Skills of agents and their staffing floors.
//!
//! The guides do not say which skills an agent has: they come from a file or a person.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agent::ObservedState;
use super::roster::{AgentRecord, Roster};
use crate::domain::ids::SkillId;
use crate::domain::time::UtcMicros;

/// The largest number of skills of one agent.
pub const MAX_SKILLS_PER_AGENT: usize = 100;

/// The largest number of skills that a tenant names.
pub const MAX_SKILLS: usize = 1000;

/// The highest staffing floor. A floor above the number of agents at any site would block every change.
pub const MAX_FLOOR: u32 = 100_000;

/// The maximum length of a skill's id or name, in characters.
pub const MAX_SKILL_CHARS: usize = 128;

/// A skill that some agent has or that was named by a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skill {
    /// The platform's id.
    pub id: SkillId,
    /// The name, if one was given.
    pub name: Option<Arc<str>>,
    /// The staffing floor, if one is set.
    pub floor: Option<u32>,
}

impl Skill {
    /// Creates a skill of which only the id is known.
    pub const fn unnamed(id: SkillId) -> Self {
        Self { id, name: None, floor: None }
    }

    /// Returns whether the text is the skill's id or name.
    pub fn matches_name(&self, text: &str) -> bool {
        self.id.as_str() == text || self.name.as_deref() == Some(text)
    }
}

/// The skills of one agent, ordered by id. Agents share the data of each skill.
pub type Skills = Arc<[Arc<Skill>]>;

/// The staffing of a skill.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StaffingCount {
    /// The number of agents with the skill.
    pub agents: u32,
    /// The number of them at work by a recent observation: ready, on contact or in wrap-up.
    pub available: u32,
}

/// Returns whether an agent counts for the floors of its skills: at work, by an observation not older than
/// `stale_after`.
pub fn is_available(record: &AgentRecord, stale_after: std::time::Duration, now: UtcMicros) -> bool {
    let is_fresh = record.last_observed_at().is_some_and(|observed_at| now.since(observed_at) <= stale_after);
    is_fresh && record.observed().is_some_and(|observed: &ObservedState| observed.state.is_working())
}

/// Returns the staffing of every skill that some agent has. Agents about to leave work (`is_leaving`) do not count as
/// available.
pub fn staffing_by_skill(
    roster: &Roster,
    stale_after: std::time::Duration,
    now: UtcMicros,
    is_leaving: impl Fn(&AgentRecord) -> bool,
) -> BTreeMap<SkillId, StaffingCount> {
    let mut staffing: BTreeMap<SkillId, StaffingCount> = BTreeMap::new();
    for slot in roster.agents().iter().filter(|slot| !slot.skills().is_empty()) {
        let available = is_available(slot, stale_after, now) && !is_leaving(slot);
        for skill in slot.skills().iter() {
            let count = staffing.entry(skill.id.clone()).or_default();
            count.agents += 1;
            count.available += u32::from(available);
        }
    }
    staffing
}
