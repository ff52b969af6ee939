//! What keeps the store from being written, for whoever must say so. Nothing here writes.

use super::error::CommitError;

/// What keeps the store from being written, as the last try told; nothing when all is well. A change that was refused for its
/// own sake is no trouble of the store.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Changes are refused.
    pub commit: Option<CommitError>,
    /// Changes are kept in the write-ahead log, which cannot be folded into the database and grows.
    pub fold: Option<CommitError>,
}

impl Trouble {
    /// Keeps what a try told; whether that is news.
    pub(super) fn note(trouble: &mut Option<CommitError>, told: Option<&CommitError>) -> bool {
        let news = match told {
            None => trouble.is_some(),
            Some(error) => {
                error.is_the_stores() && trouble.as_ref().map(ToString::to_string) != Some(error.to_string())
            }
        };
        if news {
            *trouble = told.cloned();
        }
        news
    }
}
