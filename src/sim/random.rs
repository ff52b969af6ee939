//! Seeded random numbers. Every agent, tenant and fault list has a stream of its own, so that one more draw in one
//! place changes nothing in another.

use std::time::Duration;

use crate::clock::{Random, SeededRandom};

/// One stream of random numbers.
#[derive(Debug)]
pub(super) struct RandomStream(SeededRandom);

impl RandomStream {
    /// Creates the stream of `path` under `seed`: the same path gives the same draws, whatever else is drawn.
    pub(super) fn for_path(seed: u64, path: &[&str]) -> Self {
        // FNV-1a over the parts of the path, each ended by a byte that no UTF-8 text contains.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for part in path {
            for byte in part.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Self(SeededRandom::new(hash))
    }

    /// Returns true with the given probability.
    pub(super) fn chance(&self, probability: f64) -> bool {
        self.0.unit() < probability
    }

    /// Returns a uniform duration between two numbers of seconds, in whole milliseconds.
    pub(super) fn seconds(&self, from: u32, to: u32) -> Duration {
        let seconds = f64::from(from) + self.0.unit() * f64::from(to.saturating_sub(from));
        millis(seconds)
    }

    /// Returns an exponentially distributed duration around `mean` seconds, clamped between `least` and `most`.
    pub(super) fn exponential(&self, mean: u32, least: u32, most: u32) -> Duration {
        let seconds = -f64::from(mean) * (1.0 - self.0.unit()).ln();
        millis(seconds.clamp(f64::from(least), f64::from(most)))
    }

    /// Returns one of the items, or `None` if the slice is empty.
    pub(super) fn pick<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a draw below 1 times a short list's length is a small positive number"
        )]
        let index = (self.0.unit() * items.len() as f64) as usize;
        items.get(index)
    }

    /// Returns a number between −1 and 1.
    pub(super) fn signed_unit(&self) -> f64 {
        self.0.unit() * 2.0 - 1.0
    }

    /// Returns a number of milliseconds between `-most` and `most`.
    pub(super) fn signed_ms(&self, most: i64) -> i64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a jitter is far below the 52 bits that a float holds"
        )]
        let swing = (self.signed_unit() * most as f64) as i64;
        swing
    }

    /// Returns a random UUID.
    pub(super) fn uuid(&self) -> String {
        self.0.random_id().to_string()
    }

    /// Returns 32 hexadecimal digits.
    pub(super) fn hex_id(&self) -> String {
        self.0.random_id().simple().to_string()
    }
}

fn millis(seconds: f64) -> Duration {
    let exact = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    Duration::from_millis(u64::try_from(exact.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_do_not_disturb_each_other() {
        let draws = |seed, path: &[&str]| {
            let random = RandomStream::for_path(seed, path);
            (random.hex_id(), random.seconds(0, 1000))
        };
        assert_eq!(draws(1, &["acme", "u_0001"]), draws(1, &["acme", "u_0001"]));
        assert_ne!(draws(1, &["acme", "u_0001"]), draws(1, &["bravo", "u_0001"]));
        assert_ne!(draws(1, &["acme", "u_0001"]), draws(2, &["acme", "u_0001"]));
        assert_ne!(draws(1, &["ab", "c"]), draws(1, &["a", "bc"]));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let random = RandomStream::for_path(3, &["bounds"]);
        for _ in 0..1000 {
            let span = random.exponential(60, 5, 90);
            assert!((Duration::from_secs(5)..=Duration::from_secs(90)).contains(&span));
            assert!(random.signed_ms(40).abs() <= 40);
            assert!(random.pick(&[1, 2, 3]).is_some());
        }
        assert_eq!(random.pick::<u8>(&[]), None);
    }
}
