//! What is counted of runs since the start, for whoever shows it; decided by nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::histogram::Histogram;

use crate::domain::analytics::analytics_run::AnalyticsRun;
use crate::domain::ids::TenantId;
use crate::domain::reports::report_run::RunStatus;

/// Upper ends of the classes of a run's duration, in seconds.
const SECONDS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// The runs of one tenant that have ended since the start.
#[derive(Clone, Debug)]
pub struct RunTotals {
    /// How many, by how they came out: `done`, `failed`, `cancelled`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Rows that came.
    pub received: u64,
    /// Rows that were promised, where a count was.
    pub promised: u64,
    /// From their beginning to their end, in seconds by the daemon's clock; of those that were begun.
    pub durations: Histogram,
}

impl Default for RunTotals {
    fn default() -> Self {
        let outcomes = [RunStatus::Done, RunStatus::Failed, RunStatus::Cancelled].map(|status| (status.name(), 0));
        Self { outcomes: outcomes.into(), received: 0, promised: 0, durations: Histogram::new(SECONDS) }
    }
}

impl RunTotals {
    /// Adds a run that has ended. Rows of parts count also where the whole came to nothing.
    fn add(&mut self, run: &AnalyticsRun) {
        *self.outcomes.entry(run.status.name()).or_default() += 1;
        self.received += run.parts.iter().filter_map(|part| part.received).sum::<u64>();
        self.promised += run.parts.iter().filter_map(|part| part.promised).sum::<u64>();
        if let Some(took) = run.latency() {
            self.durations.observe(took.as_secs_f64());
        }
    }
}

/// The totals of every tenant that has asked for a run.
#[derive(Debug, Default)]
pub(super) struct Totals(Mutex<HashMap<TenantId, RunTotals>>);

impl Totals {
    /// A run has ended.
    pub(super) fn add(&self, run: &AnalyticsRun) {
        self.kept().entry(run.tenant.clone()).or_default().add(run);
    }

    /// Those of one tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> RunTotals {
        self.kept().get(tenant).cloned().unwrap_or_default()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<TenantId, RunTotals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
