//! The figures of skills and their queues: how many contacts wait, how long, and how many agents there are. Every
//! figure is counted from the current agents and queues. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::agent::Agent;
use super::contacts::WaitFigures;
use super::state::SimState;
use crate::domain::time::UtcMicros;

/// How long figures are reused before new ones are made (guide 000: 15 to 30 s).
const REFRESH_INTERVAL: Duration = Duration::from_secs(20);
/// The time that a contact takes an agent, for estimates, in seconds.
const CONTACT_SECONDS: usize = 180;

/// The figures of one skill and its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SkillFigures {
    pub(super) queue: WaitFigures,
    /// The agents logged in with the skill.
    pub(super) staffed: usize,
    pub(super) available: usize,
    /// The agents with the skill who are logged in and take no contacts.
    pub(super) unavailable: usize,
    /// The agents on a contact of this skill.
    pub(super) on_contact: usize,
    /// The agents in wrap-up after a contact of this skill.
    pub(super) wrapping_up: usize,
}

impl SkillFigures {
    /// Counts an agent in the figures of its skills.
    pub(super) fn count_agent(all: &mut [Self], agent: &Agent) {
        if agent.state != SimState::LoggedOut {
            for skill in agent.distinct_skills() {
                if let Some(figures) = all.get_mut(usize::from(skill)) {
                    figures.staffed += 1;
                    figures.available += usize::from(agent.state == SimState::Available);
                    figures.unavailable += usize::from(!agent.state.takes_contacts());
                }
            }
        }
        if let Some(figures) = agent.labels.queue.and_then(|skill| all.get_mut(usize::from(skill))) {
            figures.on_contact += usize::from(agent.state == SimState::OnContact);
            figures.wrapping_up += usize::from(agent.state == SimState::Acw);
        }
    }

    /// Returns whether no contact waits and no agent is logged in with the skill.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.waiting == 0 && self.staffed == 0 && self.on_contact == 0
    }

    /// Returns how long a contact that arrives now may have to wait, in seconds.
    pub(super) fn estimated_wait_s(&self) -> usize {
        self.queue.waiting * CONTACT_SECONDS / self.staffed.max(1)
    }
}

/// The figures last shown to a tenant.
#[derive(Debug, Default)]
pub(super) struct CachedFigures(Option<(UtcMicros, Arc<[SkillFigures]>)>);

impl CachedFigures {
    /// Returns the figures to show now: the previous ones while they are fresh, and else those that `count` makes.
    pub(super) fn figures_at(
        &mut self,
        now: UtcMicros,
        count: impl FnOnce() -> Vec<SkillFigures>,
    ) -> Arc<[SkillFigures]> {
        if let Some((made, figures)) = &self.0
            && now.since(*made) < REFRESH_INTERVAL
        {
            return figures.clone();
        }
        let figures: Arc<[SkillFigures]> = count().into();
        self.0 = Some((now, figures.clone()));
        figures
    }
}
