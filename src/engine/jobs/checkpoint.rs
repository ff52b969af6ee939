//! Moves the write-ahead log into the database file while the writer is idle, so that the log neither grows without
//! limit nor is moved while others wait.

use std::time::Duration;

use super::Job;
use crate::clock::{BoxFuture, RealTime};
use crate::domain::time::UtcMicros;
use crate::store::{CheckpointResult, Writer};

/// How long the job waits for the writer to be idle, in real time, and how often it checks.
const IDLE_TIMEOUT_REAL: Duration = Duration::from_secs(20);
const POLL_INTERVAL_REAL: Duration = Duration::from_millis(100);

/// A log of this size means that a reader never ends (pitfalls P11).
const TOO_LARGE_BYTES: u64 = 256 << 20;

/// The checkpoint job.
pub struct Checkpoint {
    /// The store's writer.
    pub writer: Writer,
}

impl Job for Checkpoint {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let writer = self.writer.clone();
        Box::pin(async move {
            let polls = IDLE_TIMEOUT_REAL.as_millis() / POLL_INTERVAL_REAL.as_millis();
            for _ in 0..polls {
                if writer.is_idle() {
                    break;
                }
                RealTime::sleep(POLL_INTERVAL_REAL).await;
            }
            describe_result(writer.checkpoint().await?)
        })
    }
}

fn describe_result(done: CheckpointResult) -> anyhow::Result<String> {
    let CheckpointResult { held_by_reader, before_bytes, after_bytes } = done;
    anyhow::ensure!(
        after_bytes < TOO_LARGE_BYTES,
        "the write-ahead log has grown to {} MiB because a reader keeps it open: look for a report or a database tool \
         that has the file open",
        after_bytes >> 20
    );
    Ok(if held_by_reader {
        format!("a reader still needs the log of {before_bytes} bytes; it is folded next time")
    } else {
        format!("{before_bytes} bytes of log folded into the file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_that_does_not_shrink_is_reported() {
        let held = |bytes| CheckpointResult { held_by_reader: true, before_bytes: bytes, after_bytes: bytes };
        assert!(describe_result(held(1 << 20)).is_ok_and(|said| said.contains("next time")));
        assert!(describe_result(held(300 << 20)).is_err_and(|error| error.to_string().contains("300 MiB")));
    }
}
