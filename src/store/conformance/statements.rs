//! Every statement is prepared on a migrated database, so that a misspelt one fails here.

use sqlx::{AssertSqlSafe, Executor, Row as _, SqlSafeStr, SqlStr};

use super::{TestDatabase, on_each_engine};
use crate::store::backend::{Access, Backend, close_quietly};
use crate::store::batch::ManyRows;
use crate::store::control;
use crate::store::tables::adherence::{adherence_reading, exceptions, time_in_state};
use crate::store::tables::agents::{erasing, erasures, history, history_reading, skills};
use crate::store::tables::analytics::anomalies;
use crate::store::tables::audit::{audit_heads, audit_reading};
use crate::store::tables::changes::{change_sets, transition_reading, transitions};
use crate::store::tables::jobs::retention;
use crate::store::tables::live::figures;
use crate::store::tables::operations::upkeep;
use crate::store::tables::platform::calls;
use crate::store::tables::reports::report_runs;
use crate::store::tables::rules::memory;
use crate::store::tables::schedules::{offers, required_staffing, schedule, sources};
use crate::store::tables::webhooks::{deliveries, delivery_reading, events};
use crate::store::tables::{access, adherence, agents, analytics, audit, jobs, rules};

const SINGLE: &[&str] = &[
    access::ACCOUNTS,
    access::TOKENS,
    access::SESSIONS,
    adherence::MARK_RESCHEDULED,
    adherence::LAST_SETTLED,
    adherence_reading::OBSERVED_SPANS,
    adherence_reading::LAST_OBSERVED_SPAN,
    adherence_reading::BASIS,
    adherence_reading::STATE_INTERVALS,
    adherence_reading::FIRST_ENTERED,
    adherence_reading::PACKED_DAYS,
    adherence_reading::DAYS_OF_AGENT,
    adherence_reading::STALE_DAYS,
    agents::AGENTS,
    agents::AGENT,
    agents::SCHEDULE_READS,
    analytics::ONE,
    analytics::LIST,
    analytics::LIST_OF_QUERY,
    analytics::OPEN,
    analytics::STORED,
    analytics::OCCUPIED_SLOTS,
    analytics::ROWS,
    analytics::EXPIRE_RESULTS,
    analytics::DELETE_ROWS,
    analytics::DELETE_RUNS,
    analytics::DELETE_ROWS_OF_RUN,
    audit::HEAD,
    audit::PUBLISHED_HEAD,
    audit::ENTRIES,
    audit::PACKED,
    audit::SAME_HASHES,
    audit::ENTRIES_OF_TRANSITION,
    audit::TENANTS,
    audit::NOTE,
    audit_reading::PAGE,
    audit_reading::PAGE_OF_PERSON,
    audit_reading::FIRST_BEYOND_PERSON_PAGE,
    audit_reading::DECISIONS,
    audit_reading::INSTANT_OF,
    audit_reading::FIRST,
    audit_reading::AGENT_OF,
    audit_heads::AFTER,
    audit_heads::LAST,
    audit_heads::LAST_BEFORE,
    audit_heads::CHECKPOINT,
    calls::RECENT,
    calls::OF_TRANSITION,
    calls::STEADY,
    change_sets::ONE,
    change_sets::LIST,
    change_sets::AGENTS,
    change_sets::COUNTS,
    change_sets::STATUSES,
    change_sets::STARTABLE_COUNT,
    change_sets::EXPIRED,
    change_sets::UNDONE_BY,
    control::TAKE_OVER,
    control::SET_LISTEN,
    control::STOP,
    control::PROBE,
    control::DAEMON,
    control::EPOCH,
    delivery_reading::ENDPOINTS,
    delivery_reading::NUMBERS_AFTER,
    delivery_reading::WAITING_BY_AGENT,
    delivery_reading::DUE,
    delivery_reading::NEXT_DUE,
    delivery_reading::LATEST_INSTANT_OF_WAITING,
    delivery_reading::BACKLOG,
    delivery_reading::OLDEST_OPEN,
    delivery_reading::OLDEST_UNSENT,
    delivery_reading::LIST,
    delivery_reading::LIST_OPEN,
    delivery_reading::LIST_DELIVERED,
    delivery_reading::ATTEMPTS,
    delivery_reading::EVENT,
    delivery_reading::FIRST_SINCE,
    delivery_reading::OLDEST_EVENTS,
    erasing::LEFT_SHIFTS,
    erasing::LEFT_COVERAGE,
    erasing::LEFT_HISTORY,
    erasing::LEFT_DAYS,
    erasing::LEFT_OFFER_AGENTS,
    erasing::LEFT_EXCEPTION_AGENTS,
    erasing::TRANSITIONS,
    erasing::CALLS,
    erasing::FINDINGS,
    erasing::EXCEPTIONS,
    erasing::CHANGE_SETS,
    erasing::REPORT_RUNS,
    erasing::ANALYTICS_RUNS,
    erasing::ANALYTICS_ROWS,
    erasing::JOBS,
    erasing::SCHEDULE_VERSIONS,
    erasing::EVENTS,
    erasing::ENTRIES,
    erasing::CHANGE_SET_AGENTS,
    erasing::JOB_RUNS,
    erasing::RULE_EDITIONS,
    erasing::RULE_VERSIONS,
    erasing::IDEMPOTENCY_KEYS,
    erasing::DELIVERIES,
    erasing::DELIVERY_ATTEMPTS,
    erasing::NOTES,
    erasing::EXCEPTIONS_NAMING_AGENT,
    erasures::ONE,
    erasures::OPEN,
    erasures::LIST,
    events::LAST_NUMBER,
    events::AFTER,
    events::COUNTS,
    exceptions::ONE,
    exceptions::TOUCHING,
    exceptions::LIST,
    exceptions::AGENTS_OF,
    exceptions::AGENTS_WITH_NAMES,
    exceptions::TEAM_OF,
    exceptions::AGENTS_TOUCHING,
    exceptions::DELETE_AGENTS,
    exceptions::DELETE,
    figures::LATEST_SKILLS,
    figures::LATEST_QUEUES,
    figures::SKILL_SERIES,
    figures::QUEUE_SERIES,
    figures::ROLL_UP_SKILLS,
    figures::ROLL_UP_QUEUES,
    figures::DELETE_ROLLED_UP_SKILLS,
    figures::DELETE_ROLLED_UP_QUEUES,
    figures::DELETE_SKILL_QUARTERS,
    figures::DELETE_QUEUE_QUARTERS,
    history::LAST_ID,
    history_reading::AGENTS_BEFORE,
    history_reading::LATEST,
    history_reading::RESTS,
    history_reading::STATES_BEFORE,
    history_reading::ENTERED_IN,
    history_reading::OF_AGENT,
    history_reading::SPAN,
    history_reading::AFTER_ID,
    jobs::JOBS,
    jobs::LAST_RUNS,
    jobs::LAST_SUCCESSES,
    jobs::UNFINISHED,
    jobs::RUNS,
    anomalies::LIST,
    anomalies::OBSERVED_SINCE,
    anomalies::OPEN,
    anomalies::LAST_OF_SERIES,
    anomalies::JUDGED_THROUGH,
    anomalies::DELETE,
    report_runs::ONE,
    report_runs::LIST,
    report_runs::OPEN,
    report_runs::WITH_FILE,
    report_runs::DELETE,
    required_staffing::IN_SPAN,
    required_staffing::DELETE,
    sources::ALL,
    offers::ONE,
    offers::LIST,
    offers::AGENTS_OF,
    offers::BY_LINK,
    offers::DELETE_AGENTS,
    offers::DELETE,
    retention::HISTORY,
    retention::TRANSITIONS,
    retention::ATTEMPTS,
    retention::OTHER_CALLS,
    retention::IDEMPOTENCY_KEYS,
    retention::JOB_RUNS,
    retention::CHANGE_SET_AGENTS,
    retention::CHANGE_SETS,
    retention::ADHERENCE_DAYS,
    retention::OBSERVED_SPANS,
    memory::MEMORY,
    rules::EDITIONS,
    rules::EDITIONS_OF,
    rules::FINDINGS,
    rules::FINDINGS_OF_RULE,
    rules::FINDINGS_OF_AGENT,
    rules::COUNTS,
    rules::TRANSITION_COUNTS,
    rules::CHANGED,
    rules::DELETE_FINDINGS,
    schedule::CURRENT_VERSION,
    schedule::UNCHANGED_VERSION,
    schedule::TENANTS,
    schedule::CLEAR_STAGED[0],
    schedule::CLEAR_STAGED[1],
    schedule::CLEAR_STAGED[2],
    schedule::CLEAR_STAGED[3],
    schedule::SHIFTS,
    schedule::COVERAGE,
    schedule::PLAN_OF_AGENT,
    schedule::VERSIONS,
    schedule::COVERAGE_OF_VERSION,
    schedule::VERSION_AT,
    skills::SKILLS,
    skills::AGENT_SKILLS,
    time_in_state::PARTS,
    time_in_state::STATES,
    time_in_state::SUMS,
    transition_reading::ONE,
    transition_reading::OPEN,
    transition_reading::PENDING_APPROVALS,
    transition_reading::OF_CHANGE_SET,
    transition_reading::LIST,
    transition_reading::LIST_OF_AGENT,
    transition_reading::AUTOMATIC,
    transition_reading::FIGURES,
    upkeep::COUNTERS,
    upkeep::SUBSCRIPTIONS,
    upkeep::IDEMPOTENCY_KEY,
    upkeep::RULE_VERSIONS,
    upkeep::STATUS,
];

