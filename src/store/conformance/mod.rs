//! One suite of behaviours for every engine: on SQLite always, on PostgreSQL when `SHIFTKEEPER_TEST_POSTGRES` names a server.
//! Each test has a database of its own.

mod access;
mod adherence;
mod analytics;
mod anomalies;
mod audit_pages;
mod chains;
mod change_sets;
mod changes;
mod copies;
mod figures;
mod history;
mod jobs;
mod live_figures;
mod opening;
mod outbox;
mod report_runs;
mod retention;
mod rules;
mod schedules;
mod statements;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::*;
use crate::clock::{ManualClock, SharedClock};
use crate::domain::agents::agent::{Agent, ObservationSource};
use crate::domain::agents::state::AgentState;
use crate::domain::audit::{AuditDraft, ChainHead, ChainVerifier};
use crate::domain::changes::policy::OnContact;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus};
use crate::domain::ids::{AgentId, EventId, SubjectId, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AgentStateChanged, Details as _, Event};

/// Makes a test per engine of every function named.
macro_rules! on_each_engine {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test(crate::store::conformance::TestDatabase::sqlite()).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $test() {
                if let Some(place) = crate::store::conformance::TestDatabase::postgres().await { super::$test(place).await; }
            })+
        }
    };
}
pub(super) use on_each_engine;

/// A database that is this test's alone.
pub(super) struct TestDatabase {
    pub(super) url: String,
    pub(super) folder: tempfile::TempDir,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl TestDatabase {
    pub(super) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { url: format!("sqlite://{}", folder.path().join("keeper.db").display()), folder }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server is named by the environment, and no configuration is loaded"
    )]
    pub(super) async fn postgres() -> Option<Self> {
        let server = std::env::var("SHIFTKEEPER_TEST_POSTGRES").ok()?;
        let name = format!("keeper_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
        sqlx::any::install_default_drivers();
        let options: sqlx::any::AnyConnectOptions = server.parse().expect("a URL");
        let mut connection = options.connect().await.expect("the named server answers");
        for statement in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a database");
        }
        let (base, options) = server.split_once('?').unwrap_or((&server, ""));
        let host = base.rsplit_once('/').expect("a database in the URL").0;
        Some(Self { url: format!("{host}/{name}?{options}"), folder: tempfile::tempdir().expect("a folder") })
    }

    pub(super) async fn open(&self) -> Store {
        self.try_open(ProcessRole::Daemon).await.expect("opens")
    }

    pub(super) async fn try_open(&self, role: ProcessRole) -> Result<Store, OpenError> {
        Store::open(&self.url, role, clock(), &identity()).await
    }

    /// A connection past the writer, as somebody with a database tool has.
    pub(super) async fn execute_raw(&self, statement: &'static str) -> Result<u64, sqlx::Error> {
        let backend = backend::Backend::from_url(&self.url).expect("a URL");
        let mut connection = backend.connect(backend::Access::Write).await?;
        let done = sqlx::raw_sql(statement).execute(&mut connection).await.map(|done| done.rows_affected());
        backend::close_quietly(connection).await;
        done
    }

    pub(super) fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("keeper.db")
    }
}

pub(super) fn clock() -> SharedClock {
    Arc::new(ManualClock::at(at(1_000_000)))
}

pub(super) fn identity() -> ProcessIdentity {
    ProcessIdentity { host: "desk-7".into(), pid: 4711, version: "0.1.0".into() }
}

/// Seconds since the epoch.
pub(super) const fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

pub(super) fn acme() -> TenantId {
    "acme".into()
}

pub(super) const fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

pub(super) fn agent_write(id: &str, subject: u128) -> AgentWrite {
    let agent = Agent { id: id.into(), name: Some("Ida".into()), team: Some("blue".into()), zone: None };
    AgentWrite { tenant: acme(), agent, subject: SubjectId(uuid(subject)) }
}

pub(super) fn row(agent: &str, seconds: i64, state: AgentState) -> HistoryRow {
    HistoryRow {
        tenant: acme(),
        agent: agent.into(),
        entered_at: at(seconds),
        platform_at: Some(at(seconds + 100)),
        state,
        reason: None,
        queue: None,
        source: ObservationSource::Snapshot,
        transition: None,
        by_person: seconds % 2 == 0,
    }
}

