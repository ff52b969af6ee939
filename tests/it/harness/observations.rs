//! What each agent did by the simulator's account, held against history change by change; and how the platform was called
//! meanwhile. The simulator's log says which source showed what: what neither could show may be missing, and is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use shiftkeeper::domain::agents::agent::ObservationSource;
use shiftkeeper::domain::agents::merge::SAME_CHANGE_WINDOW;
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::ids::{AgentId, ReasonCode};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{FaultKind, FeedEvent, FeedMessage, LogPage, RequestEntry};
use shiftkeeper::store::StoredHistory;

use super::ledger::{daemon_state, is_poll};
use super::{INTERVAL, Scenario};

/// Bytes that left the platform so shortly before the connection or the daemon ended may never have been read, in real time.
const IN_FLIGHT_REAL: Duration = Duration::from_millis(1_000);

/// A message of the feed is believed to be so late at most, in real time (`engine::keeper::agents::observe`).
const MAX_FEED_DELAY_REAL: Duration = Duration::from_millis(500);

/// How far an instant of history may be from the simulator's own.
const TOLERANCE: Duration = Duration::from_secs(90);

/// Before a token expires it is replaced (platform: the traps), and a little for the way.
const TOKEN_REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60 + 30);

/// Why a change need not be in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissingReason {
    /// No message reported it, and no snapshot was made while it lasted.
    NotShown,
    /// It was on its way when the connection or the daemon ended.
    PossiblyLost,
    /// Only a snapshot showed it that was answered after the feed had told of a later change, or at the same time, and its place is not
    /// sure.
    TooLate,
    /// The agent was in the same state just before, and what lay between was not shown: the same change, by the merge's law.
    SameState,
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub struct Reconciliation {
    pub changes: usize,
    pub matched: usize,
    pub by_both: usize,
    pub by_feed_alone: usize,
    pub by_snapshot_alone: usize,
    pub justified: BTreeMap<MissingReason, usize>,
    /// By how much instants are off, in whole seconds.
    pub offsets_s: Vec<u64>,
    /// What cannot be.
    pub wrong: Vec<String>,
}

impl fmt::Display for Reconciliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut off = self.offsets_s.clone();
        off.sort_unstable();
        let at = |percent: usize| off.get((off.len() * percent / 100).min(off.len().saturating_sub(1))).copied();
        write!(
            f,
            "{} changes, {} of them in history (shown by both {}, by the feed alone {}, by snapshots alone {}); not in it: {:?}; \
             instants off by {:?} s in the middle, {:?} s at the 99th percentile, {:?} s at most",
            self.changes,
            self.matched,
            self.by_both,
            self.by_feed_alone,
            self.by_snapshot_alone,
            self.justified,
            at(50),
            at(99),
            off.last()
        )
    }
}

/// How surely something was read by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    Possible,
    Certain,
}

/// One change by the simulator's account, and who showed it.
#[derive(Clone, Debug)]
struct ActualState {
    at: UtcMicros,
    state: AgentState,
    /// When a message reported it.
    reported: Option<(UtcMicros, Certainty)>,
    /// When the first snapshot was answered that was made while it lasted.
    observed: Option<(UtcMicros, Certainty)>,
}

/// A snapshot that was answered whole.
struct ObservedSnapshot {
    generated: UtcMicros,
    answered: UtcMicros,
    certainty: Certainty,
}

/// What the log says about observations.
struct LoggedObservations {
    /// By agent and the instant at which the state was entered.
    reported: BTreeMap<(AgentId, UtcMicros), (UtcMicros, Certainty)>,
    /// By agent, in order.
    observed: BTreeMap<AgentId, Vec<ObservedSnapshot>>,
}

impl Scenario {
    /// How late an estimate may be by the daemon's law.
    fn max_delay(&self) -> Duration {
        SAME_CHANGE_WINDOW.max(self.clock.scale_real(MAX_FEED_DELAY_REAL))
    }