const MANY: &[ManyRows] = &[
    access::SET_ACCOUNTS,
    access::SET_TOKENS,
    access::DELETE_TOKENS,
    access::SET_SESSIONS,
    access::END_SESSIONS,
    adherence::SET_DAYS,
    adherence::RECHECK,
    adherence::MARK_LATE,
    adherence::MARK_SINCE,
    adherence::SET_OBSERVED_SPANS,
    adherence::SET_BASIS,
    agents::UPSERT_AGENTS,
    agents::ADD_SUBJECTS,
    agents::SET_SCHEDULE_READ,
    agents::UNLIST,
    agents::UPSERT_LISTED,
    analytics::SET,
    analytics::ADD_ROWS,
    audit::ADD_ENTRIES,
    audit::ADD_NOTES,
    audit_heads::ADD,
    audit_heads::MARK_CHECKPOINTS,
    audit_heads::PRUNE_ENTRIES,
    audit_heads::PRUNE_HEADS,
    calls::UPSERT,
    change_sets::ADD_SETS,
    change_sets::ADD_AGENTS,
    change_sets::START,
    change_sets::CANCEL,
    change_sets::EXCLUDE_AGENTS,
    change_sets::DELETE_AGENTS,
    change_sets::DELETE_SETS,
    deliveries::ADD_ENDPOINTS,
    deliveries::UPDATE_ENDPOINTS,
    deliveries::DISABLE_ENDPOINTS,
    deliveries::UPSERT_DELIVERIES,
    deliveries::ADD_ATTEMPTS,
    deliveries::RELEASE,
    deliveries::RESEND_PARKED,
    deliveries::MAKE_DUE_NOW,
    deliveries::SHIFT_DUE_TIMES,
    deliveries::DELETE_ATTEMPTS,
    deliveries::DELETE_DELIVERIES,
    deliveries::DELETE_EVENTS,
    erasing::MARK,
    erasing::MOVE_SHIFTS,
    erasing::MOVE_COVERAGE,
    erasing::MOVE_HISTORY,
    erasing::MOVE_DAYS,
    erasing::MOVE_OFFER_AGENTS,
    erasing::MOVE_EXCEPTION_AGENTS,
    erasing::WIPE_TRANSITIONS,
    erasing::WIPE_CALLS,
    erasing::WIPE_FINDINGS,
    erasing::WIPE_EXCEPTIONS,
    erasing::WIPE_CHANGE_SETS,
    erasing::WIPE_REPORT_RUNS,
    erasing::WIPE_ANALYTICS_RUNS,
    erasing::WIPE_ANALYTICS_ROWS,
    erasing::WIPE_JOBS,
    erasing::WIPE_SCHEDULE_VERSIONS,
    erasing::WIPE_EVENTS,
    erasing::WIPE_CHANGE_SET_AGENTS,
    erasing::WIPE_JOB_RUNS,
    erasing::WIPE_RULE_EDITIONS,
    erasing::WIPE_RULE_VERSIONS,
    erasing::WIPE_IDEMPOTENCY_KEYS,
    erasing::WIPE_DELIVERIES,
    erasing::WIPE_DELIVERY_ATTEMPTS,
    erasing::DELETE_NOTES,
    erasing::DELETE_AGENTS,
    erasing::DELETE_SUBJECTS,
    erasing::DELETE_COUNTERS,
    erasing::DELETE_MEMORY,
    erasing::DELETE_SKILLS,
    erasures::SET,
    events::ADD,
    exceptions::SET,
    exceptions::ADD_AGENTS,
    figures::ADD_SKILLS,
    figures::ADD_QUEUES,
    history::ENTER,
    history::DELETE_AT_TARGET,
    history::RETIME,
    history::REMOVE,
    history::RELINK,
    history::CLOSE,
    jobs::SET_JOBS,
    jobs::SET_RUNS,
    memory::SET_MEMORY,
    anomalies::SET,
    anomalies::SET_PROGRESS,
    report_runs::SET,
    required_staffing::REMOVE,
    required_staffing::ADD,
    sources::ADD,
    sources::SET,
    offers::ADD,
    offers::ADD_AGENTS,
    offers::SET_LINK,
    offers::APPROVE,
    offers::DELETE_WITHOUT_LINK,
    offers::ANSWER,
    offers::WITHDRAW,
    rules::ADD_EDITIONS,
    rules::ADD_FINDINGS,
    schedule::RETIRE_IN_COVERAGE,
    schedule::RETIRE_OVERLAPPED,
    schedule::RETIRE_COVERAGE,
    schedule::ADD_COVERAGE,
    schedule::ADD_SHIFTS,
    schedule::ADD_VERSION,
    skills::SET_SKILLS,
    skills::CLEAR_AGENT_SKILLS,
    skills::ADD_AGENT_SKILLS,
    transitions::UPSERT,
    upkeep::SET_COUNTERS,
    upkeep::SET_SUBSCRIPTIONS,
    upkeep::DROP_SUBSCRIPTIONS,
    upkeep::ADD_IDEMPOTENCY_KEYS,
    upkeep::ADD_RULE_VERSIONS,
    upkeep::SET_STATUS,
];

