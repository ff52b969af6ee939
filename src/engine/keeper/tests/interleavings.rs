//! Any interleaving of feed and snapshots, each late in its own way and each with outages: no change is counted twice, none is
//! missed that one of them showed in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::desk::{Desk, at};
use crate::domain::agents::merge::{Fed, SAME_CHANGE};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::engine::message::{Message, Sight};
use crate::platform::Sighting;
use crate::store::HistoryRow;

/// Instants of a story are milliseconds.
const STORY_MS: i64 = 300_000;
const INTERVAL_MS: i64 = 10_000;
/// A message of the feed and a snapshot take so long to arrive at most.
const FEED_LATE_MS: i64 = 3_000;
const SNAPSHOT_LATE_MS: i64 = 6_000;

/// No state comes again within the tolerance and the way of a message, unless it is entered again after more than that.
const CYCLE: [AgentState; 7] = AgentState::KNOWN;
const SHORTEST_STAY_MS: i64 = 1_500;
const SHORTEST_BEFORE_REENTRY_MS: i64 = 15_000;

#[derive(Clone, Debug)]
struct Change {
    state: AgentState,
    at_ms: i64,
}

#[derive(Clone, Copy, Debug)]
enum Arrival {
    /// The change of this number, told by this connection as so many milliseconds old when the message left.
    Fed {
        agent: usize,
        change: usize,
        lasted_ms: i64,
        connection: u64,
    },
    Snapshot {
        generated_ms: i64,
    },
}

struct Story {
    dice: fastrand::Rng,
    lives: Vec<Vec<Change>>,
    arrivals: BTreeMap<(i64, usize), Arrival>,
    /// When there was no feed, one after the other.
    feed_lost: Vec<(i64, i64)>,
}

impl Story {
    fn new(seed: u64, agents: usize) -> Self {
        let (dice, lives, arrivals) = (fastrand::Rng::with_seed(seed), Vec::new(), BTreeMap::new());
        let mut story = Self { dice, lives, arrivals, feed_lost: Vec::new() };
        story.feed_lost = story.outages();
        for agent in 0..agents {
            let life = story.life();
            story.tell(agent, &life);
            story.lives.push(life);
        }
        story.take_snapshots();
        story
    }

    fn life(&mut self) -> Vec<Change> {
        let mut state = self.dice.usize(..CYCLE.len());
        let mut life = vec![Change { state: CYCLE[state].clone(), at_ms: -self.dice.i64(20_000..600_000) }];
        let mut at_ms = self.dice.i64(10_000..30_000);
        while at_ms < STORY_MS {
            let stayed = at_ms - life.last().map_or(0, |change| change.at_ms);
            if stayed < SHORTEST_BEFORE_REENTRY_MS || self.dice.u8(..10) > 0 {
                state = (state + 1) % CYCLE.len();
            }
            life.push(Change { state: CYCLE[state].clone(), at_ms });
            at_ms +=
                if self.dice.bool() { self.dice.i64(SHORTEST_STAY_MS..6_000) } else { self.dice.i64(6_000..40_000) };
        }
        life
    }

    /// Some outages, each with its beginning and end, in order and apart.
    fn outages(&mut self) -> Vec<(i64, i64)> {
        let mut earliest = 20_000;
        let mut outages = Vec::new();
        for _ in 0..self.dice.usize(..4) {
            let from = self.dice.i64(earliest..STORY_MS);
            let to = from + self.dice.i64(500..70_000);
            outages.push((from, to));
            earliest = to + 1000;
            if earliest >= STORY_MS {
                break;
            }
        }
        outages
    }

    /// How often the feed has been lost by then.
    fn losses(&self, at_ms: i64) -> u64 {
        let lost = self.feed_lost.iter().filter(|(from, _)| *from <= at_ms).count();
        u64::try_from(lost).expect("few")
    }

