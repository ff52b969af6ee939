//! Checks a store for the operator: its integrity, settings and size. Read-only; it creates no file beside the store.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::backend::{Backend, close_quietly};
use super::error::{OpenError, ReadError};
use super::file_state;
use super::migrations::{self, MigrationState};
use crate::domain::time::UtcMicros;

/// Reports at most 20 faults.
const INTEGRITY: &str = "PRAGMA integrity_check(20)";
const FOREIGN_KEYS: &str = "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 20";
const SQLITE_VERSION: &str = "SELECT sqlite_version()";
const POSTGRES_VERSION: &str = "SELECT current_setting('server_version')";
const JOURNAL: &str = "PRAGMA journal_mode";
const PAGES: &str = "SELECT CAST(page_size AS BIGINT) AS size, CAST(page_count AS BIGINT) AS pages, \
     CAST(freelist_count AS BIGINT) AS free FROM pragma_page_size, pragma_page_count, pragma_freelist_count";
const SQLITE_COLUMNS: &str = "SELECT t.name AS name, c.name AS field FROM sqlite_schema t, pragma_table_info(t.name) c \
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY t.name, c.cid";
const SQLITE_BYTES: &str = "SELECT s.tbl_name AS name, CAST(SUM(d.pgsize) AS BIGINT) AS bytes FROM dbstat d \
     JOIN sqlite_schema s ON s.name = d.name WHERE d.aggregate = TRUE GROUP BY s.tbl_name";
const POSTGRES_COLUMNS: &str = "SELECT CAST(c.table_name AS TEXT) AS name, CAST(c.column_name AS TEXT) AS field \
     FROM information_schema.columns c JOIN information_schema.tables t \
     ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE' \
     WHERE c.table_schema = current_schema() AND c.table_name NOT LIKE '\\_sqlx%' ORDER BY 1, c.ordinal_position";
const POSTGRES_BYTES: &str = "SELECT CAST(relname AS TEXT) AS name, pg_total_relation_size(relid) AS bytes \
     FROM pg_stat_user_tables WHERE schemaname = current_schema()";

/// The column that tells when a row was written: the first of these that a table has.
const INSTANT_COLUMNS: [&str; 10] = [
    "at",
    "entered_at",
    "requested_at",
    "sent_at",
    "started_at",
    "imported_at",
    "created_at",
    "first_seen_at",
    "taken_at",
    "quarter_at",
];

/// The writer's settings that matter for safety, with their required values.
const REQUIRED_SETTINGS: [(&str, &str, i64); 5] = [
    ("synchronous", "PRAGMA synchronous", 2),
    ("foreign_keys", "PRAGMA foreign_keys", 1),
    ("secure_delete", "PRAGMA secure_delete", 1),
    ("trusted_schema", "PRAGMA trusted_schema", 0),
    ("cell_size_check", "PRAGMA cell_size_check", 1),
];

/// The result of inspecting a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// The file, or the server without user and password.
    pub location: String,
    /// Whether the store is a SQLite file; otherwise it is a PostgreSQL database.
    pub is_file: bool,
    /// The engine's version.
    pub engine: String,
    /// The newest migration of the store, and the newest of this version.
    pub migrations: (i64, i64),
    /// The size of the write-ahead log, in bytes.
    pub log_bytes: u64,
    /// The journal mode of the file: `wal`, unless it was not opened since it was restored.
    pub journal: Option<String>,
    /// The damage found by SQLite; also empty if it was not checked.
    pub damage: Vec<String>,
    /// The tables with rows that refer to missing rows.
    pub dangling_tables: Vec<String>,
}

/// The size of a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StoreStats {
    /// The file, or the server without user and password.
    pub place: String,
    /// The size of all tables and indexes in bytes; for a file, its free pages included.
    pub bytes: u64,
    /// The size of the write-ahead log in bytes; `None` on PostgreSQL.
    pub log_bytes: Option<u64>,
    /// The size of the file's free pages in bytes.
    pub free_bytes: Option<u64>,
    /// The tables, ordered by name.
    pub tables: Vec<TableStats>,
}

/// The size of a table.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct TableStats {
    /// The table's name.
    pub name: String,
    /// The number of rows.
    pub rows: u64,
    /// The size of rows and indexes in bytes; `None` if the engine cannot tell.
    pub bytes: Option<u64>,
    /// The time of the oldest row, for tables with a time column.
    pub oldest: Option<UtcMicros>,
    /// The time of the newest row, for tables with a time column.
    pub newest: Option<UtcMicros>,
    /// The number of rows by tenant; the daemon's own rows have the tenant "".
    pub tenants: BTreeMap<String, u64>,
}

/// Opens a store with as few side effects as possible.
async fn open(backend: &Backend) -> Result<AnyConnection, OpenError> {
    if !backend.exists() {
        return Err(OpenError::NotFound { place: backend.location() });
    }
    backend.check_header()?;
    file_state::check_has_log(backend)?;
    backend.connect(backend.read_only_access()).await.map_err(|error| backend.open_error(error))
}

/// Inspects the store at `url`; with `full`, every page of it is read.
pub async fn inspect(url: &str, full: bool) -> Result<Inspection, OpenError> {
    let backend = Backend::from_url(url)?;
    let mut connection = open(&backend).await?;
    let inspected = inspect_connection(&backend, &mut connection, full).await;
    close_quietly(connection).await;
    inspected
}

