//! Contacts and their queues, one for each skill: arrivals, answers and abandonment. Pure.
//!
//! An available agent (`agent`) knows when its next contact will come and with which skill. This module gives that
//! contact a wait before it is answered, so that figures, queues and agents agree. More contacts arrive that nobody
//! answers, by the time of day. All figures are made up and none is measured.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::random::RandomStream;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The load of each hour of the day in UTC, in tenths of the usual.
const BUSYNESS: [u32; 24] = [2, 1, 1, 1, 2, 4, 7, 10, 13, 14, 13, 11, 10, 12, 14, 13, 12, 10, 8, 7, 6, 5, 4, 3];
/// The longest wait that is still within the service level (a usual threshold).
pub(super) const SERVICE_THRESHOLD: Duration = Duration::from_secs(20);
/// The window of the service level, in minutes.
const SERVICE_WINDOW_MIN: usize = 30;
/// The mean time between contacts that nobody answers, for one agent of the skill, in seconds.
const UNASSIGNED_INTERVAL_S: u32 = 4_000;

/// A skill, and the queue of the same contacts.
#[derive(Debug)]
pub(super) struct Skill {
    pub(super) id: u32,
    pub(super) queue: String,
    pub(super) name: Arc<str>,
}

/// The position of a skill in the tenant's list.
pub(super) type SkillIndex = u16;

/// A contact that entered or left a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueMove {
    pub(super) at: UtcMicros,
    pub(super) skill: SkillIndex,
    pub(super) arrived: bool,
}

/// The figures of a queue at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct WaitFigures {
    pub(super) waiting: usize,
    pub(super) longest: Duration,
    pub(super) average: Duration,
    /// The share of contacts answered in time, from 0 to 1; 1 without contacts.
    pub(super) service_level: f64,
    /// The contacts of the last half hour that were answered in time, and the others.
    pub(super) in_time: u32,
    pub(super) late: u32,
}

#[derive(Debug)]
struct Contact {
    skill: SkillIndex,
    /// The instant at which it entered the queue; `None` if it is not there yet.
    queued: Option<UtcMicros>,
}

/// The contact that an agent will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PlannedContact {
    contact: u64,
    skill: SkillIndex,
    at: UtcMicros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DueEvent {
    Arrives(u64),
    GivesUp(u64),
    /// The next contact that nobody will take.
    UnassignedContact(SkillIndex),
}

#[derive(Debug, Default)]
struct ContactQueue {
    waiting: BTreeMap<u64, UtcMicros>,
    /// The number of agents with the skill.
    agents: u32,
    /// The contacts that left the queue, by minute: all, and those answered in time.
    departures: [(i64, u32, u32); SERVICE_WINDOW_MIN],
}

/// All queues of one tenant.
#[derive(Debug)]
pub(super) struct Contacts {
    queues: Vec<ContactQueue>,
    by_id: HashMap<u64, Contact>,
    planned: HashMap<usize, PlannedContact>,
    due: BinaryHeap<Reverse<(UtcMicros, DueEvent)>>,
    last_number: u64,
    dice: RandomStream,
    moves: Vec<QueueMove>,
}

impl Contacts {
    /// Creates empty queues; `agents_by_skill` is the number of active agents with each skill.
    pub(super) fn new(agents_by_skill: &[u32], tenant: &TenantId, seed: u64, start: UtcMicros) -> Self {
        let queues =
            agents_by_skill.iter().map(|crew| ContactQueue { agents: *crew, ..ContactQueue::default() }).collect();
        let mut contacts = Self {
            queues,
            by_id: HashMap::new(),
            planned: HashMap::new(),
            due: BinaryHeap::new(),
            last_number: 0,
            dice: RandomStream::for_path(seed, &["contacts", tenant.as_str()]),
            moves: Vec::new(),
        };
        for skill in 0..SkillIndex::try_from(agents_by_skill.len()).unwrap_or(SkillIndex::MAX) {
            contacts.schedule_unassigned_contact(skill, start);
        }
        contacts
    }

    /// Returns the instant of the next event.
    pub(super) fn due_at(&self) -> Option<UtcMicros> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Processes the next event.
    pub(super) fn process_next(&mut self) {
        let Some(Reverse((at, due))) = self.due.pop() else { return };
        match due {
            DueEvent::Arrives(contact) => self.enqueue(contact, at),
            DueEvent::GivesUp(contact) => self.dequeue(contact, at, false),
            DueEvent::UnassignedContact(skill) => {
                let contact = self.new_contact(skill);
                self.enqueue(contact, at);
                self.schedule_abandonment(contact, at);
                self.schedule_unassigned_contact(skill, at);
            }
        }
    }

