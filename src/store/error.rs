//! The errors of the store, grouped by what the caller can do about them. They contain no personal data and no secrets.

use std::sync::Arc;

use crate::domain::time::UtcMicros;

/// The engine's error, shared by all changes of the same group.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// An error of opening the store; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no known engine or no location.
    #[error("`{url}` is not the address of a store: use sqlite://PATH or postgres://…")]
    Url {
        /// The URL without user and password.
        url: String,
    },
    /// The database does not exist.
    #[error("{place} does not exist: `shiftkeeper run` or `shiftkeeper import` creates it")]
    NotFound {
        /// The file or server.
        place: String,
    },
    /// The file or its folder cannot be written.
    #[error(
        "{place} is read-only: make the file and its folder writable for this user, or name another in [store] url"
    )]
    ReadOnly {
        /// The file or folder.
        place: String,
    },
    /// The store was migrated by a newer version of Shiftkeeper.
    #[error(
        "{place} was written by a newer version of Shiftkeeper (migration {found}, this version knows {known}): \
         run that version, or restore a copy from before it"
    )]
    Newer {
        /// The file or server.
        place: String,
        /// The newest migration found.
        found: i64,
        /// The newest migration of this version.
        known: i64,
    },
    /// The store was not migrated to this version yet, and a reader does not write.
    #[error(
        "{place} is from an older version (migration {found} of {known}): start the daemon once to bring it up to date"
    )]
    Older {
        /// The file or server.
        place: String,
        /// The newest migration found.
        found: i64,
        /// The newest migration of this version.
        known: i64,
    },
    /// A stored migration differs from the one of this build.
    #[error("{place} was made by a different build: its migration {migration} differs from this build's")]
    DifferentBuild {
        /// The file or server.
        place: String,
        /// The migration that differs.
        migration: i64,
    },
    /// Another process holds the store.
    #[error("{place} is in use by {holder}: stop that process first, or send the request to it")]
    InUse {
        /// The file or server.
        place: String,
        /// The host, process and start time of the holder, if known.
        holder: String,
    },
    /// The file is damaged or not a database.
    #[error("{place} is not a Shiftkeeper database, or it is damaged: restore a copy, or name another in [store] url")]
    Corrupt {
        /// The file.
        place: String,
        /// The engine's error.
        #[source]
        cause: Cause,
    },
    /// The file is a copy of the main file without its write-ahead log, so the last commits are missing.
    #[error(
        "{place} is a copy of a running store's main file without its write-ahead log, so the last changes are missing: put \
         {place}-wal beside it, or restore a backup with `shiftkeeper db restore FILE`; if the log was lost for good, \
         `shiftkeeper db restore {place} --force` takes what there is"
    )]
    WithoutLog {
        /// The file.
        place: String,
    },
    /// The disk is full.
    #[error("no space is left for {place}: free some space; nothing was lost")]
    Full {
        /// The file.
        place: String,
    },
    /// The built-in SQLite can corrupt a database.
    #[error(
        "the built-in SQLite is {found}, and 3.51.3 is the first that is safe with a write-ahead log: build with a newer one"
    )]
    EngineTooOld {
        /// The version of the built-in SQLite.
        found: String,
    },
    /// The server or the file cannot be reached.
    #[error("{place} cannot be opened")]
    Unreachable {
        /// The file or server.
        place: String,
        /// The engine's error.
        #[source]
        cause: Cause,
    },
}