async fn inspect_connection(
    backend: &Backend,
    connection: &mut AnyConnection,
    full: bool,
) -> Result<Inspection, OpenError> {
    let known = migrations::newest_version();
    let found = match migrations::read_state(backend, connection).await? {
        MigrationState::Empty => 0,
        MigrationState::Outdated(found) => found,
        MigrationState::Current => known,
    };
    let failed = |error| backend.open_error(error);
    let is_file = matches!(backend, Backend::Sqlite { .. });
    let version = if is_file { SQLITE_VERSION } else { POSTGRES_VERSION };
    let engine = fetch_texts(connection, version).await.map_err(failed)?.pop().unwrap_or_default();
    let journal = if is_file { fetch_texts(connection, JOURNAL).await.map_err(failed)?.pop() } else { None };
    let (mut damage, mut dangling) = (Vec::new(), Vec::new());
    if is_file && full {
        damage = fetch_texts(connection, INTEGRITY).await.map_err(failed)?;
        damage.retain(|report| report != "ok");
        dangling = fetch_texts(connection, FOREIGN_KEYS).await.map_err(failed)?;
        dangling.dedup();
    }
    let log_bytes = backend.log_bytes();
    Ok(Inspection {
        location: backend.location(),
        is_file,
        engine,
        migrations: (found, known),
        log_bytes,
        journal,
        damage,
        dangling_tables: dangling,
    })
}

async fn fetch_texts(connection: &mut AnyConnection, statement: &'static str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query(statement).fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

/// Returns the names of the writer's settings that this build of SQLite does not apply, tested on a database in memory.
pub async fn ineffective_settings() -> Result<Vec<&'static str>, ReadError> {
    let mut connection = Backend::in_memory().await?;
    let mut wrong = Vec::new();
    for (name, statement, expected) in REQUIRED_SETTINGS {
        let row = sqlx::query(statement).fetch_one(&mut connection).await?;
        if row.try_get::<i64, _>(0)? != expected {
            wrong.push(name);
        }
    }
    close_quietly(connection).await;
    Ok(wrong)
}

/// Returns the numbers of rows and bytes. Reads every table once.
pub async fn stats(url: &str) -> Result<StoreStats, StatsError> {
    let backend = Backend::from_url(url)?;
    let mut connection = open(&backend).await?;
    let counted = count_store(&backend, &mut connection).await;
    close_quietly(connection).await;
    Ok(counted?)
}

/// An error of [`stats`].
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store can be opened but not read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

async fn count_store(backend: &Backend, connection: &mut AnyConnection) -> Result<StoreStats, ReadError> {
    let is_file = matches!(backend, Backend::Sqlite { .. });
    let (columns, bytes) = if is_file { (SQLITE_COLUMNS, SQLITE_BYTES) } else { (POSTGRES_COLUMNS, POSTGRES_BYTES) };
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in sqlx::query(columns).fetch_all(&mut *connection).await? {
        fields.entry(row.try_get("name")?).or_default().insert(row.try_get("field")?);
    }
    // A SQLite built without `dbstat` still counts rows.
    let sizes: BTreeMap<String, u64> = match sqlx::query(bytes).fetch_all(&mut *connection).await {
        Ok(rows) => rows
            .iter()
            .map(|row| Ok((row.try_get("name")?, number(row, "bytes")?)))
            .collect::<Result<_, sqlx::Error>>()?,
        Err(error) => {
            tracing::debug!(%error, "the sizes of tables cannot be read");
            BTreeMap::new()
        }
    };
    let mut tables = Vec::new();
    for (name, fields) in fields {
        let mut table = count_table(connection, &name, &fields).await?;
        table.bytes = sizes.get(&name).copied();
        tables.push(table);
    }
    let (mut all, mut free) = (sizes.values().sum(), None);
    if is_file {
        let row = sqlx::query(PAGES).fetch_one(&mut *connection).await?;
        let size = number(&row, "size")?;
        (all, free) = (size * number(&row, "pages")?, Some(size * number(&row, "free")?));
    }
    let log_bytes = is_file.then(|| backend.log_bytes());
    Ok(StoreStats { place: backend.location(), bytes: all, log_bytes, free_bytes: free, tables })
}

async fn count_table(
    connection: &mut AnyConnection,
    name: &str,
    fields: &BTreeSet<String>,
) -> Result<TableStats, ReadError> {
    let instant = INSTANT_COLUMNS.into_iter().find(|instant| fields.contains(*instant));
    let tenant = if fields.contains("tenant") { "tenant" } else { "''" };
    let (oldest, newest) = match instant {
        Some(instant) => (format!("MIN({instant})"), format!("MAX({instant})")),
        None => ("NULL".to_owned(), "NULL".to_owned()),
    };
    // The names come from the schema, which the migrations define.
    let statement = format!(
        "SELECT {tenant} AS tenant, CAST(COUNT(*) AS BIGINT) AS many, CAST({oldest} AS BIGINT) AS oldest, \
         CAST({newest} AS BIGINT) AS newest FROM \"{name}\" GROUP BY 1"
    );
    let mut table = TableStats { name: name.to_owned(), ..TableStats::default() };
    for row in sqlx::query(AssertSqlSafe(statement)).fetch_all(connection).await? {
        let many = number(&row, "many")?;
        table.rows += many;
        let at =
            |column| -> Result<_, ReadError> { Ok(row.try_get::<Option<i64>, _>(column)?.map(UtcMicros::from_micros)) };
        table.oldest = table.oldest.into_iter().chain(at("oldest")?).min();
        table.newest = table.newest.max(at("newest")?);
        if tenant == "tenant" {
            table.tenants.insert(row.try_get("tenant")?, many);
        }
    }
    Ok(table)
}

fn number(row: &AnyRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}
