//! The picture for whoever shows it once: a page, not a viewer. It is read out of the one that viewers share, so that both say
//! the same; what it shows is not followed from here.

use std::sync::Arc;

use serde::Deserialize;

use super::Live;
use crate::domain::adherence::Verdict;
use crate::domain::agent::Source;
use crate::domain::ids::{AgentId, ReasonCode, TeamName, TenantId, TransitionId};
use crate::domain::state::AgentState;
use crate::domain::time::UtcMicros;

/// What is known of a tenant's agents, skills and queues at an instant.
#[derive(Clone, Debug, Deserialize)]
pub struct Picture {
    /// When.
    pub at: UtcMicros,
    /// When the oldest part of what the platform showed was generated; none while a part is missing.
    pub seen_at: Option<UtcMicros>,
    /// Everyone on the roster, or those who were asked for, by id.
    pub agents: Vec<AgentSeen>,
    /// Figures of skills.
    pub skills: Vec<SkillSeen>,
    /// Figures of queues.
    pub queues: Vec<QueueSeen>,
}

/// One agent.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentSeen {
    /// Who.
    pub id: AgentId,
    /// The name, where one is known. Shown, never logged.
    pub name: Option<Arc<str>>,
    /// The team.
    pub team: Option<TeamName>,
    /// The zone of the agent's days.
    pub zone: Option<Arc<str>>,
    /// The state that was last observed.
    pub state: Option<AgentState>,
    /// With this reason, where it is known.
    pub reason: Option<ReasonCode>,
    /// The queue that the platform names.
    pub queue: Option<Arc<str>>,
    /// Since when the state holds.
    pub entered_at: Option<UtcMicros>,
    /// Where that is known from.
    pub source: Option<Source>,
    /// The change of ours that brought it about.
    pub transition: Option<TransitionId>,
    /// When the agent was last shown by any source.
    pub seen_at: Option<UtcMicros>,
    /// In or out of the plan.
    pub adherence: VerdictSeen,
    /// What the plan says.
    pub planned: PlannedSeen,
    /// The change that is under way.
    pub open: Option<OpenSeen>,
}

/// A verdict on an agent.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct VerdictSeen {
    /// What.
    pub verdict: Verdict,
    /// Since when the facts behind it are as they are.
    pub since: Option<UtcMicros>,
}

/// What is planned for an agent.
#[derive(Clone, Debug, Deserialize)]
pub struct PlannedSeen {
    /// The activity's name, `off` or `uncovered`.
    pub activity: String,
    /// Since when.
    pub since: Option<UtcMicros>,
    /// The next edge.
    pub until: Option<UtcMicros>,
}

/// A change that is under way.
#[derive(Clone, Debug, Deserialize)]
pub struct OpenSeen {
    /// Which.
    pub id: TransitionId,
    /// To this state.
    pub target: AgentState,
    /// With this reason.
    pub reason: ReasonCode,
    /// Who wants it: `rule:…` or `person:…`.
    pub actor: String,
    /// Where it stands.
    pub status: String,
}

/// Figures of a skill; none where the platform gave none.
#[derive(Clone, Debug, Deserialize)]
pub struct SkillSeen {
    /// Which.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// When they were read.
    pub taken_at: UtcMicros,
    /// Contacts that wait.
    pub contacts_queued: Option<u64>,
    /// Contacts that are being handled.
    pub contacts_active: Option<u64>,
    /// How long the longest of those that wait has waited.
    pub longest_queue_duration_s: Option<u64>,
    /// The share of contacts that were answered in time, of 1.
    pub service_level: Option<f64>,
    /// Agents who could take a contact now.
    pub agents_available: Option<u64>,
    /// Agents who are logged in with the skill.
    pub agents_staffed: Option<u64>,
}

/// Figures of a queue; none where the platform gave none.
#[derive(Clone, Debug, Deserialize)]
pub struct QueueSeen {
    /// Which.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// When they were read.
    pub taken_at: UtcMicros,
    /// Agents who are logged in.
    pub agents_logged_on: Option<u64>,
    /// Agents who could take a call now.
    pub agents_available: Option<u64>,
    /// Calls that wait.
    pub calls_waiting: Option<u64>,
    /// How long those that wait have waited on average.
    pub average_wait_time_ms: Option<u64>,
    /// The share of calls that were answered in time, of 1.
    pub service_level: Option<f64>,
}

impl Live {
    /// The picture of a tenant as it is now, at most a second old, of these teams (of all without a word on teams). `None` while
    /// the tenant's keeper is away: at a start, or after a fault.
    pub async fn picture(&self, tenant: &TenantId, teams: &[TeamName]) -> Option<Picture> {
        let topic = self.topics().get(tenant).cloned()?;
        let json = topic.look().await?.whole(teams);
        match serde_json::from_slice(&json) {
            Ok(picture) => Some(picture),
            Err(error) => {
                // The shapes are ours on both sides; a test reads every field.
                tracing::error!(%tenant, %error, "defect: the picture cannot be read back");
                None
            }
        }
    }

    /// The daemon's clock: its instant, and how many times faster than real time it runs.
    pub fn clock(&self) -> (UtcMicros, u32) {
        (self.0.clock.now(), self.0.clock.speed())
    }
}