pub(super) fn draft(action: &'static str) -> AuditDraft {
    AuditDraft {
        tenant: acme(),
        at: at(5),
        actor: "daemon".into(),
        action,
        subject: Some(SubjectId(uuid(9))),
        transition: Some(TransitionId(uuid(3))),
        before: Some("Paused".into()),
        after: None,
        outcome: None,
        facts: json!({"planned": "work"}),
        note_hash: None,
    }
}

pub(super) fn event(id: u128) -> Event {
    Event { id: EventId(uuid(id)), tenant: acme(), at: at(5), data: AgentStateChanged::example().into() }
}

pub(super) fn transition(id: u128, agent: &str, status: TransitionStatus) -> Transition {
    Transition {
        id: TransitionId(uuid(id)),
        tenant: acme(),
        agent: agent.into(),
        target: AgentState::Ready,
        reason: "WORKING".into(),
        priority: Priority::Schedule,
        actor: Actor::Rule { id: "back-from-break".into(), version: "1".into() },
        note: Some("please".into()),
        on_contact: OnContact::After,
        requested_at: at(10),
        deadline: at(100),
        before: Some(AgentState::Paused),
        explanation: json!({"for_s": 120}),
        attempts: 1,
        violation: None,
        latency_ms: Some(40),
        change_set: None,
        status,
    }
}

/// A change with an entry of history, one of audit, and an event.
pub(super) fn change(n: u32) -> Commit {
    Commit {
        history: vec![HistoryWrite::Enter(row(&format!("u_{:04}", n % 7), i64::from(n) * 10, AgentState::Ready))],
        audit: vec![draft("state.observed")],
        events: vec![event(u128::from(n) + 1000)],
        ..Commit::default()
    }
}

/// Checks a tenant's chain from its start; gives its length.
pub(super) async fn verified_length(reader: &Reader) -> u64 {
    let mut check = ChainVerifier::starting_at(acme(), ChainHead::default());
    loop {
        let page = reader.audit_entries(&acme(), check.head().seq, PAGE_LIMIT).await.expect("reads");
        if page.is_empty() {
            assert_eq!(reader.chain_head(&acme()).await.expect("reads"), check.head());
            return check.head().seq;
        }
        for entry in page {
            check.verify_entry(entry.seq, &entry.body, &entry.hash).expect("the entry holds");
        }
    }
}

pub(super) fn agent_id(id: &str) -> AgentId {
    id.into()
}

/// Workers and handlers hold these futures across threads; a future that cannot go there fails to compile here.
#[tokio::test]
async fn what_the_store_does_can_be_awaited_in_any_task() {
    fn can_be_spawned<T: Send + 'static>(_: impl Future<Output = T> + Send + 'static) {}
    let place = TestDatabase::sqlite();
    let (url, again) = (place.url.clone(), place.url.clone());
    can_be_spawned(async move { Store::open(&url, ProcessRole::Daemon, clock(), &identity()).await.is_ok() });
    can_be_spawned(async move { Store::read(&again).await.is_ok() });
    let store = place.open().await;
    let (writer, reader) = (store.writer().clone(), store.reader().clone());
    can_be_spawned(async move { writer.commit(Commit::default()).await });
    let writer = store.writer().clone();
    can_be_spawned(async move { writer.set_listen("127.0.0.1:1").await });
    let writer = store.writer().clone();
    can_be_spawned(async move { writer.close().await });
    can_be_spawned(async move {
        reader.agents(&acme()).await.expect("reads");
        reader.time_in_state(&acme(), at(0), at(1)).await.expect("reads");
        reader.plans(&acme(), (at(0), at(1)), None).await.expect("reads");
        reader.history(&acme(), (at(0), at(1)), None, 1).await.expect("reads");
        reader.transitions(&acme(), &TransitionFilter::default(), 1).await.expect("reads");
        reader.compliance_figures(&acme(), at(0), at(1)).await.expect("reads");
        reader.audited_tenants().await.expect("reads");
        reader.daemon().await.expect("reads");
        reader.close().await;
    });
    can_be_spawned(store.close());
}
