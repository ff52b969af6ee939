//! How the writer lets the store go.

use sqlx::AnyConnection;

use super::WriterTask;
use crate::store::backend::{Backend, close_quietly};
use crate::store::batch::Values;
use crate::store::error::CommitError;
use crate::store::gate::EngineWork;
use crate::store::{checkpoint, control, whole};

impl WriterTask {
    /// Records the stop, folds the log into the file, and lets the store go.
    pub(super) async fn close(&mut self) {
        let gate = self.gate.clone();
        let closed = async {
            self.let_go().await;
            Ok::<_, CommitError>(())
        };
        // What can fail in it is logged there.
        let _ = gate.pass(EngineWork::Fold, CommitError::from_engine, closed).await;
    }

    async fn let_go(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let mut values = Values::default();
            values.int(self.clock.now().as_micros()).int(self.epoch);
            if let Ok(arguments) = values.into_arguments()
                && let Err(error) = sqlx::query_with(control::STOP, arguments).execute(&mut connection).await
            {
                tracing::warn!(%error, "the stop could not be recorded in the store");
            }
            if self.mark_at_rest(&mut connection).await
                && let Some(lock) = &self.lock
                && let Err(error) = lock.note(whole::LET_GO_NOTE)
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

    /// Says in the file that nobody has it. A full disk may leave no room in the log until it is folded.
    async fn mark_at_rest(&mut self, connection: &mut AnyConnection) -> bool {
        if whole::mark_at_rest(&self.backend, connection).await.is_ok() {
            return true;
        }
        let folded = sqlx::raw_sql(checkpoint::CHECKPOINT).execute(&mut *connection).await;
        folded.is_ok() && whole::mark_at_rest(&self.backend, connection).await.is_ok()
    }
}
