//! How a stream of deliveries stops.

use std::time::Duration;

use super::{Stream, completion};
use crate::clock::RealTime;

impl Stream {
    /// Waits up to `wait` for deliveries in progress and records them; the next start sends the others again.
    pub(in crate::engine::webhooks::deliver) async fn stop(mut self, wait: Duration) -> anyhow::Result<()> {
        let mut limit = RealTime::sleep(wait);
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.handle_task_result(ended?)?,
                done = completion(&mut self.committing) => {
                    self.committing = None;
                    self.finish_commit(done?);
                }
                () = &mut limit => break,
            }
            self.start_commit();
        }
        self.flush().await?;
        if self.queue.cursor() > self.stored_cursor {
            self.begin_commit();
            self.flush().await?;
        }
        Ok(())
    }
}
