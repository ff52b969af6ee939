//! The worker over a store in which every table names the agent, in every column that can: nothing is left in any of them, nor in the
//! bytes of the file.
//!
//! A table or column that a migration adds is filled like the others: this test then says where the agent stays.

mod platform;

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::platform::UnusedPlatform;
use super::*;
use crate::domain::audit::Hash;
use crate::domain::ids::ErasureId;
use crate::domain::time::UtcMicros;
use crate::engine::platform::link::tests::TenantFixture;
use crate::store::{ChainTrust, Reader};

const START: UtcMicros = UtcMicros::from_micros(1_793_000_000_000_000);

const ID: &str = "u_77310";
const NAME: &str = "Zoë \"Zed\" Quuxington";
/// What was typed about the agent alone.
const NOTE: &str = "xylophones at night";
/// Another agent, whose id begins as the first one's.
const OTHER: &str = "u_773101";

/// Tables that name no agent: none of their columns is filled with one.
const TABLES_WITHOUT_AGENTS: [&str; 23] = [
    "daemon",
    "endpoints",
    "subscriptions",
    "tenant_status",
    "skill_figures",
    "skill_figures_15m",
    "queue_figures",
    "queue_figures_15m",
    "skills",
    "required_staffing",
    "schedule_sources",
    "schedule_offers",
    "sight_spans",
    "adherence_basis",
    // Of people who use the daemon.
    "accounts",
    "api_tokens",
    "sessions",
    // They are appended to through the store alone.
    "audit_entries",
    "audit_heads",
    // They are filled by the test itself.
    "agents",
    "subjects",
    "erasures",
    "notes",
];

/// Columns that hold words of ours, of the platform or of the configuration, or the ids of what is no agent.
const COLUMNS_WITHOUT_TEXT: [&str; 91] = [
    "agent_counters.local_day",
    "analytics_rows.run",
    "analytics_runs.query",
    "analytics_runs.asked_by",
    "analytics_runs.job",
    "analytics_runs.status",
    "analytics_runs.sha256",
    "analytics_runs.failure",
    // A watched series is of a skill, a queue, a team, everyone or a group of analytics that is no agent's.
    "anomalies.series",
    "anomalies.source",
    "series_judged.series",
    "series_judged.source",
    "anomalies.kind",
    "anomalies.baseline",
    "anomalies.value",
    "anomalies.expected",
    "anomalies.score",
    "adherence_days.basis",
    "adherence_days.day",
    "adherence_days.sums",
    "automation_memory.rule",
    "agent_skills.skill",
    "change_set_agents.change_set",
    "change_set_agents.state",
    "change_set_agents.state_reason",
    "change_set_agents.target",
    "change_set_agents.reason",
    "change_set_agents.takes_back",
    "change_set_agents.outcome",
    "change_set_agents.skills",
    "change_set_agents.left_out",
    // Of an activity.
    "change_set_agents.planned",
    "change_set_agents.would_be",
    "change_sets.id",
    "change_sets.made_by",
    "change_sets.undoes",
    "change_sets.teams",
    "change_sets.started_by",
    "change_sets.cancelled_by",
    "deliveries.endpoint",
    "deliveries.status",
    "deliveries.parked_for",
    "delivery_attempts.endpoint",
    "events.id",
    "events.kind",
    "exception_agents.exception",
    "exceptions.id",
    "exceptions.scope",
    "exceptions.team",
    "exceptions.made_by",
    "exceptions.ended_by",
    "idempotency_keys.token",
    "idempotency_keys.request_key",
    "job_runs.job",
    "job_runs.asked_by",
    "job_runs.outcome",
    "jobs.job",
    "jobs.calendar",
    "platform_calls.id",
    "platform_calls.kind",
    "platform_calls.transition",
    "platform_calls.outcome",
    "report_runs.id",
    "report_runs.asked_by",
    "report_runs.job",
    "report_runs.format",
    "report_runs.section",
    "report_runs.status",
    // A path of the daemon's: kind of report, tenant and span.
    "report_runs.place",
    "report_runs.sha256",
    "rule_editions.rule",
    "rule_editions.made_by",
    "rule_findings.id",
    "rule_findings.rule",
    "rule_findings.rule_version",
    "rule_findings.kind",
    "rule_findings.guard",
    "rule_versions.rule",
    "rule_versions.version",
    "schedule_offer_agents.offer",
    "schedule_offer_agents.answer",
    "schedule_versions.actor",
    "shifts.activities",
    "state_history.state",
    "state_history.source",
    "state_history.reason",
    "state_history.queue",
    "state_history.transition",
    "transitions.id",
    "transitions.change_set",
    "transitions.rule",
];

