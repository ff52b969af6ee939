//! Counts of the analytics runs since the start of the daemon, for status and metrics. No decision depends on them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::histogram::Histogram;

use crate::domain::analytics::analytics_run::AnalyticsRun;
use crate::domain::ids::TenantId;
use crate::domain::reports::report_run::RunStatus;

/// The upper bounds of the run duration buckets, in seconds.
const DURATION_BUCKETS_SECONDS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// Totals of one tenant's runs that have ended since the start of the daemon.
#[derive(Clone, Debug)]
pub struct RunTotals {
    /// The number of runs by outcome: `done`, `failed` or `cancelled`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The number of rows received.
    pub received: u64,
    /// The number of rows promised, for parts where the platform gave a count.
    pub promised: u64,
    /// The durations of the runs that were started, in seconds of the daemon's clock.
    pub durations: Histogram,
}

impl Default for RunTotals {
    fn default() -> Self {
        let outcomes = [RunStatus::Done, RunStatus::Failed, RunStatus::Cancelled].map(|status| (status.name(), 0));
        Self {
            outcomes: outcomes.into(),
            received: 0,
            promised: 0,
            durations: Histogram::new(DURATION_BUCKETS_SECONDS),
        }
    }
}

impl RunTotals {
    /// Adds a run that has ended. The rows of its parts count even if the run as a whole failed.
    fn add(&mut self, run: &AnalyticsRun) {
        *self.outcomes.entry(run.status.name()).or_default() += 1;
        self.received += run.parts.iter().filter_map(|part| part.received).sum::<u64>();
        self.promised += run.parts.iter().filter_map(|part| part.promised).sum::<u64>();
        if let Some(took) = run.duration() {
            self.durations.observe(took.as_secs_f64());
        }
    }
}

/// The totals of every tenant with at least one run that has ended.
#[derive(Debug, Default)]
pub(super) struct TotalsByTenant(Mutex<HashMap<TenantId, RunTotals>>);

impl TotalsByTenant {
    /// Adds a run that has ended.
    pub(super) fn add(&self, run: &AnalyticsRun) {
        self.lock().entry(run.tenant.clone()).or_default().add(run);
    }

    /// Returns the totals of one tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> RunTotals {
        self.lock().get(tenant).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, RunTotals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
