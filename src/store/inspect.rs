//! What the operator asks of a store itself: is it sound, how is it set, how large is it. Looks alone; writes nothing, not even a
//! file beside the store.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::backend::{Backend, close_quietly};
use super::error::{OpenError, ReadError};
use super::migrations::{self, Seen};
use super::whole;
use crate::domain::time::UtcMicros;

/// The most faults of one kind that are told.
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

/// Which instant of a row says when it was written: the first of these that a table has.
const INSTANTS: [&str; 10] = [
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

/// The writer's settings that matter for safety, with what they must be.
const MUST_HOLD: [(&str, &str, i64); 5] = [
    ("synchronous", "PRAGMA synchronous", 2),
    ("foreign_keys", "PRAGMA foreign_keys", 1),
    ("secure_delete", "PRAGMA secure_delete", 1),
    ("trusted_schema", "PRAGMA trusted_schema", 0),
    ("cell_size_check", "PRAGMA cell_size_check", 1),
];

/// What a store is, by its file and its engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// The file, or the server without user and password.
    pub place: String,
    /// Whether it is a SQLite file; else a PostgreSQL database, whose files are its server's business.
    pub is_file: bool,
    /// The engine's version.
    pub engine: String,
    /// The newest migration that it has seen, and the newest that this version has.
    pub migrations: (i64, i64),
    /// The bytes of the write-ahead log beside the file.
    pub log_bytes: u64,
    /// How the file keeps its journal: `wal`, unless it has not been opened since it was restored.
    pub journal: Option<String>,
    /// What SQLite finds wrong with it; empty also where it was not asked.
    pub damage: Vec<String>,
    /// Tables with rows that point nowhere.
    pub dangling: Vec<String>,
}

/// How large a store is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stats {
    /// The file, or the server without user and password.
    pub place: String,
    /// All tables and indexes, in bytes; of a file with its free pages.
    pub bytes: u64,
    /// The write-ahead log, in bytes; the server's business with PostgreSQL.
    pub log_bytes: Option<u64>,
    /// Bytes of the file that are free for new rows.
    pub free_bytes: Option<u64>,
    /// By name.
    pub tables: Vec<TableStats>,
}

/// How large a table is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct TableStats {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Rows and indexes; none where the engine cannot tell.
    pub bytes: Option<u64>,
    /// When its oldest row is from, for tables whose rows have an instant.
    pub oldest: Option<UtcMicros>,
    /// The same of the newest.
    pub newest: Option<UtcMicros>,
    /// Rows by tenant; the daemon's own have the tenant "".
    pub tenants: BTreeMap<String, u64>,
}

/// Opens a store as quietly as can be.
async fn open(backend: &Backend) -> Result<AnyConnection, OpenError> {
    if !backend.is_there() {
        return Err(OpenError::NotFound { place: backend.place() });
    }
    backend.check_header()?;
    whole::check(backend)?;
    backend.connect(backend.quietest_access()).await.map_err(|error| backend.open_error(error))
}

/// Looks at the store at `url`; `whole` reads every page of it.
pub async fn inspect(url: &str, whole: bool) -> Result<Inspection, OpenError> {
    let backend = Backend::from_url(url)?;
    let mut connection = open(&backend).await?;
    let inspected = look(&backend, &mut connection, whole).await;
    close_quietly(connection).await;
    inspected
}

async fn look(backend: &Backend, connection: &mut AnyConnection, whole: bool) -> Result<Inspection, OpenError> {
    let known = migrations::newest();
    let found = match migrations::seen(backend, connection).await? {
        Seen::Nothing => 0,
        Seen::Some(found) => found,
        Seen::All => known,
    };
    let failed = |error| backend.open_error(error);
    let is_file = matches!(backend, Backend::Sqlite { .. });
    let version = if is_file { SQLITE_VERSION } else { POSTGRES_VERSION };
    let engine = texts(connection, version).await.map_err(failed)?.pop().unwrap_or_default();
    let journal = if is_file { texts(connection, JOURNAL).await.map_err(failed)?.pop() } else { None };
    let (mut damage, mut dangling) = (Vec::new(), Vec::new());
    if is_file && whole {
        damage = texts(connection, INTEGRITY).await.map_err(failed)?;
        damage.retain(|said| said != "ok");
        dangling = texts(connection, FOREIGN_KEYS).await.map_err(failed)?;
        dangling.dedup();
    }
    let log_bytes = backend.log_bytes();
    Ok(Inspection {
        place: backend.place(),
        is_file,
        engine,
        migrations: (found, known),
        log_bytes,
        journal,
        damage,
        dangling,
    })
}

async fn texts(connection: &mut AnyConnection, statement: &'static str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query(statement).fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

/// Which of the writer's settings this build of SQLite does not take, by name; tried on a database in memory.
pub async fn settings_not_taken() -> Result<Vec<&'static str>, ReadError> {
    let mut connection = Backend::in_memory().await?;
    let mut wrong = Vec::new();
    for (name, statement, wanted) in MUST_HOLD {
        let row = sqlx::query(statement).fetch_one(&mut connection).await?;
        if row.try_get::<i64, _>(0)? != wanted {
            wrong.push(name);
        }
    }
    close_quietly(connection).await;
    Ok(wrong)
}

/// Counts rows and bytes. Reads every table once.
pub async fn stats(url: &str) -> Result<Stats, StatsError> {
    let backend = Backend::from_url(url)?;
    let mut connection = open(&backend).await?;
    let counted = count(&backend, &mut connection).await;
    close_quietly(connection).await;
    Ok(counted?)
}

/// Nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can be opened and not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

async fn count(backend: &Backend, connection: &mut AnyConnection) -> Result<Stats, ReadError> {
    let is_file = matches!(backend, Backend::Sqlite { .. });
    let (columns, bytes) = if is_file { (SQLITE_COLUMNS, SQLITE_BYTES) } else { (POSTGRES_COLUMNS, POSTGRES_BYTES) };
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in sqlx::query(columns).fetch_all(&mut *connection).await? {
        fields.entry(row.try_get("name")?).or_default().insert(row.try_get("field")?);
    }
    // A SQLite that was built without its table of sizes still counts rows.
    let sizes: BTreeMap<String, u64> = match sqlx::query(bytes).fetch_all(&mut *connection).await {
        Ok(rows) => rows
            .iter()
            .map(|row| Ok((row.try_get("name")?, number(row, "bytes")?)))
            .collect::<Result<_, sqlx::Error>>()?,
        Err(error) => {
            tracing::debug!(%error, "the sizes of tables cannot be told");
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
    Ok(Stats { place: backend.place(), bytes: all, log_bytes, free_bytes: free, tables })
}

async fn count_table(
    connection: &mut AnyConnection,
    name: &str,
    fields: &BTreeSet<String>,
) -> Result<TableStats, ReadError> {
    let instant = INSTANTS.into_iter().find(|instant| fields.contains(*instant));
    let tenant = if fields.contains("tenant") { "tenant" } else { "''" };
    let (oldest, newest) = match instant {
        Some(instant) => (format!("MIN({instant})"), format!("MAX({instant})")),
        None => ("NULL".to_owned(), "NULL".to_owned()),
    };
    // Names come from the schema, which the migrations wrote.
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
