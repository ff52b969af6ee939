//! The built-in migrations, and the record of those applied to a database. Append-only: a shipped file is never edited,
//! not even by a space, because its hash is stored.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Row, SqlStr};

use super::backend::{Backend, IntoCause};
use super::error::OpenError;

struct BuiltInMigration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[BuiltInMigration] = &[
    BuiltInMigration {
        version: 1,
        name: "frame",
        sqlite: include_str!("../../migrations/sqlite/0001_frame.sql"),
        postgres: include_str!("../../migrations/postgres/0001_frame.sql"),
    },
    BuiltInMigration {
        version: 2,
        name: "automation memory",
        sqlite: include_str!("../../migrations/sqlite/0002_automation_memory.sql"),
        postgres: include_str!("../../migrations/postgres/0002_automation_memory.sql"),
    },
    BuiltInMigration {
        version: 3,
        name: "jobs",
        sqlite: include_str!("../../migrations/sqlite/0003_jobs.sql"),
        postgres: include_str!("../../migrations/postgres/0003_jobs.sql"),
    },
    BuiltInMigration {
        version: 4,
        name: "heads",
        sqlite: include_str!("../../migrations/sqlite/0004_heads.sql"),
        postgres: include_str!("../../migrations/postgres/0004_heads.sql"),
    },
    BuiltInMigration {
        version: 5,
        name: "outbox",
        sqlite: include_str!("../../migrations/sqlite/0005_outbox.sql"),
        postgres: include_str!("../../migrations/postgres/0005_outbox.sql"),
    },
    BuiltInMigration {
        version: 6,
        name: "steady calls",
        sqlite: include_str!("../../migrations/sqlite/0006_steady_calls.sql"),
        postgres: include_str!("../../migrations/postgres/0006_steady_calls.sql"),
    },
    BuiltInMigration {
        version: 8,
        name: "instants of others",
        sqlite: include_str!("../../migrations/sqlite/0008_instants_of_others.sql"),
        postgres: include_str!("../../migrations/postgres/0008_instants_of_others.sql"),
    },
    BuiltInMigration {
        version: 9,
        name: "figures",
        sqlite: include_str!("../../migrations/sqlite/0009_figures.sql"),
        postgres: include_str!("../../migrations/postgres/0009_figures.sql"),
    },
    BuiltInMigration {
        version: 10,
        name: "access",
        sqlite: include_str!("../../migrations/sqlite/0010_access.sql"),
        postgres: include_str!("../../migrations/postgres/0010_access.sql"),
    },
    BuiltInMigration {
        version: 11,
        name: "change sets",
        sqlite: include_str!("../../migrations/sqlite/0011_change_sets.sql"),
        postgres: include_str!("../../migrations/postgres/0011_change_sets.sql"),
    },
    BuiltInMigration {
        version: 12,
        name: "rules",
        sqlite: include_str!("../../migrations/sqlite/0012_rules.sql"),
        postgres: include_str!("../../migrations/postgres/0012_rules.sql"),
    },
    BuiltInMigration {
        version: 13,
        name: "adherence days",
        sqlite: include_str!("../../migrations/sqlite/0013_adherence_days.sql"),
        postgres: include_str!("../../migrations/postgres/0013_adherence_days.sql"),
    },
    BuiltInMigration {
        version: 14,
        name: "report runs",
        sqlite: include_str!("../../migrations/sqlite/0014_report_runs.sql"),
        postgres: include_str!("../../migrations/postgres/0014_report_runs.sql"),
    },
    BuiltInMigration {
        version: 15,
        name: "analytics runs",
        sqlite: include_str!("../../migrations/sqlite/0015_analytics_runs.sql"),
        postgres: include_str!("../../migrations/postgres/0015_analytics_runs.sql"),
    },
    BuiltInMigration {
        version: 16,
        name: "anomalies",
        sqlite: include_str!("../../migrations/sqlite/0016_anomalies.sql"),
        postgres: include_str!("../../migrations/postgres/0016_anomalies.sql"),
    },
    BuiltInMigration {
        version: 17,
        name: "erasures",
        sqlite: include_str!("../../migrations/sqlite/0017_erasures.sql"),
        postgres: include_str!("../../migrations/postgres/0017_erasures.sql"),
    },
    BuiltInMigration {
        version: 18,
        name: "series judged",
        sqlite: include_str!("../../migrations/sqlite/0018_series_judged.sql"),
        postgres: include_str!("../../migrations/postgres/0018_series_judged.sql"),
    },
    BuiltInMigration {
        version: 19,
        name: "set by a person",
        sqlite: include_str!("../../migrations/sqlite/0019_set_by_a_person.sql"),
        postgres: include_str!("../../migrations/postgres/0019_set_by_a_person.sql"),
    },
    BuiltInMigration {
        version: 20,
        name: "audit of people",
        sqlite: include_str!("../../migrations/sqlite/0020_audit_of_people.sql"),
        postgres: include_str!("../../migrations/postgres/0020_audit_of_people.sql"),
    },
    BuiltInMigration {
        version: 21,
        name: "against the plan",
        sqlite: include_str!("../../migrations/sqlite/0021_against_the_plan.sql"),
        postgres: include_str!("../../migrations/postgres/0021_against_the_plan.sql"),
    },
    BuiltInMigration {
        version: 22,
        name: "decisions of people",
        sqlite: include_str!("../../migrations/sqlite/0022_decisions_of_people.sql"),
        postgres: include_str!("../../migrations/postgres/0022_decisions_of_people.sql"),
    },
    BuiltInMigration {
        version: 23,
        name: "ages of subscriptions",
        sqlite: include_str!("../../migrations/sqlite/0023_ages_of_subscriptions.sql"),
        postgres: include_str!("../../migrations/postgres/0023_ages_of_subscriptions.sql"),
    },
    BuiltInMigration {
        version: 24,
        name: "platform directory",
        sqlite: include_str!("../../migrations/sqlite/0024_platform_directory.sql"),
        postgres: include_str!("../../migrations/postgres/0024_platform_directory.sql"),
    },
    BuiltInMigration {
        version: 25,
        name: "required staffing",
        sqlite: include_str!("../../migrations/sqlite/0025_required_staffing.sql"),
        postgres: include_str!("../../migrations/postgres/0025_required_staffing.sql"),
    },
    BuiltInMigration {
        version: 26,
        name: "schedule sources",
        sqlite: include_str!("../../migrations/sqlite/0026_schedule_sources.sql"),
        postgres: include_str!("../../migrations/postgres/0026_schedule_sources.sql"),
    },
    BuiltInMigration {
        version: 27,
        name: "schedule offers",
        sqlite: include_str!("../../migrations/sqlite/0027_schedule_offers.sql"),
        postgres: include_str!("../../migrations/postgres/0027_schedule_offers.sql"),
    },
];

