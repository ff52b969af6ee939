//! The handle that reads: a small pool beside the writer, never inside its transactions. The readings themselves stand with
//! their tables.

use futures_util::TryStreamExt as _;
use sqlx::AnyPool;
use sqlx::any::AnyRow;

use super::backend::Backend;
use super::batch::Values;
use super::control::{self, DaemonRow};
use super::error::ReadError;
use super::gate::{EngineWork, Gate};

/// Reads what has been committed. May be cloned; clones share the pool.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: AnyPool,
    backend: Backend,
    gate: Gate,
}

impl Reader {
    pub(super) fn new(pool: AnyPool, backend: Backend) -> Self {
        Self { pool, backend, gate: Gate::default() }
    }

    /// The same behind a gate.
    pub(super) fn behind(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    pub(super) const fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) async fn all(&self, statement: &'static str, values: Values) -> Result<Vec<AnyRow>, ReadError> {
        let query = sqlx::query_with(statement, values.into_arguments()?);
        let read = async { Ok(query.fetch_all(&self.pool).await?) };
        self.gate.pass(EngineWork::Read, ReadError::from, read).await
    }

    pub(super) async fn optional(&self, statement: &'static str, values: Values) -> Result<Option<AnyRow>, ReadError> {
        let query = sqlx::query_with(statement, values.into_arguments()?);
        let read = async { Ok(query.fetch_optional(&self.pool).await?) };
        self.gate.pass(EngineWork::Read, ReadError::from, read).await
    }

    /// Hands over row by row as they come: a row takes many times the memory of what is read out of it.
    pub(super) async fn each(
        &self,
        statement: &'static str,
        values: Values,
        mut take: impl FnMut(&AnyRow) -> Result<(), ReadError> + Send,
    ) -> Result<(), ReadError> {
        let query = sqlx::query_with(statement, values.into_arguments()?);
        let read = async {
            let mut rows = query.fetch(&self.pool);
            while let Some(row) = rows.try_next().await? {
                take(&row)?;
            }
            Ok(())
        };
        self.gate.pass(EngineWork::Read, ReadError::from, read).await
    }

    /// Which process has the store, or had it last.
    pub async fn daemon(&self) -> Result<Option<DaemonRow>, ReadError> {
        let read = async {
            let mut connection = self.pool.acquire().await?;
            control::read(&mut connection).await
        };
        self.gate.pass(EngineWork::Read, ReadError::from, read).await
    }

    /// Lets the connections go; readings under way end first.
    pub async fn close(&self) {
        let closed = async {
            self.pool.close().await;
            Ok(())
        };
        // Nothing in it fails.
        let _ = self.gate.pass(EngineWork::Fold, ReadError::from, closed).await;
    }
}