    /// Returns the moves since the last call.
    pub(super) fn drain_moves(&mut self) -> std::vec::Drain<'_, QueueMove> {
        self.moves.drain(..)
    }

    /// Plans an agent's next contact as known at `now`: when it will be taken, and its skill. A queued contact that
    /// the agent will no longer take stays in the queue until it is abandoned.
    pub(super) fn plan_contact(&mut self, agent: usize, next: Option<(UtcMicros, SkillIndex)>, now: UtcMicros) {
        let planned = self.planned.get(&agent).copied();
        if planned.map(|coming| (coming.at, coming.skill)) == next {
            return;
        }
        if let Some(PlannedContact { contact, .. }) = planned {
            self.planned.remove(&agent);
            if self.by_id.get(&contact).is_some_and(|contact| contact.queued.is_some()) {
                self.schedule_abandonment(contact, now);
            } else {
                self.by_id.remove(&contact);
            }
        }
        if let Some((at, skill)) = next {
            let contact = self.new_contact(skill);
            let wait = self.dice.exponential(3 + 3 * busyness_at(at), 0, 240);
            self.due.push(Reverse(((at - wait).max(now), DueEvent::Arrives(contact))));
            self.planned.insert(agent, PlannedContact { contact, skill, at });
        }
    }

    /// Records that an agent has taken its contact.
    pub(super) fn contact_taken(&mut self, agent: usize, at: UtcMicros) {
        if let Some(PlannedContact { contact, .. }) = self.planned.remove(&agent) {
            self.enqueue(contact, at);
            self.dequeue(contact, at, true);
        }
    }

    /// Returns the figures of a queue.
    pub(super) fn figures(&self, skill: SkillIndex, now: UtcMicros) -> WaitFigures {
        let Some(queue) = self.queues.get(usize::from(skill)) else { return WaitFigures::default() };
        let waits = || queue.waiting.values().map(|since| now.since(*since));
        let waiting = queue.waiting.len();
        let average = waits().sum::<Duration>() / u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
        let looks_back = i64::try_from(SERVICE_WINDOW_MIN).unwrap_or(i64::MAX);
        let lately = queue.departures.iter().filter(|(minute, ..)| minute_of(now) - minute < looks_back);
        let (all, in_time) = lately.fold((0, 0), |(all, good), (_, more, better)| (all + more, good + better));
        let service_level = if all == 0 { 1.0 } else { f64::from(in_time) / f64::from(all) };
        let longest = waits().max().unwrap_or_default();
        WaitFigures { waiting, longest, average, service_level, in_time, late: all - in_time }
    }

    fn new_contact(&mut self, skill: SkillIndex) -> u64 {
        self.last_number += 1;
        self.by_id.insert(self.last_number, Contact { skill, queued: None });
        self.last_number
    }

    /// Puts a contact into its queue, unless it is there already or no longer exists.
    fn enqueue(&mut self, contact: u64, at: UtcMicros) {
        let Some(Contact { skill, queued: queued @ None }) = self.by_id.get_mut(&contact) else { return };
        *queued = Some(at);
        let skill = *skill;
        if let Some(line) = self.queues.get_mut(usize::from(skill)) {
            line.waiting.insert(contact, at);
        }
        self.moves.push(QueueMove { at, skill, arrived: true });
    }

    /// Removes a contact from its queue, answered or abandoned.
    fn dequeue(&mut self, contact: u64, at: UtcMicros, served: bool) {
        let Some(Contact { skill, queued: Some(since) }) = self.by_id.remove(&contact) else { return };
        if let Some(line) = self.queues.get_mut(usize::from(skill)) {
            line.waiting.remove(&contact);
            line.record_departure(at, served && at.since(since) <= SERVICE_THRESHOLD);
        }
        self.moves.push(QueueMove { at, skill, arrived: false });
    }

    fn schedule_abandonment(&mut self, contact: u64, now: UtcMicros) {
        self.due.push(Reverse((now + self.dice.exponential(60, 5, 600), DueEvent::GivesUp(contact))));
    }

    fn schedule_unassigned_contact(&mut self, skill: SkillIndex, now: UtcMicros) {
        let agents = self.queues.get(usize::from(skill)).map_or(0, |line| line.agents);
        if let Some(mean) = (UNASSIGNED_INTERVAL_S.saturating_mul(10) / busyness_at(now)).checked_div(agents) {
            self.due.push(Reverse((now + self.dice.exponential(mean, 1, 14_400), DueEvent::UnassignedContact(skill))));
        }
    }
}

