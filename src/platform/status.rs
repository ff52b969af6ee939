//! What operators see of a tenant's platform: the outcomes of its calls and the health of its token. Counted where
//! calls are made and read on demand; no decision depends on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::{Answer, CallError};

/// Upper bounds of the histogram's buckets, in seconds. The default time limit of an answer is ten.
const DURATION_BUCKETS_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The purpose of a call, with the name used in the call log and in metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CallKind {
    /// A state POST: one attempt of a transition.
    State,
    /// A read of whether an agent is scheduled.
    Schedule,
    /// A read of whether an agent must take a break.
    Break,
    /// The creation of a subscription.
    Subscribe,
    /// A snapshot of a subscription, outside the request budget and its log.
    Snapshot,
    /// A read of skill figures. Counts against the reporting budget, as do the next two.
    SkillFigures,
    /// A read of the list of queues.
    Queues,
    /// A read of queue figures.
    QueueFigures,
    /// A read of the directory of teams, codes and agents.
    Directory,
    /// A read of an agent's exported schedule.
    ScheduleExport,
    /// A read of the states that agents were in.
    StateHistory,
    /// The submission of an aggregation query. Counts against the reporting budget, as does the next kind.
    AnalyticsSubmit,
    /// A read of an aggregation query's status or of a page of its result.
    AnalyticsPage,
}

impl CallKind {
    /// The kinds that read figures of skills and queues.
    pub const FIGURES: [Self; 3] = [Self::SkillFigures, Self::Queues, Self::QueueFigures];

    /// The kinds of aggregation queries.
    pub const ANALYTICS: [Self; 2] = [Self::AnalyticsSubmit, Self::AnalyticsPage];

    /// Returns the name in the store and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Schedule => "schedule",
            Self::Break => "break",
            Self::Subscribe => "subscribe",
            Self::Snapshot => "snapshot",
            Self::SkillFigures => "skill_figures",
            Self::Queues => "queues",
            Self::QueueFigures => "queue_figures",
            Self::Directory => "directory",
            Self::ScheduleExport => "schedule_export",
            Self::StateHistory => "state_history",
            Self::AnalyticsSubmit => "analytics_submit",
            Self::AnalyticsPage => "analytics_page",
        }
    }
}

/// The calls of one tenant since the start, by kind and outcome.
#[derive(Debug, Default)]
pub struct CallCounts(Mutex<BTreeMap<CallKind, KindCounts>>);

#[derive(Debug)]
struct KindCounts {
    outcomes: BTreeMap<&'static str, u64>,
    durations: Histogram,
}

impl Default for KindCounts {
    fn default() -> Self {
        Self { outcomes: BTreeMap::new(), durations: Histogram::new(DURATION_BUCKETS_SECONDS) }
    }
}

impl CallCounts {
    /// Counts a finished call. `duration` is real time and includes the wait for a token.
    pub fn record<T>(&self, kind: CallKind, result: &Result<Answer<T>, CallError>, duration: Duration) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(error) => error.failure.class(),
        };
        let mut counts = self.counts();
        let of_kind = counts.entry(kind).or_default();
        *of_kind.outcomes.entry(outcome).or_default() += 1;
        of_kind.durations.observe(duration.as_secs_f64());
    }

    /// Returns how many calls of each kind had each outcome, which is `ok` or the class of the failure.
    pub fn by_outcome(&self) -> Vec<(CallKind, &'static str, u64)> {
        let counts = self.counts();
        let of_kind = |(kind, of): (&CallKind, &KindCounts)| {
            let kind = *kind;
            of.outcomes.iter().map(move |(outcome, count)| (kind, *outcome, *count)).collect::<Vec<_>>()
        };
        counts.iter().flat_map(of_kind).collect()
    }

    /// Returns the durations of each kind of call, in seconds of real time.
    pub fn durations(&self) -> Vec<(CallKind, Histogram)> {
        self.counts().iter().map(|(kind, of)| (*kind, of.durations.clone())).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<CallKind, KindCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The health of a tenant's token. Durations are the clock's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenHealth {
    /// The time since the token was granted. `None` if there is none.
    pub age: Option<Duration>,
    /// How long the token remains valid; zero if it has expired.
    pub expires_in: Option<Duration>,
    /// The number of token requests granted since the start.
    pub granted: u64,
    /// The number of token requests that failed since the start.
    pub failed: u64,
    /// Whether the circuit is open after several refusals in a row, so that no token is requested now.
    pub circuit_open: bool,
    /// The class of the last failure, until a token is granted.
    pub last_failure: Option<&'static str>,
}

/// The health of a platform's connection.
#[derive(Clone, Debug)]
pub struct PlatformHealth {
    /// The outcomes of calls.
    pub calls: Arc<CallCounts>,
    /// The token's health.
    pub token: TokenHealth,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::error::{CallSite, Failure};

    #[test]
    fn calls_are_counted_by_kind_and_outcome() {
        let counts = CallCounts::default();
        let failed = |failure| {
            let site = CallSite { purpose: "x", method: "GET", path: String::new() };
            Err::<Answer<()>, _>(CallError { site, failure, sent_at: None })
        };
        let took = Duration::from_millis(30);
        counts.record(CallKind::State, &failed(Failure::Throttled { retry_after: None }), took);
        counts.record(CallKind::State, &failed(Failure::Throttled { retry_after: None }), took);
        counts.record(CallKind::Snapshot, &failed(Failure::NotFound), took);
        let found = counts.by_outcome();
        assert_eq!(found, [(CallKind::State, "throttled", 2), (CallKind::Snapshot, "not_found", 1)]);
        assert_eq!(counts.durations().len(), 2);
    }
}
