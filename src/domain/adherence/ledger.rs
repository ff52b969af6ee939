//! An adherence timeline over some days, cut once: the segments of any part, their sums, and events at the edges of
//! shifts and breaks.
//!
//! Late starts, early leaves and overruns follow from the verdicts of the segments, so that the same rules apply.
//! Mandatory breaks are checked separately: their uninterrupted time is measured to the microsecond and never rounded.

use std::time::Duration;

use super::Verdict;
use super::sums::{Counts, Sums};
use super::timeline::{AdherenceTimeline, Span, TimelineSegment};
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::rest::{MIN_REST, is_resting};
use crate::domain::schedules::schedule::{Activity, Segment};
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// A timeline cut over a span.
#[derive(Debug)]
pub struct Ledger<'a> {
    timeline: AdherenceTimeline<'a>,
    segments: Vec<TimelineSegment>,
}

named_enum! {
    /// The outcome of a mandatory break.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum BreakOutcome {
        /// Taken without interruption, for as long as planned, and in time.
        Taken = "taken",
        /// Taken in time, but without interruption for less than planned.
        Short = "short",
        /// Taken for as long as planned, but begun later than the tolerance after the planned instant.
        Late = "late",
        /// Both short and late.
        ShortAndLate = "short and late",
        /// Without any rest long enough to count.
        Missed = "missed",
        /// With too few observations to decide.
        Unknown = "unknown",
        /// Not due, since an exception covers its beginning.
        UnderException = "excused",
    }
}

/// A mandatory break as planned and as taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakRecord {
    /// The activity: break, lunch or the centre's own name for it.
    pub activity: Activity,
    /// The planned span.
    pub planned: Span,
    /// The longest uninterrupted rest between the planned rests before and after it; `None` if there was no rest.
    pub rest: Option<Span>,
    /// The number of rests within the planned time.
    pub rest_count: usize,
    /// The outcome.
    pub outcome: BreakOutcome,
    /// How much later than planned the rest began; zero if within the tolerance.
    pub late_by: Duration,
}

impl BreakRecord {
    /// Returns how much shorter the longest rest was than planned; zero if none counted as a rest.
    pub fn short_by(&self) -> Duration {
        match (self.outcome, self.rest) {
            (BreakOutcome::Short | BreakOutcome::ShortAndLate, Some((start, end))) => {
                self.planned.1.since(self.planned.0).saturating_sub(end.since(start))
            }
            _ => Duration::ZERO,
        }
    }

    /// Returns whether another state came between two rests within the planned time.
    pub const fn is_interrupted(&self) -> bool {
        self.rest_count > 1
    }

    fn add_to_counts(&self, counts: &mut Counts) {
        match self.outcome {
            BreakOutcome::UnderException => {
                counts.breaks_excused += 1;
                return;
            }
            BreakOutcome::Missed => counts.breaks_missed += 1,
            BreakOutcome::Unknown => counts.breaks_unknown += 1,
            BreakOutcome::Taken => counts.breaks_taken += 1,
            BreakOutcome::Short => {
                counts.breaks_taken += 1;
                counts.breaks_short += 1;
            }
            BreakOutcome::Late => {
                counts.breaks_taken += 1;
                counts.breaks_late += 1;
            }
            BreakOutcome::ShortAndLate => {
                counts.breaks_taken += 1;
                counts.breaks_short += 1;
                counts.breaks_late += 1;
            }
        }
        counts.breaks_due += 1;
        counts.breaks_interrupted += u64::from(self.is_interrupted());
        counts.short_us += micros(self.short_by());
        counts.late_breaks_us += micros(self.late_by);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn is_within(instant: UtcMicros, (from, to): Span) -> bool {
    from <= instant && instant < to
}

impl<'a> Ledger<'a> {
    /// Cuts a timeline over a span and the shifts that reach into it.
    pub fn new(timeline: AdherenceTimeline<'a>, span: Span) -> Self {
        Self { segments: timeline.segments(extend_to_shifts(&timeline, span)), timeline }
    }

    /// Returns the segments that tile a part of the span.
    pub fn segments(&self, part: Span) -> impl Iterator<Item = TimelineSegment> + '_ {
        self.segments_overlapping(part).iter().filter_map(move |segment| segment.clipped_to(part))
    }

    /// Returns the sums over a part of the span: its segments, and the events of shifts and breaks that are planned to
    /// begin or end in it.
    pub fn sums(&self, part: Span) -> Sums {
        let mut sums = Sums::default();
        for segment in self.segments(part) {
            sums.add_segment(&segment);
        }
        self.count_shifts(part, &mut sums.counts);
        for record in self.breaks(part) {
            record.add_to_counts(&mut sums.counts);
        }
        sums
    }

    /// Returns the mandatory breaks planned to begin in a part of the span, in order.
    pub fn breaks(&self, part: Span) -> impl Iterator<Item = BreakRecord> + '_ {
        let segments = self.timeline.plan.segments().iter().enumerate();
        let due = segments.filter(move |(_, segment)| segment.mandatory && is_within(segment.start, part));
        due.map(|(index, segment)| self.break_record(index, segment))
    }

