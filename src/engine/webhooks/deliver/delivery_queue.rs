//! The in-memory state of one stream, without I/O: which events were read and not recorded yet, which can be sent, and
//! which wait for an earlier event of the same agent.
//!
//! An agent is busy from the moment that one of its events can be sent until the result is durable. While an agent has
//! waiting rows in the store, none of its events are held in memory: newly read ones become rows behind those. Memory
//! is therefore bounded by what was read and not recorded, whatever fails.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::domain::ids::AgentId;
use crate::store::{DueDelivery, StoredEvent};

/// The most events that are read and not yet recorded.
pub(super) const MAX_UNRECORDED: usize = 4096;

/// A delivery that can be sent.
#[derive(Debug)]
pub(super) struct ReadyDelivery {
    pub(super) event: StoredEvent,
    /// Attempts in the present round.
    pub(super) attempts: u32,
    /// Attempts in earlier rounds.
    pub(super) earlier: u32,
    /// Whether the store has a row for it.
    pub(super) recorded: bool,
}

/// An event that must be recorded as a row behind an earlier one of the same agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BlockedDelivery {
    pub(super) number: u64,
    pub(super) agent: AgentId,
}

/// The state of one agent.
#[derive(Debug, Default)]
struct AgentQueue {
    /// Whether one of its deliveries is ready, in progress or being recorded.
    busy: bool,
    /// The number of its rows that wait in the store.
    waiting: u64,
    /// Its events that wait in memory.
    blocked: VecDeque<StoredEvent>,
}

/// The queue of one stream.
#[derive(Debug)]
pub(super) struct DeliveryQueue {
    /// Events that were read and are in no commit yet.
    unrecorded: BTreeSet<u64>,
    read_through: u64,
    /// Events after the cursor that the previous process already recorded.
    already_recorded: HashSet<u64>,
    ready: VecDeque<ReadyDelivery>,
    agents: HashMap<AgentId, AgentQueue>,
    /// Rows of the store that are ready, in progress or being recorded.
    claimed: HashSet<u64>,
}

impl DeliveryQueue {
    /// Creates the queue from the stored state.
    pub(super) fn new(cursor: u64, already_recorded: Vec<u64>, waiting: Vec<(AgentId, u64)>) -> Self {
        let mut line = Self {
            unrecorded: BTreeSet::new(),
            read_through: cursor,
            already_recorded: already_recorded.into_iter().collect(),
            ready: VecDeque::new(),
            agents: HashMap::new(),
            claimed: HashSet::new(),
        };
        line.set_waiting(waiting);
        line
    }

    /// Sets the number of waiting rows per agent, as counted in the store while no change of them was in progress.
    pub(super) fn set_waiting(&mut self, waiting: Vec<(AgentId, u64)>) {
        for queue in self.agents.values_mut() {
            queue.waiting = 0;
        }
        for (agent, count) in waiting {
            self.agents.entry(agent).or_default().waiting = count;
        }
    }

    /// Returns the number of the last event read.
    pub(super) const fn read_through(&self) -> u64 {
        self.read_through
    }

    /// Returns the cursor after the next commit: every event up to it is recorded or was not selected.
    pub(super) fn cursor(&self) -> u64 {
        self.unrecorded.first().map_or(self.read_through, |first| first - 1)
    }

    /// Returns whether another page may be read.
    pub(super) fn has_room(&self, page: usize, low: usize) -> bool {
        self.ready.len() < low && self.unrecorded.len() + page <= MAX_UNRECORDED
    }

    /// Returns the number of rows claimed from the store.
    pub(super) fn claimed(&self) -> usize {
        self.claimed.len()
    }

    /// Accepts the next event. Returns it if it must be recorded as a row behind an earlier one.
    pub(super) fn accept(&mut self, event: StoredEvent, selected: bool) -> Option<BlockedDelivery> {
        self.read_through = event.number;
        if self.already_recorded.remove(&event.number) || !selected {
            return None;
        }
        let number = event.number;
        let Some(agent) = event.agent.clone() else {
            self.unrecorded.insert(number);
            self.ready.push_back(ReadyDelivery { event, attempts: 0, earlier: 0, recorded: false });
            return None;
        };
        let queue = self.agents.entry(agent.clone()).or_default();
        if queue.waiting > 0 {
            queue.waiting += 1;
            return Some(BlockedDelivery { number, agent });
        }
        self.unrecorded.insert(number);
        if queue.busy {
            queue.blocked.push_back(event);
        } else {
            queue.busy = true;
            self.ready.push_back(ReadyDelivery { event, attempts: 0, earlier: 0, recorded: false });
        }
        None
    }

