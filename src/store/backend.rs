//! The two database engines: how to connect to them and what differs between them. Besides this, only the migrations
//! and the lock depend on the engine.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Row};

use super::batch::Placeholders;
use super::error::{EngineFault, OpenError, classify_error};

/// The first SQLite version whose write-ahead log is safe (pitfalls P10).
const OLDEST_SAFE_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// The first bytes of every SQLite file.
const SQLITE_HEADER: &[u8; 16] = b"SQLite format 3\0";

/// The number of connections for reading. They are few, because each may keep the write-ahead log from being reused.
const MAX_READERS: u32 = 4;

/// `trusted_schema`, `cell_size_check` and `secure_delete` guard against manipulated files and keep erased text out of
/// free pages. The log is checkpointed every 16 MB: a checkpoint costs two syncs, and one every 4 MB noticeably reduced
/// the rate of changes. The page cache of 4 MB fills within minutes; the operating system caches the file as well.
const WRITER_SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
     PRAGMA busy_timeout = 5000; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF; \
     PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 4000";

const READER_SETTINGS: &str = "PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF; \
     PRAGMA cell_size_check = ON";

const POSTGRES_READER_SETTINGS: &str = "SET default_transaction_read_only = on; SET statement_timeout = '60s'";

/// The location of the store.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Backend {
    /// A file.
    Sqlite { path: PathBuf },
    /// A server. The URL may contain a password and is never shown.
    Postgres { url: String },
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.location())
    }
}

/// How a connection may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Reads and writes; creates the file if it does not exist.
    Write,
    /// Reads beside a writer.
    Read,
    /// Reads a file that no process has open, and creates no file beside it.
    ReadImmutable,
}

