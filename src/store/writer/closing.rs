//! Closing the store.

use sqlx::AnyConnection;

use super::WriterTask;
use crate::store::backend::{Backend, close_quietly};
use crate::store::batch::Values;
use crate::store::error::CommitError;
use crate::store::interceptor::EngineOperation;
use crate::store::{checkpoint, control, file_state};

impl WriterTask {
    /// Records the stop, checkpoints the log and releases the store.
    pub(super) async fn close(&mut self) {
        let interceptor = self.interceptor.clone();
        let closed = async {
            self.release_store().await;
            Ok::<_, CommitError>(())
        };
        // Errors are logged inside.
        let _ = interceptor.run(EngineOperation::Checkpoint, CommitError::from_engine, closed).await;
    }

    async fn release_store(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let values = Values::default().instant(self.clock.now()).int(self.epoch);
            if let Ok(arguments) = values.into_arguments()
                && let Err(error) = sqlx::query_with(control::STOP, arguments).execute(&mut connection).await
            {
                tracing::warn!(%error, "the stop could not be recorded in the store");
            }
            if self.mark_closed(&mut connection).await
                && let Some(lock) = &self.lock
                && let Err(error) = lock.write_note(file_state::CLOSED_NOTE)
            {
                tracing::warn!(%error, "the file of the store's lock cannot be written");
            }
            if let Backend::Sqlite { .. } = self.backend
                && let Err(error) = sqlx::raw_sql(checkpoint::CHECKPOINT).execute(&mut connection).await
            {
                tracing::warn!(%error, "the write-ahead log could not be folded into the file");
            }
            close_quietly(connection).await;
        }
        self.lock = None;
    }

    /// Marks the file as closed. If the disk is full, the log may have no room until it is checkpointed.
    async fn mark_closed(&mut self, connection: &mut AnyConnection) -> bool {
        if file_state::mark_closed(&self.backend, connection).await.is_ok() {
            return true;
        }
        let folded = sqlx::raw_sql(checkpoint::CHECKPOINT).execute(&mut *connection).await;
        folded.is_ok() && file_state::mark_closed(&self.backend, connection).await.is_ok()
    }
}
