//! Any interleaving of feed and snapshots, each late in its own way and each with outages: no change is counted twice, none is
//! missed that one of them showed in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::harness::{KeeperHarness, at};
use crate::domain::agents::merge::{FeedObservation, SAME_CHANGE_WINDOW};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::engine::keeper_message::{KeeperMessage, SnapshotObservation};
use crate::platform::AgentObservation;
use crate::store::HistoryRow;

/// Instants of a test are milliseconds.
const SCENARIO_MS: i64 = 300_000;
const INTERVAL_MS: i64 = 10_000;
/// A message of the feed and a snapshot take so long to arrive at most.
const MAX_FEED_DELAY_MS: i64 = 3_000;
const MAX_SNAPSHOT_DELAY_MS: i64 = 6_000;

/// No state comes again within the tolerance and the way of a message, unless it is entered again after more than that.
const CYCLE: [AgentState; 7] = AgentState::KNOWN;
const MIN_INTERVAL_MS: i64 = 1_500;
const MIN_BEFORE_REENTRY_MS: i64 = 15_000;

#[derive(Clone, Debug)]
struct Change {
    state: AgentState,
    at_ms: i64,
}

#[derive(Clone, Copy, Debug)]
enum Arrival {
    /// The change of this number, sent on this connection with this age in milliseconds.
    FeedMessage {
        agent: usize,
        change: usize,
        lasted_ms: i64,
        connection: u64,
    },
    Snapshot {
        generated_ms: i64,
    },
}

struct Scenario {
    random: fastrand::Rng,
    histories: Vec<Vec<Change>>,
    arrivals: BTreeMap<(i64, usize), Arrival>,
    /// When there was no feed, one after the other.
    feed_outages: Vec<(i64, i64)>,
}

impl Scenario {
    fn new(seed: u64, agents: usize) -> Self {
        let (random, histories, arrivals) = (fastrand::Rng::with_seed(seed), Vec::new(), BTreeMap::new());
        let mut scenario = Self { random, histories, arrivals, feed_outages: Vec::new() };
        scenario.feed_outages = scenario.outages();
        for agent in 0..agents {
            let history = scenario.random_history();
            scenario.add_feed_messages(agent, &history);
            scenario.histories.push(history);
        }
        scenario.add_snapshots();
        scenario
    }

    fn random_history(&mut self) -> Vec<Change> {
        let mut state = self.random.usize(..CYCLE.len());
        let mut history = vec![Change { state: CYCLE[state].clone(), at_ms: -self.random.i64(20_000..600_000) }];
        let mut at_ms = self.random.i64(10_000..30_000);
        while at_ms < SCENARIO_MS {
            let stayed = at_ms - history.last().map_or(0, |change| change.at_ms);
            if stayed < MIN_BEFORE_REENTRY_MS || self.random.u8(..10) > 0 {
                state = (state + 1) % CYCLE.len();
            }
            history.push(Change { state: CYCLE[state].clone(), at_ms });
            at_ms += if self.random.bool() {
                self.random.i64(MIN_INTERVAL_MS..6_000)
            } else {
                self.random.i64(6_000..40_000)
            };
        }
        history
    }

    /// Some outages, each with its beginning and end, in order and apart.
    fn outages(&mut self) -> Vec<(i64, i64)> {
        let mut earliest = 20_000;
        let mut outages = Vec::new();
        for _ in 0..self.random.usize(..4) {
            let from = self.random.i64(earliest..SCENARIO_MS);
            let to = from + self.random.i64(500..70_000);
            outages.push((from, to));
            earliest = to + 1000;
            if earliest >= SCENARIO_MS {
                break;
            }
        }
        outages
    }

    /// How often the feed has been lost by then.
    fn loss_count(&self, at_ms: i64) -> u64 {
        let lost = self.feed_outages.iter().filter(|(from, _)| *from <= at_ms).count();
        u64::try_from(lost).expect("few")
    }

    /// In order and late; some messages are sent twice, and some are delayed.
    fn add_feed_messages(&mut self, agent: usize, history: &[Change]) {
        let mut last = 0;
        for (change, Change { at_ms, .. }) in history.iter().enumerate().skip(1) {
            for repeat in 0..=usize::from(self.random.u8(..6) == 0) {
                let next = history.get(change + 1).map_or(SCENARIO_MS, |next| next.at_ms);
                let lasted_ms = if repeat == 0 { 0 } else { self.random.i64(0..(next - at_ms).max(1)) };
                let sent_ms = at_ms + lasted_ms;
                let arrives_ms = (sent_ms + self.random.i64(0..MAX_FEED_DELAY_MS)).max(last);
                if self.feed_outages.iter().any(|(from, to)| (*from..*to).contains(&sent_ms)) {
                    continue;
                }
                let connection = self.loss_count(sent_ms);
                // What overtook it pushes it along: it left when it was to arrive in order.
                last = arrives_ms;
                self.add_arrival(arrives_ms, Arrival::FeedMessage { agent, change, lasted_ms, connection });
            }
        }
    }

