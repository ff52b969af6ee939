//! What stands before a password is looked at: how often somebody may try, and how many hashes are computed at once.
//!
//! A stranger who guesses is held up and nobody else is: tries are counted by account and address together, and what is counted by
//! address or by account alone holds up only those who never signed in from there.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::access::throttle::{Allowance, Throttle};
use crate::domain::audit::Hash;

/// Wrong passwords for one account from one address.
const BY_BOTH: Allowance = Allowance { at_once: 5, then_every: Duration::from_secs(60) };
/// For any account from one address: an office may stand behind it.
const BY_ADDRESS: Allowance = Allowance { at_once: 30, then_every: Duration::from_secs(30) };
/// For one account from any address: somebody has many of them.
const BY_ACCOUNT: Allowance = Allowance { at_once: 100, then_every: Duration::from_secs(30) };

/// Keys that are remembered of each kind.
const MOST_KEYS: usize = 50_000;

/// Addresses that an account is known to sign in from.
const MOST_HOMES: usize = 16;

/// Who waits for a hash beyond so many is turned away; a hash takes some 50 ms.
const MOST_WAITING: usize = 32;

/// An address as it counts: the network that one customer of an IPv6 provider has is one.
pub(super) type Place = Option<IpAddr>;

/// How an address counts.
pub(super) fn place_of(address: Option<IpAddr>) -> Place {
    address.map(|address| match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

/// Why a password is not even looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Held {
    /// Too many were wrong; try again after this, in whole seconds.
    Slow(Duration),
    /// Too many are looked at.
    Busy,
}

/// One who tries.
#[derive(Clone, Debug)]
pub(super) struct Try {
    /// A hash of the name that was typed, which may be a password in the wrong field.
    name: Hash,
    place: Place,
    is_known: bool,
}

struct Tries {
    by_both: Throttle<(Hash, Place)>,
    by_address: Throttle<Place>,
    by_account: Throttle<Hash>,
    homes: HashMap<Arc<str>, VecDeque<Place>>,
}

/// The gate. Those who come from where they are known have a lane of their own.
pub(super) struct Gate {
    tries: Mutex<Tries>,
    strangers: Lane,
    known: Lane,
}

/// One hash at a time, and a short queue.
struct Lane {
    turn: Semaphore,
    room: Semaphore,
}

impl Lane {
    fn new() -> Self {
        Self { turn: Semaphore::new(1), room: Semaphore::new(MOST_WAITING) }
    }
}

/// The right to compute one hash.
#[must_use]
pub(super) struct Turn<'a> {
    _turn: SemaphorePermit<'a>,
    _room: SemaphorePermit<'a>,
}

impl Gate {
    pub(super) fn new() -> Self {
        let tries = Tries {
            by_both: Throttle::new(BY_BOTH, MOST_KEYS),
            by_address: Throttle::new(BY_ADDRESS, MOST_KEYS),
            by_account: Throttle::new(BY_ACCOUNT, MOST_KEYS),
            homes: HashMap::new(),
        };
        Self { tries: Mutex::new(tries), strangers: Lane::new(), known: Lane::new() }
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a try, unless there were too many. `now` is of a clock that never goes back.
    pub(super) fn admit(&self, id: &str, place: Place, now: Duration) -> Result<Try, Held> {
        let mut tries = self.tries();
        let is_known = tries.homes.get(id).is_some_and(|homes| homes.contains(&place));
        let one = Try { name: Hash::of(id.as_bytes()), place, is_known };
        let mut wait = tries.by_both.wait(&(one.name, place), now);
        if !is_known {
            wait = wait.max(tries.by_address.wait(&place, now)).max(tries.by_account.wait(&one.name, now));
        }
        if !wait.is_zero() {
            // A full second more than told would be one too few.
            return Err(Held::Slow(Duration::from_secs(wait.as_secs() + 1)));
        }
        tries.by_both.note(&(one.name, place), now);
        if !is_known {
            tries.by_address.note(&place, now);
            tries.by_account.note(&one.name, now);
        }
        Ok(one)
    }

    /// It was the right one.
    pub(super) fn succeed(&self, one: &Try, id: &Arc<str>, now: Duration) {
        let mut tries = self.tries();
        tries.by_both.clear(&(one.name, one.place));
        if !one.is_known {
            tries.by_address.forgive(&one.place, now);
            tries.by_account.forgive(&one.name, now);
        }
        drop(tries);
        self.learn(id, one.place);
    }

    /// It was not looked at after all.
    pub(super) fn take_back(&self, one: &Try, now: Duration) {
        let mut tries = self.tries();
        tries.by_both.forgive(&(one.name, one.place), now);
        if !one.is_known {
            tries.by_address.forgive(&one.place, now);
            tries.by_account.forgive(&one.name, now);
        }
    }

    /// An account signs in from here.
    pub(super) fn learn(&self, id: &Arc<str>, place: Place) {
        let mut tries = self.tries();
        let homes = tries.homes.entry(id.clone()).or_default();
        homes.retain(|home| *home != place);
        homes.push_back(place);
        if homes.len() > MOST_HOMES {
            homes.pop_front();
        }
    }

    /// Waits for the turn to compute a hash.
    pub(super) async fn turn(&self, one: &Try) -> Result<Turn<'_>, Held> {
        let lane = if one.is_known { &self.known } else { &self.strangers };
        let room = lane.room.try_acquire().map_err(|_| Held::Busy)?;
        let turn = lane.turn.acquire().await.map_err(|_| Held::Busy)?;
        Ok(Turn { _turn: turn, _room: room })
    }