impl Backend {
    /// Parses `sqlite://PATH`, `sqlite:PATH` or `postgres://…`.
    pub(super) fn from_url(url: &str) -> Result<Self, OpenError> {
        if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            let path = path.split('?').next().unwrap_or_default();
            if path.is_empty() || path == ":memory:" {
                return Err(OpenError::Url { url: url.to_owned() });
            }
            let path = std::path::absolute(path).map_err(|_| OpenError::Url { url: url.to_owned() })?;
            return Ok(Self::Sqlite { path });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres { url: url.to_owned() });
        }
        // An unknown scheme may still contain a password.
        let scheme = url.split("://").next().unwrap_or_default();
        Err(OpenError::Url { url: if scheme.len() < url.len() { format!("{scheme}://…") } else { "…".to_owned() } })
    }

    /// Returns the file, or the server and database without user, password and options.
    pub(super) fn location(&self) -> String {
        match self {
            Self::Sqlite { path } => path.display().to_string(),
            Self::Postgres { url } => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                format!("PostgreSQL at {}", place.split('?').next().unwrap_or_default())
            }
        }
    }

    /// Returns the statements that begin a writing transaction and read the epoch in it. On SQLite they take the write
    /// lock, because a deferred transaction can fail when it starts to write (pitfalls P1).
    pub(super) const fn begin(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "BEGIN IMMEDIATE; SELECT epoch FROM daemon WHERE only_row = 1",
            Self::Postgres { .. } => "BEGIN; SELECT epoch FROM daemon WHERE only_row = 1",
        }
    }

    /// Returns the statements that begin a writing transaction if they can be sent together with its first statements.
    /// There is then no result to read in between, so a statement with our epoch as its one value violates a constraint
    /// if the store has another epoch. `None` if each statement is sent by itself.
    pub(super) const fn begin_if_epoch_matches(&self) -> Option<&'static str> {
        match self {
            Self::Sqlite { .. } => Some(
                "BEGIN IMMEDIATE; INSERT INTO daemon (only_row, epoch) SELECT 1, NULL \
                 WHERE NOT EXISTS (SELECT 1 FROM daemon WHERE only_row = 1 AND epoch = ?)",
            ),
            Self::Postgres { .. } => None,
        }
    }

    /// Returns the style of placeholders in statements over many rows.
    pub(super) const fn placeholders(&self) -> Placeholders {
        match self {
            Self::Sqlite { .. } => Placeholders::Bare,
            Self::Postgres { .. } => Placeholders::Numbered,
        }
    }

    fn options(&self, access: Access) -> Result<AnyConnectOptions, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let url = match self {
            Self::Sqlite { path } => {
                let mode = match access {
                    Access::Write => "mode=rwc",
                    Access::Read => "mode=ro",
                    Access::ReadImmutable => "mode=ro&immutable=1",
                };
                format!("sqlite://{}?{mode}", percent_encoded(path))
            }
            Self::Postgres { url } => url.clone(),
        };
        Ok(AnyConnectOptions::from_str(&url)?.disable_statement_logging())
    }

    fn settings(&self, access: Access) -> &'static str {
        match (self, access) {
            (Self::Sqlite { .. }, Access::Write) => WRITER_SETTINGS,
            (Self::Sqlite { .. }, Access::Read | Access::ReadImmutable) => READER_SETTINGS,
            (Self::Postgres { .. }, Access::Write) => "SET synchronous_commit = on",
            (Self::Postgres { .. }, Access::Read | Access::ReadImmutable) => POSTGRES_READER_SETTINGS,
        }
    }

    /// Opens a connection and applies its settings.
    pub(super) async fn connect(&self, access: Access) -> Result<AnyConnection, sqlx::Error> {
        let mut connection = self.options(access)?.connect().await?;
        sqlx::raw_sql(self.settings(access)).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Opens a database in memory, with the writer's settings.
    pub(super) async fn in_memory() -> Result<AnyConnection, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnectOptions::from_str("sqlite::memory:")?.connect().await?;
        sqlx::raw_sql(WRITER_SETTINGS).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Opens a connection to a copy being made. The journal mode stays as it is, so that no log is left beside the
    /// copy.
    pub(super) async fn connect_to_copy(&self) -> Result<AnyConnection, sqlx::Error> {
        self.options(Access::Write)?.connect().await
    }

    /// Opens the pool of readers.
    pub(super) async fn reader_pool(&self) -> Result<AnyPool, sqlx::Error> {
        let settings = self.settings(Access::Read);
        AnyPoolOptions::new()
            .max_connections(MAX_READERS)
            // A file does not disconnect, and the test would cost as much as a short query.
            .test_before_acquire(matches!(self, Self::Postgres { .. }))
            .after_connect(move |connection, _| {
                Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(|_| ()) })
            })
            .connect_with(self.options(Access::Read)?)
            .await
    }

    /// Returns whether there is a database, without opening it; always `true` on PostgreSQL.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::Sqlite { path } => path.metadata().is_ok_and(|file| file.len() > 0),
            Self::Postgres { .. } => true,
        }
    }

    /// Checks the first bytes of the file before it is opened, and refuses one that is not SQLite's.
    pub(super) fn check_header(&self) -> Result<(), OpenError> {
        let Self::Sqlite { path } = self else { return Ok(()) };
        let mut header = [0; 16];
        let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
        match read {
            Ok(()) if &header == SQLITE_HEADER => Ok(()),
            Ok(()) => Err(OpenError::Corrupt {
                place: self.location(),
                cause: "its first bytes are not SQLite's".into_cause(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(OpenError::Corrupt { place: self.location(), cause: Arc::new(error) })
            }
            Err(error) => Err(OpenError::Unreachable { place: self.location(), cause: Arc::new(error) }),
        }
    }

    /// Refuses a file or folder that cannot be written. The permission bits also count for a user who may ignore them,
    /// because a file marked read-only is meant to stay unchanged.
    pub(super) fn check_writable(&self) -> Result<(), OpenError> {
        let Self::Sqlite { path } = self else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder).map_err(|error| self.write_error(folder, error))?;
        for file in [folder, path] {
            match file.metadata() {
                Ok(found) if found.permissions().readonly() => {
                    return Err(OpenError::ReadOnly { place: file.display().to_string() });
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.write_error(file, error)),
            }
        }
        if path.exists() {
            std::fs::OpenOptions::new().write(true).open(path).map_err(|error| self.write_error(path, error))?;
        }
        Ok(())
    }

    /// Creates a file that only its owner can read, because it contains personal data. SQLite gives the log the same
    /// permissions.
    pub(super) fn create_private_file(&self) -> Result<(), OpenError> {
        let Self::Sqlite { path } = self else { return Ok(()) };
        let mut options = std::fs::OpenOptions::new();
        options.create_new(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(self.write_error(path, error)),
        }
    }

    /// Returns the size of the write-ahead log in bytes; 0 if there is none.
    pub(super) fn log_bytes(&self) -> u64 {
        match self {
            Self::Sqlite { path } => Self::log_path(path).metadata().map_or(0, |file| file.len()),
            Self::Postgres { .. } => 0,
        }
    }

    pub(super) fn log_path(path: &Path) -> PathBuf {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        PathBuf::from(log)
    }

    /// Returns the access that leaves no trace: without a log, no process has the file open and it can be read as
    /// immutable.
    pub(super) fn read_only_access(&self) -> Access {
        match self {
            Self::Sqlite { path } => {
                if Self::log_path(path).exists() {
                    Access::Read
                } else {
                    Access::ReadImmutable
                }
            }
            Self::Postgres { .. } => Access::Read,
        }
    }

    pub(super) fn write_error(&self, path: &Path, error: std::io::Error) -> OpenError {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                OpenError::ReadOnly { place: path.display().to_string() }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::Full { place: self.location() },
            _ => OpenError::Unreachable { place: self.location(), cause: Arc::new(error) },
        }
    }

    /// Converts an engine's error of opening the store.
    pub(super) fn open_error(&self, error: sqlx::Error) -> OpenError {
        let place = self.location();
        // PostgreSQL's error "no such database".
        if error.as_database_error().is_some_and(|database| database.code().as_deref() == Some("3D000")) {
            return OpenError::NotFound { place };
        }
        match classify_error(&error) {
            EngineFault::Full => OpenError::Full { place },
            EngineFault::ReadOnly => OpenError::ReadOnly { place },
            EngineFault::Corrupt => OpenError::Corrupt { place, cause: Arc::new(error) },
            EngineFault::CannotOpen | EngineFault::Constraint | EngineFault::ConnectionLost | EngineFault::Other => {
                OpenError::Unreachable { place, cause: Arc::new(error) }
            }
        }
    }

    /// Refuses a SQLite version that can corrupt its file.
    pub(super) async fn check_version(&self, connection: &mut AnyConnection) -> Result<(), OpenError> {
        let Self::Sqlite { .. } = self else { return Ok(()) };
        let row = sqlx::query("SELECT sqlite_version()")
            .fetch_one(connection)
            .await
            .map_err(|error| self.open_error(error))?;
        let found: String = row.try_get(0).map_err(|error| self.open_error(error))?;
        if is_safe_sqlite(&found) { Ok(()) } else { Err(OpenError::EngineTooOld { found }) }
    }
}

