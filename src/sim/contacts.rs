//! Contacts and where they wait: one line for each skill, who arrives, who is taken by which agent, who gives up. Pure.
//!
//! Agents live their own lives (`agent`): an available agent knows when its next contact will come and with which skill. Here that
//! contact gets its past, a wait before it is taken, so that figures, lines and agents tell one story. More contacts come that
//! nobody takes, by the time of day. Every figure here is made up and none is measured.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::dice::Dice;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// How busy an hour of the day is in UTC, in tenths of the usual.
const BUSY: [u32; 24] = [2, 1, 1, 1, 2, 4, 7, 10, 13, 14, 13, 11, 10, 12, 14, 13, 12, 10, 8, 7, 6, 5, 4, 3];
/// Whoever waited no longer was served in time (the usual threshold of a service level).
const IN_TIME: Duration = Duration::from_secs(20);
/// How far back the service level looks, in minutes.
const LOOKS_BACK_MIN: usize = 30;
/// The mean time between contacts that nobody takes, for one agent of the skill, in seconds.
const STRANGER_EVERY_S: u32 = 4_000;

/// A skill, and the queue of the same contacts.
#[derive(Debug)]
pub(super) struct Skill {
    pub(super) id: u32,
    pub(super) queue: String,
    pub(super) name: Arc<str>,
}

/// Where a skill stands in the tenant's list.
pub(super) type SkillAt = u16;

/// A contact that came into a line or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) at: UtcMicros,
    pub(super) skill: SkillAt,
    pub(super) arrived: bool,
}

/// What is known of a line at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LineFigures {
    pub(super) waiting: usize,
    pub(super) longest: Duration,
    pub(super) average: Duration,
    /// The share of contacts that were served in time, 0 to 1; 1 where there were none.
    pub(super) service_level: f64,
}

#[derive(Debug)]
struct Contact {
    skill: SkillAt,
    /// In the line since then; not there yet without it.
    queued: Option<UtcMicros>,
}

/// The contact that an agent will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Coming {
    contact: u64,
    skill: SkillAt,
    at: UtcMicros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Arrives(u64),
    GivesUp(u64),
    /// The next contact that nobody will take.
    Stranger(SkillAt),
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<u64, UtcMicros>,
    /// How many agents have the skill.
    crew: u32,
    /// Contacts that left the line, by minute: all, and those served in time.
    left: [(i64, u32, u32); LOOKS_BACK_MIN],
}

/// Every line of one tenant.
#[derive(Debug)]
pub(super) struct Contacts {
    lines: Vec<Line>,
    known: HashMap<u64, Contact>,
    coming: HashMap<usize, Coming>,
    due: BinaryHeap<Reverse<(UtcMicros, Due)>>,
    count: u64,
    dice: Dice,
    moves: Vec<Move>,
}

impl Contacts {
    /// Empty lines; `crews` is how many agents who live have each skill.
    pub(super) fn new(crews: &[u32], tenant: &TenantId, seed: u64, start: UtcMicros) -> Self {
        let lines = crews.iter().map(|crew| Line { crew: *crew, ..Line::default() }).collect();
        let mut contacts = Self {
            lines,
            known: HashMap::new(),
            coming: HashMap::new(),
            due: BinaryHeap::new(),
            count: 0,
            dice: Dice::of(seed, &["contacts", tenant.as_str()]),
            moves: Vec::new(),
        };
        for skill in 0..SkillAt::try_from(crews.len()).unwrap_or(SkillAt::MAX) {
            contacts.expect_stranger(skill, start);
        }
        contacts
    }

    /// When something is due next.
    pub(super) fn due_at(&self) -> Option<UtcMicros> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Does the one thing that is due first.
    pub(super) fn wake(&mut self) {
        let Some(Reverse((at, due))) = self.due.pop() else { return };
        match due {
            Due::Arrives(contact) => self.arrive(contact, at),
            Due::GivesUp(contact) => self.leave(contact, at, false),
            Due::Stranger(skill) => {
                let contact = self.contact(skill);
                self.arrive(contact, at);
                self.give_up_later(contact, at);
                self.expect_stranger(skill, at);
            }
        }
    }

