//! The bookkeeping of one stream, without IO: which events are read and not recorded yet, which may leave, and which wait in
//! memory for an earlier one of the same agent.
//!
//! An agent is busy from the moment that an event of theirs may leave until its result is durable. While rows of theirs wait in
//! the store, nothing of theirs is held here: what is read becomes a row behind those. So memory is bounded by what was read and
//! not recorded, whatever fails.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::domain::ids::AgentId;
use crate::store::{DueDelivery, StoredEvent};

/// The most events that are read and not recorded.
pub(super) const WINDOW: usize = 4096;

/// A delivery that may leave.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) event: StoredEvent,
    /// Attempts of this round.
    pub(super) attempts: u32,
    /// Attempts of rounds before.
    pub(super) earlier: u32,
    /// It has a row in the store.
    pub(super) recorded: bool,
}

/// What is to be written of an event that was read: a row behind an earlier one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) number: u64,
    pub(super) agent: AgentId,
}

/// What belongs to one agent.
#[derive(Debug, Default)]
struct Queue {
    /// Something of theirs may leave, is under way, or is being recorded.
    busy: bool,
    /// Rows of theirs that wait in the store.
    waiting: u64,
    /// Events of theirs that wait here.
    behind: VecDeque<StoredEvent>,
}

/// The bookkeeping.
#[derive(Debug)]
pub(super) struct Line {
    /// Read, and in no commit yet.
    unrecorded: BTreeSet<u64>,
    read_through: u64,
    /// Past the cursor and recorded already, by the process before.
    known: HashSet<u64>,
    ready: VecDeque<Piece>,
    agents: HashMap<AgentId, Queue>,
    /// Rows of the store that may leave, are under way, or are being recorded.
    claimed: HashSet<u64>,
}

impl Line {
    /// As the store has it.
    pub(super) fn new(cursor: u64, known: Vec<u64>, waiting: Vec<(AgentId, u64)>) -> Self {
        let mut line = Self {
            unrecorded: BTreeSet::new(),
            read_through: cursor,
            known: known.into_iter().collect(),
            ready: VecDeque::new(),
            agents: HashMap::new(),
            claimed: HashSet::new(),
        };
        line.set_waiting(waiting);
        line
    }

    /// What waits in the store, as it was counted when no change of it was under way.
    pub(super) fn set_waiting(&mut self, waiting: Vec<(AgentId, u64)>) {
        for queue in self.agents.values_mut() {
            queue.waiting = 0;
        }
        for (agent, count) in waiting {
            self.agents.entry(agent).or_default().waiting = count;
        }
    }

    /// Events up to here were read.
    pub(super) const fn read_through(&self) -> u64 {
        self.read_through
    }

    /// Every event up to here is recorded or was not selected, once what is in the next commit is.
    pub(super) fn cursor(&self) -> u64 {
        self.unrecorded.first().map_or(self.read_through, |first| first - 1)
    }

    /// Whether another page may be read.
    pub(super) fn has_room(&self, page: usize, low: usize) -> bool {
        self.ready.len() < low && self.unrecorded.len() + page <= WINDOW
    }

    /// How many deliveries may leave or are claimed from the store.
    pub(super) fn claimed(&self) -> usize {
        self.claimed.len()
    }

    /// Takes in the next event; says when it must be recorded behind an earlier one.
    pub(super) fn take(&mut self, event: StoredEvent, selected: bool) -> Option<Behind> {
        self.read_through = event.number;
        if self.known.remove(&event.number) || !selected {
            return None;
        }
        let number = event.number;
        let Some(agent) = event.agent.clone() else {
            self.unrecorded.insert(number);
            self.ready.push_back(Piece { event, attempts: 0, earlier: 0, recorded: false });
            return None;
        };
        let queue = self.agents.entry(agent.clone()).or_default();
        if queue.waiting > 0 {
            queue.waiting += 1;
            return Some(Behind { number, agent });
        }
        self.unrecorded.insert(number);
        if queue.busy {
            queue.behind.push_back(event);
        } else {
            queue.busy = true;
            self.ready.push_back(Piece { event, attempts: 0, earlier: 0, recorded: false });
        }
        None
    }

    /// Takes in a delivery that the store says is due. False where it cannot leave now, since another of the same agent is
    /// under way.
    pub(super) fn take_due(&mut self, due: DueDelivery) -> bool {
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
        self.ready.push_back(Piece { event: due.event, attempts: due.attempts, earlier: due.earlier, recorded: true });
        true
    }