    fn segments_overlapping(&self, (from, to): Span) -> &[TimelineSegment] {
        let first = self.segments.partition_point(|segment| segment.end <= from);
        let after = self.segments.partition_point(|segment| segment.start < to);
        self.segments.get(first..after).unwrap_or_default()
    }

    fn count_shifts(&self, part: Span, counts: &mut Counts) {
        let segments = self.timeline.plan.segments();
        for (index, segment) in segments.iter().enumerate() {
            let (shift_start, shift_end) = self.timeline.plan.shift_of(segment);
            if segment.start == shift_start {
                self.count_shift_edges((shift_start, shift_end), part, counts);
            }
            let work_after_rest =
                segments.get(index + 1).filter(|next| next.shift == segment.shift && !next.activity.is_rest());
            let ends_in_part = segment.activity.is_rest() && work_after_rest.is_some() && is_within(segment.end, part);
            if ends_in_part && !self.is_absence((shift_start, shift_end)) {
                let overrun_duration = self.overrun_duration(segment.end, shift_end);
                counts.overruns += u64::from(!overrun_duration.is_zero());
                counts.overrun_us += micros(overrun_duration);
            }
        }
    }

    fn count_shift_edges(&self, shift: Span, part: Span, counts: &mut Counts) {
        let (begins, ends) = (is_within(shift.0, part), is_within(shift.1.offset(-1), part));
        counts.shifts += u64::from(begins);
        if !begins && !ends {
            return;
        }
        if self.is_absence(shift) {
            counts.absences += u64::from(begins);
            return;
        }
        let segments = self.segments_overlapping(shift);
        let is_out = |segment: &&TimelineSegment| segment.verdict == Verdict::Out;
        let late_us: u64 = segments.iter().take_while(is_out).map(TimelineSegment::micros).sum();
        let early_us: u64 = segments.iter().rev().take_while(is_out).map(TimelineSegment::micros).sum();
        if begins && late_us > 0 {
            counts.late_starts += 1;
            counts.late_us += late_us;
        }
        if ends && early_us > 0 {
            counts.early_leaves += 1;
            counts.early_us += early_us;
        }
    }

    /// Returns whether a shift was observed as a whole and the agent never worked although work was planned.
    fn is_absence(&self, shift: Span) -> bool {
        let segments = self.segments_overlapping(shift);
        let is_working = |segment: &TimelineSegment| segment.state.as_ref().is_some_and(AgentState::is_working);
        segments.iter().any(|segment| segment.verdict == Verdict::Out)
            && !segments.iter().any(|segment| is_working(segment) || segment.verdict == Verdict::Unknown)
    }