on_each_engine!(every_statement_is_understood);

async fn every_statement_is_understood(place: TestDatabase) {
    place.open().await.close().await;
    let backend = Backend::from_url(&place.url).expect("a URL");
    let mut connection = backend.connect(Access::Read).await.expect("connects");
    // PostgreSQL learns the types in a list of values only from what is bound to them; the other tests bind them all.
    let many = if let Backend::Sqlite { .. } = backend { MANY } else { &[] };
    let many = many.iter().map(|statement| AssertSqlSafe(statement.text(2, backend.placeholders())).into_sql_str());
    for text in SINGLE.iter().map(|text| SqlStr::from_static(text)).chain(many) {
        if let Err(error) = (&mut connection).prepare(text.clone()).await {
            panic!("{error}: {}", text.as_str());
        }
    }
    close_quietly(connection).await;
}

/// Tables that grow with every change, and so must never be walked whole where one tenant's few rows are wanted.
const GROWING: [&str; 17] = [
    "analytics_runs",
    "analytics_rows",
    "adherence_days",
    "sight_spans",
    "state_history",
    "transitions",
    "platform_calls",
    "audit_entries",
    "events",
    "deliveries",
    "delivery_attempts",
    "change_sets",
    "change_set_agents",
    "rule_findings",
    "report_runs",
    "anomalies",
    "required_staffing",
];