    /// In order and late; some are told twice, some have been on their way here and there.
    fn tell(&mut self, agent: usize, life: &[Change]) {
        let mut last = 0;
        for (change, Change { at_ms, .. }) in life.iter().enumerate().skip(1) {
            for repeat in 0..=usize::from(self.dice.u8(..6) == 0) {
                let next = life.get(change + 1).map_or(STORY_MS, |next| next.at_ms);
                let lasted_ms = if repeat == 0 { 0 } else { self.dice.i64(0..(next - at_ms).max(1)) };
                let told_ms = at_ms + lasted_ms;
                let arrives = (told_ms + self.dice.i64(0..FEED_LATE_MS)).max(last);
                if self.feed_lost.iter().any(|(from, to)| (*from..*to).contains(&told_ms)) {
                    continue;
                }
                let connection = self.losses(told_ms);
                // What overtook it pushes it along: it left when it was to arrive in order.
                last = arrives;
                self.arrive(arrives, Arrival::Fed { agent, change, lasted_ms, connection });
            }
        }
    }

    fn take_snapshots(&mut self) {
        let (outages, mut last) = (self.outages(), 0);
        for generated_ms in (0..STORY_MS + 3 * INTERVAL_MS).step_by(usize::try_from(INTERVAL_MS).expect("small")) {
            // The first and the last show how it began and ended.
            let inner = (20_000..STORY_MS).contains(&generated_ms);
            if inner && outages.iter().any(|(from, to)| (*from..*to).contains(&generated_ms)) {
                continue;
            }
            last = (generated_ms + self.dice.i64(0..SNAPSHOT_LATE_MS)).max(last);
            self.arrive(last, Arrival::Snapshot { generated_ms });
        }
    }

    fn arrive(&mut self, at_ms: i64, arrival: Arrival) {
        let nth = self.arrivals.len();
        self.arrivals.insert((at_ms, nth), arrival);
    }

    /// The change that an agent was in at an instant.
    fn at(&self, agent: usize, at_ms: i64) -> usize {
        self.lives[agent].iter().rposition(|change| change.at_ms <= at_ms).unwrap_or(0)
    }