    /// Returns how long a rest continues, out of adherence, after its planned end.
    fn overrun_duration(&self, end: UtcMicros, shift_end: UtcMicros) -> Duration {
        let is_resting_segment = |segment: &TimelineSegment| segment.state.as_ref().is_some_and(is_resting);
        let rested_before = self.segments_overlapping((end.offset(-1), end)).first().is_some_and(is_resting_segment);
        let is_overrun = |segment: &&TimelineSegment| {
            rested_before && is_resting_segment(segment) && segment.verdict == Verdict::Out
        };
        let last = self.segments_overlapping((end, shift_end)).iter().take_while(is_overrun).last();
        last.map_or(Duration::ZERO, |segment| segment.end.since(end))
    }

    fn break_record(&self, index: usize, segment: &Segment) -> BreakRecord {
        let planned = (segment.start, segment.end);
        let window = self.rest_window(index, segment);
        let rests = self.rests(window);
        let rest_count = rests.iter().filter(|(start, end)| *start < planned.1 && planned.0 < *end).count();
        // The first of the longest rests.
        let rest = rests.into_iter().rev().max_by_key(|(start, end)| end.since(*start));
        let length = planned.1.since(planned.0);
        let rest_duration = rest.map_or(Duration::ZERO, |(start, end)| end.since(start));
        let late_by = rest.map_or(Duration::ZERO, |(start, _)| start.since(planned.0));
        let tolerance = self.timeline.settings.allowance(&segment.activity).tolerance;
        let under_exception = self.timeline.exceptions.iter().any(|span| is_within(planned.0, *span));
        let counts_as_rest = !rest_duration.is_zero() && rest_duration >= length.min(MIN_REST);
        let outcome = match (rest_duration >= length, late_by > tolerance) {
            _ if under_exception => BreakOutcome::UnderException,
            (false, _) if self.is_unknown_in(window) => BreakOutcome::Unknown,
            (false, _) if !counts_as_rest => BreakOutcome::Missed,
            (true, false) => BreakOutcome::Taken,
            (true, true) => BreakOutcome::Late,
            (false, false) => BreakOutcome::Short,
            (false, true) => BreakOutcome::ShortAndLate,
        };
        let is_late = matches!(outcome, BreakOutcome::Late | BreakOutcome::ShortAndLate);
        let late_by = if is_late { late_by } else { Duration::ZERO };
        BreakRecord { activity: segment.activity.clone(), planned, rest, rest_count, outcome, late_by }
    }

    /// Returns the span from the end of the planned rest before, or the shift's start, to the next one or the shift's
    /// end.
    fn rest_window(&self, index: usize, segment: &Segment) -> Span {
        let segments = self.timeline.plan.segments();
        let (shift_start, shift_end) = self.timeline.plan.shift_of(segment);
        let is_other = |other: &&Segment| other.shift == segment.shift && (other.activity.is_rest() || other.mandatory);
        let before = segments[..index].iter().rev().find(is_other).map_or(shift_start, |other| other.end);
        let after = segments[index + 1..].iter().find(is_other).map_or(shift_end, |other| other.start);
        (before, after)
    }

    /// Returns the uninterrupted rests, clipped to a window.
    fn rests(&self, window: Span) -> Vec<Span> {
        let mut rests: Vec<Span> = Vec::new();
        for segment in self.segments(window).filter(|piece| piece.state.as_ref().is_some_and(is_resting)) {
            match rests.last_mut().filter(|(_, end)| *end == segment.start) {
                Some((_, end)) => *end = segment.end,
                None => rests.push((segment.start, segment.end)),
            }
        }
        rests
    }

    fn is_unknown_in(&self, window: Span) -> bool {
        self.segments_overlapping(window).iter().any(|segment| segment.verdict == Verdict::Unknown)
    }
}

/// Extends a span by the whole shifts that reach into it.
pub fn extend_to_shifts(timeline: &AdherenceTimeline<'_>, (from, to): Span) -> Span {
    let shifts = timeline.plan.segments().iter().map(|segment| timeline.plan.shift_of(segment));
    let overlapping = shifts.filter(|(start, end)| *start < to && from < *end);
    overlapping.fold((from, to), |(first, last), (start, end)| (first.min(start), last.max(end)))
}

#[cfg(test)]
mod tests;
