//! All SQL of the project: history, transitions, audit, outbox, schedules and what the workers must remember.
//!
//! One process at a time may write a store, through one [`Writer`] that commits in groups; anyone may read beside it through
//! a [`Reader`]. One text of SQL serves SQLite and PostgreSQL: placeholders `$1`, `ON CONFLICT`, `RETURNING`, and values of
//! integer, text and bytes alone; only the migrations, the lock and `BEGIN` differ. Instants are UTC microseconds; the clock is
//! handed in. Nothing here calls the network inside a transaction, decides anything, or lets the pool be used while a
//! transaction is open.

mod access;
mod backend;
mod backup;
mod batch;
mod cells;
mod chain;
mod change;
mod checkpoint;
#[cfg(test)]
mod conformance;
mod control;
mod erasing;
mod error;
mod gate;
mod import;
mod inspect;
mod lock;
mod migrations;
mod open;
mod outbox;
mod reader;
mod restore;
mod series;
mod size;
mod tables;
mod tails;
mod trouble;
mod vitals;
mod whole;
mod writer;

pub use access::AccessChange;
pub use backup::{BackupError, BackupMade, back_up, partial_path};
pub use chain::{BadHead, ChainTrust, ChainVerdict, PRUNED};
pub use change::{
    AdherenceChange, AdherenceDay, AgentCounters, AgentSchedule, AgentSkillsWrite, AgentWrite, AnalyticsRows,
    AuditPrune, CallWrite, ChangeSetRow, ChangeSetWrite, Commit, Committed, FiguresWrite, FindingKind, HistoryRow,
    HistoryWrite, IdempotencyRow, Imported, JobRun, JobState, LeftOut, NoteWrite, RemembersWrite, RuleFinding,
    RuleVersion, ScheduleImport, SeriesJudged, SightSpan, SkillWrite, SubscriptionRow, SubscriptionWrite, TenantStatus,
};
pub use checkpoint::Checkpointed;
pub use control::DaemonRow;
pub use erasing::{ErasingChange, ErasureMark, KeyPart, Move, Moved, Wiped, WipedRow, WipedWrite};
pub use error::{Cause, CommitError, OpenError, ReadError};
pub use gate::{EngineGate, EngineWork};
pub use inspect::{Inspection, Stats, StatsError, TableStats, inspect, settings_not_taken, stats};
pub use open::{Identity, Role, Store, is_held};
pub use outbox::{AttemptWrite, ClockSet, DeliveryWrite, EndpointWrite, Forgotten, OutboxChange, Recovery, Release};
pub use reader::Reader;
pub use restore::{RestoreError, Restored, restore};
pub use series::{SeriesError, SeriesValues};
pub use size::Footprint;
pub use tables::adherence::adherence_reading::{AdherenceGround, AgentFacts, PackedDay};
pub use tables::adherence::exceptions::ExceptionFilter;
pub use tables::adherence::time_in_state::TimeInState;
pub use tables::agents::StoredAgent;
pub use tables::agents::history_reading::{HISTORY_PAGE_LIMIT, StoredHistory};
pub use tables::analytics::ROWS_PAGE_LIMIT;
pub use tables::analytics::anomalies::AnomalyFilter;
pub use tables::audit::audit_heads::StoredHead;
pub use tables::audit::audit_reading::{AUDIT_STRETCH, AuditFilter, AuditPage, KnownSubject, MOST_SUBJECTS};
pub use tables::audit::{EntryColumns, StoredEntry};
pub use tables::changes::change_sets::{SetCounts, StoredSetAgent};
pub use tables::changes::transition_reading::{AutomaticChange, ComplianceFigures, TransitionFilter};
pub use tables::changes::transitions::StoredTransition;
pub use tables::jobs::retention::{Pruned, SLICE_ROWS, Slice};
pub use tables::live::figures::{FIGURES_PAGE_LIMIT, FigurePoint};
pub use tables::rules::{AskedByRule, FindingCount, FindingFilter, StoredFinding};
pub use tables::schedules::schedule::{ScheduleVersion, StoredPlan};
pub use tables::webhooks::delivery_reading::{Backlog, DeliveryFilter, DueDelivery, StoredDelivery, StoredEndpoint};
pub use tables::webhooks::events::StoredEvent;
pub use trouble::Trouble;
pub use vitals::WriterVitals;
pub use writer::Writer;

/// The most rows of one page of a list.
pub const PAGE_LIMIT: u32 = 500;

/// A page's length as it is bound.
const fn page(limit: u32) -> i64 {
    if limit < PAGE_LIMIT { limit as i64 } else { PAGE_LIMIT as i64 }
}