    /// Holds the history of every agent of the tenant against the log. `tamper` may change it first, to judge the judge.
    pub async fn reconcile_observations(&self, tamper: impl Fn(&mut Vec<StoredHistory>)) -> Reconciliation {
        let (reader, log) = (self.reader().await, self.log());
        let shown = self.logged_observations(&log);
        let mut reckoned = Reconciliation::default();
        for world in self.sim.world_views().into_iter().filter(|world| world.id == self.tenant) {
            for view in world.agents {
                let mut rows = self.history(&reader, &view.id).await;
                tamper(&mut rows);
                let rows = without_reasons_alone(rows, &log, &view.id);
                let done = actual_states(&log, &shown, &view.id, daemon_state(view.state), &self.tenant);
                reckoned.add(&view.id, &done, &rows, self.max_delay());
            }
        }
        reader.close().await;
        reckoned
    }

    fn logged_observations(&self, log: &LogPage) -> LoggedObservations {
        let on_the_way = self.clock.scale_real(IN_FLIGHT_REAL);
        let ended = |closed: Option<UtcMicros>, at: UtcMicros| {
            let soon = |end: &UtcMicros| *end >= at && end.since(at) <= on_the_way;
            if closed.iter().chain(self.kills()).any(soon) { Certainty::Possible } else { Certainty::Certain }
        };
        let closed: BTreeMap<u64, UtcMicros> = log
            .feed
            .iter()
            .filter(|entry| entry.tenant == self.tenant && matches!(entry.event, FeedEvent::Closed { .. }))
            .map(|entry| (entry.feed, entry.at))
            .collect();
        let mut told = BTreeMap::new();
        for entry in log.feed.iter().filter(|entry| entry.tenant == self.tenant) {
            let FeedEvent::Said {
                news: FeedMessage::AgentStateChange { agent, entered, .. },
                fault: None | Some(FaultKind::Repeat),
            } = &entry.event
            else {
                continue;
            };
            let read = ended(closed.get(&entry.feed).copied(), entry.at);
            told.entry((agent.clone(), *entered)).or_insert((entry.at, read));
        }
        let slices = subscription_agents(log, self);
        let worlds = self.sim.world_views().into_iter().filter(|world| world.id == self.tenant);
        let everybody: BTreeSet<AgentId> = worlds.flat_map(|world| world.agents).map(|agent| agent.id).collect();
        let mut seen: BTreeMap<AgentId, Vec<ObservedSnapshot>> = BTreeMap::new();
        for call in
            log.requests.iter().filter(|call| call.method == "GET" && call.tenant.as_ref() == Some(&self.tenant))
        {
            if !is_poll(call) || call.status != Some(200) {
                continue;
            }
            // A poll without a subscription shows everybody, as they are when it arrives.
            let agents = call.subscription.as_ref().map_or(Some(&everybody), |id| slices.get(id.as_str()));
            let generated = call.generated.unwrap_or(call.at);
            let read = match call.fault {
                None => ended(None, call.at),
                Some(FaultKind::Delay) => Certainty::Possible,
                Some(_) => continue,
            };
            for agent in agents.into_iter().flatten() {
                seen.entry(agent.clone()).or_default().push(ObservedSnapshot {
                    generated,
                    answered: call.at,
                    certainty: read,
                });
            }
        }
        LoggedObservations { reported: told, observed: seen }
    }

    /// Two subscriptions of one slice are never polled side by side for longer than the swap, no poll comes faster than the interval,
    /// there is never more than one feed, and each token has a reason. Gives how many of each there were.
    pub fn assert_calls_are_justified(&self, token_lifetime: Duration) -> String {
        let log = self.log();
        let swaps = self.assert_one_subscription_at_a_time(&log);
        let polls = log.requests.iter().filter(|call| is_poll(call)).count();
        let too_fast = |call: &&RequestEntry| is_poll(call) && call.status == Some(429) && call.fault.is_none();
        let fast: Vec<_> = log.requests.iter().filter(too_fast).map(|call| (call.at, &call.path)).collect();
        assert!(fast.is_empty(), "polls faster than the interval: {fast:?}");
        let feeds = self.assert_one_feed(&log);
        let tokens = self.assert_tokens_have_reasons(&log, token_lifetime);
        format!("{polls} polls, {swaps} subscriptions that took over, {feeds} feeds, {tokens} tokens asked for")
    }

