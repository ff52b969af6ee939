//! What the writer takes: plain rows, grouped into changes that are stored whole or not at all.
//!
//! Nothing here knows SQL.

mod adherence;
mod sets;

use std::sync::Arc;

use uuid::Uuid;

pub use self::adherence::{AdherenceChange, AdherenceDay, SightSpan};
pub use self::sets::{AgentSkillsWrite, ChangeSetRow, ChangeSetWrite, LeftOut, SkillWrite};
use super::access::AccessChange;
use super::erasing::ErasingChange;
use super::outbox::OutboxChange;
use crate::clock::Moment;
use crate::domain::adherence::exception::Exception;
use crate::domain::agents::agent::{Agent, Source};
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::analytics_run::AnalyticsRun;
use crate::domain::analytics::anomaly::AnomalyRecord;
use crate::domain::audit::head::SignedHead;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{
    AgentId, AnalyticsRunId, FindingId, ReasonCode, RuleId, SeriesId, SkillId, SubjectId, SubscriptionId, TenantId,
    TransitionId,
};
use crate::domain::jobs::job::{JobKey, JobOutcome};
use crate::domain::live::figures::{QueueFigures, SkillFigures, Taken};
use crate::domain::reports::report_run::ReportRun;
use crate::domain::rules::rule::shelf::Edition;
use crate::domain::schedules::schedule::{Coverage, Shift};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::Event;

/// One change: everything in it is committed together or not at all. Within a change the lists are written in the order of
/// the fields; in a list, the last write of a key wins.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Agents seen or imported; what is not known here stays as it was.
    pub agents: Vec<AgentWrite>,
    /// State history, in the order in which it happened.
    pub history: Vec<HistoryWrite>,
    /// Whole rows, inserted or replaced.
    pub transitions: Vec<Transition>,
    /// Whole rows, inserted or replaced.
    pub calls: Vec<CallWrite>,
    /// Linked into their tenants' chains in this order.
    pub audit: Vec<AuditDraft>,
    /// The typed words that audit entries name by hash.
    pub notes: Vec<NoteWrite>,
    /// For the outbox. An id that is already stored refuses the change.
    pub events: Vec<Event>,
    /// What became of deliveries.
    pub outbox: OutboxChange,
    /// Whole rows, inserted or replaced.
    pub counters: Vec<AgentCounters>,
    /// Whole rows, inserted or replaced.
    pub memory: Vec<RemembersWrite>,
    /// Figures of skills, as they were read.
    pub skill_figures: Vec<FiguresWrite<SkillFigures>>,
    /// Figures of queues, as they were read.
    pub queue_figures: Vec<FiguresWrite<QueueFigures>>,
    /// Subscriptions on the platform.
    pub subscriptions: Vec<SubscriptionWrite>,
    /// Answers to requests with an `Idempotency-Key`. A key that is already stored refuses the change.
    pub idempotency: Vec<IdempotencyRow>,
    /// Versions of rules; one that is known already is left as it is.
    pub rules: Vec<RuleVersion>,
    /// Whether automation of a tenant is halted.
    pub tenant_status: Vec<TenantStatus>,
    /// How far the jobs of the calendar are; whole rows, inserted or replaced.
    pub jobs: Vec<JobState>,
    /// Their runs; whole rows, inserted or replaced.
    pub job_runs: Vec<JobRun>,
    /// Versions of rules of the store, each with its tenant. One that is already stored refuses the change.
    pub editions: Vec<(TenantId, Edition)>,
    /// What rules found of agents.
    pub findings: Vec<RuleFinding>,
    /// Reports that the daemon was asked for; whole rows, inserted or with another standing.
    pub report_runs: Vec<ReportRun>,
    /// Runs of analytics queries; whole rows, inserted or with another standing.
    pub analytics_runs: Vec<AnalyticsRun>,
    /// Rows of their results, a slice each; they count once the run says that they are there.
    pub analytics_rows: Vec<AnalyticsRows>,
    /// Anomalies of watched series; whole rows, inserted or as they stand now. One of the same series and instant under another id refuses
    /// the change.
    pub anomalies: Vec<AnomalyRecord>,
    /// How far watched series were judged.
    pub judged: Vec<SeriesJudged>,
    /// Exceptions; whole rows, inserted or with another end.
    pub exceptions: Vec<Exception>,
    /// Signed heads of audit chains. One that is already stored refuses the change.
    pub heads: Vec<SignedHead>,
    /// Audit entries below a checkpoint that go.
    pub pruned: Vec<AuditPrune>,
    /// Steps of bulk changes. A set that is already stored refuses the change that adds it.
    pub change_sets: Vec<ChangeSetWrite>,
    /// Skills with their names and floors; whole rows, inserted or replaced.
    pub skills: Vec<SkillWrite>,
    /// The skills of agents, each agent's whole.
    pub agent_skills: Vec<AgentSkillsWrite>,
    /// What is kept of adherence.
    pub adherence: AdherenceChange,
    /// Who may use the daemon.
    pub access: AccessChange,
    /// Steps of erasures.
    pub erasing: ErasingChange,
}

