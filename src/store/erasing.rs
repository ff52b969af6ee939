//! What the writer takes to erase an agent: slices of tables whose rows go on as a stand-in's, rows with cleaned texts, and what goes.

use crate::domain::agents::erasure::Erasure;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// Steps of erasures.
#[derive(Clone, Debug, Default)]
pub struct ErasingChange {
    /// Whole rows, inserted or further on.
    pub erasures: Vec<Erasure>,
    /// Agents who are being erased, and stand-ins: they are in no roster from now on.
    pub marks: Vec<ErasureMark>,
    /// Slices of tables.
    pub moves: Vec<Move>,
    /// Rows with other texts.
    pub wiped: Vec<WipedWrite>,
    /// Notes that go, by their hashes.
    pub notes: Vec<(TenantId, Hash)>,
    /// Agents of whom nothing else is left: what says who they are goes too, and what was remembered of them.
    pub gone: Vec<(TenantId, AgentId)>,
}

impl ErasingChange {
    /// Nothing would be written.
    pub const fn is_empty(&self) -> bool {
        let Self { erasures, marks, moves, wiped, notes, gone } = self;
        erasures.is_empty()
            && marks.is_empty()
            && moves.is_empty()
            && wiped.is_empty()
            && notes.is_empty()
            && gone.is_empty()
    }
}

/// Says of an agent that it is being erased, or that it is a stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureMark {
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub agent: AgentId,
    /// Since when.
    pub at: UtcMicros,
    /// It is the stand-in.
    pub is_stand_in: bool,
}

/// At most [`super::SLICE_ROWS`] of an agent's rows of one table, which are the stand-in's from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Whose.
    pub tenant: TenantId,
    /// Of whom.
    pub agent: AgentId,
    /// To whom.
    pub stand_in: AgentId,
    /// Where.
    pub table: Moved,
}

/// Tables whose rows are found by their agent and hold no texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Planned shifts.
    Shifts,
    /// What schedules speak for.
    Coverage,
    /// State history.
    History,
    /// What days add up to.
    Days,
    /// Who is named by exceptions.
    Excused,
}

impl Moved {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Shifts, Self::Coverage, Self::History, Self::Days, Self::Excused];
}

/// Tables that are looked through from end to end, since they name agents in texts or have no index of agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wiped {
    /// State changes that were asked for.
    Transitions,
    /// Calls to the platform.
    Calls,
    /// What rules found.
    Findings,
    /// Exceptions.
    Exceptions,
    /// Bulk changes.
    ChangeSets,
    /// Agents of bulk changes.
    ChangeSetAgents,
    /// Reports that were asked for.
    ReportRuns,
    /// Analytics queries that were asked.
    AnalyticsRuns,
    /// Rows of their results.
    AnalyticsRows,
    /// What people were told of jobs.
    Jobs,
    /// Runs of jobs.
    JobRuns,
    /// Rules that people wrote.
    RuleEditions,
    /// Rules as they were in force.
    RuleVersions,
    /// Answers that are kept for repeated requests.
    Answers,
    /// Names of imports.
    ScheduleVersions,
    /// The outbox.
    Events,
    /// Its deliveries.
    Deliveries,
    /// Their attempts.
    DeliveryAttempts,
}

impl Wiped {
    /// All of them, in the order in which they are to be wiped: what tells that a text is about one agent alone comes after that text.
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
        Self::Answers,
        Self::ScheduleVersions,
        Self::Events,
        Self::Deliveries,
        Self::DeliveryAttempts,
    ];

    /// Those that the workers of the outbox write.
    pub const OUTBOX: [Self; 2] = [Self::Deliveries, Self::DeliveryAttempts];
}

/// A part of a row's key, beside the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A row that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WipedRow {
    /// Its key.
    pub key: Vec<KeyPart>,
    /// It names the agent, or may: else nothing more was read of it.
    pub hit: bool,
    /// The agent that it is about, where the table has one.
    pub agent: Option<AgentId>,
    /// Its texts, in the order of the table's own.
    pub texts: [Option<String>; 3],
}

/// A row as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WipedWrite {
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub table: Wiped,
    /// The row.
    pub row: WipedRow,
}