const SQLITE_TABLE: &str = "SELECT name FROM sqlite_schema WHERE name = '_sqlx_migrations'";
const SQLITE_ANY_TABLE: &str = "SELECT name FROM sqlite_schema LIMIT 1";
const POSTGRES_TABLE: &str =
    "SELECT CAST(to_regclass('_sqlx_migrations') AS TEXT) AS name WHERE to_regclass('_sqlx_migrations') IS NOT NULL";
const APPLIED: &str = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";

/// The migrations applied to a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MigrationState {
    /// None: the database is empty.
    Empty,
    /// The newest migration applied, older than that of this version.
    Outdated(i64),
    /// All migrations of this version.
    Current,
}

/// Returns the newest migration of this version.
pub(super) fn newest_version() -> i64 {
    MIGRATIONS.iter().map(|shipped| shipped.version).max().unwrap_or(0)
}

fn migrator(backend: &Backend) -> Migrator {
    let migration = |shipped: &BuiltInMigration| {
        let sql = match backend {
            Backend::Sqlite { .. } => shipped.sqlite,
            Backend::Postgres { .. } => shipped.postgres,
        };
        Migration::new(
            shipped.version,
            Cow::Borrowed(shipped.name),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}

/// Reads the state and writes nothing.
///
/// # Errors
/// Returns [`OpenError::Newer`], [`OpenError::DifferentBuild`], or [`OpenError::Corrupt`] for a database of another
/// program.
pub(super) async fn read_state(backend: &Backend, connection: &mut AnyConnection) -> Result<MigrationState, OpenError> {
    let failed = |error| backend.open_error(error);
    let table = match backend {
        Backend::Sqlite { .. } => SQLITE_TABLE,
        Backend::Postgres { .. } => POSTGRES_TABLE,
    };
    if sqlx::query(table).fetch_optional(&mut *connection).await.map_err(failed)?.is_none() {
        let Backend::Sqlite { .. } = backend else { return Ok(MigrationState::Empty) };
        return match sqlx::query(SQLITE_ANY_TABLE).fetch_optional(&mut *connection).await.map_err(failed)? {
            None => Ok(MigrationState::Empty),
            Some(_) => Err(OpenError::Corrupt {
                place: backend.location(),
                cause: "it holds another program's tables".into_cause(),
            }),
        };
    }
    let rows = sqlx::query(APPLIED).fetch_all(&mut *connection).await.map_err(failed)?;
    let mut applied = Vec::with_capacity(rows.len());
    for row in &rows {
        let version: i64 = row.try_get(0).map_err(failed)?;
        let checksum: Vec<u8> = row.try_get(1).map_err(failed)?;
        applied.push((version, checksum));
    }
    state_of(backend, &applied)
}

fn state_of(backend: &Backend, applied: &[(i64, Vec<u8>)]) -> Result<MigrationState, OpenError> {
    let own_migrations = migrator(backend);
    let known = newest_version();
    let found = applied.last().map_or(0, |(version, _)| *version);
    for (version, checksum) in applied {
        match own_migrations.iter().find(|migration| migration.version == *version) {
            None => return Err(OpenError::Newer { place: backend.location(), found, known }),
            Some(migration) if *migration.checksum != **checksum => {
                return Err(OpenError::DifferentBuild { place: backend.location(), migration: *version });
            }
            Some(_) => {}
        }
    }
    Ok(if found == known {
        MigrationState::Current
    } else if found == 0 {
        MigrationState::Empty
    } else {
        MigrationState::Outdated(found)
    })
}

/// Applies the missing migrations. Uses `run_direct` and a boxed future, because the compiler cannot prove that `run`
/// is `Send`.
pub(super) fn apply<'a>(
    backend: &'a Backend,
    connection: &'a mut AnyConnection,
) -> Pin<Box<dyn Future<Output = Result<(), OpenError>> + Send + 'a>> {
    Box::pin(async move {
        migrator(backend).run_direct(None, connection, false).await.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => backend.open_error(error),
            other => OpenError::Unreachable { place: backend.location(), cause: Arc::new(other) },
        })
    })
}