/// The same of transitions, of which more is needed as it is written.
const TRANSITION_COLUMNS_WITHOUT_TEXT: [&str; 9] =
    ["target", "reason", "priority", "actor", "status", "before", "violation", "on_contact", "standing"];

const SET: &str = "00000000-0000-0000-0000-000000000051";
const EXCEPTION: &str = "00000000-0000-0000-0000-000000000052";

/// Values that have to be of a shape, since the worker reads them.
fn structured_values() -> BTreeMap<&'static str, String> {
    let set = json!({"to": "Ready", "note": NOTE, "below_floor": format!("{NAME} said so"), "for": [ID]});
    BTreeMap::from([
        ("change_sets.id", SET.to_owned()),
        ("change_sets.teams", "[]".to_owned()),
        ("change_sets.body", set.to_string()),
        ("change_set_agents.change_set", SET.to_owned()),
        ("change_set_agents.target", "\"Ready\"".to_owned()),
        ("change_set_agents.state", "Paused".to_owned()),
        ("change_set_agents.takes_back", SET.to_owned()),
        ("change_set_agents.left_out", "stale".to_owned()),
        ("change_sets.undoes", SET.to_owned()),
        ("change_set_agents.outcome", "change".to_owned()),
        ("change_set_agents.would_be", "out".to_owned()),
        ("change_set_agents.skills", "[]".to_owned()),
        ("exceptions.id", EXCEPTION.to_owned()),
        ("exceptions.scope", "agents".to_owned()),
        ("exceptions.reason", NOTE.to_owned()),
        ("exceptions.ended_why", NOTE.to_owned()),
        ("exception_agents.exception", EXCEPTION.to_owned()),
        ("transitions.note", NOTE.to_owned()),
        ("transitions.explanation", json!({"words": NOTE, "agent": ID}).to_string()),
        ("transitions.standing", json!({"Failed": {"error": format!("POST /users/{ID}/state: 404")}}).to_string()),
        ("events.body", json!({"data": {"userId": ID, "detail": format!("{NAME} ({ID})")}, "event": "X"}).to_string()),
        ("report_runs.request", json!({"filters": {"agents": [ID, OTHER]}}).to_string()),
        ("analytics_runs.request", json!({"filter": {"field": "agent.id", "value": ID}, "name": NAME}).to_string()),
        ("analytics_runs.parts", json!([{"failure": format!("{ID} is no dimension")}]).to_string()),
        ("analytics_rows.body", json!({"dimensions": [ID, NAME], "metrics": [1.5]}).to_string()),
        ("rule_versions.body", json!({"id": "r", "then": {"tell": NAME}}).to_string()),
        ("idempotency_keys.answer", json!({"agents": [{"agent": ID, "note": NOTE}], "reason": NOTE}).to_string()),
    ])
}

struct ErasureFixture {
    tenant_fixture: TenantFixture,
    context: ErasureContext,
    _keeper: JoinSet<()>,
}

/// The daemon's folders have nothing.
struct NoAgentFiles;

impl AgentFiles for NoAgentFiles {
    fn waiting(&self, _: TenantId, _: AgentId) -> BoxFuture<anyhow::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn erase(&self, _: TenantId, _: TextEraser, outcome: ErasureResult) -> BoxFuture<anyhow::Result<ErasureResult>> {
        Box::pin(async { Ok(outcome) })
    }
}

