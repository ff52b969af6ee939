//! How reloads of the configuration went.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::time::UtcMicros;

/// How the last reload went, and when one went well. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloads(Arc<Mutex<(bool, UtcMicros)>>);

impl Reloads {
    /// The configuration that the daemon was started with counts as the first one that went well.
    pub fn new(started_at: UtcMicros) -> Self {
        Self(Arc::new(Mutex::new((true, started_at))))
    }

    /// A reload went well, or left the configuration as it was.
    pub fn note(&self, succeeded: bool, now: UtcMicros) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (succeeded, if succeeded { now } else { last.1 });
    }

    /// Whether the last one went well, and when one did.
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
        reloads.note(false, at(2));
        assert_eq!(reloads.last(), (false, at(1)));
        reloads.note(true, at(3));
        assert_eq!(reloads.last(), (true, at(3)));
    }
}