    /// What moved since the last call.
    pub(super) fn take_moves(&mut self) -> std::vec::Drain<'_, Move> {
        self.moves.drain(..)
    }

    /// An agent's next contact, as it stands at `now`: when it will be taken, and its skill. One that the agent will not take after
    /// all stays in the line, if it is in it, until it gives up.
    pub(super) fn follow(&mut self, agent: usize, next: Option<(UtcMicros, SkillAt)>, now: UtcMicros) {
        let coming = self.coming.get(&agent).copied();
        if coming.map(|coming| (coming.at, coming.skill)) == next {
            return;
        }
        if let Some(Coming { contact, .. }) = coming {
            self.coming.remove(&agent);
            if self.known.get(&contact).is_some_and(|contact| contact.queued.is_some()) {
                self.give_up_later(contact, now);
            } else {
                self.known.remove(&contact);
            }
        }
        if let Some((at, skill)) = next {
            let contact = self.contact(skill);
            let wait = self.dice.around(3 + 3 * busy(at), 0, 240);
            self.due.push(Reverse(((at - wait).max(now), Due::Arrives(contact))));
            self.coming.insert(agent, Coming { contact, skill, at });
        }
    }

    /// An agent has taken its contact.
    pub(super) fn taken(&mut self, agent: usize, at: UtcMicros) {
        if let Some(Coming { contact, .. }) = self.coming.remove(&agent) {
            self.arrive(contact, at);
            self.leave(contact, at, true);
        }
    }

    /// What is known of a line.
    pub(super) fn figures(&self, skill: SkillAt, now: UtcMicros) -> LineFigures {
        let Some(line) = self.lines.get(usize::from(skill)) else { return LineFigures::default() };
        let waits = || line.waiting.values().map(|since| now.since(*since));
        let waiting = line.waiting.len();
        let average = waits().sum::<Duration>() / u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
        let looks_back = i64::try_from(LOOKS_BACK_MIN).unwrap_or(i64::MAX);
        let lately = line.left.iter().filter(|(minute, ..)| minute_of(now) - minute < looks_back);
        let (all, in_time) = lately.fold((0, 0), |(all, good), (_, more, better)| (all + more, good + better));
        let service_level = if all == 0 { 1.0 } else { f64::from(in_time) / f64::from(all) };
        LineFigures { waiting, longest: waits().max().unwrap_or_default(), average, service_level }
    }

    fn contact(&mut self, skill: SkillAt) -> u64 {
        self.count += 1;
        self.known.insert(self.count, Contact { skill, queued: None });
        self.count
    }

    /// Into the line, unless it is there already or nobody knows it any more.
    fn arrive(&mut self, contact: u64, at: UtcMicros) {
        let Some(Contact { skill, queued: queued @ None }) = self.known.get_mut(&contact) else { return };
        *queued = Some(at);
        let skill = *skill;
        if let Some(line) = self.lines.get_mut(usize::from(skill)) {
            line.waiting.insert(contact, at);
        }
        self.moves.push(Move { at, skill, arrived: true });
    }

    /// Out of the line: to an agent, or for good.
    fn leave(&mut self, contact: u64, at: UtcMicros, served: bool) {
        let Some(Contact { skill, queued: Some(since) }) = self.known.remove(&contact) else { return };
        if let Some(line) = self.lines.get_mut(usize::from(skill)) {
            line.waiting.remove(&contact);
            line.count(at, served && at.since(since) <= IN_TIME);
        }
        self.moves.push(Move { at, skill, arrived: false });
    }

    fn give_up_later(&mut self, contact: u64, now: UtcMicros) {
        self.due.push(Reverse((now + self.dice.around(60, 5, 600), Due::GivesUp(contact))));
    }

    fn expect_stranger(&mut self, skill: SkillAt, now: UtcMicros) {
        let crew = self.lines.get(usize::from(skill)).map_or(0, |line| line.crew);
        if let Some(mean) = (STRANGER_EVERY_S.saturating_mul(10) / busy(now)).checked_div(crew) {
            self.due.push(Reverse((now + self.dice.around(mean, 1, 14_400), Due::Stranger(skill))));
        }
    }
}

