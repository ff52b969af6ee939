//! Says in readiness whether the store can be written, and tries it while it cannot, so that all is well again without a restart
//! and without a change that somebody has to ask for. It repairs nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::readiness::Readiness;
use crate::clock::{RealTime, SharedClock};
use crate::store::{CommitError, Trouble, Writer};

/// The store's part of the readiness report.
pub const PART: &str = "store";

/// While there is trouble, the store is tried this often, in real time: a disk does not follow a simulated clock.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The write-ahead log is folded this often beside what the engine does by itself, to learn that it can be. By the daemon's
/// clock, and [`TRY_EVERY`] more, so that a fast clock does not make it a burden.
const FOLD_EVERY: Duration = Duration::from_secs(60);

/// Runs until `soft` is cancelled. `place` is how the report names the store.
pub async fn run(
    writer: Writer,
    clock: SharedClock,
    readiness: Readiness,
    place: String,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut told = writer.trouble();
    loop {
        let trouble = told.borrow_and_update().clone();
        match complaint(&trouble, &place) {
            None => readiness.ready(PART),
            Some(detail) => readiness.not_ready(PART, detail),
        }
        // What comes of a try comes by `told` as well.
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = told.changed() => changed?,
            () = RealTime::sleep(TRY_EVERY), if trouble.commit.is_some() => drop(writer.probe().await),
            () = RealTime::sleep(TRY_EVERY), if trouble.fold.is_some() => drop(writer.fold().await),
            () = pause(&clock) => drop(writer.fold().await),
        }
    }
}

async fn pause(clock: &SharedClock) {
    clock.sleep(FOLD_EVERY).await;
    RealTime::sleep(TRY_EVERY).await;
}

/// What is wrong and what to do, for the readiness report.
fn complaint(trouble: &Trouble, place: &str) -> Option<String> {
    let (error, meanwhile) = match (&trouble.commit, &trouble.fold) {
        (Some(error), _) => (error, "nothing is changed until then, and what is stored can be read"),
        (None, Some(error)) => (error, "changes are kept in the log beside it, which grows until then"),
        (None, None) => return None,
    };
    let wrong = match error {
        CommitError::Full => format!("no space is left for {place}: free some"),
        CommitError::ReadOnly => format!("{place} has become read-only: make it writable"),
        CommitError::Broken(cause) | CommitError::Unknown(cause) | CommitError::Refused(cause) => {
            format!("{place} cannot be written ({cause}): see to the disk or the server that it lies on")
        }
        CommitError::LostEpoch { .. } => return Some(format!("{error}: stop this one")),
        CommitError::Closed => return None,
    };
    Some(format!("{wrong}; {meanwhile}; no restart is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_the_store_and_the_way_out() {
        let with = |commit, fold| complaint(&Trouble { commit, fold }, "sqlite://data/s.db");
        assert_eq!(with(None, None), None);
        let full = with(Some(CommitError::Full), Some(CommitError::ReadOnly)).expect("a complaint");
        assert!(full.contains("sqlite://data/s.db") && full.contains("free some"), "{full}");
        let fold = with(None, Some(CommitError::Full)).expect("a complaint");
        assert!(fold.contains("kept in the log"), "{fold}");
    }
}
