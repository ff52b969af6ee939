//! Keeps when the whole roster was in sight: what history alone cannot say, since a state that nobody sees end looks like one that goes
//! on. Reports count the time between two spans as unknown.
//!
//! What a crash takes with it is the last half minute of a span, which then is unknown as well.

use std::time::Duration;

use super::Keeper;
use super::record::Pass;
use crate::domain::time::UtcMicros;
use crate::store::SightSpan;

/// A span that nothing else is committed beside is stored this often, in the clock's time and in real time, whichever is longer.
const KEPT_EVERY: Duration = Duration::from_secs(30);
const KEPT_EVERY_REAL: Duration = Duration::from_secs(2);

impl Keeper {
    /// Takes the newest sight of the whole roster into the pass: at once where something was seen to change or the keeper stops, now and
    /// then otherwise. A pause that is longer than decisions allow begins another span.
    pub(super) fn keep_sight(&mut self, pass: &mut Pass, at_once: bool) {
        let Some(seen) = self.seen_whole(pass.now) else { return };
        let going_on = self.in_sight.filter(|(_, until)| seen.since(*until) <= self.settings.decide.stale_after);
        let every = KEPT_EVERY.max(self.link.clock.span_of_real(KEPT_EVERY_REAL));
        let (starts_at, ends_at) = match going_on {
            None => (seen, seen),
            Some((_, until)) if seen <= until => return,
            Some((from, until)) => {
                if !at_once && pass.commit.history.is_empty() && seen.since(until) < every {
                    return;
                }
                (from, seen)
            }
        };
        self.in_sight = Some((starts_at, ends_at));
        pass.commit.adherence.sights.push(SightSpan { tenant: self.link.tenant.clone(), starts_at, ends_at });
    }

    /// The instant up to which every subscription has shown its agents; none where one of them has shown nothing yet.
    fn seen_whole(&self, now: UtcMicros) -> Option<UtcMicros> {
        let newest: Option<Vec<UtcMicros>> = self.sight_ages(now).map(|(_, newest, _)| newest).collect();
        newest?.into_iter().min()
    }
}
