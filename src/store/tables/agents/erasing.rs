//! Erasing an agent: slices of tables that are found by agent, pages of tables that are searched, and the final
//! deletions.

use crate::domain::ids::AgentId;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::change::Commit;
use crate::store::erasure::{KeyPart, MovedTable, WipedTable};
use crate::store::error::CommitError;
use crate::store::tables::agents::history::LatestEntryUpdates;

/// Rows: tenant, agent, time of the start of its erasure, time since which it is a stand-in.
pub(in crate::store) const MARK: ManyRows = ManyRows {
    head: "UPDATE agents SET erasing_since = v.column3, erased_at = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE agents.tenant = v.column1 AND agents.id = v.column2",
};

/// Moves a slice of rows, which are found by the agent and further key columns. Rows: tenant, agent, stand-in.
macro_rules! move_rows {
    ($table:literal, $key:literal, $selected:literal) => {
        ManyRows {
            head: concat!("UPDATE ", $table, " SET agent = v.column3 FROM (VALUES"),
            width: 3,
            tail: concat!(
                ") AS v WHERE ",
                $table,
                ".tenant = v.column1 AND ",
                $table,
                ".agent = v.column2 AND ",
                $key,
                " IN (SELECT ",
                $selected,
                " FROM ",
                $table,
                " s WHERE s.tenant = v.column1 AND s.agent = v.column2 ORDER BY ",
                $selected,
                " LIMIT 500)"
            ),
        }
    };
}

pub(in crate::store) const MOVE_SHIFTS: ManyRows =
    move_rows!("shifts", "(shifts.starts_at, shifts.version_from)", "s.starts_at, s.version_from");
pub(in crate::store) const MOVE_COVERAGE: ManyRows = move_rows!(
    "schedule_coverage",
    "(schedule_coverage.starts_at, schedule_coverage.version_from)",
    "s.starts_at, s.version_from"
);
pub(in crate::store) const MOVE_HISTORY: ManyRows =
    move_rows!("state_history", "state_history.entered_at", "s.entered_at");
pub(in crate::store) const MOVE_DAYS: ManyRows = move_rows!("adherence_days", "adherence_days.day", "s.day");
pub(in crate::store) const MOVE_EXCEPTION_AGENTS: ManyRows =
    move_rows!("exception_agents", "exception_agents.exception", "s.exception");
pub(in crate::store) const MOVE_OFFER_AGENTS: ManyRows =
    move_rows!("schedule_offer_agents", "schedule_offer_agents.offer", "s.offer");

macro_rules! left_in {
    ($table:literal) => {
        concat!(
            "SELECT COUNT(*) AS total FROM (SELECT agent FROM ",
            $table,
            " WHERE tenant = $1 AND agent = $2 LIMIT 500) AS slice"
        )
    };
}

/// The number of rows in the next slice.
pub(in crate::store) const LEFT_SHIFTS: &str = left_in!("shifts");
pub(in crate::store) const LEFT_COVERAGE: &str = left_in!("schedule_coverage");
pub(in crate::store) const LEFT_HISTORY: &str = left_in!("state_history");
pub(in crate::store) const LEFT_DAYS: &str = left_in!("adherence_days");
pub(in crate::store) const LEFT_EXCEPTION_AGENTS: &str = left_in!("exception_agents");
pub(in crate::store) const LEFT_OFFER_AGENTS: &str = left_in!("schedule_offer_agents");

macro_rules! inner {
    ($table:literal, $agent:literal, $one:literal, $two:literal, $three:literal, $id:literal, $like:literal, $name:literal) => {
        concat!(
            $agent,
            " AS who, ",
            $one,
            " AS one, ",
            $two,
            " AS two, ",
            $three,
            " AS three, CASE WHEN ",
            $agent,
            " = ",
            $id,
            " OR ",
            $one,
            " LIKE ",
            $like,
            " ESCAPE '!' OR ",
            $two,
            " LIKE ",
            $like,
            " ESCAPE '!' OR ",
            $three,
            " LIKE ",
            $like,
            " ESCAPE '!' OR ",
            $one,
            " LIKE ",
            $name,
            " ESCAPE '!' OR ",
            $two,
            " LIKE ",
            $name,
            " ESCAPE '!' OR ",
            $three,
            " LIKE ",
            $name,
            " ESCAPE '!' THEN 1 ELSE 0 END AS hit FROM ",
            $table,
            " WHERE tenant = $1 AND "
        )
    };
}

