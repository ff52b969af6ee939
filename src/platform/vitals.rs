//! What an operator wants to know of a tenant's platform: what its calls came to, and how its token is. Counted where calls are
//! made and read when somebody looks; nothing decides by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::{Answer, CallError};

/// Upper ends of the classes of durations, in seconds: an answer is awaited for ten by default.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a call is for, by the name it has in the log of calls and in metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CallKind {
    /// A state POST: the attempt of a transition.
    State,
    /// A question whether an agent is scheduled.
    Schedule,
    /// A question whether an agent must take a break.
    Break,
    /// A new subscription.
    Subscribe,
    /// A snapshot of a subscription; outside the request budget and its log.
    Snapshot,
    /// A read of skill figures; within the reporting budget, like the next two.
    SkillFigures,
    /// A read of the list of queues.
    Queues,
    /// A read of queue figures.
    QueueFigures,
    /// A new aggregation query; within the reporting budget, like the next.
    AnalyticsSubmit,
    /// A read of how an aggregation query stands, or of a page of its result.
    AnalyticsPage,
}

impl CallKind {
    /// Those that read figures of skills and queues.
    pub const FIGURES: [Self; 3] = [Self::SkillFigures, Self::Queues, Self::QueueFigures];

    /// Those of aggregation queries.
    pub const ANALYTICS: [Self; 2] = [Self::AnalyticsSubmit, Self::AnalyticsPage];

    /// The name in the store and in metrics.
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
            Self::AnalyticsSubmit => "analytics_submit",
            Self::AnalyticsPage => "analytics_page",
        }
    }
}

/// The calls of one tenant since the start, by kind and by how they ended.
#[derive(Debug, Default)]
pub struct CallCounts(Mutex<BTreeMap<CallKind, OfKind>>);

#[derive(Debug)]
struct OfKind {
    outcomes: BTreeMap<&'static str, u64>,
    durations: Histogram,
}

impl Default for OfKind {
    fn default() -> Self {
        Self { outcomes: BTreeMap::new(), durations: Histogram::new(SECONDS) }
    }
}

impl CallCounts {
    /// Counts a call that has ended; `took` is real time, the wait for a token included.
    pub fn note<T>(&self, kind: CallKind, result: &Result<Answer<T>, CallError>, took: Duration) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(error) => error.failure.class(),
        };
        let mut counts = self.counts();
        let of_kind = counts.entry(kind).or_default();
        *of_kind.outcomes.entry(outcome).or_default() += 1;
        of_kind.durations.observe(took.as_secs_f64());
    }

    /// How many calls of each kind ended in each way; the outcome is `ok` or the class of the failure.
    pub fn by_outcome(&self) -> Vec<(CallKind, &'static str, u64)> {
        let counts = self.counts();
        let of_kind = |(kind, of): (&CallKind, &OfKind)| {
            let kind = *kind;
            of.outcomes.iter().map(move |(outcome, count)| (kind, *outcome, *count)).collect::<Vec<_>>()
        };
        counts.iter().flat_map(of_kind).collect()
    }

    /// How long calls of each kind took, in seconds of real time.
    pub fn durations(&self) -> Vec<(CallKind, Histogram)> {
        self.counts().iter().map(|(kind, of)| (*kind, of.durations.clone())).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<CallKind, OfKind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the token of a tenant is; spans are the clock's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenVitals {
    /// How long ago it was given; none when there is none.
    pub age: Option<Duration>,
    /// For how long it is still good; zero once it has expired.
    pub expires_in: Option<Duration>,
    /// Requests for one that were granted, since the start.
    pub granted: u64,
    /// Requests for one that were not.
    pub failed: u64,
    /// Refusals that came one after the other opened the circuit: none is asked for just now.
    pub circuit_open: bool,
    /// The class of the last failure, until a token is granted.
    pub last_failure: Option<&'static str>,
}

/// How a platform's connection is.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// What calls came to.
    pub calls: Arc<CallCounts>,
    /// The token.
    pub token: TokenVitals,
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
            Err::<Answer<()>, _>(CallError { site, failure, asked_at: None })
        };
        let took = Duration::from_millis(30);
        counts.note(CallKind::State, &failed(Failure::Throttled { retry_after: None }), took);
        counts.note(CallKind::State, &failed(Failure::Throttled { retry_after: None }), took);
        counts.note(CallKind::Snapshot, &failed(Failure::NotFound), took);
        let found = counts.by_outcome();
        assert_eq!(found, [(CallKind::State, "throttled", 2), (CallKind::Snapshot, "not_found", 1)]);
        assert_eq!(counts.durations().len(), 2);
    }
}
