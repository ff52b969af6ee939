//! Keeps when the whole roster was in sight: what history alone cannot say, since a state that nobody sees end looks like one that goes
//! on. Reports count the time between two spans as unknown.
//!
//! What a crash takes with it is the last half minute of a span, which then is unknown as well.

use std::time::Duration;

use crate::domain::adherence::course::Span;
use crate::domain::time::UtcMicros;
use crate::engine::keeper::Keeper;
use crate::engine::keeper::record::Pass;
use crate::store::SightSpan;

/// A span that nothing else is committed beside is stored this often, in the clock's time and in real time, whichever is longer.
const KEPT_EVERY: Duration = Duration::from_secs(30);
const KEPT_EVERY_REAL: Duration = Duration::from_secs(2);

/// Since when the whole roster is in sight.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::keeper) struct InSight {
    from: UtcMicros,
    /// The newest sight.
    seen: UtcMicros,
    /// Up to when it is stored.
    kept: Option<UtcMicros>,
}

impl InSight {
    /// What the store has of it.
    pub(in crate::engine::keeper) const fn stored((from, until): Span) -> Self {
        Self { from, seen: until, kept: Some(until) }
    }

    /// More was seen than is stored.
    fn is_ahead(&self) -> bool {
        self.kept.is_none_or(|kept| kept < self.seen)
    }

    const fn span(&self) -> Span {
        (self.from, self.seen)
    }
}

impl Keeper {
    /// Takes the newest sight of the whole roster into the pass: at once where something was seen to change or the keeper stops, now and
    /// then otherwise. A pause that is longer than decisions allow begins another span.
    pub(in crate::engine::keeper) fn keep_sight(&mut self, pass: &mut Pass, at_once: bool) {
        let Some(seen) = self.seen_whole(pass.now) else { return };
        let tenant = &self.link.tenant;
        let span = |(starts_at, ends_at): Span| SightSpan { tenant: tenant.clone(), starts_at, ends_at };
        let every = KEPT_EVERY.max(self.link.clock.span_of_real(KEPT_EVERY_REAL));
        let mut sight = match self.in_sight.take() {
            Some(known) if seen.since(known.seen) <= self.settings.decide.stale_after => known,
            known => {
                // What was seen last of the span before is kept before another begins.
                pass.commit.adherence.sights.extend(known.filter(InSight::is_ahead).map(|known| span(known.span())));
                InSight { from: seen, seen, kept: None }
            }
        };
        sight.seen = sight.seen.max(seen);
        let due = match sight.kept {
            None => true,
            Some(kept) => at_once || !pass.commit.history.is_empty() || sight.seen.since(kept) >= every,
        };
        if due && sight.is_ahead() {
            pass.commit.adherence.sights.push(span(sight.span()));
            sight.kept = Some(sight.seen);
        }
        self.in_sight = Some(sight);
    }

    /// The instant up to which every subscription has shown its agents; none where one of them has shown nothing yet.
    fn seen_whole(&self, now: UtcMicros) -> Option<UtcMicros> {
        let newest: Option<Vec<UtcMicros>> = self.sight_ages(now).map(|(_, newest, _)| newest).collect();
        newest?.into_iter().min()
    }
}
