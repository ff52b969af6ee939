//! Limits on password checks: how often somebody may try, and how many hashes are computed at once.
//!
//! The limits slow down a stranger who guesses, and nobody else. Attempts are counted by account and address together;
//! the counts by address or account alone apply only to sign-ins from addresses that are not known for the account.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::access::throttle::{RateLimit, Throttle};
use crate::domain::audit::Hash;

/// Wrong passwords for one account from one address.
const BY_NAME_AND_ADDRESS: RateLimit = RateLimit { burst: 5, refill_interval: Duration::from_secs(60) };
/// Wrong passwords for any account from one address, which may belong to a whole office.
const BY_ADDRESS: RateLimit = RateLimit { burst: 30, refill_interval: Duration::from_secs(30) };
/// Wrong passwords for one account from any address, since an attacker may have many.
const BY_ACCOUNT: RateLimit = RateLimit { burst: 100, refill_interval: Duration::from_secs(30) };

/// The largest number of remembered keys of each kind.
const MAX_KEYS: usize = 50_000;

/// The largest number of known addresses of an account.
const MAX_KNOWN_ADDRESSES: usize = 16;

/// How many password checks may wait for a hash; further ones are turned away. A hash takes about 50 ms.
const MAX_WAITING: usize = 32;

/// An address as counted; for IPv6, the network of one customer of a provider.
pub(super) type AddressPrefix = Option<IpAddr>;

/// Returns the prefix under which an address is counted.
pub(super) fn address_prefix(address: Option<IpAddr>) -> AddressPrefix {
    address.map(|address| match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

/// Why a password is not checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rejected {
    /// Too many wrong passwords; try again after this many whole seconds.
    Throttled(Duration),
    /// Too many passwords are being checked.
    Busy,
}

/// An attempt to sign in.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The hash of the typed name, which may be a password in the wrong field.
    name: Hash,
    address: AddressPrefix,
    is_known: bool,
}

struct Attempts {
    by_name_and_address: Throttle<(Hash, AddressPrefix)>,
    by_address: Throttle<AddressPrefix>,
    by_account: Throttle<Hash>,
    known_addresses: HashMap<Arc<str>, VecDeque<AddressPrefix>>,
}

/// The throttle. Attempts from known addresses have a lane of their own.
pub(super) struct SignInThrottle {
    attempts: Mutex<Attempts>,
    unknown_lane: HashingLane,
    known_lane: HashingLane,
}

/// A lane that computes one hash at a time and has a short queue.
struct HashingLane {
    running: Semaphore,
    waiting: Semaphore,
}

impl HashingLane {
    fn new() -> Self {
        Self { running: Semaphore::new(1), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Waits for a permit, unless too many others wait already.
    async fn acquire(&self) -> Result<HashingPermit<'_>, Rejected> {
        let waiting_permit = self.waiting.try_acquire().map_err(|_| Rejected::Busy)?;
        let running_permit = self.running.acquire().await.map_err(|_| Rejected::Busy)?;
        Ok(HashingPermit { _running: running_permit, _waiting: waiting_permit })
    }
}

/// A permit to compute one hash.
#[must_use]
pub(super) struct HashingPermit<'a> {
    _running: SemaphorePermit<'a>,
    _waiting: SemaphorePermit<'a>,
}

