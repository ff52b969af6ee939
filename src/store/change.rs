//! What the writer takes: plain rows, grouped into changes that are stored whole or not at all.
//!
//! Nothing here knows SQL.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::access::AccessChange;
use super::outbox::OutboxChange;
use crate::domain::agent::{Agent, Source};
use crate::domain::audit::head::SignedHead;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::change_set::{Outcome, Previewed};
use crate::domain::event::Event;
use crate::domain::figures::{QueueFigures, SkillFigures, Taken};
use crate::domain::ids::{
    AgentId, ChangeSetId, ReasonCode, RuleId, SkillId, SubjectId, SubscriptionId, TeamName, TenantId, TransitionId,
};
use crate::domain::job::{JobKey, JobOutcome};
use crate::domain::schedule::{Coverage, Shift};
use crate::domain::skill::Skill;
use crate::domain::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::domain::transition::Transition;

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
    /// Who may use the daemon.
    pub access: AccessChange,
}

impl Commit {
    /// Nothing would be written.
    pub fn is_empty(&self) -> bool {
        let Self {
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
            heads,
            pruned,
            change_sets,
            skills,
            agent_skills,
            access,
        } = self;
        agents.is_empty()
            && history.is_empty()
            && transitions.is_empty()
            && calls.is_empty()
            && audit.is_empty()
            && notes.is_empty()
            && events.is_empty()
            && outbox.is_empty()
            && counters.is_empty()
            && memory.is_empty()
            && skill_figures.is_empty()
            && queue_figures.is_empty()
            && subscriptions.is_empty()
            && idempotency.is_empty()
            && rules.is_empty()
            && tenant_status.is_empty()
            && jobs.is_empty()
            && job_runs.is_empty()
            && heads.is_empty()
            && pruned.is_empty()
            && change_sets.is_empty()
            && skills.is_empty()
            && agent_skills.is_empty()
            && access.is_empty()
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
    pub created_at: UtcMicros,
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

/// A bulk change: what was shown of it as a whole, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSetRow {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: ChangeSetId,
    /// When it was shown.
    pub made_at: UtcMicros,
    /// To whom.
    pub made_by: Arc<str>,
    /// It can be started before this instant.
    pub expires_at: UtcMicros,
    /// The hash of what was shown.
    pub hash: Hash,
    /// The set that it takes back.
    pub undoes: Option<ChangeSetId>,
    /// The teams of its agents; `None` stands for agents without one.
    pub teams: BTreeSet<Option<TeamName>>,
    /// What was asked for and what it costs, as JSON; its shape is the engine's.
    pub body: String,
    /// When it was started, and by whom.
    pub started: Option<(UtcMicros, Arc<str>)>,
    /// When it was called off, and by whom.
    pub cancelled: Option<(UtcMicros, Arc<str>)>,
}

/// A step of a bulk change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeSetWrite {
    /// It was shown.
    Add {
        /// The set; neither started nor called off.
        set: ChangeSetRow,
        /// Its agents, in order.
        agents: Vec<Previewed>,
    },
    /// It was started. Its transitions are in the same commit.
    Start {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: ChangeSetId,
        /// When.
        at: UtcMicros,
        /// By whom.
        by: Arc<str>,
        /// Agents who were shown as changed and are left out.
        left_out: Vec<LeftOut>,
    },
    /// It was called off.
    Cancel {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: ChangeSetId,
        /// When.
        at: UtcMicros,
        /// By whom.
        by: Arc<str>,
    },
    /// It was never started, and goes.
    Forget {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: ChangeSetId,
    },
}

/// An agent of a set of whom something else was true at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The agent's place in the set.
    pub place: usize,
    /// What is true of the agent now.
    pub outcome: Outcome,
    /// In words.
    pub why: Option<String>,
}

/// A skill of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillWrite {
    /// Whose.
    pub tenant: TenantId,
    /// The skill.
    pub skill: Skill,
}

/// The skills of one agent; those that are not named go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSkillsWrite {
    /// Whose.
    pub tenant: TenantId,
    /// Of whom.
    pub agent: AgentId,
    /// Which.
    pub skills: Vec<SkillId>,
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
    /// Who imported it, as [`crate::domain::transition::Actor::label`] writes it.
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
