//! The span in which the whole roster is observed. History alone cannot tell, since a state whose end nobody sees seems to
//! continue. Reports count the time between two spans as unknown.
//!
//! A crash loses at most the last half minute of a span, which then counts as unknown.

use crate::domain::adherence::timeline::Span;
use crate::domain::time::UtcMicros;

/// The current span in which the whole roster is observed.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::keeper) struct OpenObservedSpan {
    pub(in crate::engine::keeper) from: UtcMicros,
    /// The newest observation.
    pub(in crate::engine::keeper) observed_until: UtcMicros,
    /// Up to when the span is stored; `None` if it is not stored yet.
    pub(in crate::engine::keeper) stored_until: Option<UtcMicros>,
}

impl OpenObservedSpan {
    /// Creates the span from its stored form.
    pub(in crate::engine::keeper) const fn from_stored((from, until): Span) -> Self {
        Self { from, observed_until: until, stored_until: Some(until) }
    }

    /// Returns whether the span has a part that is not stored.
    pub(in crate::engine::keeper) fn has_unstored_part(&self) -> bool {
        self.stored_until.is_none_or(|kept| kept < self.observed_until)
    }

    pub(in crate::engine::keeper) const fn span(&self) -> Span {
        (self.from, self.observed_until)
    }
}
