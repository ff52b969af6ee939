//! What the platform says of skills and their queues: how many wait, how long, who is there for them. Counted, not measured: every
//! figure follows from the agents and the lines as they are. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::agent::Agent;
use super::contacts::LineFigures;
use super::state::SimState;
use super::world::World;
use crate::domain::time::UtcMicros;

/// How long figures are shown again before new ones are made (guide 000: 15 to 30 s).
const FRESH: Duration = Duration::from_secs(20);
/// What a contact takes of an agent, for estimates, in seconds.
const CONTACT_S: usize = 180;

/// The figures of one skill, and of the queue of its contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SkillFigures {
    pub(super) line: LineFigures,
    /// Logged in with the skill.
    pub(super) staffed: usize,
    pub(super) available: usize,
    /// With a contact of this skill.
    pub(super) on_contact: usize,
    /// Wrapping one up.
    pub(super) wrapping_up: usize,
}

impl SkillFigures {
    /// Counts an agent where it belongs.
    pub(super) fn count(all: &mut [Self], agent: &Agent) {
        if agent.state != SimState::LoggedOut {
            for skill in agent.distinct_skills() {
                if let Some(figures) = all.get_mut(usize::from(skill)) {
                    figures.staffed += 1;
                    figures.available += usize::from(agent.state == SimState::Available);
                }
            }
        }
        if let Some(figures) = agent.queue.and_then(|skill| all.get_mut(usize::from(skill))) {
            figures.on_contact += usize::from(agent.state == SimState::OnContact);
            figures.wrapping_up += usize::from(agent.state == SimState::Acw);
        }
    }

    /// Nobody waits and nobody is there for it.
    pub(super) fn is_idle(&self) -> bool {
        self.line.waiting == 0 && self.staffed == 0 && self.on_contact == 0
    }

    /// How long a contact that comes now may have to wait.
    pub(super) fn estimated_wait_s(&self) -> usize {
        self.line.waiting * CONTACT_S / self.staffed.max(1)
    }
}

/// The figures that a tenant was last shown.
#[derive(Debug, Default)]
pub(super) struct Shown(Option<(UtcMicros, Arc<[SkillFigures]>)>);

impl Shown {
    /// The figures to show now: those from before while they are fresh.
    pub(super) fn at(&mut self, now: UtcMicros, world: &World) -> Arc<[SkillFigures]> {
        if let Some((made, figures)) = &self.0
            && now.since(*made) < FRESH
        {
            return figures.clone();
        }
        let figures: Arc<[SkillFigures]> = world.figures().into();
        self.0 = Some((now, figures.clone()));
        figures
    }
}