fn is_safe_sqlite(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST_SAFE_SQLITE
}

/// Converts a message into a cause.
pub(super) trait IntoCause {
    fn into_cause(self) -> super::error::Cause;
}

impl IntoCause for &'static str {
    fn into_cause(self) -> super::error::Cause {
        Arc::new(std::io::Error::other(self))
    }
}

/// Encodes a path for a URL: all bytes but ASCII letters, digits and `/-._~` are escaped.
fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    text
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

/// Closes a connection and ignores errors: the caller already has a worse one, or none.
pub(super) async fn close_quietly(connection: AnyConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection of the store did not close cleanly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_a_server_and_its_password_is_not_shown() {
        let postgres = Backend::from_url("postgres://keeper:s3cret@db.example:5432/shifts?sslmode=disable");
        assert_eq!(postgres.expect("a URL").location(), "PostgreSQL at db.example:5432/shifts");
        let Ok(Backend::Sqlite { path }) = Backend::from_url("sqlite://data/shiftkeeper.db") else { panic!("a file") };
        assert!(path.is_absolute() && path.ends_with("data/shiftkeeper.db"));
        for url in ["mysql://root:s3cret@host/db", "sqlite::memory:", "sqlite://", "s3cret"] {
            let error = Backend::from_url(url).expect_err("refused").to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn only_a_safe_sqlite_passes() {
        for (version, safe) in [("3.51.3", true), ("3.52.0", true), ("4.0", true), ("3.51.2", false), ("3.7.0", false)]
        {
            assert_eq!(is_safe_sqlite(version), safe, "{version}");
        }
    }

    #[test]
    fn a_path_with_odd_letters_survives_the_url() {
        assert_eq!(percent_encoded(Path::new("/a b/ü?#%.db")), "/a%20b/%C3%BC%3F%23%25.db");
    }
}
