//! Opening and closing a store: the lock, and the checks before anything is written.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::backend::{Access, Backend, close_quietly};
use super::control::{self, ProcessIdentity, ProcessRole};
use super::error::OpenError;
use super::file_state;
use super::import;
use super::interceptor::{EngineInterceptor, EngineOperation, Interceptor};
use super::lock::{self, FileLock};
use super::migrations::{self, MigrationState};
use super::reader::Reader;
use super::writer::{Writer, WriterTask};
use crate::clock::SharedClock;

/// A store opened for writing. Dropping it without [`Store::close`] has the effect of a crash: uncommitted changes are
/// lost.
#[derive(Debug)]
pub struct Store {
    writer: Writer,
    reader: Reader,
    task: JoinSet<()>,
}

impl Store {
    /// Opens the store for writing, creates it if it does not exist, and migrates it. The version and the lock are
    /// checked before anything is written.
    pub async fn open(
        url: &str,
        role: ProcessRole,
        clock: SharedClock,
        identity: &ProcessIdentity,
    ) -> Result<Self, OpenError> {
        // Opening is rare, and its future is large.
        Box::pin(Self::open_with_interceptor(None, url, role, clock, identity)).await
    }

    /// Opens the store like [`Store::open`], with an optional `interceptor` between the store and its engine.
    pub async fn open_with_interceptor(
        interceptor: Option<Arc<dyn EngineInterceptor>>,
        url: &str,
        role: ProcessRole,
        clock: SharedClock,
        identity: &ProcessIdentity,
    ) -> Result<Self, OpenError> {
        let gate = Interceptor::new(interceptor);
        let backend = Backend::from_url(url)?;
        let open = async {
            backend.check_writable()?;
            if backend.exists() {
                check_existing(&backend).await?;
            }
            let lock = lock::acquire_file_lock(&backend)?;
            if lock.is_none() && matches!(backend, Backend::Sqlite { .. }) {
                return Err(in_use_error(&backend).await);
            }
            let (task, writer) = start_writer(&backend, lock, role, &clock, identity, gate.clone()).await?;
            let pool = backend.reader_pool().await.map_err(|error| backend.open_error(error))?;
            Ok((task, writer, pool))
        };
        let (task, writer, pool) = gate.run(EngineOperation::Open, |error| backend.open_error(error), open).await?;
        let reader = Reader::new(pool, backend).with_interceptor(gate);
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        Ok(Self { writer, reader, task: tasks })
    }

    /// Opens a store for reading only, also while another process writes to it. Writes nothing.
    pub async fn read(url: &str) -> Result<Reader, OpenError> {
        let backend = Backend::from_url(url)?;
        if !backend.exists() {
            return Err(OpenError::NotFound { place: backend.location() });
        }
        match check_existing(&backend).await? {
            MigrationState::Current => {}
            MigrationState::Empty => return Err(OpenError::NotFound { place: backend.location() }),
            MigrationState::Outdated(found) => {
                return Err(OpenError::Older { place: backend.location(), found, known: migrations::newest_version() });
            }
        }
        let pool = backend.reader_pool().await.map_err(|error| backend.open_error(error))?;
        Ok(Reader::new(pool, backend))
    }

    /// Returns the writer handle.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Returns the reader handle.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Commits what is queued, checkpoints the write-ahead log and releases the lock. Later changes fail with
    /// [`super::CommitError::Closed`].
    pub async fn close(mut self) {
        self.reader.close().await;
        self.writer.close().await;
        while self.task.join_next().await.is_some() {}
    }
}

/// Returns whether a process holds the SQLite store at `url`, or `None` if that is unknown. Use it only if the process
/// named in the store does not respond: see `lock::is_locked`.
pub fn is_locked(url: &str) -> Option<bool> {
    lock::is_locked(&Backend::from_url(url).ok()?)
}

/// Checks an existing store without changing anything.
async fn check_existing(backend: &Backend) -> Result<MigrationState, OpenError> {
    backend.check_header()?;
    file_state::check_has_log(backend)?;
    let mut connection =
        backend.connect(backend.read_only_access()).await.map_err(|error| backend.open_error(error))?;
    let state = migrations::read_state(backend, &mut connection).await;
    close_quietly(connection).await;
    state
}

/// Returns the error that names the holder of the store, as recorded in its `daemon` row.
pub(super) async fn in_use_error(backend: &Backend) -> OpenError {
    let holder = match backend.connect(Access::Read).await {
        Ok(mut connection) => {
            let row = control::read(&mut connection).await.ok().flatten();
            close_quietly(connection).await;
            row.map(|row| row.holder())
        }
        Err(_) => None,
    };
    OpenError::InUse {
        place: backend.location(),
        holder: holder.unwrap_or_else(|| "a process that is just starting".to_owned()),
    }
}

async fn start_writer(
    backend: &Backend,
    lock: Option<FileLock>,
    role: ProcessRole,
    clock: &SharedClock,
    identity: &ProcessIdentity,
    interceptor: Interceptor,
) -> Result<(WriterTask, Writer), OpenError> {
    let failed = |error| backend.open_error(error);
    backend.create_private_file()?;
    let mut connection = backend.connect(Access::Write).await.map_err(failed)?;
    backend.check_version(&mut connection).await?;
    if !lock::acquire_session_lock(backend, &mut connection).await.map_err(failed)? {
        close_quietly(connection).await;
        return Err(in_use_error(backend).await);
    }
    migrations::apply(backend, &mut connection).await?;
    let epoch = control::take_over(&mut connection, role, identity, clock.now()).await.map_err(failed)?;
    if let Some(lock) = &lock {
        lock.write_note(&file_state::in_use_note(epoch)).map_err(|error| lock.write_error(backend, error))?;
    }
    file_state::mark_in_use(backend, &mut connection, epoch).await.map_err(failed)?;
    import::clear_all_staged(&mut connection)
        .await
        .map_err(|error| OpenError::Unreachable { place: backend.location(), cause: Arc::new(error) })?;
    Ok(WriterTask::new(backend.clone(), lock, connection, epoch, Arc::clone(clock), interceptor))
}
