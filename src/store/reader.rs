//! The reader: a small connection pool beside the writer, never inside its transactions. The queries themselves are
//! defined with their tables.

use futures_util::TryStreamExt as _;
use sqlx::AnyPool;
use sqlx::any::AnyRow;

use super::backend::Backend;
use super::batch::Values;
use super::control::{self, DaemonRow};
use super::error::ReadError;
use super::interceptor::{EngineOperation, Interceptor};

/// A handle that reads committed data. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: AnyPool,
    backend: Backend,
    interceptor: Interceptor,
}

impl Reader {
    pub(super) fn new(pool: AnyPool, backend: Backend) -> Self {
        Self { pool, backend, interceptor: Interceptor::default() }
    }

    /// Returns the reader with an interceptor.
    pub(super) fn with_interceptor(self, gate: Interceptor) -> Self {
        Self { interceptor: gate, ..self }
    }

    pub(super) const fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) async fn fetch_optional(
        &self,
        statement: &'static str,
        values: Values,
    ) -> Result<Option<AnyRow>, ReadError> {
        let query = sqlx::query_with(statement, values.into_arguments()?);
        let read = async { Ok(query.fetch_optional(&self.pool).await?) };
        self.interceptor.run(EngineOperation::Read, ReadError::from, read).await
    }

    /// Calls `on_row` for each row as it arrives, because a row takes many times the memory of the values read from it.
    pub(super) async fn for_each_row(
        &self,
        statement: &'static str,
        values: Values,
        mut on_row: impl FnMut(&AnyRow) -> Result<(), ReadError> + Send,
    ) -> Result<(), ReadError> {
        let query = sqlx::query_with(statement, values.into_arguments()?);
        let read = async {
            let mut rows = query.fetch(&self.pool);
            while let Some(row) = rows.try_next().await? {
                on_row(&row)?;
            }
            Ok(())
        };
        self.interceptor.run(EngineOperation::Read, ReadError::from, read).await
    }

    /// Returns what `read` takes from each row.
    pub(super) async fn read_rows<T: Send>(
        &self,
        statement: &'static str,
        values: Values,
        mut read: impl FnMut(&AnyRow) -> Result<T, ReadError> + Send,
    ) -> Result<Vec<T>, ReadError> {
        let mut rows = Vec::new();
        let push = |row: &AnyRow| {
            rows.push(read(row)?);
            Ok(())
        };
        self.for_each_row(statement, values, push).await?;
        Ok(rows)
    }

    /// Returns what `read` takes from the first row, if there is one.
    pub(super) async fn read_row<T>(
        &self,
        statement: &'static str,
        values: Values,
        read: impl Fn(&AnyRow) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        self.fetch_optional(statement, values).await?.as_ref().map(read).transpose()
    }

    /// Returns the process that holds the store, or held it last.
    pub async fn daemon(&self) -> Result<Option<DaemonRow>, ReadError> {
        let read = async {
            let mut connection = self.pool.acquire().await?;
            control::read(&mut connection).await
        };
        self.interceptor.run(EngineOperation::Read, ReadError::from, read).await
    }

    /// Closes the connections, after the reads in progress.
    pub async fn close(&self) {
        let closed = async {
            self.pool.close().await;
            Ok(())
        };
        // Closing does not fail.
        let _ = self.interceptor.run(EngineOperation::Checkpoint, ReadError::from, closed).await;
    }
}