macro_rules! shown {
    () => {
        "hit, CASE WHEN hit = 1 THEN who END AS agent, CASE WHEN hit = 1 THEN one END AS text1, \
         CASE WHEN hit = 1 THEN two END AS text2, CASE WHEN hit = 1 THEN three END AS text3 FROM (SELECT "
    };
}

/// A page of a table with one key column beside the tenant: the key of every row, and the rest only of rows that may
/// name the agent. `$1` tenant, `$2` the key after which it begins, `$3` agent, `$4` a pattern of the id, `$5` one of
/// the name, `$6` the number of rows.
macro_rules! one_key {
    ($table:literal, $key:literal, $agent:literal, $one:literal, $two:literal, $three:literal) => {
        concat!(
            "SELECT k1, ",
            shown!(),
            $key,
            " AS k1, ",
            inner!($table, $agent, $one, $two, $three, "$3", "$4", "$5"),
            $key,
            " > $2 ORDER BY ",
            $key,
            " LIMIT $6) AS page ORDER BY k1"
        )
    };
}

/// The same with two key columns, `$2` and `$3`; the following numbers are one higher.
macro_rules! two_keys {
    ($table:literal, $first:literal, $second:literal, $agent:literal, $one:literal, $two:literal) => {
        concat!(
            "SELECT k1, k2, ",
            shown!(),
            $first,
            " AS k1, ",
            $second,
            " AS k2, ",
            inner!($table, $agent, $one, $two, "CAST(NULL AS TEXT)", "$4", "$5", "$6"),
            "(",
            $first,
            ", ",
            $second,
            ") > ($2, $3) ORDER BY ",
            $first,
            ", ",
            $second,
            " LIMIT $7) AS page ORDER BY k1, k2"
        )
    };
}

/// The same with three key columns, `$2` to `$4`; the following numbers are two higher.
macro_rules! three_keys {
    ($table:literal, $first:literal, $second:literal, $third:literal, $one:literal, $two:literal) => {
        concat!(
            "SELECT k1, k2, k3, ",
            shown!(),
            $first,
            " AS k1, ",
            $second,
            " AS k2, ",
            $third,
            " AS k3, ",
            inner!($table, "CAST(NULL AS TEXT)", $one, $two, "CAST(NULL AS TEXT)", "$5", "$6", "$7"),
            "(",
            $first,
            ", ",
            $second,
            ", ",
            $third,
            ") > ($2, $3, $4) ORDER BY ",
            $first,
            ", ",
            $second,
            ", ",
            $third,
            " LIMIT $8) AS page ORDER BY k1, k2, k3"
        )
    };
}

pub(in crate::store) const TRANSITIONS: &str =
    one_key!("transitions", "id", "agent", "standing", "note", "explanation");
pub(in crate::store) const CALLS: &str =
    one_key!("platform_calls", "id", "agent", "error", "CAST(NULL AS TEXT)", "CAST(NULL AS TEXT)");
pub(in crate::store) const FINDINGS: &str =
    one_key!("rule_findings", "id", "agent", "wants", "because", "CAST(NULL AS TEXT)");
pub(in crate::store) const EXCEPTIONS: &str =
    one_key!("exceptions", "id", "CAST(NULL AS TEXT)", "reason", "ended_why", "CAST(NULL AS TEXT)");
pub(in crate::store) const CHANGE_SETS: &str =
    one_key!("change_sets", "id", "CAST(NULL AS TEXT)", "body", "CAST(NULL AS TEXT)", "CAST(NULL AS TEXT)");
pub(in crate::store) const REPORT_RUNS: &str =
    one_key!("report_runs", "id", "CAST(NULL AS TEXT)", "request", "error", "CAST(NULL AS TEXT)");
pub(in crate::store) const ANALYTICS_RUNS: &str =
    one_key!("analytics_runs", "id", "CAST(NULL AS TEXT)", "request", "error", "parts");
pub(in crate::store) const ANALYTICS_ROWS: &str =
    two_keys!("analytics_rows", "run", "place", "CAST(NULL AS TEXT)", "body", "CAST(NULL AS TEXT)");
pub(in crate::store) const JOBS: &str =
    one_key!("jobs", "job", "CAST(NULL AS TEXT)", "told", "CAST(NULL AS TEXT)", "CAST(NULL AS TEXT)");
pub(in crate::store) const SCHEDULE_VERSIONS: &str =
    one_key!("schedule_versions", "version", "CAST(NULL AS TEXT)", "name", "CAST(NULL AS TEXT)", "CAST(NULL AS TEXT)");
pub(in crate::store) const EVENTS: &str =
    one_key!("events", "number", "agent", "body", "CAST(NULL AS TEXT)", "CAST(NULL AS TEXT)");