    /// Accepts a delivery that is due in the store. Returns `false` if it cannot be sent now because another one of the
    /// same agent is in progress.
    pub(super) fn accept_due(&mut self, due: DueDelivery) -> bool {
        if self.claimed.contains(&due.event.number) {
            return true;
        }
        if let Some(agent) = &due.event.agent {
            let queue = self.agents.entry(agent.clone()).or_default();
            if std::mem::replace(&mut queue.busy, true) {
                return false;
            }
        }
        self.claimed.insert(due.event.number);
        self.ready.push_back(ReadyDelivery {
            event: due.event,
            attempts: due.attempts,
            earlier: due.earlier_attempts,
            recorded: true,
        });
        true
    }

    /// Returns the next delivery to send.
    pub(super) fn pop_ready(&mut self) -> Option<ReadyDelivery> {
        self.ready.pop_front()
    }

    /// Marks a delivery as a waiting row, because it failed or takes long. Returns the events queued behind it, which
    /// become rows too.
    pub(super) fn mark_waiting(&mut self, number: u64, agent: Option<&AgentId>) -> Vec<BlockedDelivery> {
        self.unrecorded.remove(&number);
        self.claimed.insert(number);
        let Some(agent) = agent else { return Vec::new() };
        self.agents.entry(agent.clone()).or_default().waiting += 1;
        self.block_queued(agent)
    }

    /// Marks a delivery as settled. Returns `true` if the agent's next row can be sent once this is recorded.
    pub(super) fn mark_settled(&mut self, number: u64, agent: Option<&AgentId>, recorded: bool) -> bool {
        self.unrecorded.remove(&number);
        let Some(queue) = agent.and_then(|agent| self.agents.get_mut(agent)) else { return false };
        if recorded {
            queue.waiting = queue.waiting.saturating_sub(1);
        }
        queue.waiting > 0
    }

    /// Counts a row that did not wait and that a person has requested again.
    pub(super) fn mark_waiting_again(&mut self, agent: Option<&AgentId>) {
        if let Some(agent) = agent {
            self.agents.entry(agent.clone()).or_default().waiting += 1;
        }
    }

    /// Marks the result of an attempt as durable, so that the agent's next event can be sent. Returns the queued events
    /// that become rows instead.
    pub(super) fn mark_durable(&mut self, number: u64, agent: Option<&AgentId>) -> Vec<BlockedDelivery> {
        self.claimed.remove(&number);
        let Some(agent) = agent else { return Vec::new() };
        let Some(queue) = self.agents.get_mut(agent) else { return Vec::new() };
        queue.busy = false;
        if queue.waiting > 0 {
            return self.block_queued(agent);
        }
        match queue.blocked.pop_front() {
            Some(event) => {
                queue.busy = true;
                self.ready.push_back(ReadyDelivery { event, attempts: 0, earlier: 0, recorded: false });
            }
            None => {
                self.agents.remove(agent);
            }
        }
        Vec::new()
    }