impl ContactQueue {
    fn record_departure(&mut self, at: UtcMicros, in_time: bool) {
        let minute = minute_of(at);
        let index = usize::try_from(minute).unwrap_or(0) % SERVICE_WINDOW_MIN;
        if let Some(bucket) = self.departures.get_mut(index) {
            if bucket.0 != minute {
                *bucket = (minute, 0, 0);
            }
            bucket.1 += 1;
            bucket.2 += u32::from(in_time);
        }
    }
}

fn minute_of(at: UtcMicros) -> i64 {
    at.as_micros().div_euclid(60_000_000)
}

fn busyness_at(at: UtcMicros) -> u32 {
    let hour = minute_of(at).div_euclid(60).rem_euclid(24);
    usize::try_from(hour).ok().and_then(|hour| BUSYNESS.get(hour)).copied().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn afternoon() -> UtcMicros {
        "2026-10-28T14:00:00Z".parse().expect("a valid instant")
    }

    /// Lets time pass, and gives what moved.
    fn advance(contacts: &mut Contacts, until: UtcMicros) -> Vec<QueueMove> {
        while contacts.due_at().is_some_and(|at| at <= until) {
            contacts.process_next();
        }
        contacts.drain_moves().collect()
    }

    #[test]
    fn a_contact_waits_is_taken_and_counts_for_the_service_level() {
        let mut contacts = Contacts::new(&[0, 0], &"acme".into(), 1, afternoon());
        let taken_at = afternoon() + Duration::from_secs(300);
        contacts.plan_contact(7, Some((taken_at, 1)), afternoon());
        let moves = advance(&mut contacts, taken_at);
        assert!(matches!(moves[..], [QueueMove { skill: 1, arrived: true, at }] if at <= taken_at), "{moves:?}");
        let figures = contacts.figures(1, taken_at);
        assert_eq!((figures.waiting, figures.longest), (1, taken_at.since(moves[0].at)));
        contacts.contact_taken(7, taken_at);
        assert_eq!(advance(&mut contacts, taken_at), [QueueMove { skill: 1, arrived: false, at: taken_at }]);
        let in_time = taken_at.since(moves[0].at) <= SERVICE_THRESHOLD;
        let level = |minutes: u64| contacts.figures(1, taken_at + Duration::from_secs(minutes * 60)).service_level;
        assert_eq!((level(0), level(31)), (if in_time { 1.0 } else { 0.0 }, 1.0));
        assert_eq!(contacts.figures(0, taken_at), WaitFigures { service_level: 1.0, ..WaitFigures::default() });
    }

    #[test]
    fn a_contact_whose_agent_goes_away_gives_up_if_it_waits_and_never_comes_otherwise() {
        let mut contacts = Contacts::new(&[0], &"acme".into(), 1, afternoon());
        let hour = Duration::from_secs(3600);
        contacts.plan_contact(1, Some((afternoon() + hour, 0)), afternoon());
        contacts.plan_contact(1, None, afternoon());
        assert_eq!(advance(&mut contacts, afternoon() + hour * 2), []);
        let taken_at = afternoon() + hour * 3;
        contacts.plan_contact(1, Some((taken_at, 0)), afternoon() + hour * 2);
        assert_eq!(advance(&mut contacts, taken_at).len(), 1);
        contacts.plan_contact(1, None, taken_at);
        let moves = advance(&mut contacts, taken_at + hour);
        assert!(matches!(moves[..], [QueueMove { arrived: false, at, .. }] if at > taken_at), "{moves:?}");
        assert!(contacts.by_id.is_empty() && contacts.planned.is_empty());
    }

    #[test]
    fn more_come_by_day_than_by_night() {
        let mut contacts = Contacts::new(&[40], &"acme".into(), 1, afternoon());
        let mut arrived = |from: u64, to: u64| {
            advance(&mut contacts, afternoon() + Duration::from_secs(from * 3600));
            advance(&mut contacts, afternoon() + Duration::from_secs(to * 3600))
                .iter()
                .filter(|one| one.arrived)
                .count()
        };
        let (afternoon, night) = (arrived(0, 3), arrived(10, 13));
        assert!(afternoon > 3 * night && night > 0, "{afternoon} by day, {night} by night");
        assert!(contacts.by_id.len() < 100, "whoever waits gives up: {}", contacts.by_id.len());
    }
}