/// What begins to walk a tenant's growing table all the same: it stops after the first or last row, goes from agent to agent by
/// `MIN`, reads a page in the key's order, or counts everything for a person who asked.
const WALKS: &[&str] = &[
    adherence_reading::LAST_OBSERVED_SPAN,
    audit::HEAD,
    change_sets::LIST,
    audit_reading::FIRST,
    delivery_reading::FIRST_SINCE,
    delivery_reading::OLDEST_EVENTS,
    events::COUNTS,
    events::LAST_NUMBER,
    history_reading::AGENTS_BEFORE,
    history_reading::LATEST,
    history_reading::RESTS,
    history_reading::STATES_BEFORE,
    history_reading::ENTERED_IN,
    time_in_state::PARTS,
    transition_reading::LIST,
    transition_reading::LIST_OF_AGENT,
];

/// SQLite takes the primary key for `tenant = $1 AND …` rather than a partial index that fits: with a year of history that is
/// seconds at every start.
#[tokio::test]
async fn no_statement_walks_a_table_that_grows() {
    let place = TestDatabase::sqlite();
    place.open().await.close().await;
    let backend = Backend::from_url(&place.url).expect("a URL");
    let mut connection = backend.connect(Access::Read).await.expect("connects");
    let mut walks = Vec::new();
    for text in SINGLE {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let steps = sqlx::query(explain).fetch_all(&mut connection).await.expect("a plan");
        for step in steps {
            let step: String = step.get("detail");
            let walked = GROWING.iter().any(|table| {
                step == format!("SEARCH {table} USING PRIMARY KEY (tenant=?)")
                    || step.starts_with(&format!("SCAN {table}"))
            });
            if walked && !WALKS.contains(text) {
                walks.push(format!("{step}: {text}"));
            }
        }
    }
    assert!(walks.is_empty(), "{}", walks.join("\n"));
    close_quietly(connection).await;
}

