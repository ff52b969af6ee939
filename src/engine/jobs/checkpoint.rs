//! Folds the write-ahead log into the database file while nobody waits for the writer, so that it neither grows for ever nor is
//! folded in the midst of a rush.

use std::time::Duration;

use super::Job;
use crate::clock::{BoxFuture, RealTime};
use crate::domain::time::UtcMicros;
use crate::store::{Checkpointed, Writer};

/// How long it waits for a quiet moment, in real time, and how often it looks.
const QUIET_WITHIN_REAL: Duration = Duration::from_secs(20);
const LOOK_EVERY_REAL: Duration = Duration::from_millis(100);

/// A log that a reader keeps this large is a reader that does not end (pitfalls P11).
const TOO_LARGE_BYTES: u64 = 256 << 20;

/// The job.
pub struct Checkpoint {
    /// The one writer.
    pub writer: Writer,
}

impl Job for Checkpoint {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let writer = self.writer.clone();
        Box::pin(async move {
            let looks = QUIET_WITHIN_REAL.as_millis() / LOOK_EVERY_REAL.as_millis();
            for _ in 0..looks {
                if writer.is_idle() {
                    break;
                }
                RealTime::sleep(LOOK_EVERY_REAL).await;
            }
            told(writer.checkpoint().await?)
        })
    }
}

fn told(done: Checkpointed) -> anyhow::Result<String> {
    let Checkpointed { held_by_reader, before_bytes, after_bytes } = done;
    anyhow::ensure!(
        after_bytes < TOO_LARGE_BYTES,
        "the write-ahead log has grown to {} MiB since a reader does not let go of it: look for a report or a database tool \
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
    fn a_log_that_does_not_shrink_is_told_when_it_is_large() {
        let held = |bytes| Checkpointed { held_by_reader: true, before_bytes: bytes, after_bytes: bytes };
        assert!(told(held(1 << 20)).is_ok_and(|said| said.contains("next time")));
        assert!(told(held(300 << 20)).is_err_and(|error| error.to_string().contains("300 MiB")));
    }
}
