//! The reason why the store cannot be written.

use super::error::CommitError;

/// The reason why the store cannot be written, from the last attempt; empty if all is well. A change that is refused
/// because of its content does not count.
#[derive(Clone, Debug, Default)]
pub struct StoreFailure {
    /// The error of commits, while changes are refused.
    pub commit: Option<CommitError>,
    /// The error of checkpoints. Changes are still stored in the write-ahead log, which grows.
    pub checkpoint: Option<CommitError>,
}

impl StoreFailure {
    /// Records the result of an attempt and returns whether it differs from the previous one.
    pub(super) fn record(failure: &mut Option<CommitError>, latest: Option<&CommitError>) -> bool {
        let is_changed = match latest {
            None => failure.is_some(),
            Some(error) => {
                error.is_store_failure() && failure.as_ref().map(ToString::to_string) != Some(error.to_string())
            }
        };
        if is_changed {
            *failure = latest.cloned();
        }
        is_changed
    }
}