impl Line {
    fn count(&mut self, at: UtcMicros, in_time: bool) {
        let minute = minute_of(at);
        let place = usize::try_from(minute).unwrap_or(0) % LOOKS_BACK_MIN;
        if let Some(bucket) = self.left.get_mut(place) {
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

fn busy(at: UtcMicros) -> u32 {
    let hour = minute_of(at).div_euclid(60).rem_euclid(24);
    usize::try_from(hour).ok().and_then(|hour| BUSY.get(hour)).copied().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn afternoon() -> UtcMicros {
        "2026-10-28T14:00:00Z".parse().expect("a valid instant")
    }

    /// Lets time pass, and gives what moved.
    fn pass(contacts: &mut Contacts, until: UtcMicros) -> Vec<Move> {
        while contacts.due_at().is_some_and(|at| at <= until) {
            contacts.wake();
        }
        contacts.take_moves().collect()
    }

    #[test]
    fn a_contact_waits_is_taken_and_counts_for_the_service_level() {
        let mut contacts = Contacts::new(&[0, 0], &"acme".into(), 1, afternoon());
        let taken_at = afternoon() + Duration::from_secs(300);
        contacts.follow(7, Some((taken_at, 1)), afternoon());
        let moves = pass(&mut contacts, taken_at);
        assert!(matches!(moves[..], [Move { skill: 1, arrived: true, at }] if at <= taken_at), "{moves:?}");
        let figures = contacts.figures(1, taken_at);
        assert_eq!((figures.waiting, figures.longest), (1, taken_at.since(moves[0].at)));
        contacts.taken(7, taken_at);
        assert_eq!(pass(&mut contacts, taken_at), [Move { skill: 1, arrived: false, at: taken_at }]);
        let in_time = taken_at.since(moves[0].at) <= IN_TIME;
        let level = |minutes: u64| contacts.figures(1, taken_at + Duration::from_secs(minutes * 60)).service_level;
        assert_eq!((level(0), level(31)), (if in_time { 1.0 } else { 0.0 }, 1.0));
        assert_eq!(contacts.figures(0, taken_at), LineFigures { service_level: 1.0, ..LineFigures::default() });
    }

    #[test]
    fn a_contact_whose_agent_goes_away_gives_up_if_it_waits_and_never_comes_otherwise() {
        let mut contacts = Contacts::new(&[0], &"acme".into(), 1, afternoon());
        let hour = Duration::from_secs(3600);
        contacts.follow(1, Some((afternoon() + hour, 0)), afternoon());
        contacts.follow(1, None, afternoon());
        assert_eq!(pass(&mut contacts, afternoon() + hour * 2), []);
        let taken_at = afternoon() + hour * 3;
        contacts.follow(1, Some((taken_at, 0)), afternoon() + hour * 2);
        assert_eq!(pass(&mut contacts, taken_at).len(), 1);
        contacts.follow(1, None, taken_at);
        let moves = pass(&mut contacts, taken_at + hour);
        assert!(matches!(moves[..], [Move { arrived: false, at, .. }] if at > taken_at), "{moves:?}");
        assert!(contacts.known.is_empty() && contacts.coming.is_empty());
    }

    #[test]
    fn more_come_by_day_than_by_night() {
        let mut contacts = Contacts::new(&[40], &"acme".into(), 1, afternoon());
        let mut arrived = |from: u64, to: u64| {
            pass(&mut contacts, afternoon() + Duration::from_secs(from * 3600));
            pass(&mut contacts, afternoon() + Duration::from_secs(to * 3600)).iter().filter(|one| one.arrived).count()
        };
        let (afternoon, night) = (arrived(0, 3), arrived(10, 13));
        assert!(afternoon > 3 * night && night > 0, "{afternoon} by day, {night} by night");
        assert!(contacts.known.len() < 100, "whoever waits gives up: {}", contacts.known.len());
    }
}