    fn block_queued(&mut self, agent: &AgentId) -> Vec<BlockedDelivery> {
        let Some(queue) = self.agents.get_mut(agent) else { return Vec::new() };
        let blocked = std::mem::take(&mut queue.blocked);
        queue.waiting += blocked.len() as u64;
        for event in &blocked {
            self.unrecorded.remove(&event.number);
        }
        blocked.into_iter().map(|event| BlockedDelivery { number: event.number, agent: agent.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::EventId;
    use crate::domain::time::UtcMicros;
    use crate::domain::webhooks::event::EventKind;

    fn event(number: u64, agent: Option<&str>) -> StoredEvent {
        StoredEvent {
            number,
            id: EventId(uuid::Uuid::from_u128(number.into())),
            at: UtcMicros::EPOCH,
            kind: EventKind::AgentStateChanged,
            agent: agent.map(AgentId::new),
            sequence: None,
            body: String::new(),
        }
    }

    fn ready(line: &mut DeliveryQueue) -> Vec<u64> {
        std::iter::from_fn(|| line.pop_ready()).map(|piece| piece.event.number).collect()
    }

    fn numbers(behind: &[BlockedDelivery]) -> Vec<u64> {
        behind.iter().map(|behind| behind.number).collect()
    }

    #[test]
    fn one_event_of_an_agent_leaves_at_a_time_and_the_next_when_it_is_durable() {
        let mut line = DeliveryQueue::new(0, vec![], vec![]);
        let a = AgentId::new("a");
        for (number, agent) in [(1, Some("a")), (2, Some("a")), (3, Some("b")), (4, None), (5, None)] {
            assert_eq!(line.accept(event(number, agent), true), None);
        }
        assert_eq!(ready(&mut line), [1, 3, 4, 5]);
        assert_eq!(line.cursor(), 0);
        assert!(!line.mark_settled(1, Some(&a), false));
        assert_eq!((line.cursor(), ready(&mut line)), (1, vec![]), "settled is not durable");
        assert_eq!(line.mark_durable(1, Some(&a)), []);
        assert_eq!(ready(&mut line), [2]);
        for number in [3, 4, 5] {
            line.mark_settled(number, None, false);
        }
        assert_eq!(line.cursor(), 1, "2 is not recorded");
        line.mark_settled(2, Some(&a), false);
        assert_eq!(line.cursor(), 5);
    }

    #[test]
    fn what_comes_after_a_failure_waits_in_the_store_and_not_in_memory() {
        let mut line = DeliveryQueue::new(0, vec![], vec![]);
        let a = AgentId::new("a");
        for number in 1..=3 {
            line.accept(event(number, Some("a")), true);
        }
        assert_eq!(ready(&mut line), [1]);
        assert_eq!(numbers(&line.mark_waiting(1, Some(&a))), [2, 3]);
        assert_eq!(line.cursor(), 3);
        assert_eq!(line.accept(event(4, Some("a")), true), Some(BlockedDelivery { number: 4, agent: a.clone() }));
        assert_eq!(line.mark_durable(1, Some(&a)), []);
        assert!(ready(&mut line).is_empty());
        let due = |number| DueDelivery { event: event(number, Some("a")), attempts: 1, earlier_attempts: 0 };
        for number in 1..=4 {
            assert!(line.accept_due(due(number)));
            assert!(number == 4 || !line.accept_due(due(number + 1)), "one at a time");
            assert_eq!(ready(&mut line), [number]);
            assert_eq!(line.mark_settled(number, Some(&a), true), number < 4, "the next may go");
            assert_eq!(line.mark_durable(number, Some(&a)), []);
        }
        assert_eq!(line.accept(event(5, Some("a")), true), None);
        assert_eq!(ready(&mut line), [5]);
        assert_eq!(line.agents.len(), 1);
    }

    #[test]
    fn a_persons_resend_goes_before_deliveries_in_memory() {
        let mut line = DeliveryQueue::new(9, vec![], vec![]);
        let a = AgentId::new("a");
        line.accept(event(10, Some("a")), true);
        line.accept(event(11, Some("a")), true);
        line.mark_waiting_again(Some(&a));
        assert!(line.mark_settled(10, Some(&a), false));
        assert_eq!(numbers(&line.mark_durable(10, Some(&a))), [11]);
        assert_eq!(line.cursor(), 11);
    }

    #[test]
    fn what_the_process_before_has_recorded_is_not_sent_again() {
        let mut line = DeliveryQueue::new(1, vec![3], vec![("b".into(), 1)]);
        assert_eq!(line.accept(event(2, Some("a")), true), None);
        assert_eq!(line.accept(event(3, Some("a")), true), None);
        assert_eq!(line.accept(event(4, Some("a")), false), None, "not selected");
        assert!(line.accept(event(5, Some("b")), true).is_some(), "the first of b waits in the store");
        assert_eq!(ready(&mut line), [2]);
        assert_eq!((line.cursor(), line.read_through()), (1, 5));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut line = DeliveryQueue::new(0, vec![], vec![]);
        let mut number = 0;
        while line.has_room(256, 256) {
            for _ in 0..256 {
                number += 1;
                line.accept(event(number, Some("a")), true);
            }
        }
        assert_eq!(line.unrecorded.len(), MAX_UNRECORDED);
    }
}
