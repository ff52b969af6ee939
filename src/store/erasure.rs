//! Changes that erase an agent: rows moved to a stand-in, rows with wiped texts, and deletions.

use crate::domain::agents::erasure::Erasure;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// Steps of erasures.
#[derive(Clone, Debug, Default)]
pub struct ErasureChange {
    /// Erasures to insert or update, as whole rows.
    pub erasures: Vec<Erasure>,
    /// Agents being erased, and stand-ins; neither is in any roster from now on.
    pub marks: Vec<ErasureMark>,
    /// Slices of tables to move to a stand-in.
    pub moves: Vec<StandInMove>,
    /// Rows with wiped texts.
    pub wiped_rows: Vec<WipedRowWrite>,
    /// Notes to delete, by hash.
    pub notes: Vec<(TenantId, Hash)>,
    /// Agents of whom nothing else is left: their identity and rule memory are deleted.
    pub erased_agents: Vec<(TenantId, AgentId)>,
}

impl ErasureChange {
    /// Returns whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        let Self { erasures, marks, moves, wiped_rows, notes, erased_agents } = self;
        erasures.is_empty()
            && marks.is_empty()
            && moves.is_empty()
            && wiped_rows.is_empty()
            && notes.is_empty()
            && erased_agents.is_empty()
    }
}

/// Marks an agent as being erased, or as a stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureMark {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The time of the mark.
    pub at: UtcMicros,
    /// Whether the agent is the stand-in.
    pub is_stand_in: bool,
}

/// Moves at most [`super::SLICE_ROWS`] of an agent's rows of one table to the stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandInMove {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The stand-in.
    pub stand_in: AgentId,
    /// The table.
    pub table: MovedTable,
}

/// A table whose rows are found by agent and contain no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovedTable {
    /// Planned shifts.
    Shifts,
    /// The coverage of schedules.
    Coverage,
    /// State history.
    History,
    /// Adherence days.
    Days,
    /// Agents named by exceptions.
    ExceptionAgents,
    /// Agents to whom offers were made.
    OfferAgents,
}

impl MovedTable {
    /// All tables.
    pub const ALL: [Self; 6] =
        [Self::Shifts, Self::Coverage, Self::History, Self::Days, Self::ExceptionAgents, Self::OfferAgents];
}

/// A table that is searched completely, because it names agents in texts or has no index by agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WipedTable {
    /// Transitions.
    Transitions,
    /// API calls.
    Calls,
    /// Findings of rules.
    Findings,
    /// Exceptions.
    Exceptions,
    /// Bulk changes.
    ChangeSets,
    /// Agents of bulk changes.
    ChangeSetAgents,
    /// Requested reports.
    ReportRuns,
    /// Runs of analytics queries.
    AnalyticsRuns,
    /// Result rows of analytics runs.
    AnalyticsRows,
    /// Notifications about jobs.
    Jobs,
    /// Runs of jobs.
    JobRuns,
    /// Rules as edited by people.
    RuleEditions,
    /// Rules as they were in force.
    RuleVersions,
    /// Responses kept for repeated requests.
    IdempotencyKeys,
    /// Names of imports.
    ScheduleVersions,
    /// The outbox.
    Events,
    /// Deliveries of the outbox.
    Deliveries,
    /// Attempts of deliveries.
    DeliveryAttempts,
}

impl WipedTable {
    /// All tables, in the order of wiping: a table that tells whether a text is about one agent alone comes after that
    /// text.
    pub const ALL: [Self; 18] = [
        Self::Exceptions,
        Self::ChangeSets,
        Self::ChangeSetAgents,
        Self::Transitions,
        Self::Calls,
        Self::Findings,
        Self::ReportRuns,
        Self::AnalyticsRuns,
        Self::AnalyticsRows,
        Self::Jobs,
        Self::JobRuns,
        Self::RuleEditions,
        Self::RuleVersions,
        Self::IdempotencyKeys,
        Self::ScheduleVersions,
        Self::Events,
        Self::Deliveries,
        Self::DeliveryAttempts,
    ];

    /// The tables that the outbox workers write.
    pub const OUTBOX: [Self; 2] = [Self::Deliveries, Self::DeliveryAttempts];
}

/// A part of a row's key, without the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A row that was read for wiping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WipedRow {
    /// The key.
    pub key: Vec<KeyPart>,
    /// Whether the row names the agent or may do so; if not, the fields below were not read.
    pub may_name_agent: bool,
    /// The row's agent, if the table has that column.
    pub agent: Option<AgentId>,
    /// The texts, in the order of the table's text columns.
    pub texts: [Option<String>; 3],
}

/// A row with its new values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WipedRowWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The table.
    pub table: WipedTable,
    /// The row.
    pub row: WipedRow,
}
