//! The database: all SQL of the daemon, for SQLite and PostgreSQL.
//!
//! Only one process at a time may write to a store, through one [`Writer`], which commits changes in groups. Any number
//! of processes may read at the same time, each through a [`Reader`]. Both engines run the same SQL: `$1` placeholders,
//! `ON CONFLICT`, `RETURNING`, and only integer, text and byte values. Only the migrations, the lock and `BEGIN`
//! differ. Times are UTC microseconds, and the clock is passed in. This module makes no network calls inside a
//! transaction, takes no decisions, and does not use the pool while a transaction is open.

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
mod erasure;
mod error;
mod failure;
mod file_state;
mod import;
mod inspect;
mod interceptor;
mod last_numbers;
mod lock;
mod migrations;
mod open;
mod outbox;
mod reader;
mod restore;
mod sequence_ends;
mod series;
mod size;
mod tables;
mod writer;
mod writer_metrics;

pub use access::AccessChange;
pub use backup::{BackupError, BackupResult, back_up, partial_path};
pub use batch::PAGE_LIMIT;
pub use chain::{BadHead, ChainTrust, ChainVerdict, PRUNED_ACTION};
pub use change::{
    AdherenceChange, AdherenceDay, AgentCounters, AgentSchedule, AgentSkillsWrite, AgentWrite, AnalyticsRows,
    AuditPrune, CallWrite, ChangeSetRow, ChangeSetWrite, Commit, CommitResult, DirectoryWrite, ExcludedAgent,
    FiguresWrite, FindingKind, GoodVersion, HistoryRow, HistoryWrite, IdempotencyRow, ImportOutcome, JobRun, JobState,
    ListedAgentWrite, NoteWrite, ObservedSpanRow, OfferWrite, RequiredStaffingChange, RuleFinding, RuleMemoryWrite,
    RuleVersion, ScheduleImport, ScheduleRead, ScheduleSourceWrite, SeriesProgress, SkillWrite, SubscriptionRow,
    SubscriptionWrite, TenantStatus,
};
pub use checkpoint::CheckpointResult;
pub use control::{DaemonRow, ProcessIdentity, ProcessRole};
pub use erasure::{ErasureChange, ErasureMark, KeyPart, MovedTable, StandInMove, WipedRow, WipedRowWrite, WipedTable};
pub use error::{Cause, CommitError, OpenError, ReadError};
pub use failure::StoreFailure;
pub use inspect::{Inspection, StatsError, StoreStats, TableStats, ineffective_settings, inspect, stats};
pub use interceptor::{EngineInterceptor, EngineOperation};
pub use open::{Store, is_locked};
pub use outbox::{
    AttemptWrite, ClockAdjustment, DeliveryRelease, DeliveryWrite, EndpointWrite, EventPrune, OutboxChange,
    ParkedResend,
};
pub use reader::Reader;
pub use restore::{RestoreError, RestoreResult, restore};
pub use series::{SeriesError, SeriesValues};
pub use size::StoreSize;
pub use tables::adherence::adherence_reading::{AdherenceInputs, AgentFacts, PackedDay};
pub use tables::adherence::exceptions::ExceptionFilter;
pub use tables::adherence::time_in_state::TimeInState;
pub use tables::agents::history_reading::{HISTORY_PAGE_LIMIT, StoredHistory};
pub use tables::agents::{ScheduleReads, StoredAgent};
pub use tables::analytics::ROWS_PAGE_LIMIT;
pub use tables::analytics::anomalies::AnomalyFilter;
pub use tables::audit::audit_heads::StoredHead;
pub use tables::audit::audit_reading::{AUDIT_SCAN_LIMIT, AuditFilter, AuditPage, MAX_SUBJECTS, SubjectAgent};
pub use tables::audit::{EntryColumns, StoredEntry};
pub use tables::changes::change_sets::{ChangeSetCounts, StoredChangeSetAgent};
pub use tables::changes::transition_reading::{AutomaticChange, ComplianceFigures, TransitionFilter};
pub use tables::changes::transitions::StoredTransition;
pub use tables::jobs::retention::{PruneSlice, PruneTarget, SLICE_ROWS};
pub use tables::live::figures::{FIGURES_PAGE_LIMIT, FigurePoint};
pub use tables::rules::{FindingCount, FindingFilter, StoredFinding, TransitionCountsByRule};
pub use tables::schedules::schedule::{ScheduleVersion, StoredPlan};
pub use tables::schedules::sources::StoredScheduleSource;
pub use tables::webhooks::delivery_reading::{Backlog, DeliveryFilter, DueDelivery, StoredDelivery, StoredEndpoint};
pub use tables::webhooks::events::StoredEvent;
pub use writer::Writer;
pub use writer_metrics::WriterMetrics;