    /// The same for somebody who has signed in already.
    pub(super) async fn turn_of_known(&self) -> Result<Turn<'_>, Held> {
        let room = self.known.room.try_acquire().map_err(|_| Held::Busy)?;
        let turn = self.known.turn.acquire().await.map_err(|_| Held::Busy)?;
        Ok(Turn { _turn: turn, _room: room })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn at(address: &str) -> Place {
        place_of(Some(address.parse().expect("an address")))
    }

    fn wrong(gate: &Gate, id: &str, place: Place, times: usize) -> usize {
        (0..times).filter(|_| gate.admit(id, place, NOW).is_ok()).count()
    }

    #[test]
    fn a_stranger_holds_up_nobody_but_himself() {
        let gate = Gate::new();
        assert_eq!(wrong(&gate, "ann", at("203.0.113.9"), 1000), 5);
        assert_eq!(
            gate.admit("ann", at("203.0.113.9"), NOW).expect_err("slow"),
            Held::Slow(BY_BOTH.then_every + Duration::from_secs(1))
        );
        let ann = gate.admit("ann", at("198.51.100.1"), NOW).expect("another address");
        gate.succeed(&ann, &"ann".into(), NOW);
        let later = NOW + BY_BOTH.then_every;
        assert!(gate.admit("ann", at("203.0.113.9"), later).is_ok(), "once in a while");
    }

    #[test]
    fn many_addresses_hold_up_strangers_and_not_where_the_account_is_known() {
        let gate = Gate::new();
        let home = at("198.51.100.1");
        gate.learn(&"ann".into(), home);
        let tried: usize = (0..=255).map(|host| wrong(&gate, "ann", at(&format!("203.0.113.{host}")), 5)).sum();
        assert_eq!(tried, BY_ACCOUNT.at_once as usize);
        assert!(gate.admit("ann", at("192.0.2.1"), NOW).is_err(), "a new address of hers would have to wait");
        assert!(gate.admit("ann", home, NOW).is_ok());
        assert!(gate.admit("bob", at("192.0.2.1"), NOW).is_ok(), "and others are not concerned");
    }

    #[test]
    fn many_accounts_from_one_address_hold_up_who_is_not_known_there() {
        let gate = Gate::new();
        let office = at("198.51.100.1");
        gate.learn(&"ann".into(), office);
        let tried: usize = (0..100).map(|n| wrong(&gate, &format!("user-{n}"), office, 2)).sum();
        assert_eq!(tried, BY_ADDRESS.at_once as usize);
        assert!(gate.admit("ann", office, NOW).is_ok());
        assert!(gate.admit("bob", office, NOW).is_err());
    }

    #[test]
    fn the_right_password_leaves_nothing_behind() {
        let gate = Gate::new();
        for _ in 0..500 {
            let one = gate.admit("ann", at("198.51.100.1"), NOW).expect("no hurry");
            gate.succeed(&one, &"ann".into(), NOW);
            let two = gate.admit("new", at("198.51.100.2"), NOW).expect("no hurry");
            gate.take_back(&two, NOW);
        }
    }

    #[test]
    fn one_customer_of_a_provider_is_one_address() {
        assert_eq!(at("2001:db8:1:2:3:4:5:6"), at("2001:db8:1:2::1"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_eq!(place_of(None), None);
    }

    #[tokio::test]
    async fn strangers_cannot_take_the_turn_of_those_who_are_known() {
        let gate = Gate::new();
        gate.learn(&"ann".into(), at("198.51.100.1"));
        let stranger = gate.admit("x", at("203.0.113.9"), NOW).expect("first");
        let ann = gate.admit("ann", at("198.51.100.1"), NOW).expect("known");
        let taken = gate.turn(&stranger).await.expect("a turn");
        let mut waiting: Vec<_> = (1..MOST_WAITING).map(|_| Box::pin(gate.turn(&stranger))).collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none(), "one at a time");
        }
        assert_eq!(gate.turn(&stranger).await.err(), Some(Held::Busy));
        assert!(gate.turn(&ann).await.is_ok());
        drop(taken);
        for turn in waiting {
            drop(turn.await.expect("a turn"));
        }
    }
}
