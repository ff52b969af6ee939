//! Opens a store: who may, what is checked before anything is written, and how it is let go.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::backend::{Access, Backend, close_quietly};
use super::control;
use super::error::OpenError;
use super::gate::{EngineGate, EngineWork, Gate};
use super::import;
use super::lock::{self, FileLock};
use super::migrations::{self, Seen};
use super::reader::Reader;
use super::whole;
use super::writer::{Writer, WriterTask};
use crate::clock::SharedClock;

/// What a process that writes is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The daemon.
    Daemon,
    /// A command that writes while no daemon runs.
    Import,
}

impl Role {
    /// The name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Import => "import",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Daemon, Self::Import].into_iter().find(|role| role.name() == name)
    }
}

/// Names a process to the next one that wants the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The host's name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The version of Shiftkeeper.
    pub version: String,
}

/// A store held for writing. Dropping it without [`Store::close`] is what a crash is: what was not committed is not stored.
#[derive(Debug)]
pub struct Store {
    writer: Writer,
    reader: Reader,
    task: JoinSet<()>,
}

impl Store {
    /// Takes the store for writing, makes it if there is none, and brings it up to date. The version and the lock are
    /// checked before anything is written.
    pub async fn open(url: &str, role: Role, clock: SharedClock, identity: &Identity) -> Result<Self, OpenError> {
        // Opening is rare, and its future is large.
        Box::pin(Self::open_through(None, url, role, clock, identity)).await
    }

    /// The same with `gate`, where there is one, between the store and its engine.
    pub async fn open_through(
        gate: Option<Arc<dyn EngineGate>>,
        url: &str,
        role: Role,
        clock: SharedClock,
        identity: &Identity,
    ) -> Result<Self, OpenError> {
        let gate = Gate::new(gate);
        let backend = Backend::from_url(url)?;
        let open = async {
            backend.check_writable()?;
            if backend.is_there() {
                look(&backend).await?;
            }
            let lock = lock::take_file(&backend)?;
            if lock.is_none() && matches!(backend, Backend::Sqlite { .. }) {
                return Err(held(&backend).await);
            }
            let (task, writer) = start(&backend, lock, role, &clock, identity, gate.clone()).await?;
            let pool = backend.readers().await.map_err(|error| backend.open_error(error))?;
            Ok((task, writer, pool))
        };
        let (task, writer, pool) = gate.pass(EngineWork::Open, |error| backend.open_error(error), open).await?;
        let reader = Reader::new(pool, backend).behind(gate);
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        Ok(Self { writer, reader, task: tasks })
    }

    /// Opens a store that another process may be writing, to read alone. Writes nothing.
    pub async fn read(url: &str) -> Result<Reader, OpenError> {
        let backend = Backend::from_url(url)?;
        if !backend.is_there() {
            return Err(OpenError::NotFound { place: backend.place() });
        }
        match look(&backend).await? {
            Seen::All => {}
            Seen::Nothing => return Err(OpenError::NotFound { place: backend.place() }),
            Seen::Some(found) => {
                return Err(OpenError::Older { place: backend.place(), found, known: migrations::newest() });
            }
        }
        let pool = backend.readers().await.map_err(|error| backend.open_error(error))?;
        Ok(Reader::new(pool, backend))
    }

    /// The handle that writes; may be cloned.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The handle that reads; may be cloned.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Commits what is queued, folds the write-ahead log into the file, and lets go of the lock. Later changes are refused
    /// with [`super::CommitError::Closed`].
    pub async fn close(mut self) {
        self.reader.close().await;
        self.writer.close().await;
        while self.task.join_next().await.is_some() {}
    }
}

/// Whether a process has the SQLite store at `url`; none where that cannot be told from here. Only for a store whose row names a
/// process that does not answer: see the lock.
pub fn is_held(url: &str) -> Option<bool> {
    lock::is_taken(&Backend::from_url(url).ok()?)
}

/// Looks at a store that is there, without leaving a trace.
async fn look(backend: &Backend) -> Result<Seen, OpenError> {
    backend.check_header()?;
    whole::check(backend)?;
    let mut connection = backend.connect(backend.quietest_access()).await.map_err(|error| backend.open_error(error))?;
    let seen = migrations::seen(backend, &mut connection).await;
    close_quietly(connection).await;
    seen
}

/// Who holds the store, as its own row says.
pub(super) async fn held(backend: &Backend) -> OpenError {
    let holder = match backend.connect(Access::Read).await {
        Ok(mut connection) => {
            let row = control::read(&mut connection).await.ok().flatten();
            close_quietly(connection).await;
            row.map(|row| row.holder())
        }
        Err(_) => None,
    };
    OpenError::Held {
        place: backend.place(),
        holder: holder.unwrap_or_else(|| "a process that is just starting".to_owned()),
    }
}

async fn start(
    backend: &Backend,
    lock: Option<FileLock>,
    role: Role,
    clock: &SharedClock,
    identity: &Identity,
    gate: Gate,
) -> Result<(WriterTask, Writer), OpenError> {
    let failed = |error| backend.open_error(error);
    backend.make_private()?;
    let mut connection = backend.connect(Access::Write).await.map_err(failed)?;
    backend.check_version(&mut connection).await?;
    if !lock::take_session(backend, &mut connection).await.map_err(failed)? {
        close_quietly(connection).await;
        return Err(held(backend).await);
    }
    migrations::apply(backend, &mut connection).await?;
    let epoch = control::take_over(&mut connection, role, identity, clock.now()).await.map_err(failed)?;
    if let Some(lock) = &lock {
        lock.note(&whole::in_use_note(epoch)).map_err(|error| lock.cannot_write(backend, error))?;
    }
    whole::mark_in_use(backend, &mut connection, epoch).await.map_err(failed)?;
    import::clear_all_staged(&mut connection)
        .await
        .map_err(|error| OpenError::Unreachable { place: backend.place(), cause: Arc::new(error) })?;
    Ok(WriterTask::new(backend.clone(), lock, connection, epoch, Arc::clone(clock), gate))
}