impl ErasureFixture {
    /// With a keeper that has dropped all agents.
    async fn new() -> Self {
        let tenant_fixture = TenantFixture::at(START).await;
        let (inbox, mut arrivals) = mpsc::channel(16);
        let link = Arc::new(tenant_fixture.link(Arc::new(UnusedPlatform), inbox));
        let mut keeper = JoinSet::new();
        keeper.spawn(async move {
            while let Some(message) = arrivals.recv().await {
                if let KeeperMessage::RuleRequest(request) = message
                    && let RuleRequest::Explain(_, reply) = *request
                {
                    let _ = reply.send(None);
                }
            }
        });
        let services = ErasureServices {
            outbox: Outbox::default(),
            files: Arc::new(NoAgentFiles),
            backtests: Backtests::new(link.reader.clone(), link.clock.clone(), link.random.clone()),
            imports: Arc::default(),
        };
        let context = ErasureContext { link, services, adherence_days: Arc::default() };
        Self { tenant_fixture, context, _keeper: keeper }
    }

    fn reader(&self) -> &Reader {
        self.tenant_fixture.store.reader()
    }

    fn database_path(&self) -> std::path::PathBuf {
        self.tenant_fixture.folder.path().join("s.db")
    }

    /// Two agents, entries about the first with a note, and the request.
    async fn insert_agents_and_erasure(&self) -> SubjectId {
        let (link, tenant) = (&self.context.link, &self.context.link.tenant);
        let subject = SubjectId(uuid::Uuid::from_u128(7));
        let agent = |id: &str, name: &str, subject: SubjectId| AgentWrite {
            tenant: tenant.clone(),
            agent: Agent {
                id: id.into(),
                name: Some(name.into()),
                team: Some("Care".into()),
                zone: Some("UTC".into()),
            },
            subject,
        };
        let note = |salt: u8, text: &str| NoteWrite {
            tenant: tenant.clone(),
            hash: note_hash(&[salt; 16], text),
            salt: [salt; 16],
            text: text.to_owned(),
        };
        let about = |subject, note: Hash| AuditDraft {
            subject,
            note_hash: Some(note),
            ..AuditDraft::new(tenant.clone(), START, "person:ops", "transition.requested", json!({"file": "week.csv"}))
        };
        let (own, mention, other) = (note(1, NOTE), note(2, &format!("covers for {NAME}")), note(3, "of nobody"));
        let erasure = Erasure {
            id: ErasureId(uuid::Uuid::from_u128(9)),
            tenant: tenant.clone(),
            agent: Some(ID.into()),
            stand_in: "erased-1".into(),
            requested_at: START,
            requested_by: "person:ops".into(),
            reason: format!("{NAME} asked for it").into(),
            completed_at: None,
            result: ErasureResult::default(),
        };
        let mark = ErasureMark { tenant: tenant.clone(), agent: ID.into(), at: START, is_stand_in: false };
        let commit = Commit {
            agents: vec![agent(ID, NAME, subject), agent(OTHER, "Ida", SubjectId(uuid::Uuid::from_u128(8)))],
            audit: vec![about(Some(subject), own.hash), about(None, mention.hash), about(None, other.hash)],
            notes: vec![own, mention, other],
            erasure: ErasureChange { erasures: vec![erasure], marks: vec![mark], ..ErasureChange::default() },
            ..Commit::default()
        };
        link.writer.commit(commit).await.expect("commits");
        subject
    }

    /// A row of the agent and one of another in every table that may name one.
    fn fill_tables(&self) {
        let connection = Connection::open(self.database_path()).expect("opens");
        connection.busy_timeout(Duration::from_secs(10)).expect("set");
        let structured = structured_values();
        for table in tables(&connection).iter().filter(|table| !TABLES_WITHOUT_AGENTS.contains(&table.as_str())) {
            for (row, agent) in [(1_i64, ID), (2, OTHER)] {
                let columns = columns(&connection, table);
                let values: Vec<String> =
                    columns.iter().map(|column| sql_value(table, column, row, agent, &structured)).collect();
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                let text = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "));
                connection.execute(&text, []).unwrap_or_else(|error| panic!("{error}: {text}"));
            }
        }
    }