    fn assert_one_subscription_at_a_time(&self, log: &LogPage) -> usize {
        let swap = INTERVAL * 2 + self.clock.scale_real(IN_FLIGHT_REAL);
        let slices = subscription_agents(log, self);
        let mut polled: BTreeMap<&str, (UtcMicros, UtcMicros)> = BTreeMap::new();
        let of_subscriptions = |call: &&RequestEntry| is_poll(call) && call.path.contains("/subscription/");
        let polls = log.requests.iter().filter(of_subscriptions);
        for call in polls.filter(|call| call.tenant.as_ref() == Some(&self.tenant)) {
            let id = call.path.rsplit('/').next().expect("a path");
            polled.entry(id).and_modify(|span| span.1 = call.at).or_insert((call.at, call.at));
        }
        let mut by_slice: BTreeMap<&BTreeSet<AgentId>, Vec<(UtcMicros, UtcMicros, &str)>> = BTreeMap::new();
        for (id, (first, last)) in polled {
            let slice = slices.get(id).expect("a poll of a subscription that was made");
            by_slice.entry(slice).or_default().push((first, last, id));
        }
        let mut swaps = 0;
        for spans in by_slice.values_mut() {
            spans.sort();
            for (at, (_, last, id)) in spans.iter().enumerate() {
                for (first, _, newer) in &spans[at + 1..] {
                    assert!(last.since(*first) <= swap, "{id} is polled until {last}, {newer} since {first}");
                }
            }
            swaps += spans.len() - 1;
        }
        swaps
    }

    fn assert_one_feed(&self, log: &LogPage) -> usize {
        // The platform hears of an end only when it comes to it.
        let hears = self.clock.scale_real(IN_FLIGHT_REAL);
        let mut open: BTreeMap<u64, Option<UtcMicros>> = BTreeMap::new();
        let mut count = 0;
        for entry in log.feed.iter().filter(|entry| entry.tenant == self.tenant) {
            match entry.event {
                FeedEvent::Connected => {
                    for overlapped in open.values_mut() {
                        overlapped.get_or_insert(entry.at);
                    }
                    open.insert(entry.feed, None);
                    count += 1;
                }
                FeedEvent::Closed { .. } => {
                    let overlapped = open.remove(&entry.feed).flatten();
                    let beside = overlapped.map_or(Duration::ZERO, |since| entry.at.since(since));
                    assert!(
                        beside <= hears,
                        "feed {} stood beside another for {beside:?} until {}",
                        entry.feed,
                        entry.at
                    );
                }
                FeedEvent::Subscribed { .. } | FeedEvent::Said { .. } | FeedEvent::Answered => {}
            }
        }
        assert!(open.len() <= 1, "{open:?}");
        count
    }

    /// A token is asked for by a process that has none, near the end of the one before, after a 401, or again after a failure.
    fn assert_tokens_have_reasons(&self, log: &LogPage, lifetime: Duration) -> usize {
        let (mut last, mut reason, mut count) = (None::<UtcMicros>, true, 0);
        for call in log.requests.iter().filter(|call| call.tenant.as_ref() == Some(&self.tenant)) {
            if !call.path.ends_with("/token") {
                reason |= call.status == Some(401);
                continue;
            }
            let old = last.is_none_or(|last| call.at.since(last) + TOKEN_REFRESH_MARGIN >= lifetime);
            let new_process = self.kills().iter().any(|kill| *kill <= call.at && last.is_none_or(|last| *kill >= last));
            assert!(reason || old || new_process, "a token at {} without a reason, after {last:?}", call.at);
            let good = call.status == Some(200) && call.fault.is_none();
            (last, reason) = (Some(call.at), !good);
            count += 1;
        }
        count
    }
}

/// The agents of every subscription that was made.
fn subscription_agents(log: &LogPage, scenario: &Scenario) -> BTreeMap<String, BTreeSet<AgentId>> {
    let made =
        log.requests.iter().filter(|call| call.method == "POST" && call.tenant.as_ref() == Some(&scenario.tenant));
    made.filter_map(|call| {
        let id = call.subscription.as_ref()?.as_str().to_owned();
        let body: Value = serde_json::from_str(call.body.as_ref().expect("a body that is kept").get()).expect("JSON");
        let users = body["view"]["filter"]["userId"].as_array().expect("users");
        Some((id, users.iter().map(|user| AgentId::new(user.as_str().expect("an id"))).collect()))
    })
    .collect()
}

