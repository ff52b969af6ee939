//! Records when the whole roster was observed. History alone cannot tell, since a state whose end nobody sees seems to
//! continue. Reports count the time between two spans as unknown.
//!
//! A crash loses at most the last half minute of a span, which then counts as unknown.

use std::time::Duration;

use crate::domain::adherence::timeline::Span;
use crate::domain::time::UtcMicros;
use crate::engine::keeper::Keeper;
use crate::engine::keeper::record::Pass;
use crate::store::ObservedSpanRow;

/// How often a span is stored if nothing else is committed; the longer of clock time and real time applies.
const STORE_INTERVAL: Duration = Duration::from_secs(30);
const STORE_INTERVAL_REAL: Duration = Duration::from_secs(2);

/// The current span in which the whole roster is observed.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::keeper) struct OpenObservedSpan {
    from: UtcMicros,
    /// The newest observation.
    observed_until: UtcMicros,
    /// Up to when the span is stored; `None` if it is not stored yet.
    stored_until: Option<UtcMicros>,
}

impl OpenObservedSpan {
    /// Creates the span from its stored form.
    pub(in crate::engine::keeper) const fn from_stored((from, until): Span) -> Self {
        Self { from, observed_until: until, stored_until: Some(until) }
    }

    /// Returns whether the span has a part that is not stored.
    fn has_unstored_part(&self) -> bool {
        self.stored_until.is_none_or(|kept| kept < self.observed_until)
    }

    const fn span(&self) -> Span {
        (self.from, self.observed_until)
    }
}

impl Keeper {
    /// Extends the span by the newest observation of the whole roster. It is stored at once if `at_once` is set, and
    /// now and then otherwise. A gap that is too long for decisions begins a new span.
    pub(in crate::engine::keeper) fn record_observed_span(&mut self, pass: &mut Pass, at_once: bool) {
        let Some(observed_until) = self.roster_observed_until(pass.now) else { return };
        let tenant = &self.link.tenant;
        let span = |(starts_at, ends_at): Span| ObservedSpanRow { tenant: tenant.clone(), starts_at, ends_at };
        let every = STORE_INTERVAL.max(self.link.clock.scale_real(STORE_INTERVAL_REAL));
        let mut current = match self.observed_span.take() {
            Some(known) if observed_until.since(known.observed_until) <= self.settings.decide.stale_after => known,
            known => {
                // Store the end of the previous span before a new one begins.
                pass.commit
                    .adherence
                    .observed_spans
                    .extend(known.filter(OpenObservedSpan::has_unstored_part).map(|known| span(known.span())));
                OpenObservedSpan { from: observed_until, observed_until, stored_until: None }
            }
        };
        current.observed_until = current.observed_until.max(observed_until);
        let due = match current.stored_until {
            None => true,
            Some(kept) => at_once || !pass.commit.history.is_empty() || current.observed_until.since(kept) >= every,
        };
        if due && current.has_unstored_part() {
            pass.commit.adherence.observed_spans.push(span(current.span()));
            current.stored_until = Some(current.observed_until);
        }
        self.observed_span = Some(current);
    }

    /// Returns the instant up to which all subscriptions have shown their agents; `None` if one has shown nothing yet.
    fn roster_observed_until(&self, now: UtcMicros) -> Option<UtcMicros> {
        let newest: Option<Vec<UtcMicros>> = self.observation_ages(now).map(|(_, newest, _)| newest).collect();
        newest?.into_iter().min()
    }
}
