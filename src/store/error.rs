//! What can go wrong, said as what the caller can do about it. Nothing here names a person or a secret.

use std::sync::Arc;

use crate::domain::time::UtcMicros;

/// The cause as the engine below told it, shared by everyone whose change was in the same group.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// The store cannot be opened; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no engine or no place that is known.
    #[error("`{url}` is no store: write sqlite://PATH or postgres://…")]
    Url {
        /// The URL without user and password.
        url: String,
    },
    /// There is no database yet.
    #[error("{place} does not exist: `shiftkeeper run` or `shiftkeeper import` makes it")]
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
    /// A newer version of Shiftkeeper has migrated it.
    #[error(
        "{place} was written by a newer version of Shiftkeeper (migration {found}, this version knows {known}): \
         run that version, or restore a copy from before it"
    )]
    Newer {
        /// The file or server.
        place: String,
        /// The newest migration found.
        found: i64,
        /// The newest that this version has.
        known: i64,
    },
    /// It has not been migrated to this version, and a reader does not write.
    #[error(
        "{place} is from an older version (migration {found} of {known}): start the daemon once to bring it up to date"
    )]
    Older {
        /// The file or server.
        place: String,
        /// The newest migration found.
        found: i64,
        /// The newest that this version has.
        known: i64,
    },
    /// A shipped migration is not the one that was applied.
    #[error("{place} was made by a different build: its migration {migration} is not this one's")]
    Foreign {
        /// The file or server.
        place: String,
        /// The migration that differs.
        migration: i64,
    },
    /// Another process may write it.
    #[error("{place} is held by {holder}: stop that one first, or send the request to it")]
    Held {
        /// The file or server.
        place: String,
        /// Host, process and since when, where they are known.
        holder: String,
    },
    /// The file is not a database, or a damaged one.
    #[error("{place} is not a Shiftkeeper database, or it is damaged: restore a copy, or name another in [store] url")]
    Corrupt {
        /// The file.
        place: String,
        /// What the engine says.
        #[source]
        cause: Cause,
    },
    /// A copy of the main file alone: what was committed last is missing.
    #[error(
        "{place} is a copy of a running store's main file without its write-ahead log, so the last changes are missing: put \
         {place}-wal beside it, or restore a backup with `shiftkeeper db restore FILE`; if the log was lost for good, \
         `shiftkeeper db restore {place} --force` takes what there is"
    )]
    WithoutLog {
        /// The file.
        place: String,
    },
    /// No space is left.
    #[error("no space is left for {place}: free some, nothing was lost")]
    Full {
        /// The file.
        place: String,
    },
    /// The SQLite that was built in can corrupt a database.
    #[error(
        "the built-in SQLite is {found}, and 3.51.3 is the first that is safe with a write-ahead log: build with a newer one"
    )]
    EngineTooOld {
        /// Its version.
        found: String,
    },
    /// The server or the file cannot be reached.
    #[error("{place} cannot be opened")]
    Unreachable {
        /// The file or server.
        place: String,
        /// What the engine says.
        #[source]
        cause: Cause,
    },
}

/// A change was not written, unless said otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// No space is left. Every change is refused until there is some; the writer goes on by itself then.
    #[error("no space is left for the store: free some")]
    Full,
    /// The store became read-only.
    #[error("the store has become read-only")]
    ReadOnly,
    /// Another daemon has taken the store over; this one must stop writing for good.
    #[error("another daemon has taken over the store (epoch {theirs}, ours was {ours})")]
    LostEpoch {
        /// The epoch this process was given.
        ours: i64,
        /// The epoch found.
        theirs: i64,
    },
    /// The change itself cannot be stored: a duplicate id, or facts that have no canonical form. Repeating it does not help.
    #[error("the change cannot be stored")]
    Refused(#[source] Cause),
    /// The engine failed; the change may be tried again.
    #[error("the store failed")]
    Broken(#[source] Cause),
    /// The connection broke while the commit was under way: the change may or may not be stored. Read before repeating it.
    #[error("the connection to the store broke during a commit; whether it was written is not known")]
    Unknown(#[source] Cause),
    /// The writer has been closed.
    #[error("the store is closed")]
    Closed,
}

/// Something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The engine failed; may be tried again.
    #[error("the store cannot be read")]
    Broken(#[source] Cause),
    /// A stored value is not what this version writes.
    #[error("{table}.{column} of row {row} holds something that this version does not write")]
    Decode {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
}

impl ReadError {
    /// Whether it tells of a value that is stored, and not of the store.
    pub(super) fn is_of_a_value(&self) -> bool {
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

/// What an engine's error means, whichever engine it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Full,
    ReadOnly,
    Corrupt,
    CannotOpen,
    Constraint,
    ConnectionLost,
    Other,
}

/// Classifies by SQLite's primary result code (<https://www.sqlite.org/rescode.html>) or PostgreSQL's SQLSTATE.
pub(super) fn fault_of(error: &sqlx::Error) -> Fault {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Fault::ConnectionLost
            }
            _ => Fault::Other,
        };
    };
    let code = database.code().unwrap_or_default();
    if code.len() == 5 && database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return match &code[..2] {
            // Integrity, data, and what a trigger raises.
            "23" | "22" | "P0" => Fault::Constraint,
            "53" => Fault::Full,
            "25" if code == "25006" => Fault::ReadOnly,
            "08" | "57" => Fault::ConnectionLost,
            "XX" => Fault::Corrupt,
            _ => Fault::Other,
        };
    }
    let code = code.parse::<i32>().unwrap_or_default();
    match code & 0xff {
        13 => Fault::Full,
        // The memory that connections share cannot grow: a write into the page cache fails where there is no space.
        10 if code == SHARED_MEMORY_SIZE => Fault::Full,
        8 => Fault::ReadOnly,
        11 | 26 => Fault::Corrupt,
        14 => Fault::CannotOpen,
        // Constraint, mismatch, too big, range.
        18..=20 | 25 => Fault::Constraint,
        _ => Fault::Other,
    }
}

impl CommitError {
    /// A commit that was answered with an error was rolled back by the engine; one that was not answered may have gone through.
    pub(super) fn of_commit(error: sqlx::Error) -> Self {
        if fault_of(&error) == Fault::ConnectionLost {
            Self::Unknown(Arc::new(error))
        } else {
            Self::from_engine(error)
        }
    }

    pub(super) fn from_engine(error: sqlx::Error) -> Self {
        match fault_of(&error) {
            Fault::Full => Self::Full,
            Fault::ReadOnly => Self::ReadOnly,
            Fault::Constraint => Self::Refused(Arc::new(error)),
            Fault::Corrupt | Fault::CannotOpen | Fault::ConnectionLost | Fault::Other => Self::Broken(Arc::new(error)),
        }
    }

    /// Whether it tells of the store, and not of a change or of a stop.
    pub(super) const fn is_the_stores(&self) -> bool {
        match self {
            Self::Full | Self::ReadOnly | Self::LostEpoch { .. } | Self::Broken(_) | Self::Unknown(_) => true,
            Self::Refused(_) | Self::Closed => false,
        }
    }

    /// Whether the fault may lie in a single change, so that its neighbours are worth a try without it.
    pub(super) const fn may_be_one_changes_fault(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Full
            | Self::ReadOnly
            | Self::LostEpoch { .. }
            | Self::Broken(_)
            | Self::Unknown(_)
            | Self::Closed => false,
        }
    }
}

/// `host 'desk-7', process 4711, since 2026-10-26T13:30:00Z`
pub(super) fn holder_text(host: &str, pid: i64, since: UtcMicros) -> String {
    format!("host '{host}', process {pid}, since {since}")
}