/// What an agent did, the state that it began in first.
fn actual_states(
    log: &LogPage,
    shown: &LoggedObservations,
    agent: &AgentId,
    now: AgentState,
    tenant: &shiftkeeper::domain::ids::TenantId,
) -> Vec<ActualState> {
    let changes: Vec<_> =
        log.changes.iter().filter(|change| change.tenant == *tenant && change.agent == *agent).collect();
    let first = changes.first().map_or(now, |change| daemon_state(change.from));
    let mut done = vec![ActualState { at: UtcMicros::EPOCH, state: first, reported: None, observed: None }];
    done.extend(changes.iter().map(|change| ActualState {
        at: change.at,
        state: daemon_state(change.to),
        reported: shown.reported.get(&(agent.clone(), change.at)).copied(),
        observed: None,
    }));
    let seen = shown.observed.get(agent).map_or(&[][..], Vec::as_slice);
    for at in 0..done.len() {
        let (from, until) = (done[at].at, done.get(at + 1).map_or(UtcMicros::MAX, |next| next.at));
        let within = seen.iter().filter(|one| one.generated >= from && one.generated < until);
        // The surest, and of these the first.
        done[at].observed =
            within.map(|one| (one.answered, one.certainty)).max_by_key(|(at, read)| (*read, std::cmp::Reverse(*at)));
    }
    done
}

/// The rows that are changes of state. A change of ours that the platform accepted while the agent was in its state already brings a reason
/// alone, of which the simulator's account of states has nothing.
fn without_reasons_alone(rows: Vec<StoredHistory>, log: &LogPage, agent: &AgentId) -> Vec<StoredHistory> {
    let accepted = |by: UtcMicros| {
        let mut ours =
            log.requests.iter().filter(|entry| entry.method == "POST" && entry.agent.as_ref() == Some(agent));
        ours.any(|entry| {
            entry.status.is_some_and(|status| status < 300) && entry.at <= by && by <= entry.at + TOLERANCE
        })
    };
    let mut before: Option<(AgentState, Option<ReasonCode>)> = None;
    let changes_state = |StoredHistory { row, .. }: &StoredHistory| {
        let same = before.replace((row.state.clone(), row.reason.clone())).filter(|(state, _)| *state == row.state);
        let other_reason = same.is_some_and(|(_, reason)| row.reason.is_some() && reason != row.reason);
        !(other_reason && row.source == ObservationSource::Post && row.transition.is_some() && accepted(row.entered_at))
    };
    rows.into_iter().filter(changes_state).collect()
}

/// Why a change need not be in history; none where it must be.
fn missing_reason(done: &[ActualState], at: usize, late_by: Duration) -> Option<MissingReason> {
    let one = &done[at];
    let later_told = done[at + 1..].iter().filter_map(|later| later.reported).map(|(at, _)| at).min();
    // Which of two that left at nearly the same time came first, nobody knows.
    let in_time = one.observed.filter(|(seen, _)| later_told.is_none_or(|told| *seen + late_by < told));
    let sources = [one.reported, in_time];
    let surely = sources.iter().flatten().any(|(_, read)| *read == Certainty::Certain);
    if surely {
        let before = done[..at].iter().rev().find(|before| before.reported.is_some() || before.observed.is_some());
        let again = before.is_some_and(|before| before.state == one.state && one.at.since(before.at) <= late_by);
        return again.then_some(MissingReason::SameState);
    }
    if sources.iter().flatten().next().is_some() {
        return Some(MissingReason::PossiblyLost);
    }
    if one.observed.is_none() {
        return Some(MissingReason::NotShown);
    }
    (!has_certain_order(done, at, late_by)).then_some(MissingReason::TooLate)
}

/// Whether a change that only a late snapshot showed has its place in history all the same: one later change alone was told by then, and
/// all that was shown lies so far apart that nobody can doubt the order.
fn has_certain_order(done: &[ActualState], at: usize, late_by: Duration) -> bool {
    let one = &done[at];
    let Some((answered, Certainty::Certain)) = one.observed else { return false };
    let told: Vec<&ActualState> = done[at + 1..]
        .iter()
        .filter(|later| later.reported.is_some_and(|(told, _)| told <= answered + late_by))
        .collect();
    let before = done[..at].iter().rev().find(|before| before.reported.is_some() || before.observed.is_some());
    let follows = before.is_some_and(|before| before.state != one.state && one.at > before.at + 3 * late_by);
    follows
        && matches!(told[..], [later] if later.at > one.at + 3 * late_by && later.reported.is_some_and(|(told, _)| told + late_by < answered))
}

