//! Skills of agents, and how many agents of a skill are to stay at work: its floor.
//!
//! The guides do not say which skills an agent has: a file or a person does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agent::Observed;
use super::roster::{AgentSlot, Roster};
use crate::domain::ids::SkillId;
use crate::domain::time::UtcMicros;

/// The most skills of one agent.
pub const MOST_SKILLS_PER_AGENT: usize = 100;

/// The most skills that a tenant names.
pub const MOST_SKILLS: usize = 1000;

/// The greatest floor: more agents than any site has would block every change.
pub const GREATEST_FLOOR: u32 = 100_000;

/// The longest id and name of a skill, in characters.
pub const LONGEST_SKILL_TEXT: usize = 128;

/// A skill that some agent has, or that people named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skill {
    /// The platform's id.
    pub id: SkillId,
    /// What people call it, where they said.
    pub name: Option<Arc<str>>,
    /// So many of its agents are to stay available, where a floor is set.
    pub floor: Option<u32>,
}

impl Skill {
    /// One of whom nothing but the id is known.
    pub const fn unnamed(id: SkillId) -> Self {
        Self { id, name: None, floor: None }
    }

    /// Whether people call it so: by its id, or by its name.
    pub fn is_called(&self, word: &str) -> bool {
        self.id.as_str() == word || self.name.as_deref() == Some(word)
    }
}

/// The skills of one agent, by id. Agents share what is known of a skill.
pub type Skills = Arc<[Arc<Skill>]>;

/// How a skill is staffed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Staffing {
    /// How many agents have it.
    pub agents: u32,
    /// How many of them are at work by fresh sight: ready, with a contact, or wrapping one up.
    pub available: u32,
}

/// Whether an agent counts for the floors of his skills: at work, by a sight that is not older than `stale_after`.
pub fn is_available(slot: &AgentSlot, stale_after: std::time::Duration, now: UtcMicros) -> bool {
    let fresh = slot.seen_at().is_some_and(|seen_at| now.since(seen_at) <= stale_after);
    fresh && slot.observed().is_some_and(|observed: &Observed| observed.state.is_working())
}

/// How every skill is staffed that some agent has. Who is on his way out of work (`leaves`) is not available any more.
pub fn staffing(
    roster: &Roster,
    stale_after: std::time::Duration,
    now: UtcMicros,
    leaves: impl Fn(&AgentSlot) -> bool,
) -> BTreeMap<SkillId, Staffing> {
    let mut staffed: BTreeMap<SkillId, Staffing> = BTreeMap::new();
    for slot in roster.slots().iter().filter(|slot| !slot.skills().is_empty()) {
        let available = is_available(slot, stale_after, now) && !leaves(slot);
        for skill in slot.skills().iter() {
            let count = staffed.entry(skill.id.clone()).or_default();
            count.agents += 1;
            count.available += u32::from(available);
        }
    }
    staffed
}