    /// The changes of an agent that one of the two showed in time: not what a snapshot had passed by when a message came, or before
    /// it was clear that it was no older, nor what a message had passed by when a snapshot came, unless its place is sure. A snapshot from before an
    /// estimate that shows another state does not say which of the two was first; the next one does, if it still shows it.
    fn shown(&self, agent: usize) -> BTreeSet<usize> {
        let life = &self.lives[agent];
        let tolerance_ms = i64::try_from(SAME_CHANGE.as_millis()).expect("small");
        let overtaken = |change: usize, arrived: i64| {
            let next = life.get(change + 1).map_or(i64::MAX, |next| next.at_ms);
            self.arrivals.iter().any(|((at, _), arrival)| match arrival {
                Arrival::Snapshot { generated_ms } => *generated_ms >= next && *at <= arrived + tolerance_ms,
                Arrival::Fed { .. } => false,
            })
        };
        // One message alone that passed a snapshot by leaves the place of what that shows open only where they are close together.
        let has_its_place = |shown: usize, passed: &BTreeSet<usize>| {
            let apart = |earlier: usize, later: usize| {
                life[later].at_ms - life[earlier].at_ms > 2 * tolerance_ms && life[later].state != life[earlier].state
            };
            passed.len() == 1
                && passed.iter().all(|later| apart(shown, *later))
                && shown.checked_sub(1).is_some_and(|before| apart(before, shown))
        };
        let passed_by = |shown: usize, generated: i64, arrived: i64| {
            let fed = self.arrivals.iter().filter_map(|((at, _), arrival)| match arrival {
                Arrival::Fed { agent: who, change, lasted_ms, .. } => {
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
            let lost = self.feed_lost.iter().any(|(from, _)| (sent..=arrived + tolerance_ms).contains(from));
            lost && self.arrivals.iter().any(|((at, _), arrival)| match arrival {
                Arrival::Snapshot { generated_ms } => {
                    let shown = self.at(agent, *generated_ms);
                    *at <= arrived && shown != change && life[shown].at_ms >= sent - 2 * tolerance_ms
                }
                Arrival::Fed { .. } => false,
            })
        };
        self.arrivals
            .iter()
            .filter_map(|((at, _), arrival)| match arrival {
                Arrival::Snapshot { generated_ms } => {
                    let shown = self.at(agent, *generated_ms);
                    (!passed_by(shown, *generated_ms, *at)).then_some(shown)
                }
                Arrival::Fed { agent: who, change, lasted_ms, .. } => {
                    let sent = life.get(*change).map_or(0, |change| change.at_ms) + lasted_ms;
                    (*who == agent && !overtaken(*change, *at) && !cut_off(*change, sent, *at)).then_some(*change)
                }
            })
            .collect()
    }
}

fn instant(ms: i64) -> UtcMicros {
    at(1000).offset(ms * 1000)
}

fn name(agent: usize) -> AgentId {
    format!("u_{agent}").into()
}

/// Lets the story arrive, in one pass each.
async fn act(story: &Story, desk: &mut Desk) {
    let names: Vec<AgentId> = (0..story.lives.len()).map(name).collect();
    let mut last_shown = vec![usize::MAX; names.len()];
    for ((at_ms, _), arrival) in &story.arrivals {
        desk.wait_until(instant(*at_ms));
        desk.keeper.link.note_feed(|state| state.losses = story.losses(*at_ms));
        let received_at = instant(*at_ms);
        let message = match *arrival {
            Arrival::Fed { agent, change, lasted_ms, connection } => {
                let state = story.lives[agent][change].state.clone();
                let began_at = received_at - Duration::from_millis(lasted_ms.unsigned_abs());
                let fed = Fed { state, received_at, began_at, waited: Duration::ZERO, connection };
                Message::Fed(vec![(name(agent), fed)])
            }
            Arrival::Snapshot { generated_ms } => {
                let mut changed = Vec::new();
                for (agent, last) in last_shown.iter_mut().enumerate() {
                    let shows = story.at(agent, generated_ms);
                    if std::mem::replace(last, shows) == shows {
                        continue;
                    }
                    let Change { state, at_ms } = story.lives[agent][shows].clone();
                    let changed_at = Some(instant(at_ms));
                    changed.push(Sighting {
                        agent: name(agent),
                        state,
                        queue: None,
                        changed_at,
                        team: None,
                        name: None,
                    });
                }
                let (agents, generated_at) = (names.clone().into(), instant(generated_ms));
                Message::Sight(Sight {
                    slice: 0,
                    generated_at,
                    offset_us: 0,
                    changed,
                    agents,
                    absent: [].into(),
                    missing: [].into(),
                })
            }
        };
        desk.take(message).await;
    }
}

/// The changes that history tells of, each the next that its row can be; a row that can be none is one too many.
fn recorded(life: &[Change], rows: &[HistoryRow]) -> Result<BTreeSet<usize>, String> {
    let (mut found, mut next) = (BTreeSet::new(), 0);
    for row in rows {
        let is_it = |change: &Change| {
            let early = instant(change.at_ms).since(row.entered_at);
            let late = row.entered_at.since(instant(change.at_ms));
            change.state == row.state && early <= Duration::from_secs(1) && late <= SAME_CHANGE
        };
        let Some(offset) = life[next..].iter().position(is_it) else {
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
    let names: Vec<String> = (0..AGENTS).map(|agent| name(agent).to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for seed in 1..=6 {
        let story = Story::new(seed, AGENTS);
        let mut desk = Desk::of(&names).await;
        act(&story, &mut desk).await;
        for (agent, life) in story.lives.iter().enumerate() {
            let rows = desk.history(names[agent]).await;
            let tell = |what: String| {
                let rows: Vec<_> = rows.iter().map(|row| (row.state.to_string(), row.entered_at, row.source)).collect();
                let arrivals: Vec<_> = story
                    .arrivals
                    .iter()
                    .filter(|(_, arrival)| !matches!(arrival, Arrival::Fed { agent: who, .. } if *who != agent))
                    .map(|((at, _), arrival)| (instant(*at), arrival))
                    .collect();
                let life: Vec<_> =
                    life.iter().map(|change| (change.state.to_string(), instant(change.at_ms))).collect();
                format!("seed {seed}, agent {agent}: {what}\nlife {life:#?}\nrows {rows:#?}\narrivals {arrivals:#?}")
            };
            let found = recorded(life, &rows).unwrap_or_else(|what| panic!("{}", tell(what)));
            let missed: Vec<_> = story.shown(agent).difference(&found).copied().collect();
            assert!(missed.is_empty(), "{}", tell(format!("changes {missed:?} are missing")));
        }
    }
}
