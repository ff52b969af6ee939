//! What the keeper has published to viewers, as far as it is needed to detect changes.

use std::sync::Arc;

use crate::domain::adherence::{CurrentVerdict, Verdict};
use crate::domain::agents::agent::Agent;
use crate::domain::agents::roster::AgentRecord;
use crate::domain::live::figures::Figures;
use crate::domain::time::UtcMicros;
use crate::engine::live::filter::AgentMembership;
use crate::engine::live::message::membership_of;

/// The last published values of an agent, as far as they are needed to detect changes.
#[derive(Clone, Debug)]
pub(super) struct PublishedAgent {
    pub(super) name: Option<Arc<str>>,
    pub(super) membership: AgentMembership,
    pub(super) verdict: Verdict,
    /// The end of the planned activity; a different end means that something else is planned.
    pub(super) plan_until: UtcMicros,
}

impl PublishedAgent {
    pub(super) fn of(slot: &AgentRecord, current: CurrentVerdict, now: UtcMicros) -> Self {
        Self {
            name: slot.agent().name.clone(),
            membership: membership_of(slot),
            verdict: current.verdict,
            plan_until: slot.plan_position(now).until(),
        }
    }

    pub(super) fn has_same_identity(&self, agent: &Agent) -> bool {
        self.name == agent.name && self.membership.team == agent.team
    }
}

/// What has been published to viewers; empty while there are none.
#[derive(Default, Debug)]
pub(super) struct PublishedView {
    /// Indexed by position in the roster.
    pub(super) agents: Vec<Option<PublishedAgent>>,
    pub(super) verdicts_checked_at: UtcMicros,
    pub(super) figures: Arc<Figures>,
}