/// The chain's entries about a subject (`$3`), and those whose text contains the id or name.
pub(in crate::store) const ENTRIES: &str =
    one_key!("audit_entries", "seq", "subject", "body", "CAST(NULL AS TEXT)", "CAST(NULL AS TEXT)");
pub(in crate::store) const CHANGE_SET_AGENTS: &str =
    two_keys!("change_set_agents", "change_set", "place", "agent", "why", "left_why");
pub(in crate::store) const JOB_RUNS: &str =
    two_keys!("job_runs", "job", "run", "CAST(NULL AS TEXT)", "message", "CAST(NULL AS TEXT)");
pub(in crate::store) const RULE_EDITIONS: &str =
    two_keys!("rule_editions", "rule", "version", "CAST(NULL AS TEXT)", "text", "why");
pub(in crate::store) const RULE_VERSIONS: &str =
    two_keys!("rule_versions", "rule", "version", "CAST(NULL AS TEXT)", "body", "CAST(NULL AS TEXT)");
pub(in crate::store) const IDEMPOTENCY_KEYS: &str =
    two_keys!("idempotency_keys", "token", "request_key", "CAST(NULL AS TEXT)", "answer", "CAST(NULL AS TEXT)");
pub(in crate::store) const DELIVERIES: &str =
    two_keys!("deliveries", "endpoint", "event_number", "agent", "CAST(NULL AS TEXT)", "CAST(NULL AS TEXT)");
pub(in crate::store) const DELIVERY_ATTEMPTS: &str =
    three_keys!("delivery_attempts", "endpoint", "event_number", "attempt", "error", "answer");

/// Sets the texts of rows that are found by one to three key columns. Rows: tenant, the parts of the key, agent, texts in
/// their order.
macro_rules! wipe {
    ($table:literal, [$($key:literal),+], $set:literal) => {
        ManyRows {
            head: concat!("UPDATE ", $table, " SET ", $set, " FROM (VALUES"),
            width: 5 + [$($key),+].len(),
            tail: wipe!($table, $($key),+),
        }
    };
    ($table:literal, $one:literal) => {
        concat!(") AS v WHERE ", $table, ".tenant = v.column1 AND ", $table, ".", $one, " = v.column2")
    };
    ($table:literal, $one:literal, $two:literal) => {
        concat!(wipe!($table, $one), " AND ", $table, ".", $two, " = v.column3")
    };
    ($table:literal, $one:literal, $two:literal, $three:literal) => {
        concat!(wipe!($table, $one, $two), " AND ", $table, ".", $three, " = v.column4")
    };
}

pub(in crate::store) const WIPE_TRANSITIONS: ManyRows =
    wipe!("transitions", ["id"], "agent = v.column3, standing = v.column4, note = v.column5, explanation = v.column6");
pub(in crate::store) const WIPE_CALLS: ManyRows =
    wipe!("platform_calls", ["id"], "agent = v.column3, error = v.column4");
pub(in crate::store) const WIPE_FINDINGS: ManyRows =
    wipe!("rule_findings", ["id"], "agent = v.column3, wants = v.column4, because = v.column5");
pub(in crate::store) const WIPE_EXCEPTIONS: ManyRows =
    wipe!("exceptions", ["id"], "reason = v.column4, ended_why = v.column5");
pub(in crate::store) const WIPE_CHANGE_SETS: ManyRows = wipe!("change_sets", ["id"], "body = v.column4");
pub(in crate::store) const WIPE_REPORT_RUNS: ManyRows =
    wipe!("report_runs", ["id"], "request = v.column4, error = v.column5");
pub(in crate::store) const WIPE_ANALYTICS_RUNS: ManyRows =
    wipe!("analytics_runs", ["id"], "request = v.column4, error = v.column5, parts = v.column6");
pub(in crate::store) const WIPE_ANALYTICS_ROWS: ManyRows =
    wipe!("analytics_rows", ["run", "place"], "body = v.column5");
pub(in crate::store) const WIPE_JOBS: ManyRows = wipe!("jobs", ["job"], "told = v.column4");
pub(in crate::store) const WIPE_SCHEDULE_VERSIONS: ManyRows =
    wipe!("schedule_versions", ["version"], "name = v.column4");
pub(in crate::store) const WIPE_EVENTS: ManyRows = wipe!("events", ["number"], "agent = v.column3, body = v.column4");
pub(in crate::store) const WIPE_CHANGE_SET_AGENTS: ManyRows =
    wipe!("change_set_agents", ["change_set", "place"], "agent = v.column4, why = v.column5, left_why = v.column6");