/// Costs of the comparison; the alignment with the lowest cost counts.
const JUSTIFIED_COST: u64 = 1_000;
const WRONG_COST: u64 = 1_000_000;

impl Reconciliation {
    fn add(&mut self, agent: &AgentId, done: &[ActualState], rows: &[StoredHistory], late_by: Duration) {
        let excuses: Vec<Option<MissingReason>> = (0..done.len()).map(|at| missing_reason(done, at, late_by)).collect();
        // Nobody may have looked while the agent was in the state that it began in.
        let skip = |at: usize| if at == 0 || excuses[at].is_some() { JUSTIFIED_COST } else { WRONG_COST };
        let (width, height) = (rows.len() + 1, done.len() + 1);
        let mut cost = vec![0_u64; width * height];
        for at in (0..height).rev() {
            for row in (0..width).rev() {
                let here = at * width + row;
                let left_out = (at < done.len()).then(|| skip(at) + cost[here + width]);
                let invented = (row < rows.len()).then(|| WRONG_COST + cost[here + 1]);
                let same = (at < done.len() && row < rows.len()).then(|| time_offset(done, at, &rows[row])).flatten();
                let same = same.map(|off| off.as_secs() + cost[here + width + 1]);
                cost[here] = [left_out, invented, same].into_iter().flatten().min().unwrap_or(0);
            }
        }
        self.changes += done.len() - 1;
        let (mut at, mut row) = (0, 0);
        while at < done.len() || row < rows.len() {
            let here = at * width + row;
            let same = (at < done.len() && row < rows.len()).then(|| time_offset(done, at, &rows[row])).flatten();
            if let Some(off) = same.filter(|off| cost[here] == off.as_secs() + cost[here + width + 1]) {
                if at > 0 {
                    self.record_match(&done[at], off);
                }
                (at, row) = (at + 1, row + 1);
            } else if at < done.len() && cost[here] == skip(at) + cost[here + width] {
                if at > 0 {
                    self.record_missing(agent, done, at, excuses[at]);
                }
                at += 1;
            } else {
                let StoredHistory { row: kept, .. } = &rows[row];
                let around: Vec<_> = done
                    .iter()
                    .filter(|one| {
                        one.at + TOLERANCE * 2 >= kept.entered_at && one.at <= kept.entered_at + TOLERANCE * 2
                    })
                    .collect();
                self.wrong.push(format!(
                    "{agent}: history has {} at {} by {:?}, which did not happen; what did: {around:#?}",
                    kept.state, kept.entered_at, kept.source
                ));
                row += 1;
            }
        }
    }

    fn record_match(&mut self, done: &ActualState, off: Duration) {
        self.matched += 1;
        self.offsets_s.push(off.as_secs());
        match (done.reported, done.observed) {
            (Some(_), Some(_)) => self.by_both += 1,
            (Some(_), None) => self.by_feed_alone += 1,
            (None, Some(_)) => self.by_snapshot_alone += 1,
            // What our own accepted POST brought about needs nobody to show it.
            (None, None) => {}
        }
    }

    fn record_missing(&mut self, agent: &AgentId, done: &[ActualState], at: usize, excuse: Option<MissingReason>) {
        if let Some(excuse) = excuse {
            *self.justified.entry(excuse).or_default() += 1;
            return;
        }
        let around = &done[at.saturating_sub(2)..done.len().min(at + 3)];
        self.wrong.push(format!(
            "{agent}: {} at {} was shown and is not in history: {around:#?}",
            done[at].state, done[at].at
        ));
    }
}

/// By how much a row's instant is off, where it can be that change.
fn time_offset(done: &[ActualState], at: usize, row: &StoredHistory) -> Option<Duration> {
    let one = &done[at];
    if one.state != row.row.state {
        return None;
    }
    if at == 0 {
        return Some(Duration::ZERO);
    }
    let off = one.at.since(row.row.entered_at).max(row.row.entered_at.since(one.at));
    (off <= TOLERANCE).then_some(off)
}
