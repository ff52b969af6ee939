//! Schedule files to import, and the result.

use super::Commit;
use crate::domain::agents::agent::Agent;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, OfferId, ScheduleSourceId, SkillId, SubjectId, TenantId};
use crate::domain::schedules::offer::{Offer, OfferAnswer};
use crate::domain::schedules::schedule::{Coverage, Shift};
use crate::domain::schedules::staffing::RequiredStaffing;
use crate::domain::time::UtcMicros;

/// A schedule file for one tenant.
#[derive(Clone, Debug)]
pub struct ScheduleImport {
    /// The tenant.
    pub tenant: TenantId,
    /// The name of the import: the file's name.
    pub name: String,
    /// A hash of the content; importing equal content again changes nothing.
    pub content_hash: Hash,
    /// The agents in the file, each once.
    pub agents: Vec<AgentSchedule>,
    /// The actor who imported it, as written by [`crate::domain::changes::transition::Actor::label`].
    pub actor: String,
    /// The audit entries and events that are committed with the activation.
    pub with_activation: Commit,
}

/// The shifts of one agent in an import. They replace the stored shifts inside `coverage`; those outside are kept.
#[derive(Clone, Debug)]
pub struct AgentSchedule {
    /// The agent.
    pub agent: Agent,
    /// The agent's name in the audit chain, used if the agent has none yet.
    pub subject: SubjectId,
    /// The shifts.
    pub shifts: Vec<Shift>,
    /// The period that the file covers.
    pub coverage: Coverage,
    /// Whether the schedule covers the period from now on; `false` to take back a schedule where there was none before.
    pub is_covered: bool,
    /// The agent's skills; `None` leaves the stored ones unchanged.
    pub skills: Option<Vec<SkillId>>,
}

/// Required staff to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredStaffingChange {
    /// The tenant.
    pub tenant: TenantId,
    /// Stored rows to delete.
    pub removed: Vec<RequiredStaffing>,
    /// Rows to insert afterwards.
    pub added: Vec<RequiredStaffing>,
}

/// The state of a source of schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSourceWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The source.
    pub source: ScheduleSourceId,
    /// The time of the write, kept as the time since which the source is known if it is new.
    pub at: UtcMicros,
    /// The good version that the source gave at that time; `None` only makes the source known.
    pub good: Option<GoodVersion>,
}

/// When an agent's schedule was read from the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRead {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent, who is stored already.
    pub agent: AgentId,
    /// When the platform's answer arrived.
    pub at: UtcMicros,
}

/// A step of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferWrite {
    /// The offer is made or proposed. An id that is already stored refuses the change. Nobody has a link yet.
    Make(Offer),
    /// The offer is approved, and agents get links. Agents without a link are removed from it. An earlier approval is kept.
    Approve {
        /// The tenant.
        tenant: TenantId,
        /// The offer.
        offer: OfferId,
        /// When.
        at: UtcMicros,
        /// By whom.
        by: String,
        /// The hash of the link of each agent. One that is already stored refuses the change.
        links: Vec<(AgentId, Hash)>,
    },
    /// An agent answers. An answer that is already stored is kept.
    Answer {
        /// The tenant.
        tenant: TenantId,
        /// The offer.
        offer: OfferId,
        /// The agent.
        agent: AgentId,
        /// The answer.
        answer: OfferAnswer,
    },
    /// The offer is withdrawn. An earlier withdrawal is kept.
    Withdraw {
        /// The tenant.
        tenant: TenantId,
        /// The offer.
        offer: OfferId,
        /// When.
        at: UtcMicros,
        /// By whom.
        by: String,
    },
}

/// A version of the schedule that a source gave or confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoodVersion {
    /// The version of the tenant's schedule that the file made, or that was in force with its content.
    pub version: u64,
    /// The `ETag` of the file, as the server wrote it.
    pub etag: Option<String>,
    /// The `Last-Modified` of the file, as the server wrote it.
    pub last_modified: Option<String>,
    /// The hash of the file.
    pub content: Hash,
    /// The hash of the settings by which the file was read.
    pub settings: Hash,
}

/// The result of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The schedule is active as a new version.
    Activated {
        /// The version, counted per tenant from 1.
        version: u64,
        /// The number of agents.
        agents: usize,
        /// The number of shifts.
        shifts: usize,
    },
    /// The same content is already active; nothing was written.
    Unchanged {
        /// The active version.
        version: u64,
    },
}
