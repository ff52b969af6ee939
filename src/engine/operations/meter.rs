//! What a tenant's keeper counts about itself, its state at the last check, and the anomalies found: for status and
//! metrics. No decision depends on these.
//!
//! Counts are of what was committed. The facts about the live view are updated at most once a second, so that a large
//! roster is not traversed at every pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use crate::clock::Stopwatch;
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::time::UtcMicros;
use crate::store::Commit;

/// The upper bounds of the pass duration buckets, in seconds.
const PASS_DURATION_BUCKETS_SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How often the facts about the live view are updated, by the daemon's clock.
const FACTS_INTERVAL: Duration = Duration::from_secs(1);

/// Counts by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// The meter of one tenant.
#[derive(Debug)]
pub struct Meter {
    passes: Histogram,
    state: Mutex<MeterState>,
}

#[derive(Debug, Default)]
struct MeterState {
    /// The time since the keeper started or made its last pass; `None` if no keeper is running.
    last_pass: Option<Stopwatch>,
    totals: KeeperTotals,
    facts: Option<KeeperFacts>,
    anomalies: Counts,
}

/// Totals of what was committed since the start of the daemon.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeeperTotals {
    /// Requested transitions, by who requested them: `rule`, `person` or `daemon`.
    pub requested: Counts,
    /// Transitions that have ended, by their final status.
    pub finished: Counts,
    /// The number of times automation was halted.
    pub halts: u64,
}

/// Facts about the keeper's live view at one instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeeperFacts {
    /// When the facts were recorded.
    pub at: UtcMicros,
    /// Agents in the roster, by state; `unseen` for those never observed, `other` for states that Shiftkeeper has no
    /// name for.
    pub agents: Counts,
    /// Open transitions, by status.
    pub open: Counts,
    /// When automation was halted; `None` if it is running.
    pub halted_since: Option<UtcMicros>,
    /// Whether a probe is in progress.
    pub probing: bool,
    /// The age at which an observation is too old for decisions that need a fresh one.
    pub stale_after: Duration,
    /// The size in bytes above which a snapshot is reported to people.
    pub oversize_bytes: usize,
    /// The oldest observation that the live view rests on, taking one per subscription. A subscription without any
    /// counts from when observation started.
    pub oldest_observation: Option<UtcMicros>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { passes: Histogram::new(PASS_DURATION_BUCKETS_SECONDS), state: Mutex::default() }
    }
}

impl Meter {
    /// Records a pass and its duration in real time.
    pub fn record_pass(&self, took: Duration) {
        self.passes.observe(took.as_secs_f64());
        self.lock().last_pass = Some(Stopwatch::start());
    }

    /// Returns the durations of passes, in seconds of real time.
    pub fn pass_durations(&self) -> Histogram {
        self.passes.clone()
    }

    /// Records that the keeper has started or ended.
    pub fn set_running(&self, runs: bool) {
        self.lock().last_pass = runs.then(Stopwatch::start);
    }

    /// Returns how long the keeper has made no pass, in real time; `None` if no keeper is running. A healthy keeper
    /// makes at least one pass a second.
    pub fn time_since_pass(&self) -> Option<Duration> {
        self.lock().last_pass.map(|quiet| quiet.elapsed())
    }

    /// Adds what was committed.
    pub fn add(&self, committed: &KeeperTotals) {
        let mut state = self.lock();
        merge(&mut state.totals.requested, &committed.requested);
        merge(&mut state.totals.finished, &committed.finished);
        state.totals.halts += committed.halts;
    }

    /// Returns the totals since the start of the daemon.
    pub fn totals(&self) -> KeeperTotals {
        self.lock().totals.clone()
    }

    /// Counts an anomaly that was found.
    pub fn record_anomaly(&self, kind: AnomalyKind) {
        *self.lock().anomalies.entry(kind.label()).or_default() += 1;
    }

    /// Returns the anomalies found since the start of the daemon, by kind.
    pub fn anomalies(&self) -> Counts {
        let mut counts = Counts::from(AnomalyKind::ALL.map(|kind| (kind.label(), 0)));
        merge(&mut counts, &self.lock().anomalies);
        counts
    }

    /// Returns whether the facts about the live view are due for an update.
    pub fn are_facts_due(&self, now: UtcMicros) -> bool {
        self.lock().facts.as_ref().is_none_or(|facts| facts.at > now || now.since(facts.at) >= FACTS_INTERVAL)
    }

    /// Records the facts about the live view.
    pub fn set_facts(&self, facts: KeeperFacts) {
        self.lock().facts = Some(facts);
    }

    /// Returns the last recorded facts; `None` before the keeper has read the store.
    pub fn facts(&self) -> Option<KeeperFacts> {
        self.lock().facts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, MeterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge(total: &mut Counts, part: &Counts) {
    for (word, count) in part {
        *total.entry(word).or_default() += count;
    }
}

impl KeeperTotals {
    /// Returns the totals of one commit of a keeper. A transition is requested once and ends once, each in one commit.
    pub fn of(commit: &Commit) -> Self {
        let mut totals = Self::default();
        for draft in &commit.audit {
            match draft.action {
                "transition.requested" => *totals.requested.entry(actor_kind(&draft.actor)).or_default() += 1,
                "automation.halted" => totals.halts += 1,
                _ => {}
            }
        }
        for transition in commit.transitions.iter().filter(|transition| transition.status.is_final()) {
            *totals.finished.entry(transition.status.name()).or_default() += 1;
        }
        totals
    }
}

/// Returns the kind of an actor, without the name.
fn actor_kind(label: &str) -> &'static str {
    match label.split_once(':').map_or(label, |(kind, _)| kind) {
        "rule" => "rule",
        "person" => "person",
        _ => "daemon",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_figures_are_wanted_once_a_second_and_after_the_clock_was_set_back() {
        let meter = Meter::default();
        let at = |seconds: u64| UtcMicros::EPOCH + Duration::from_secs(seconds);
        assert!(meter.are_facts_due(at(10)));
        let (agents, open) = (Counts::new(), Counts::new());
        meter.set_facts(KeeperFacts {
            at: at(10),
            agents,
            open,
            halted_since: None,
            probing: false,
            stale_after: Duration::ZERO,
            oversize_bytes: 0,
            oldest_observation: None,
        });
        assert_eq!([9, 10, 11].map(|now| meter.are_facts_due(at(now))), [true, false, true]);
    }

    #[test]
    fn a_keeper_is_quiet_only_while_it_runs() {
        let meter = Meter::default();
        assert_eq!(meter.time_since_pass(), None);
        meter.set_running(true);
        assert!(meter.time_since_pass().is_some());
        meter.record_pass(Duration::ZERO);
        assert!(meter.time_since_pass().is_some());
        meter.set_running(false);
        assert_eq!(meter.time_since_pass(), None);
    }

    #[test]
    fn totals_add_up() {
        let meter = Meter::default();
        let part = KeeperTotals {
            requested: Counts::from([(actor_kind("rule:lunch"), 2), (actor_kind("person:ann"), 1)]),
            finished: Counts::from([("confirmed", 1)]),
            halts: 1,
        };
        meter.add(&part);
        meter.add(&part);
        let totals = meter.totals();
        assert_eq!(totals.requested, Counts::from([("rule", 4), ("person", 2)]));
        assert_eq!((totals.finished["confirmed"], totals.halts), (2, 2));
    }
}