impl Commit {
    /// Nothing would be written.
    pub fn is_empty(&self) -> bool {
        macro_rules! all_empty {
            ($($field:ident),+) => {{
                // A field that is left out does not compile.
                let Self { $($field),+ } = self;
                $($field.is_empty())&&+
            }};
        }
        all_empty!(
            agents,
            history,
            transitions,
            calls,
            audit,
            notes,
            events,
            outbox,
            counters,
            memory,
            skill_figures,
            queue_figures,
            subscriptions,
            idempotency,
            rules,
            tenant_status,
            jobs,
            job_runs,
            editions,
            findings,
            report_runs,
            analytics_runs,
            analytics_rows,
            anomalies,
            judged,
            exceptions,
            heads,
            pruned,
            change_sets,
            skills,
            agent_skills,
            adherence,
            access,
            erasing
        )
    }
}

/// An agent and the random name for the audit chain. A subject that is stored already stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentWrite {
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub agent: Agent,
    /// The name in the chain, if the agent has none yet.
    pub subject: SubjectId,
}

/// How far a watched series was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesJudged {
    /// Whose.
    pub tenant: TenantId,
    /// Which watched series.
    pub series: SeriesId,
    /// What that is of, as a series is written.
    pub of: Arc<str>,
    /// Where the bucket of the last value begins that was judged.
    pub through: UtcMicros,
}

/// Rows of a result that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalyticsRows {
    /// Whose.
    pub tenant: TenantId,
    /// Of which run.
    pub run: AnalyticsRunId,
    /// The place of the first.
    pub first: u64,
    /// Each as canonical JSON ([`crate::domain::analytics::ResultRow::canonical`]).
    pub rows: Vec<String>,
}

/// A step of the state history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryWrite {
    /// The agent entered a state. A row of the same instant is replaced.
    Enter(HistoryRow),
    /// A better instant became known for a row; the row at `to`, if there is one, gives way.
    Retime {
        /// Whose.
        tenant: TenantId,
        /// Of whom.
        agent: AgentId,
        /// The row's instant so far.
        from: UtcMicros,
        /// The better one.
        to: UtcMicros,
        /// The better one by the platform's own clock.
        platform_at: Option<UtcMicros>,
        /// Where the better one comes from.
        source: Source,
    },
    /// The row was a mistake.
    Remove {
        /// Whose.
        tenant: TenantId,
        /// Of whom.
        agent: AgentId,
        /// The row's instant.
        entered_at: UtcMicros,
    },
}

/// An agent in a state since an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub agent: AgentId,
    /// Since when.
    pub entered_at: UtcMicros,
    /// Since when by the platform's own clock, where it said it.
    pub platform_at: Option<UtcMicros>,
    /// In which state.
    pub state: AgentState,
    /// With which reason, where one is known.
    pub reason: Option<ReasonCode>,
    /// On which queue, where one is known.
    pub queue: Option<Arc<str>>,
    /// Where the knowledge comes from.
    pub source: Source,
    /// The transition of ours that brought it about.
    pub transition: Option<TransitionId>,
    /// Whether a person asked for that transition.
    pub by_person: bool,
}

