//! The handle that reads: a small pool beside the writer, never inside its transactions. The readings themselves stand with
//! their tables.

use futures_util::TryStreamExt as _;
use sqlx::AnyPool;
use sqlx::any::AnyRow;

use super::backend::Backend;
use super::batch::Values;
use super::control::{self, DaemonRow};
use super::error::ReadError;

/// Reads what has been committed. May be cloned; clones share the pool.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: AnyPool,
    backend: Backend,
}

impl Reader {
    pub(super) const fn new(pool: AnyPool, backend: Backend) -> Self {
        Self { pool, backend }
    }

    pub(super) const fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) async fn all(&self, statement: &'static str, values: Values) -> Result<Vec<AnyRow>, ReadError> {
        Ok(sqlx::query_with(statement, values.into_arguments()?).fetch_all(&self.pool).await?)
    }

    pub(super) async fn optional(&self, statement: &'static str, values: Values) -> Result<Option<AnyRow>, ReadError> {
        Ok(sqlx::query_with(statement, values.into_arguments()?).fetch_optional(&self.pool).await?)
    }

    /// Hands over row by row as they come: a row takes many times the memory of what is read out of it.
    pub(super) async fn each(
        &self,
        statement: &'static str,
        values: Values,
        mut take: impl FnMut(&AnyRow) -> Result<(), ReadError> + Send,
    ) -> Result<(), ReadError> {
        let mut rows = sqlx::query_with(statement, values.into_arguments()?).fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            take(&row)?;
        }
        Ok(())
    }

    /// Which process has the store, or had it last.
    pub async fn daemon(&self) -> Result<Option<DaemonRow>, ReadError> {
        let mut connection = self.pool.acquire().await?;
        control::read(&mut connection).await
    }

    /// Lets the connections go; readings under way end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
