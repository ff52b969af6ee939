//! How the writer does, counted for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// Upper ends of the classes of a transaction's duration, in seconds: a sync of a good disk takes under a millisecond.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How the writer does.
#[derive(Clone, Debug)]
pub struct WriterVitals {
    /// How long transactions took, failed ones included, in seconds of real time.
    pub durations: Histogram,
    /// Transactions that failed, since the store was opened.
    pub failed: u64,
    /// Changes that wait for a transaction now.
    pub queued: usize,
    /// How many may.
    pub places: usize,
}

/// What the writer counts.
#[derive(Debug)]
pub(super) struct Transactions {
    durations: Histogram,
    failed: AtomicU64,
}

impl Default for Transactions {
    fn default() -> Self {
        Self { durations: Histogram::new(SECONDS), failed: AtomicU64::new(0) }
    }
}

impl Transactions {
    /// One that took so long ended.
    pub(super) fn note(&self, took: Duration, failed: bool) {
        self.durations.observe(took.as_secs_f64());
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    pub(super) fn vitals(&self, queued: usize, places: usize) -> WriterVitals {
        WriterVitals { durations: self.durations.clone(), failed: self.failed.load(Ordering::Relaxed), queued, places }
    }
}
