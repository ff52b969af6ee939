//! The results of configuration reloads.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::time::UtcMicros;

/// Whether the last reload succeeded, and when one last did. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloads(Arc<Mutex<(bool, UtcMicros)>>);

impl Reloads {
    /// Creates the record; the configuration at the start counts as the first success.
    pub fn new(started_at: UtcMicros) -> Self {
        Self(Arc::new(Mutex::new((true, started_at))))
    }

    /// Records a reload; one that changed nothing counts as a success.
    pub fn record(&self, succeeded: bool, now: UtcMicros) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (succeeded, if succeeded { now } else { last.1 });
    }

    /// Returns whether the last reload succeeded, and when one last did.
    pub fn last(&self) -> (bool, UtcMicros) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reload_keeps_the_instant_of_the_last_good_one() {
        let at = UtcMicros::from_micros;
        let reloads = Reloads::new(at(1));
        reloads.record(false, at(2));
        assert_eq!(reloads.last(), (false, at(1)));
        reloads.record(true, at(3));
        assert_eq!(reloads.last(), (true, at(3)));
    }
}