    /// The next that may leave.
    pub(super) fn next(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    /// A delivery without a row gets one that waits: it failed, or it takes long. What waits here behind it gets rows too.
    pub(super) fn becomes_waiting(&mut self, number: u64, agent: Option<&AgentId>) -> Vec<Behind> {
        self.unrecorded.remove(&number);
        self.claimed.insert(number);
        let Some(agent) = agent else { return Vec::new() };
        self.agents.entry(agent.clone()).or_default().waiting += 1;
        self.fall_behind(agent)
    }

    /// A delivery is settled. True where the next of the agent's rows may go once this is recorded.
    pub(super) fn is_settled(&mut self, number: u64, agent: Option<&AgentId>, recorded: bool) -> bool {
        self.unrecorded.remove(&number);
        let Some(queue) = agent.and_then(|agent| self.agents.get_mut(agent)) else { return false };
        if recorded {
            queue.waiting = queue.waiting.saturating_sub(1);
        }
        queue.waiting > 0
    }

    /// A person asks for a row again that did not wait.
    pub(super) fn waits_again(&mut self, agent: Option<&AgentId>) {
        if let Some(agent) = agent {
            self.agents.entry(agent.clone()).or_default().waiting += 1;
        }
    }

    /// The result of an attempt is durable: the agent's next may leave. Gives what falls behind rows of the store instead.
    pub(super) fn is_durable(&mut self, number: u64, agent: Option<&AgentId>) -> Vec<Behind> {
        self.claimed.remove(&number);
        let Some(agent) = agent else { return Vec::new() };
        let Some(queue) = self.agents.get_mut(agent) else { return Vec::new() };
        queue.busy = false;
        if queue.waiting > 0 {
            return self.fall_behind(agent);
        }
        match queue.behind.pop_front() {
            Some(event) => {
                queue.busy = true;
                self.ready.push_back(Piece { event, attempts: 0, earlier: 0, recorded: false });
            }
            None => {
                self.agents.remove(agent);
            }
        }
        Vec::new()
    }

    fn fall_behind(&mut self, agent: &AgentId) -> Vec<Behind> {
        let Some(queue) = self.agents.get_mut(agent) else { return Vec::new() };
        let fallen = std::mem::take(&mut queue.behind);
        queue.waiting += fallen.len() as u64;
        for event in &fallen {
            self.unrecorded.remove(&event.number);
        }
        fallen.into_iter().map(|event| Behind { number: event.number, agent: agent.clone() }).collect()
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

    fn ready(line: &mut Line) -> Vec<u64> {
        std::iter::from_fn(|| line.next()).map(|piece| piece.event.number).collect()
    }

    fn numbers(behind: &[Behind]) -> Vec<u64> {
        behind.iter().map(|behind| behind.number).collect()
    }

    #[test]
    fn one_event_of_an_agent_leaves_at_a_time_and_the_next_when_it_is_durable() {
        let mut line = Line::new(0, vec![], vec![]);
        let a = AgentId::new("a");
        for (number, agent) in [(1, Some("a")), (2, Some("a")), (3, Some("b")), (4, None), (5, None)] {
            assert_eq!(line.take(event(number, agent), true), None);
        }
        assert_eq!(ready(&mut line), [1, 3, 4, 5]);
        assert_eq!(line.cursor(), 0);
        assert!(!line.is_settled(1, Some(&a), false));
        assert_eq!((line.cursor(), ready(&mut line)), (1, vec![]), "settled is not durable");
        assert_eq!(line.is_durable(1, Some(&a)), []);
        assert_eq!(ready(&mut line), [2]);
        for number in [3, 4, 5] {
            line.is_settled(number, None, false);
        }
        assert_eq!(line.cursor(), 1, "2 is not recorded");
        line.is_settled(2, Some(&a), false);
        assert_eq!(line.cursor(), 5);
    }

    #[test]
    fn what_comes_after_a_failure_waits_in_the_store_and_not_in_memory() {
        let mut line = Line::new(0, vec![], vec![]);
        let a = AgentId::new("a");
        for number in 1..=3 {
            line.take(event(number, Some("a")), true);
        }
        assert_eq!(ready(&mut line), [1]);
        assert_eq!(numbers(&line.becomes_waiting(1, Some(&a))), [2, 3]);
        assert_eq!(line.cursor(), 3);
        assert_eq!(line.take(event(4, Some("a")), true), Some(Behind { number: 4, agent: a.clone() }));
        assert_eq!(line.is_durable(1, Some(&a)), []);
        assert!(ready(&mut line).is_empty());
        let due = |number| DueDelivery { event: event(number, Some("a")), attempts: 1, earlier: 0 };
        for number in 1..=4 {
            assert!(line.take_due(due(number)));
            assert!(number == 4 || !line.take_due(due(number + 1)), "one at a time");
            assert_eq!(ready(&mut line), [number]);
            assert_eq!(line.is_settled(number, Some(&a), true), number < 4, "the next may go");
            assert_eq!(line.is_durable(number, Some(&a)), []);
        }
        assert_eq!(line.take(event(5, Some("a")), true), None);
        assert_eq!(ready(&mut line), [5]);
        assert_eq!(line.agents.len(), 1);
    }

    #[test]
    fn what_a_person_wants_again_goes_before_what_waits_in_memory() {
        let mut line = Line::new(9, vec![], vec![]);
        let a = AgentId::new("a");
        line.take(event(10, Some("a")), true);
        line.take(event(11, Some("a")), true);
        line.waits_again(Some(&a));
        assert!(line.is_settled(10, Some(&a), false));
        assert_eq!(numbers(&line.is_durable(10, Some(&a))), [11]);
        assert_eq!(line.cursor(), 11);
    }

    #[test]
    fn what_the_process_before_has_recorded_is_not_sent_again() {
        let mut line = Line::new(1, vec![3], vec![("b".into(), 1)]);
        assert_eq!(line.take(event(2, Some("a")), true), None);
        assert_eq!(line.take(event(3, Some("a")), true), None);
        assert_eq!(line.take(event(4, Some("a")), false), None, "not selected");
        assert!(line.take(event(5, Some("b")), true).is_some(), "the first of b waits in the store");
        assert_eq!(ready(&mut line), [2]);
        assert_eq!((line.cursor(), line.read_through()), (1, 5));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut line = Line::new(0, vec![], vec![]);
        let mut number = 0;
        while line.has_room(256, 256) {
            for _ in 0..256 {
                number += 1;
                line.take(event(number, Some("a")), true);
            }
        }
        assert_eq!(line.unrecorded.len(), WINDOW);
    }
}