pub(in crate::store) const WIPE_JOB_RUNS: ManyRows = wipe!("job_runs", ["job", "run"], "message = v.column5");
pub(in crate::store) const WIPE_RULE_EDITIONS: ManyRows =
    wipe!("rule_editions", ["rule", "version"], "text = v.column5, why = v.column6");
pub(in crate::store) const WIPE_RULE_VERSIONS: ManyRows =
    wipe!("rule_versions", ["rule", "version"], "body = v.column5");
pub(in crate::store) const WIPE_IDEMPOTENCY_KEYS: ManyRows =
    wipe!("idempotency_keys", ["token", "request_key"], "answer = v.column5");
pub(in crate::store) const WIPE_DELIVERIES: ManyRows =
    wipe!("deliveries", ["endpoint", "event_number"], "agent = v.column4");
pub(in crate::store) const WIPE_DELIVERY_ATTEMPTS: ManyRows =
    wipe!("delivery_attempts", ["endpoint", "event_number", "attempt"], "error = v.column6, answer = v.column7");

pub(in crate::store) const NOTES: &str =
    "SELECT tenant, hash, text FROM notes WHERE tenant = $1 AND hash > $2 ORDER BY hash LIMIT $3";
/// Rows: tenant, hash.
pub(in crate::store) const DELETE_NOTES: ManyRows =
    ManyRows { head: "DELETE FROM notes WHERE (tenant, hash) IN (VALUES", width: 2, tail: ")" };
/// The exceptions that name the agent, each with the number of agents it names.
pub(in crate::store) const EXCEPTIONS_NAMING_AGENT: &str = "SELECT e.tenant, e.exception, (SELECT COUNT(*) FROM exception_agents o \
     WHERE o.tenant = e.tenant AND o.exception = e.exception) AS named FROM exception_agents e WHERE e.tenant = $1 AND e.agent = $2";

