//! What the next read of the agents' states asks for: all agents or those who changed, and which page.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The state of the polls, shared by the calls, which read it, and the reader, which writes it.
#[derive(Debug, Default)]
pub(super) struct Polls(Mutex<Progress>);

/// The progress of a read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    /// Where the next read begins, as the platform's own instant; `None` makes it a read of all agents.
    pub(super) since: Option<String>,
    /// The rows that were received of the present read; 0 before its first page.
    pub(super) received: usize,
    /// Whether the present read is one of all agents.
    pub(super) is_full: bool,
    /// When the present read was begun, in the clock's monotonic time.
    began: Duration,
    /// When the last complete read of all agents was begun.
    last_full: Option<Duration>,
}

/// One request of a read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PageOf {
    /// Only agents who changed since then; all of them if `None`.
    pub(super) since: Option<String>,
    /// How many rows to skip.
    pub(super) skip: usize,
}

impl Polls {
    pub(super) fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what to request now.
    pub(super) fn next_page(&self, now: Duration, full_every: Duration) -> PageOf {
        let mut progress = self.lock();
        if progress.received == 0 {
            let is_due = progress.last_full.is_none_or(|last| now.saturating_sub(last) >= full_every);
            progress.is_full = is_due || progress.since.is_none();
            progress.began = now;
        }
        let since = progress.since.clone().filter(|_| !progress.is_full);
        PageOf { since, skip: progress.received }
    }

    /// Ends the present read, and returns whether it was one of all agents. The next read asks for changes since
    /// `since`, or since the same instant as this one.
    pub(super) fn finish(&self, since: Option<String>) -> bool {
        let mut progress = self.lock();
        progress.received = 0;
        if since.is_some() {
            progress.since = since;
        }
        if progress.is_full {
            progress.last_full = Some(progress.began);
        }
        progress.is_full
    }

    /// Makes the next read one of all agents, from its first page.
    pub(super) fn restart(&self) {
        *self.lock() = Progress::default();
    }
}
