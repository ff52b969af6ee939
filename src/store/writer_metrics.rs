//! Metrics of the writer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// The upper bounds of the histogram of transaction durations, in seconds. A sync to a good disk takes under a
/// millisecond.
const DURATION_BUCKETS_S: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The metrics of the writer.
#[derive(Clone, Debug)]
pub struct WriterMetrics {
    /// The durations of transactions in seconds of real time, failed ones included.
    pub durations: Histogram,
    /// The number of failed transactions since the store was opened.
    pub failed: u64,
    /// The number of changes that wait for a transaction.
    pub queued: usize,
    /// The maximum number of changes that may wait.
    pub queue_capacity: usize,
}

/// The counters of the writer's transactions.
#[derive(Debug)]
pub(super) struct TransactionMetrics {
    durations: Histogram,
    failed: AtomicU64,
}

impl Default for TransactionMetrics {
    fn default() -> Self {
        Self { durations: Histogram::new(DURATION_BUCKETS_S), failed: AtomicU64::new(0) }
    }
}

impl TransactionMetrics {
    /// Records a finished transaction and its duration.
    pub(super) fn record(&self, duration: Duration, failed: bool) {
        self.durations.observe(duration.as_secs_f64());
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, queued: usize, places: usize) -> WriterMetrics {
        WriterMetrics {
            durations: self.durations.clone(),
            failed: self.failed.load(Ordering::Relaxed),
            queued,
            queue_capacity: places,
        }
    }
}