    fn add_snapshots(&mut self) {
        let (outages, mut last) = (self.outages(), 0);
        for generated_ms in (0..SCENARIO_MS + 3 * INTERVAL_MS).step_by(usize::try_from(INTERVAL_MS).expect("small")) {
            // The first and the last show how it began and ended.
            let inner = (20_000..SCENARIO_MS).contains(&generated_ms);
            if inner && outages.iter().any(|(from, to)| (*from..*to).contains(&generated_ms)) {
                continue;
            }
            last = (generated_ms + self.random.i64(0..MAX_SNAPSHOT_DELAY_MS)).max(last);
            self.add_arrival(last, Arrival::Snapshot { generated_ms });
        }
    }

    fn add_arrival(&mut self, at_ms: i64, arrival: Arrival) {
        let nth = self.arrivals.len();
        self.arrivals.insert((at_ms, nth), arrival);
    }

    /// The change that an agent was in at an instant.
    fn change_index_at(&self, agent: usize, at_ms: i64) -> usize {
        self.histories[agent].iter().rposition(|change| change.at_ms <= at_ms).unwrap_or(0)
    }

    /// The changes of an agent that one of the two showed in time: not what a snapshot had passed by when a message came, or before
    /// it was clear that it was no older, nor what a message had passed by when a snapshot came, unless its place is sure. A snapshot from before an
    /// estimate that shows another state does not say which of the two was first; the next one does, if it still shows it.
    fn expected_changes(&self, agent: usize) -> BTreeSet<usize> {
        let history = &self.histories[agent];
        let tolerance_ms = i64::try_from(SAME_CHANGE_WINDOW.as_millis()).expect("small");
        let overtaken = |change: usize, arrived: i64| {
            let next = history.get(change + 1).map_or(i64::MAX, |next| next.at_ms);
            self.arrivals.iter().any(|((at, _), arrival)| match arrival {
                Arrival::Snapshot { generated_ms } => *generated_ms >= next && *at <= arrived + tolerance_ms,
                Arrival::FeedMessage { .. } => false,
            })
        };
        // One message alone that passed a snapshot by leaves the place of what that shows open only where they are close together.
        let has_its_place = |shown: usize, passed: &BTreeSet<usize>| {
            let apart = |earlier: usize, later: usize| {
                history[later].at_ms - history[earlier].at_ms > 2 * tolerance_ms
                    && history[later].state != history[earlier].state
            };
            passed.len() == 1
                && passed.iter().all(|later| apart(shown, *later))
                && shown.checked_sub(1).is_some_and(|before| apart(before, shown))
        };
        let passed_by = |shown: usize, generated: i64, arrived: i64| {
            let fed = self.arrivals.iter().filter_map(|((at, _), arrival)| match arrival {
                Arrival::FeedMessage { agent: who, change, lasted_ms, .. } => {
                    (*who == agent && *at <= arrived).then_some((*change, at - lasted_ms))
                }
                Arrival::Snapshot { .. } => None,
            });
            let later: BTreeSet<usize> =
                fed.clone().map(|(change, _)| change).filter(|change| *change > shown).collect();
            let unclear = fed.clone().any(|(change, began)| change < shown && began >= generated);
            unclear || !(later.is_empty() || has_its_place(shown, &later))
        };
        // Where a snapshot has shown another change that began no earlier than such a message may have, and the feed is lost before it
        // goes on, nobody can tell which of the two was first.
        let cut_off = |change: usize, sent: i64, arrived: i64| {
            let lost = self.feed_outages.iter().any(|(from, _)| (sent..=arrived + tolerance_ms).contains(from));
            lost && self.arrivals.iter().any(|((at, _), arrival)| match arrival {
                Arrival::Snapshot { generated_ms } => {
                    let shown = self.change_index_at(agent, *generated_ms);
                    *at <= arrived && shown != change && history[shown].at_ms >= sent - 2 * tolerance_ms
                }
                Arrival::FeedMessage { .. } => false,
            })
        };
        self.arrivals
            .iter()
            .filter_map(|((at, _), arrival)| match arrival {
                Arrival::Snapshot { generated_ms } => {
                    let shown = self.change_index_at(agent, *generated_ms);
                    (!passed_by(shown, *generated_ms, *at)).then_some(shown)
                }
                Arrival::FeedMessage { agent: who, change, lasted_ms, .. } => {
                    let sent = history.get(*change).map_or(0, |change| change.at_ms) + lasted_ms;
                    (*who == agent && !overtaken(*change, *at) && !cut_off(*change, sent, *at)).then_some(*change)
                }
            })
            .collect()
    }
}