/// An error of a commit. The change was not written, unless stated otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The disk is full. Every change is refused until there is space; the writer then continues by itself.
    #[error("no space is left for the store: free some space")]
    Full,
    /// The store has become read-only.
    #[error("the store has become read-only")]
    ReadOnly,
    /// Another daemon has taken over the store; this one must stop writing for good.
    #[error("another daemon has taken over the store (epoch {theirs}, ours was {ours})")]
    LostEpoch {
        /// The epoch of this process.
        ours: i64,
        /// The epoch in the store.
        theirs: i64,
    },
    /// The change itself cannot be stored, for example because of a duplicate id. Retrying does not help.
    #[error("the change cannot be stored")]
    Refused(#[source] Cause),
    /// The engine failed; the change may be retried.
    #[error("the store failed")]
    Broken(#[source] Cause),
    /// The connection broke during the commit, so the change may or may not be stored. Read before retrying.
    #[error("the connection to the store broke during a commit; it is unknown whether the commit was written")]
    Unknown(#[source] Cause),
    /// The writer has been closed.
    #[error("the store is closed")]
    Closed,
}

/// An error of reading the store.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The engine failed; the read may be retried.
    #[error("the store cannot be read")]
    Broken(#[source] Cause),
    /// A stored value has a form that this version does not write.
    #[error("{table}.{column} of row {row} has a value that this version does not write")]
    Decode {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// The reason why the value is invalid.
        #[source]
        cause: Cause,
    },
}

impl ReadError {
    /// Returns whether the error concerns a stored value and not the store.
    pub(super) fn is_decode_error(&self) -> bool {
        match self {
            Self::Decode { .. } => true,
            Self::Broken(cause) => {
                matches!(cause.downcast_ref(), Some(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }))
            }
        }
    }
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Broken(Arc::new(error))
    }
}

/// SQLite's `SQLITE_IOERR_SHMSIZE`.
const SHARED_MEMORY_SIZE: i32 = 4874;

/// The meaning of an engine's error, for both engines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EngineFault {
    Full,
    ReadOnly,
    Corrupt,
    CannotOpen,
    Constraint,
    ConnectionLost,
    Other,
}

/// Classifies an error by SQLite's primary result code (<https://www.sqlite.org/rescode.html>) or PostgreSQL's
/// SQLSTATE.
pub(super) fn classify_error(error: &sqlx::Error) -> EngineFault {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                EngineFault::ConnectionLost
            }
            _ => EngineFault::Other,
        };
    };
    let code = database.code().unwrap_or_default();
    if code.len() == 5 && database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return match &code[..2] {
            // Integrity constraints, data errors, and errors raised by triggers.
            "23" | "22" | "P0" => EngineFault::Constraint,
            "53" => EngineFault::Full,
            "25" if code == "25006" => EngineFault::ReadOnly,
            "08" | "57" => EngineFault::ConnectionLost,
            "XX" => EngineFault::Corrupt,
            _ => EngineFault::Other,
        };
    }
    let code = code.parse::<i32>().unwrap_or_default();
    match code & 0xff {
        13 => EngineFault::Full,
        // The shared memory cannot grow: writing into the page cache fails if the disk is full.
        10 if code == SHARED_MEMORY_SIZE => EngineFault::Full,
        8 => EngineFault::ReadOnly,
        11 | 26 => EngineFault::Corrupt,
        14 => EngineFault::CannotOpen,
        // Constraint, mismatch, too big, range.
        18..=20 | 25 => EngineFault::Constraint,
        _ => EngineFault::Other,
    }
}

impl CommitError {
    /// Converts an error of `COMMIT`. If the engine answered, it rolled the transaction back; if it did not, the commit
    /// may have succeeded.
    pub(super) fn from_commit(error: sqlx::Error) -> Self {
        if classify_error(&error) == EngineFault::ConnectionLost {
            Self::Unknown(Arc::new(error))
        } else {
            Self::from_engine(error)
        }
    }

    pub(super) fn from_engine(error: sqlx::Error) -> Self {
        match classify_error(&error) {
            EngineFault::Full => Self::Full,
            EngineFault::ReadOnly => Self::ReadOnly,
            EngineFault::Constraint => Self::Refused(Arc::new(error)),
            EngineFault::Corrupt | EngineFault::CannotOpen | EngineFault::ConnectionLost | EngineFault::Other => {
                Self::Broken(Arc::new(error))
            }
        }
    }

    /// Returns whether the error concerns the store, not a change or a stopped writer.
    pub(super) const fn is_store_failure(&self) -> bool {
        match self {
            Self::Full | Self::ReadOnly | Self::LostEpoch { .. } | Self::Broken(_) | Self::Unknown(_) => true,
            Self::Refused(_) | Self::Closed => false,
        }
    }

    /// Returns whether a single change may be the cause, so that the others of the group are worth retrying.
    pub(super) const fn may_be_caused_by_one_change(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Describes a holder, such as `host 'desk-7', process 4711, since 2026-10-26T13:30:00Z`.
pub(super) fn describe_holder(host: &str, pid: i64, since: UtcMicros) -> String {
    format!("host '{host}', process {pid}, since {since}")
}