#[tokio::test]
async fn entries_of_a_person_and_decisions_are_found_by_their_own_indexes() {
    let place = TestDatabase::sqlite();
    place.open().await.close().await;
    let backend = Backend::from_url(&place.url).expect("a URL");
    let mut connection = backend.connect(Access::Read).await.expect("connects");
    for text in [audit_reading::PAGE_OF_PERSON, audit_reading::FIRST_BEYOND_PERSON_PAGE] {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let steps = sqlx::query(explain).fetch_all(&mut connection).await.expect("a plan");
        let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
        let by_index = |step: &String| step.contains("INDEX audit_entries_of_person ((tenant,person,seq)>");
        assert!(steps.len() == 1 && steps.iter().all(by_index), "{steps:?}");
    }
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", audit_reading::DECISIONS));
    let step: String = sqlx::query(explain).fetch_one(&mut connection).await.expect("a plan").get("detail");
    assert!(step.contains("INDEX audit_entries_of_decisions ("), "{step}");
    close_quietly(connection).await;
}

/// The statements of this list are all there are: a `$1` in the sources that is in none of them is a statement nobody prepares.
#[test]
fn no_statement_is_left_out() {
    let sources = concat!(
        include_str!("../control.rs"),
        include_str!("../tables/access.rs"),
        include_str!("../tables/adherence.rs"),
        include_str!("../tables/adherence/adherence_reading.rs"),
        include_str!("../tables/agents.rs"),
        include_str!("../tables/analytics.rs"),
        include_str!("../tables/analytics/anomalies.rs"),
        include_str!("../tables/audit.rs"),
        include_str!("../tables/audit/audit_heads.rs"),
        include_str!("../tables/audit/audit_reading.rs"),
        include_str!("../tables/platform/calls.rs"),
        include_str!("../tables/changes/change_sets.rs"),
        include_str!("../tables/webhooks/deliveries.rs"),
        include_str!("../tables/webhooks/delivery_reading.rs"),
        include_str!("../tables/agents/erasing.rs"),
        include_str!("../tables/agents/erasures.rs"),
        include_str!("../tables/webhooks/events.rs"),
        include_str!("../tables/adherence/exceptions.rs"),
        include_str!("../tables/live/figures.rs"),
        include_str!("../tables/agents/history.rs"),
        include_str!("../tables/agents/history_reading.rs"),
        include_str!("../tables/rules/memory.rs"),
        include_str!("../tables/jobs.rs"),
        include_str!("../tables/reports/report_runs.rs"),
        include_str!("../tables/jobs/retention.rs"),
        include_str!("../tables/rules.rs"),
        include_str!("../tables/schedules/offers.rs"),
        include_str!("../tables/schedules/required_staffing.rs"),
        include_str!("../tables/schedules/schedule.rs"),
        include_str!("../tables/schedules/sources.rs"),
        include_str!("../tables/agents/skills.rs"),
        include_str!("../tables/adherence/time_in_state.rs"),
        include_str!("../tables/changes/transition_reading.rs"),
        include_str!("../tables/changes/transitions.rs"),
        include_str!("../tables/operations/upkeep.rs"),
    );
    let constants = sources.matches(": &str =").count() + sources.matches(": ManyRows =").count();
    assert_eq!(constants, SINGLE.len() - schedule::CLEAR_STAGED.len() + MANY.len());
}