fn instant(ms: i64) -> UtcMicros {
    at(1000).offset(ms * 1000)
}

fn agent_id(agent: usize) -> AgentId {
    format!("u_{agent}").into()
}

/// Lets the messages arrive, each in its own pass.
async fn replay(scenario: &Scenario, harness: &mut KeeperHarness) {
    let names: Vec<AgentId> = (0..scenario.histories.len()).map(agent_id).collect();
    let mut last_shown = vec![usize::MAX; names.len()];
    for ((at_ms, _), arrival) in &scenario.arrivals {
        harness.advance_to(instant(*at_ms));
        harness.keeper.link.update_feed(|state| state.losses = scenario.loss_count(*at_ms));
        let received_at = instant(*at_ms);
        let message = match *arrival {
            Arrival::FeedMessage { agent, change, lasted_ms, connection } => {
                let state = scenario.histories[agent][change].state.clone();
                let began_at = received_at - Duration::from_millis(lasted_ms.unsigned_abs());
                let observation = FeedObservation {
                    state,
                    received_at,
                    estimated_start: began_at,
                    buffered_for: Duration::ZERO,
                    connection,
                };
                KeeperMessage::FeedObservations(vec![(agent_id(agent), observation)])
            }
            Arrival::Snapshot { generated_ms } => {
                let mut changed = Vec::new();
                for (agent, last) in last_shown.iter_mut().enumerate() {
                    let current = scenario.change_index_at(agent, generated_ms);
                    if std::mem::replace(last, current) == current {
                        continue;
                    }
                    let Change { state, at_ms } = scenario.histories[agent][current].clone();
                    let changed_at = Some(instant(at_ms));
                    changed.push(AgentObservation {
                        agent: agent_id(agent),
                        state,
                        reason: None,
                        queue: None,
                        changed_at,
                        team: None,
                        name: None,
                    });
                }
                let (agents, generated_at) = (names.clone().into(), instant(generated_ms));
                KeeperMessage::Observation(SnapshotObservation {
                    slice: 0,
                    generated_at,
                    offset_us: 0,
                    changed,
                    agents,
                    absent: [].into(),
                    omitted: [].into(),
                })
            }
        };
        harness.send_message(message).await;
    }
}

/// The changes that history tells of, each the next that its row can be; a row that can be none is one too many.
fn recorded_changes(history: &[Change], rows: &[HistoryRow]) -> Result<BTreeSet<usize>, String> {
    let (mut found, mut next) = (BTreeSet::new(), 0);
    for row in rows {
        let matches_row = |change: &Change| {
            let early = instant(change.at_ms).since(row.entered_at);
            let late = row.entered_at.since(instant(change.at_ms));
            change.state == row.state && early <= Duration::from_secs(1) && late <= SAME_CHANGE_WINDOW
        };
        let Some(offset) = history[next..].iter().position(matches_row) else {
            return Err(format!("{} at {} is no change of the agent's, or counted twice", row.state, row.entered_at));
        };
        found.insert(next + offset);
        next += offset + 1;
    }
    Ok(found)
}

#[tokio::test]
async fn no_change_is_counted_twice_and_none_is_missed_that_was_shown_in_time() {
    const AGENTS: usize = 24;
    let names: Vec<String> = (0..AGENTS).map(|agent| agent_id(agent).to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for seed in 1..=6 {
        let scenario = Scenario::new(seed, AGENTS);
        let mut harness = KeeperHarness::with_agents(&names).await;
        replay(&scenario, &mut harness).await;
        for (agent, history) in scenario.histories.iter().enumerate() {
            let rows = harness.history(names[agent]).await;
            let describe_failure = |what: String| {
                let rows: Vec<_> = rows.iter().map(|row| (row.state.to_string(), row.entered_at, row.source)).collect();
                let arrivals: Vec<_> = scenario
                    .arrivals
                    .iter()
                    .filter(|(_, arrival)| !matches!(arrival, Arrival::FeedMessage { agent: who, .. } if *who != agent))
                    .map(|((at, _), arrival)| (instant(*at), arrival))
                    .collect();
                let history: Vec<_> =
                    history.iter().map(|change| (change.state.to_string(), instant(change.at_ms))).collect();
                format!("seed {seed}, agent {agent}: {what}\nlife {history:#?}\nrows {rows:#?}\narrivals {arrivals:#?}")
            };
            let found = recorded_changes(history, &rows).unwrap_or_else(|what| panic!("{}", describe_failure(what)));
            let missed: Vec<_> = scenario.expected_changes(agent).difference(&found).copied().collect();
            assert!(missed.is_empty(), "{}", describe_failure(format!("changes {missed:?} are missing")));
        }
    }
}