    /// Where one of these stands in the store.
    fn find_texts(&self, needles: &[&str]) -> Vec<String> {
        let connection = Connection::open(self.database_path()).expect("opens");
        let mut found = Vec::new();
        for table in tables(&connection) {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).expect("a table");
            let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
            let mut rows = statement.query([]).expect("reads");
            while let Some(row) = rows.next().expect("reads") {
                for (index, name) in names.iter().enumerate() {
                    let bytes = match row.get_ref(index).expect("a column") {
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
                        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => continue,
                    };
                    let text = String::from_utf8_lossy(bytes).replace(OTHER, "");
                    if needles.iter().any(|needle| text.contains(needle)) {
                        found.push(format!("{table}.{name}: {text}"));
                    }
                }
            }
        }
        found
    }
}

struct Column {
    name: String,
    kind: String,
    is_key: bool,
}

fn tables(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%' ORDER BY name")
        .expect("a statement");
    statement.query_map([], |row| row.get(0)).expect("reads").map(|name| name.expect("a name")).collect()
}

fn columns(connection: &Connection, table: &str) -> Vec<Column> {
    let mut statement = connection.prepare(&format!("PRAGMA table_info({table})")).expect("a table");
    let column = |row: &rusqlite::Row<'_>| {
        Ok(Column { name: row.get(1)?, kind: row.get(2)?, is_key: row.get::<_, i64>(5)? > 0 })
    };
    statement.query_map([], column).expect("reads").map(|column| column.expect("a column")).collect()
}

/// What a column of a row gets, as SQL.
fn sql_value(table: &str, column: &Column, row: i64, agent: &str, structured: &BTreeMap<&str, String>) -> String {
    let column_path = format!("{table}.{}", column.name);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let is_plain = COLUMNS_WITHOUT_TEXT.contains(&column_path.as_str())
        || (table == "transitions" && TRANSITION_COLUMNS_WITHOUT_TEXT.contains(&column.name.as_str()));
    match (column.name.as_str(), column.kind.as_str()) {
        ("tenant", _) => quoted("acme"),
        ("agent", _) => quoted(agent),
        (_, "INTEGER") => row.to_string(),
        (_, "BLOB") => format!("x'{}'", format!("{row:02x}").repeat(32)),
        _ if agent == ID && structured.contains_key(column_path.as_str()) => quoted(&structured[column_path.as_str()]),
        _ if column.is_key || is_plain => quoted(&format!("{}-{row}", column.name)),
        _ if agent == ID => quoted(&format!("{NAME} is {ID}")),
        _ => quoted("nobody"),
    }
}

#[tokio::test]
async fn nothing_of_an_agent_is_left_in_any_table_nor_in_the_bytes_of_the_file() {
    let fixture = ErasureFixture::new().await;
    let subject = fixture.insert_agents_and_erasure().await;
    fixture.fill_tables();
    assert!(fixture.find_texts(&[ID, NAME, NOTE]).len() > 30, "{:#?}", fixture.find_texts(&[ID, NAME, NOTE]));
    fixture.context.erase_pending().await.expect("erases");

    let json_name = NAME.replace('"', "\\\"");
    let remaining = fixture.find_texts(&[ID, NAME, &json_name, "Quuxington", NOTE]);
    assert_eq!(remaining, Vec::<String>::new(), "name it in engine/agents/erase, or say here why it needs not be");
    let reader = fixture.reader();
    let erasure = reader.erasure(&"acme".into(), ErasureId(uuid::Uuid::from_u128(9))).await.expect("reads");
    let erasure = erasure.expect("kept");
    assert_eq!((erasure.agent.clone(), &*erasure.reason), (None, "erased-1 asked for it"));
    assert_eq!((erasure.completed_at, erasure.result.notes), (Some(START), 2), "{erasure:?}");
    assert!(erasure.result.rows > 20 && erasure.result.audit_entries.is_empty(), "{erasure:?}");
    let stand_in = reader.agent(&"acme".into(), &"erased-1".into()).await.expect("reads").expect("it is there");
    assert!(stand_in.is_stand_in && !stand_in.imported && stand_in.subject != subject);
    assert_eq!((stand_in.agent.name, stand_in.agent.team), (None, Some("Care".into())));
    let trust = ChainTrust { keys: &[], heads: &[] };
    assert!(reader.verify_chain(&"acme".into(), trust).await.expect("reads").is_valid());
    assert!(fixture.find_texts(&["of nobody"]).len() == 1, "other notes stay");

    let (file, log) = (fixture.database_path(), fixture.tenant_fixture.folder.path().join("s.db-wal"));
    for path in [file.clone(), log] {
        assert_bytes_are_clean(&std::fs::read(&path).unwrap_or_default(), &json_name, &path);
    }
    fixture.tenant_fixture.store.close().await;
    assert_bytes_are_clean(&std::fs::read(&file).expect("the file"), &json_name, &file);
}

