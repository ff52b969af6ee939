//! What a tenant's keeper counts of itself, and how it stood at its last look, and what the watch over series has found: read by whoever
//! shows it, decided by nothing.
//!
//! Counts are of what was committed. The picture's figures are put down at most once a second, so that a large roster is not
//! walked through at every pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use crate::clock::Stopwatch;
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::time::UtcMicros;
use crate::store::Commit;

/// Upper ends of the classes of a pass's duration, in seconds.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How often the picture's figures are put down, by the daemon's clock.
const FACTS_EVERY: Duration = Duration::from_secs(1);

/// Numbers by the word that names them.
pub type Counts = BTreeMap<&'static str, u64>;

/// The meter of one tenant.
#[derive(Debug)]
pub struct Meter {
    passes: Histogram,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Since the keeper was started or made its last pass; none while no keeper runs.
    quiet: Option<Stopwatch>,
    totals: Totals,
    facts: Option<KeeperFacts>,
    anomalies: Counts,
}

/// What was committed since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Transitions that were asked for, by who asked: `rule`, `person`, `daemon`.
    pub requested: Counts,
    /// Transitions that ended, by how.
    pub finished: Counts,
    /// How often automation was halted.
    pub halts: u64,
}

/// How the keeper stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeeperFacts {
    /// When this was put down.
    pub at: UtcMicros,
    /// Agents in the roster, by state; those never seen are `unseen`, states without a name of ours `other`.
    pub agents: Counts,
    /// Open transitions, by status.
    pub open: Counts,
    /// Since when automation is halted.
    pub halted_since: Option<UtcMicros>,
    /// A probe is under way.
    pub probing: bool,
    /// Decisions that need fresh sight wait beyond this age of one.
    pub stale_after: Duration,
    /// A larger snapshot is told to people, in bytes.
    pub oversize_bytes: usize,
    /// The oldest sight that the picture rests on, one for each subscription; where none came yet, since when it is looked for.
    pub sight_from: Option<UtcMicros>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { passes: Histogram::new(SECONDS), kept: Mutex::default() }
    }
}

impl Meter {
    /// A pass ended that took so long, in real time.
    pub fn passed(&self, took: Duration) {
        self.passes.observe(took.as_secs_f64());
        self.kept().quiet = Some(Stopwatch::start());
    }

    /// How long passes took, in seconds of real time.
    pub fn pass_durations(&self) -> Histogram {
        self.passes.clone()
    }

    /// The keeper runs from now on, or has ended.
    pub fn runs(&self, runs: bool) {
        self.kept().quiet = runs.then(Stopwatch::start);
    }

    /// For how long the keeper has made no pass, in real time; none while no keeper runs. One that lives makes a pass each
    /// second at least.
    pub fn quiet_for(&self) -> Option<Duration> {
        self.kept().quiet.map(|quiet| quiet.elapsed())
    }

    /// Adds what was committed.
    pub fn add(&self, committed: &Totals) {
        let mut kept = self.kept();
        merge(&mut kept.totals.requested, &committed.requested);
        merge(&mut kept.totals.finished, &committed.finished);
        kept.totals.halts += committed.halts;
    }

    /// What was committed since the start.
    pub fn totals(&self) -> Totals {
        self.kept().totals.clone()
    }

    /// An anomaly was found, of this kind.
    pub fn found(&self, kind: AnomalyKind) {
        *self.kept().anomalies.entry(kind.word()).or_default() += 1;
    }

    /// Anomalies that were found since the start, by kind.
    pub fn anomalies(&self) -> Counts {
        let mut counts = Counts::from(AnomalyKind::ALL.map(|kind| (kind.word(), 0)));
        merge(&mut counts, &self.kept().anomalies);
        counts
    }

    /// Whether it is time to put the picture's figures down.
    pub fn wants_facts(&self, now: UtcMicros) -> bool {
        self.kept().facts.as_ref().is_none_or(|facts| facts.at > now || now.since(facts.at) >= FACTS_EVERY)
    }

    /// Puts the picture's figures down.
    pub fn tell(&self, facts: KeeperFacts) {
        self.kept().facts = Some(facts);
    }

    /// The picture's figures; none before the keeper has read the store.
    pub fn facts(&self) -> Option<KeeperFacts> {
        self.kept().facts.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge(total: &mut Counts, part: &Counts) {
    for (word, count) in part {
        *total.entry(word).or_default() += count;
    }
}

impl Totals {
    /// What a commit of a keeper comes to. A transition is asked for once and ends once, each in one commit.
    pub fn of(commit: &Commit) -> Self {
        let mut totals = Self::default();
        for draft in &commit.audit {
            match draft.action {
                "transition.requested" => *totals.requested.entry(who(&draft.actor)).or_default() += 1,
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

/// The kind of actor, without its name.
fn who(label: &str) -> &'static str {
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
        assert!(meter.wants_facts(at(10)));
        let (agents, open) = (Counts::new(), Counts::new());
        meter.tell(KeeperFacts {
            at: at(10),
            agents,
            open,
            halted_since: None,
            probing: false,
            stale_after: Duration::ZERO,
            oversize_bytes: 0,
            sight_from: None,
        });
        assert_eq!([9, 10, 11].map(|now| meter.wants_facts(at(now))), [true, false, true]);
    }

    #[test]
    fn a_keeper_is_quiet_only_while_it_runs() {
        let meter = Meter::default();
        assert_eq!(meter.quiet_for(), None);
        meter.runs(true);
        assert!(meter.quiet_for().is_some());
        meter.passed(Duration::ZERO);
        assert!(meter.quiet_for().is_some());
        meter.runs(false);
        assert_eq!(meter.quiet_for(), None);
    }

    #[test]
    fn totals_add_up() {
        let meter = Meter::default();
        let part = Totals {
            requested: Counts::from([(who("rule:lunch"), 2), (who("person:ann"), 1)]),
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