/// One call to the platform: a row of the budget's log and, for a state POST, the attempt of a transition. Written before
/// the call leaves and again when it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallWrite {
    /// Whose budget.
    pub tenant: TenantId,
    /// The call's own id.
    pub id: Uuid,
    /// What was called, in the platform room's words: `state`, `schedule`, `break`, …
    pub kind: Arc<str>,
    /// For which agent.
    pub agent: Option<AgentId>,
    /// For which transition.
    pub transition: Option<TransitionId>,
    /// The transition's how-manieth attempt, from 1.
    pub attempt: Option<u32>,
    /// When it was made durable, at the latest when it left.
    pub sent_at: UtcMicros,
    /// When the answer or the failure came; `None` while it is under way or after a crash.
    pub answered_at: Option<UtcMicros>,
    /// The instant of the answer, or of the sending while there is none, in microseconds since the host's start
    /// (`clock::Clock::steady`), where that is known.
    pub steady_us: Option<u64>,
    /// Which start of the host that counts from (`clock::Clock::host_start`).
    pub host_start: Option<i64>,
    /// How it ended, in the platform room's words.
    pub outcome: Option<Arc<str>>,
    /// The HTTP status, where there was one.
    pub status_code: Option<u16>,
    /// Real milliseconds to the answer.
    pub latency_ms: Option<u64>,
    /// What went wrong, for a person to read.
    pub error: Option<String>,
}

/// A typed note under its salted hash ([`crate::domain::audit::note_hash`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteWrite {
    /// Whose.
    pub tenant: TenantId,
    /// The hash that the audit entry holds.
    pub hash: Hash,
    /// The salt.
    pub salt: [u8; 16],
    /// The words.
    pub text: String,
}

/// What the events of an agent count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCounters {
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub agent: AgentId,
    /// The number of the agent's last event.
    pub sequence: u64,
    /// The agent's local day that the two counts below are of: `2026-10-26`.
    pub local_day: String,
    /// Violations on that day.
    pub violations: u32,
    /// Not-ready time on that day, in microseconds.
    pub not_ready_us: u64,
}

/// What automation remembers of one agent and one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemembersWrite {
    /// Whose.
    pub tenant: TenantId,
    /// Of whom.
    pub agent: AgentId,
    /// Which rule.
    pub rule: RuleId,
    /// When it last acted on the agent, and the key of the facts that it acted on.
    pub acted: Option<(UtcMicros, u64)>,
    /// The key of the facts that it was last recorded as held on.
    pub held_key: Option<u64>,
    /// The agent is left alone until then, by every rule.
    pub left_alone_until: Option<UtcMicros>,
}

/// Figures of one skill or queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiguresWrite<T> {
    /// Whose.
    pub tenant: TenantId,
    /// What was read, and when.
    pub taken: Taken<T>,
}

/// A subscription on the platform; its id survives restarts, since a snapshot of it settles what is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Whose.
    pub tenant: TenantId,
    /// Which part of the tenant's roster, from 0.
    pub slice: u32,
    /// The platform's id.
    pub id: SubscriptionId,
    /// When it was made.
    pub created: Moment,
    /// When the slice was last polled; none where that is not known.
    pub polled: Option<Moment>,
    /// How often the platform makes a snapshot, in milliseconds.
    pub interval_ms: u64,
    /// A hash of the agents it is for, to see whether it still fits.
    pub agents_hash: Hash,
}

/// A change of the subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionWrite {
    /// Takes the place of the slice's subscription.
    Set(SubscriptionRow),
    /// The slice has none any more.
    Drop {
        /// Whose.
        tenant: TenantId,
        /// Which slice.
        slice: u32,
    },
}

/// What was answered to a request with an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Whose; the daemon's own where there is none.
    pub tenant: Option<TenantId>,
    /// The id of the token that asked.
    pub token: Arc<str>,
    /// The key.
    pub key: Arc<str>,
    /// A hash of the request, to refuse another one under the same key.
    pub request_hash: Hash,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The body of the answer.
    pub answer: String,
    /// When.
    pub at: UtcMicros,
}

/// A rule as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVersion {
    /// Whose.
    pub tenant: TenantId,
    /// Which rule.
    pub rule: RuleId,
    /// Its version.
    pub version: Arc<str>,
    /// The rule's text.
    pub body: String,
    /// When it was first in force.
    pub first_seen_at: UtcMicros,
}

/// What a rule found of an agent beside the changes that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A watching rule would have acted.
    Would,
    /// It told or asked people something.
    Told,
    /// A guard that people should know of held it back.
    Held,
    /// The agent took back a change of the rule, and is left alone.
    Reversed,
}

