//! Reports in readiness whether the store can be written, and retries while it cannot, so that it recovers without a
//! restart or somebody's change. It repairs nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::readiness::Readiness;
use crate::clock::{RealTime, SharedClock};
use crate::store::{CommitError, StoreFailure, Writer};

/// The store's part of the readiness report.
pub const PART: &str = "store";

/// How often a failing store is retried, in real time, because a disk does not follow a simulated clock.
const RETRY_INTERVAL_REAL: Duration = Duration::from_secs(1);

/// How often the write-ahead log is moved into the database in addition to the database's own checkpoints, to find out
/// whether that works. In the daemon's clock plus [`RETRY_INTERVAL_REAL`], so that a fast clock does not cause load.
const FOLD_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until `soft` is cancelled. `store_name` is the name of the store in the report.
pub async fn run(
    writer: Writer,
    clock: SharedClock,
    readiness: Readiness,
    store_name: String,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut failures = writer.failure();
    loop {
        let failure = failures.borrow_and_update().clone();
        match describe_failure(&failure, &store_name) {
            None => readiness.ready(PART),
            Some(detail) => readiness.not_ready(PART, detail),
        }
        // The result of a retry also arrives through `failures`.
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = failures.changed() => changed?,
            () = RealTime::sleep(RETRY_INTERVAL_REAL), if failure.commit.is_some() => drop(writer.probe().await),
            () = RealTime::sleep(RETRY_INTERVAL_REAL), if failure.checkpoint.is_some() => drop(writer.checkpoint_passive().await),
            () = wait_to_fold(&clock) => drop(writer.checkpoint_passive().await),
        }
    }
}

async fn wait_to_fold(clock: &SharedClock) {
    clock.sleep(FOLD_INTERVAL).await;
    RealTime::sleep(RETRY_INTERVAL_REAL).await;
}

/// Returns what is wrong and what to do, for the readiness report; `None` if all is well.
fn describe_failure(failure: &StoreFailure, store_name: &str) -> Option<String> {
    let (error, meanwhile) = match (&failure.commit, &failure.checkpoint) {
        (Some(error), _) => (error, "nothing is changed until then, and what is stored can be read"),
        (None, Some(error)) => (error, "changes are kept in the log next to it, which grows until then"),
        (None, None) => return None,
    };
    let problem = match error {
        CommitError::Full => format!("no space is left for {store_name}: free some space"),
        CommitError::ReadOnly => format!("{store_name} has become read-only: make it writable"),
        CommitError::Broken(cause) | CommitError::Unknown(cause) | CommitError::Refused(cause) => {
            format!("{store_name} cannot be written ({cause}): see to the disk or the server that it lies on")
        }
        CommitError::LostEpoch { .. } => return Some(format!("{error}: stop this one")),
        CommitError::Closed => return None,
    };
    Some(format!("{problem}; {meanwhile}; no restart is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_the_store_and_the_way_out() {
        let with = |commit, fold| describe_failure(&StoreFailure { commit, checkpoint: fold }, "sqlite://data/s.db");
        assert_eq!(with(None, None), None);
        let full = with(Some(CommitError::Full), Some(CommitError::ReadOnly)).expect("a complaint");
        assert!(full.contains("sqlite://data/s.db") && full.contains("free some"), "{full}");
        let fold = with(None, Some(CommitError::Full)).expect("a complaint");
        assert!(fold.contains("kept in the log"), "{fold}");
    }
}