fn assert_bytes_are_clean(bytes: &[u8], json_name: &str, path: &std::path::Path) {
    let without_other = |at: usize| !bytes[at..].starts_with(OTHER.as_bytes());
    for needle in [ID, NAME, json_name, NOTE] {
        let needle = needle.as_bytes();
        let found =
            bytes.windows(needle.len()).enumerate().find(|(at, window)| *window == needle && without_other(*at));
        assert!(found.is_none(), "{} has {:?}", path.display(), String::from_utf8_lossy(needle));
    }
}

#[tokio::test]
async fn an_erasure_interrupted_anywhere_continues() {
    let fixture = ErasureFixture::new().await;
    fixture.insert_agents_and_erasure().await;
    fixture.fill_tables();
    let mut cuts = 0;
    while !fixture.reader().open_erasures(&"acme".into()).await.expect("reads").is_empty() {
        // Each run may do a little more than the one before.
        let cut = async {
            for _ in 0..(cuts + 1) * 10 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            done = fixture.context.erase_pending() => done.expect("erases"),
            () = cut => cuts += 1,
        }
        assert!(cuts < 1000, "it never ends");
    }
    assert!(cuts > 3, "{cuts}");
    let json_name = NAME.replace('"', "\\\"");
    let remaining = fixture.find_texts(&[ID, NAME, &json_name, NOTE]);
    assert_eq!(remaining, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_run_that_was_cut_off_had_handed_over_is_waited_for() {
    let fixture = ErasureFixture::new().await;
    let subject = fixture.insert_agents_and_erasure().await;
    let (link, writer) = (&fixture.context.link, &fixture.context.link.writer);
    let erasure = link.reader.open_erasures(&link.tenant).await.expect("reads").pop().expect("the wish");
    // The writer is held up in the middle of the change that ends the first run.
    let blocker = Connection::open(fixture.database_path()).expect("opens");
    blocker.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let eraser = TextEraser::new(ID.into(), Some(NAME.into()), erasure.stand_in.clone());
    {
        let mut first = std::pin::pin!(fixture.context.record_erased(erasure, &eraser, subject));
        std::future::poll_fn(|context| {
            assert!(first.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    while !writer.is_idle() {
        tokio::task::yield_now().await;
    }

    let mut second = JoinSet::new();
    let context = fixture.context.clone();
    second.spawn(async move { context.erase_pending().await });
    while writer.is_idle() {
        tokio::task::yield_now().await;
    }
    blocker.execute_batch("ROLLBACK").expect("lets go");
    second.join_next().await.expect("one").expect("ends").expect("erases");

    let erased = "SELECT count(*) FROM audit_entries WHERE action = 'agent.erased'";
    assert_eq!(blocker.query_row(erased, [], |row| row.get::<_, i64>(0)).expect("counts"), 1, "it is ended once");
    assert!(link.reader.open_erasures(&link.tenant).await.expect("reads").is_empty());
}