impl SignInThrottle {
    pub(super) fn new() -> Self {
        let attempts = Attempts {
            by_name_and_address: Throttle::new(BY_NAME_AND_ADDRESS, MAX_KEYS),
            by_address: Throttle::new(BY_ADDRESS, MAX_KEYS),
            by_account: Throttle::new(BY_ACCOUNT, MAX_KEYS),
            known_addresses: HashMap::new(),
        };
        Self { attempts: Mutex::new(attempts), unknown_lane: HashingLane::new(), known_lane: HashingLane::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt, or rejects it if there were too many. `now` is by a monotonic clock.
    pub(super) fn admit(&self, id: &str, address: AddressPrefix, now: Duration) -> Result<Attempt, Rejected> {
        let mut attempts = self.lock();
        let is_known = attempts.known_addresses.get(id).is_some_and(|addresses| addresses.contains(&address));
        let attempt = Attempt { name: Hash::of(id.as_bytes()), address, is_known };
        let mut wait = attempts.by_name_and_address.wait_time(&(attempt.name, address), now);
        if !is_known {
            wait = wait
                .max(attempts.by_address.wait_time(&address, now))
                .max(attempts.by_account.wait_time(&attempt.name, now));
        }
        if !wait.is_zero() {
            // Rounded up, so that the attempt succeeds after the time that was told.
            return Err(Rejected::Throttled(Duration::from_secs(wait.as_secs() + 1)));
        }
        attempts.by_name_and_address.record(&(attempt.name, address), now);
        if !is_known {
            attempts.by_address.record(&address, now);
            attempts.by_account.record(&attempt.name, now);
        }
        Ok(attempt)
    }

    /// Records that the password was right.
    pub(super) fn record_success(&self, attempt: &Attempt, id: &Arc<str>, now: Duration) {
        let mut attempts = self.lock();
        attempts.by_name_and_address.clear(&(attempt.name, attempt.address));
        if !attempt.is_known {
            attempts.by_address.refund(&attempt.address, now);
            attempts.by_account.refund(&attempt.name, now);
        }
        drop(attempts);
        self.remember_address(id, attempt.address);
    }

    /// Takes back the count of an attempt whose password was not checked.
    pub(super) fn refund(&self, attempt: &Attempt, now: Duration) {
        let mut attempts = self.lock();
        attempts.by_name_and_address.refund(&(attempt.name, attempt.address), now);
        if !attempt.is_known {
            attempts.by_address.refund(&attempt.address, now);
            attempts.by_account.refund(&attempt.name, now);
        }
    }

    /// Remembers that an account signs in from this address.
    pub(super) fn remember_address(&self, id: &Arc<str>, address: AddressPrefix) {
        let mut attempts = self.lock();
        let addresses = attempts.known_addresses.entry(id.clone()).or_default();
        addresses.retain(|known| *known != address);
        addresses.push_back(address);
        if addresses.len() > MAX_KNOWN_ADDRESSES {
            addresses.pop_front();
        }
    }

    /// Waits for a permit to compute a hash.
    pub(super) async fn acquire(&self, attempt: &Attempt) -> Result<HashingPermit<'_>, Rejected> {
        let lane = if attempt.is_known { &self.known_lane } else { &self.unknown_lane };
        lane.acquire().await
    }

    /// Waits for a permit for somebody who has already signed in.
    pub(super) async fn acquire_known(&self) -> Result<HashingPermit<'_>, Rejected> {
        self.known_lane.acquire().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn at(address: &str) -> AddressPrefix {
        address_prefix(Some(address.parse().expect("an address")))
    }

    fn fail_times(throttle: &SignInThrottle, id: &str, address: AddressPrefix, times: usize) -> usize {
        (0..times).filter(|_| throttle.admit(id, address, NOW).is_ok()).count()
    }

    #[test]
    fn a_stranger_is_throttled_and_nobody_else() {
        let throttle = SignInThrottle::new();
        assert_eq!(fail_times(&throttle, "ann", at("203.0.113.9"), 1000), 5);
        assert_eq!(
            throttle.admit("ann", at("203.0.113.9"), NOW).expect_err("slow"),
            Rejected::Throttled(BY_NAME_AND_ADDRESS.refill_interval + Duration::from_secs(1))
        );
        let ann = throttle.admit("ann", at("198.51.100.1"), NOW).expect("another address");
        throttle.record_success(&ann, &"ann".into(), NOW);
        let later = NOW + BY_NAME_AND_ADDRESS.refill_interval;
        assert!(throttle.admit("ann", at("203.0.113.9"), later).is_ok(), "once in a while");
    }

    #[test]
    fn guesses_from_many_addresses_throttle_only_unknown_addresses() {
        let throttle = SignInThrottle::new();
        let home = at("198.51.100.1");
        throttle.remember_address(&"ann".into(), home);
        let tried: usize =
            (0..=255).map(|host| fail_times(&throttle, "ann", at(&format!("203.0.113.{host}")), 5)).sum();
        assert_eq!(tried, BY_ACCOUNT.burst as usize);
        assert!(throttle.admit("ann", at("192.0.2.1"), NOW).is_err(), "a new address of hers would have to wait");
        assert!(throttle.admit("ann", home, NOW).is_ok());
        assert!(throttle.admit("bob", at("192.0.2.1"), NOW).is_ok(), "and others are not concerned");
    }

    #[test]
    fn guesses_for_many_accounts_throttle_only_accounts_unknown_there() {
        let throttle = SignInThrottle::new();
        let office = at("198.51.100.1");
        throttle.remember_address(&"ann".into(), office);
        let tried: usize = (0..100).map(|n| fail_times(&throttle, &format!("user-{n}"), office, 2)).sum();
        assert_eq!(tried, BY_ADDRESS.burst as usize);
        assert!(throttle.admit("ann", office, NOW).is_ok());
        assert!(throttle.admit("bob", office, NOW).is_err());
    }

    #[test]
    fn the_right_password_leaves_nothing_behind() {
        let throttle = SignInThrottle::new();
        for _ in 0..500 {
            let one = throttle.admit("ann", at("198.51.100.1"), NOW).expect("no hurry");
            throttle.record_success(&one, &"ann".into(), NOW);
            let two = throttle.admit("new", at("198.51.100.2"), NOW).expect("no hurry");
            throttle.refund(&two, NOW);
        }
    }

    #[test]
    fn one_customer_of_a_provider_is_one_address() {
        assert_eq!(at("2001:db8:1:2:3:4:5:6"), at("2001:db8:1:2::1"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_eq!(address_prefix(None), None);
    }

    #[tokio::test]
    async fn strangers_cannot_block_known_addresses() {
        let throttle = SignInThrottle::new();
        throttle.remember_address(&"ann".into(), at("198.51.100.1"));
        let stranger = throttle.admit("x", at("203.0.113.9"), NOW).expect("first");
        let ann = throttle.admit("ann", at("198.51.100.1"), NOW).expect("known");
        let permit = throttle.acquire(&stranger).await.expect("a turn");
        let mut waiting: Vec<_> = (1..MAX_WAITING).map(|_| Box::pin(throttle.acquire(&stranger))).collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none(), "one at a time");
        }
        assert_eq!(throttle.acquire(&stranger).await.err(), Some(Rejected::Busy));
        assert!(throttle.acquire(&ann).await.is_ok());
        drop(permit);
        for turn in waiting {
            drop(turn.await.expect("a turn"));
        }
    }
}