impl FindingKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Would, Self::Told, Self::Held, Self::Reversed];

    /// The name in the store and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Would => "would",
            Self::Told => "told",
            Self::Held => "held",
            Self::Reversed => "reversed",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One finding of a rule. The audit chain has the same with a random subject in the agent's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFinding {
    /// Whose.
    pub tenant: TenantId,
    /// Its id; sorts by time.
    pub id: FindingId,
    /// When.
    pub at: UtcMicros,
    /// Which rule.
    pub rule: RuleId,
    /// Its version.
    pub rule_version: Arc<str>,
    /// What.
    pub kind: FindingKind,
    /// Of whom.
    pub agent: AgentId,
    /// What held it back, for [`FindingKind::Held`].
    pub guard: Option<Arc<str>>,
    /// What the rule wanted, for a person.
    pub wants: String,
    /// The facts, for a person.
    pub because: String,
}

/// Whether automation of a tenant is halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStatus {
    /// Whose.
    pub tenant: TenantId,
    /// Since when it is halted; `None` while it runs.
    pub halted_since: Option<UtcMicros>,
    /// Why.
    pub reason: Option<String>,
}

/// How far a job of the calendar is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobState {
    /// Which job.
    pub key: JobKey,
    /// Its cron text and zone: when they change, it starts afresh.
    pub calendar: String,
    /// Every due instant up to here was run or left out.
    pub handled_through: UtcMicros,
    /// When people were last told of a failure; `None` since it last went well.
    pub told_at: Option<UtcMicros>,
    /// What they were told.
    pub told: Option<String>,
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// Of which job.
    pub key: JobKey,
    /// Its number among the job's runs, from 1.
    pub run: u64,
    /// The instant that it was due at; for a run that a person asked for, when it was asked for.
    pub due_at: UtcMicros,
    /// The how-manieth try for that due instant, from 1: a run that was cut off may be tried again.
    pub attempt: u32,
    /// Who asked for it; `None` for the calendar.
    pub asked_by: Option<String>,
    /// When it began.
    pub started_at: UtcMicros,
    /// When it ended; `None` while it runs, and after a crash until the next start.
    pub finished_at: Option<UtcMicros>,
    /// How it ended.
    pub outcome: Option<JobOutcome>,
    /// What came of it, for people.
    pub message: Option<String>,
}

/// Lets go of the first entries of a chain. The head at `checkpoint` is marked as the one that vouches for what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPrune {
    /// Whose.
    pub tenant: TenantId,
    /// The number of a stored head.
    pub checkpoint: u64,
    /// Entries and heads below this number go; at most `checkpoint`, or the store refuses.
    pub below: u64,
}

/// What a commit made known, in the order of the lists that it had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// For each [`HistoryWrite`] the id of the row it left behind: `None` for a removal, and for a retiming that found no row.
    pub history: Vec<Option<u64>>,
    /// For each [`AuditDraft`] its number in its tenant's chain.
    pub audit: Vec<u64>,
}

/// A whole file of shifts for one tenant.
#[derive(Clone, Debug)]
pub struct ScheduleImport {
    /// Whose.
    pub tenant: TenantId,
    /// What people call it: the file's name.
    pub name: String,
    /// A hash of the content; the same one again changes nothing.
    pub content_hash: Hash,
    /// The agents it speaks for; an agent occurs once.
    pub agents: Vec<AgentSchedule>,
    /// Who imported it, as [`crate::domain::changes::transition::Actor::label`] writes it.
    pub actor: String,
    /// Recorded with the switch: audit entries and events.
    pub with_switch: Commit,
}

/// The shifts of one agent in an import. Inside `coverage` they replace what was there; outside, what was there stays.
#[derive(Clone, Debug)]
pub struct AgentSchedule {
    /// Who.
    pub agent: Agent,
    /// The name in the audit chain, if the agent has none yet.
    pub subject: SubjectId,
    /// The shifts.
    pub shifts: Vec<Shift>,
    /// The span that the file speaks for.
    pub coverage: Coverage,
    /// The skills, where the file says them; else they stay as they are.
    pub skills: Option<Vec<SkillId>>,
}

/// How an import ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// In force as this version.
    Switched {
        /// The version, per tenant from 1.
        version: u64,
        /// How many agents it speaks for.
        agents: usize,
        /// How many shifts it brought.
        shifts: usize,
    },
    /// The very same content is in force already; nothing was written.
    Unchanged {
        /// As this version.
        version: u64,
    },
}
