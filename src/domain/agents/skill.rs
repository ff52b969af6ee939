//! Skills of agents and their staffing floors.
//!
//! The guides do not say which skills an agent has: they come from a file or a person.

use std::sync::Arc;

use crate::domain::ids::SkillId;

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