/// Rows: tenant, agent; the same for all below.
pub(in crate::store) const DELETE_AGENTS: ManyRows =
    ManyRows { head: "DELETE FROM agents WHERE (tenant, id) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const DELETE_SUBJECTS: ManyRows =
    ManyRows { head: "DELETE FROM subjects WHERE (tenant, agent) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const DELETE_COUNTERS: ManyRows =
    ManyRows { head: "DELETE FROM agent_counters WHERE (tenant, agent) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const DELETE_MEMORY: ManyRows =
    ManyRows { head: "DELETE FROM automation_memory WHERE (tenant, agent) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const DELETE_SKILLS: ManyRows =
    ManyRows { head: "DELETE FROM agent_skills WHERE (tenant, agent) IN (VALUES", width: 2, tail: ")" };

impl MovedTable {
    pub(in crate::store::tables) const fn statements(self) -> (&'static str, &'static ManyRows) {
        match self {
            Self::Shifts => (LEFT_SHIFTS, &MOVE_SHIFTS),
            Self::Coverage => (LEFT_COVERAGE, &MOVE_COVERAGE),
            Self::History => (LEFT_HISTORY, &MOVE_HISTORY),
            Self::Days => (LEFT_DAYS, &MOVE_DAYS),
            Self::ExceptionAgents => (LEFT_EXCEPTION_AGENTS, &MOVE_EXCEPTION_AGENTS),
            Self::OfferAgents => (LEFT_OFFER_AGENTS, &MOVE_OFFER_AGENTS),
        }
    }
}

/// The types of the parts of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store::tables) enum KeyKind {
    Text,
    Number,
}

use KeyKind::{Number, Text};

impl WipedTable {
    pub(in crate::store::tables) const fn statements(self) -> (&'static str, &'static ManyRows) {
        match self {
            Self::Transitions => (TRANSITIONS, &WIPE_TRANSITIONS),
            Self::Calls => (CALLS, &WIPE_CALLS),
            Self::Findings => (FINDINGS, &WIPE_FINDINGS),
            Self::Exceptions => (EXCEPTIONS, &WIPE_EXCEPTIONS),
            Self::ChangeSets => (CHANGE_SETS, &WIPE_CHANGE_SETS),
            Self::ChangeSetAgents => (CHANGE_SET_AGENTS, &WIPE_CHANGE_SET_AGENTS),
            Self::ReportRuns => (REPORT_RUNS, &WIPE_REPORT_RUNS),
            Self::AnalyticsRuns => (ANALYTICS_RUNS, &WIPE_ANALYTICS_RUNS),
            Self::AnalyticsRows => (ANALYTICS_ROWS, &WIPE_ANALYTICS_ROWS),
            Self::Jobs => (JOBS, &WIPE_JOBS),
            Self::JobRuns => (JOB_RUNS, &WIPE_JOB_RUNS),
            Self::RuleEditions => (RULE_EDITIONS, &WIPE_RULE_EDITIONS),
            Self::RuleVersions => (RULE_VERSIONS, &WIPE_RULE_VERSIONS),
            Self::IdempotencyKeys => (IDEMPOTENCY_KEYS, &WIPE_IDEMPOTENCY_KEYS),
            Self::ScheduleVersions => (SCHEDULE_VERSIONS, &WIPE_SCHEDULE_VERSIONS),
            Self::Events => (EVENTS, &WIPE_EVENTS),
            Self::Deliveries => (DELIVERIES, &WIPE_DELIVERIES),
            Self::DeliveryAttempts => (DELIVERY_ATTEMPTS, &WIPE_DELIVERY_ATTEMPTS),
        }
    }

    pub(in crate::store::tables) const fn key_kinds(self) -> &'static [KeyKind] {
        match self {
            Self::ScheduleVersions | Self::Events => &[Number],
            Self::ChangeSetAgents | Self::AnalyticsRows | Self::JobRuns | Self::RuleEditions | Self::Deliveries => {
                &[Text, Number]
            }
            Self::RuleVersions | Self::IdempotencyKeys => &[Text, Text],
            Self::DeliveryAttempts => &[Text, Number, Number],
            Self::Transitions
            | Self::Calls
            | Self::Findings
            | Self::Exceptions
            | Self::ChangeSets
            | Self::ReportRuns
            | Self::AnalyticsRuns
            | Self::Jobs => &[Text],
        }
    }
}

pub(super) fn bind_key(values: Values, key: &[KeyPart]) -> Values {
    key.iter().fold(values, |values, part| match part {
        KeyPart::Text(text) => values.text(&**text),
        KeyPart::Number(number) => values.int(*number),
    })
}

/// Writes the erasure steps and returns the agents whose cached state the writer must drop.
pub(in crate::store) async fn write(
    transaction: &mut Transaction<'_>,
    commits: &[&Commit],
) -> Result<LatestEntryUpdates, CommitError> {
    if commits.iter().all(|commit| commit.erasure.is_empty()) {
        return Ok(LatestEntryUpdates::new());
    }
    super::erasures::write(transaction, commits).await?;
    let marks: Vec<_> = commits.iter().flat_map(|commit| &commit.erasure.marks).collect();
    batch::run(transaction, &MARK, &marks, |mark, values| {
        let since = |is_it: bool| is_it.then_some(mark.at);
        let values = values.text(mark.tenant.as_str()).text(mark.agent.as_str());
        values.instant_or_null(since(!mark.is_stand_in)).instant_or_null(since(mark.is_stand_in))
    })
    .await?;
    for step in commits.iter().flat_map(|commit| &commit.erasure.moves) {
        batch::run(transaction, step.table.statements().1, &[step], |step, values| {
            values.text(step.tenant.as_str()).text(step.agent.as_str()).text(step.stand_in.as_str())
        })
        .await?;
    }
    write_wiped_rows(transaction, commits).await?;
    let notes: Vec<_> = commits.iter().flat_map(|commit| &commit.erasure.notes).collect();
    batch::run(transaction, &DELETE_NOTES, &notes, |(tenant, hash), values| {
        values.text(tenant.as_str()).bytes(&hash.0)
    })
    .await?;
    let erased_agents: Vec<_> = commits.iter().flat_map(|commit| &commit.erasure.erased_agents).collect();
    for statement in [&DELETE_COUNTERS, &DELETE_MEMORY, &DELETE_SKILLS, &DELETE_SUBJECTS, &DELETE_AGENTS] {
        batch::run(transaction, statement, &erased_agents, |(tenant, agent), values| {
            values.text(tenant.as_str()).text(agent.as_str())
        })
        .await?;
    }
    Ok(erased_agents.into_iter().map(|agent| (agent.clone(), None)).collect())
}

async fn write_wiped_rows(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    for table in WipedTable::ALL {
        let of_table =
            commits.iter().flat_map(|commit| &commit.erasure.wiped_rows).filter(|write| write.table == table);
        let rows: Vec<_> = of_table.collect();
        batch::run(transaction, table.statements().1, &rows, |write, values| {
            let values = bind_key(values.text(write.tenant.as_str()), &write.row.key);
            let values = values.text_or_null(write.row.agent.as_ref().map(AgentId::as_str));
            write.row.texts.iter().fold(values, |values, text| values.text_or_null(text.as_deref()))
        })
        .await?;
    }
    Ok(())
}
