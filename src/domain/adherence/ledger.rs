//! A course over some days, cut once: any part of it as segments, what they add up to, and what happened at the edges of shifts and
//! breaks.
//!
//! Late starts, early leaves and overruns follow from the verdicts of the pieces, so that there is no second law. A mandatory break is
//! looked at for itself: its minutes are counted in one go, to the microsecond, and never rounded.

use std::time::Duration;

use super::Verdict;
use super::course::{Course, Piece, Span};
use super::sums::{Counts, Sums};
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::breaks::{SHORTEST_REST, is_resting};
use crate::domain::schedules::schedule::{Activity, Segment};
use crate::domain::time::UtcMicros;

/// A course cut over a span.
#[derive(Debug)]
pub struct Ledger<'a> {
    course: Course<'a>,
    pieces: Vec<Piece>,
}

/// What became of a mandatory break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakOutcome {
    /// In one go, for as long as planned, and in time.
    Taken,
    /// In time, for less than planned in one go.
    Short,
    /// For as long as planned, and begun later than the tolerance after the planned instant.
    Late,
    /// Both.
    ShortAndLate,
    /// Without a rest that counts as one.
    Missed,
    /// Too little was seen to say.
    Unknown,
    /// An exception lies over its beginning: it was not due.
    Excused,
}

impl BreakOutcome {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Taken, Self::Short, Self::Late, Self::ShortAndLate, Self::Missed, Self::Unknown, Self::Excused];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Short => "short",
            Self::Late => "late",
            Self::ShortAndLate => "short and late",
            Self::Missed => "missed",
            Self::Unknown => "unknown",
            Self::Excused => "excused",
        }
    }
}

/// A mandatory break, planned against taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakTaken {
    /// Break, lunch, or what the centre calls it.
    pub activity: Activity,
    /// From when to when it was planned.
    pub planned: Span,
    /// The longest rest in one go between the planned rests before and after it; none where there was no rest at all.
    pub rest: Option<Span>,
    /// In how many rests the planned time was taken.
    pub parts: usize,
    /// What became of it.
    pub outcome: BreakOutcome,
    /// How much later than planned the rest began; zero where that was within the tolerance.
    pub late: Duration,
}

impl BreakTaken {
    /// How much the longest rest fell short of the planned length; zero where none counted as one.
    pub fn short(&self) -> Duration {
        match (self.outcome, self.rest) {
            (BreakOutcome::Short | BreakOutcome::ShortAndLate, Some((start, end))) => {
                self.planned.1.since(self.planned.0).saturating_sub(end.since(start))
            }
            _ => Duration::ZERO,
        }
    }

    /// Another spell lay between two rests within the planned time.
    pub const fn is_interrupted(&self) -> bool {
        self.parts > 1
    }

    fn count(&self, counts: &mut Counts) {
        match self.outcome {
            BreakOutcome::Excused => {
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
        counts.short_us += micros(self.short());
        counts.late_breaks_us += micros(self.late);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn within(instant: UtcMicros, (from, to): Span) -> bool {
    from <= instant && instant < to
}

impl<'a> Ledger<'a> {
    /// Cuts a course over a span and the shifts that reach into it.
    pub fn new(course: Course<'a>, span: Span) -> Self {
        Self { pieces: course.pieces(hull(&course, span)), course }
    }

    /// The segments of a part of the span, which they tile.
    pub fn segments(&self, part: Span) -> impl Iterator<Item = Piece> + '_ {
        self.touching(part).iter().filter_map(move |piece| piece.within(part))
    }

    /// What a part of the span adds up to: its segments, and what happened to the shifts that begin or end in it and to the breaks
    /// that are planned to begin or end in it.
    pub fn sums(&self, part: Span) -> Sums {
        let mut sums = Sums::default();
        for piece in self.segments(part) {
            sums.take(&piece);
        }
        self.count_shifts(part, &mut sums.counts);
        for taken in self.breaks(part) {
            taken.count(&mut sums.counts);
        }
        sums
    }

    /// The mandatory breaks that are planned to begin in a part of the span, in order.
    pub fn breaks(&self, part: Span) -> impl Iterator<Item = BreakTaken> + '_ {
        let segments = self.course.plan.segments().iter().enumerate();
        let due = segments.filter(move |(_, segment)| segment.mandatory && within(segment.start, part));
        due.map(|(place, segment)| self.break_taken(place, segment))
    }

    fn touching(&self, (from, to): Span) -> &[Piece] {
        let first = self.pieces.partition_point(|piece| piece.end <= from);
        let after = self.pieces.partition_point(|piece| piece.start < to);
        self.pieces.get(first..after).unwrap_or_default()
    }

    fn count_shifts(&self, part: Span, counts: &mut Counts) {
        let segments = self.course.plan.segments();
        for (place, segment) in segments.iter().enumerate() {
            let (shift_start, shift_end) = self.course.plan.shift_of(segment);
            if segment.start == shift_start {
                self.count_edges((shift_start, shift_end), part, counts);
            }
            let rests_on =
                segments.get(place + 1).filter(|next| next.shift == segment.shift && !next.activity.is_rest());
            let ends = segment.activity.is_rest() && rests_on.is_some() && within(segment.end, part);
            if ends && !self.is_absence((shift_start, shift_end)) {
                let overrun = self.overrun(segment.end, shift_end);
                counts.overruns += u64::from(!overrun.is_zero());
                counts.overrun_us += micros(overrun);
            }
        }
    }

    fn count_edges(&self, shift: Span, part: Span, counts: &mut Counts) {
        let (begins, ends) = (within(shift.0, part), within(shift.1.offset(-1), part));
        counts.shifts += u64::from(begins);
        if !begins && !ends {
            return;
        }
        if self.is_absence(shift) {
            counts.absences += u64::from(begins);
            return;
        }
        let pieces = self.touching(shift);
        let is_out = |piece: &&Piece| piece.verdict == Verdict::Out;
        let late: u64 = pieces.iter().take_while(is_out).map(Piece::micros).sum();
        let early: u64 = pieces.iter().rev().take_while(is_out).map(Piece::micros).sum();
        if begins && late > 0 {
            counts.late_starts += 1;
            counts.late_us += late;
        }
        if ends && early > 0 {
            counts.early_leaves += 1;
            counts.early_us += early;
        }
    }

    /// A shift that was seen whole and in which the agent never worked, though that was planned.
    fn is_absence(&self, shift: Span) -> bool {
        let pieces = self.touching(shift);
        let works = |piece: &Piece| piece.state.as_ref().is_some_and(AgentState::is_working);
        pieces.iter().any(|piece| piece.verdict == Verdict::Out)
            && !pieces.iter().any(|piece| works(piece) || piece.verdict == Verdict::Unknown)
    }

    /// How long a rest that was planned to end goes on, out.
    fn overrun(&self, end: UtcMicros, shift_end: UtcMicros) -> Duration {
        let rests = |piece: &Piece| piece.state.as_ref().is_some_and(is_resting);
        let rested_before = self.touching((end.offset(-1), end)).first().is_some_and(rests);
        let goes_on = |piece: &&Piece| rested_before && rests(piece) && piece.verdict == Verdict::Out;
        let last = self.touching((end, shift_end)).iter().take_while(goes_on).last();
        last.map_or(Duration::ZERO, |piece| piece.end.since(end))
    }

    fn break_taken(&self, place: usize, segment: &Segment) -> BreakTaken {
        let planned = (segment.start, segment.end);
        let window = self.window(place, segment);
        let rests = self.rests(window);
        let parts = rests.iter().filter(|(start, end)| *start < planned.1 && planned.0 < *end).count();
        // The first of the longest.
        let rest = rests.into_iter().rev().max_by_key(|(start, end)| end.since(*start));
        let length = planned.1.since(planned.0);
        let rested = rest.map_or(Duration::ZERO, |(start, end)| end.since(start));
        let late = rest.map_or(Duration::ZERO, |(start, _)| start.since(planned.0));
        let tolerance = self.course.settings.allowed(&segment.activity).tolerance;
        let excused = self.course.excused.iter().any(|span| within(planned.0, *span));
        let counts_as_rest = !rested.is_zero() && rested >= length.min(SHORTEST_REST);
        let outcome = match (rested >= length, late > tolerance) {
            _ if excused => BreakOutcome::Excused,
            (false, _) if self.is_unknown_in(window) => BreakOutcome::Unknown,
            (false, _) if !counts_as_rest => BreakOutcome::Missed,
            (true, false) => BreakOutcome::Taken,
            (true, true) => BreakOutcome::Late,
            (false, false) => BreakOutcome::Short,
            (false, true) => BreakOutcome::ShortAndLate,
        };
        let is_late = matches!(outcome, BreakOutcome::Late | BreakOutcome::ShortAndLate);
        let late = if is_late { late } else { Duration::ZERO };
        BreakTaken { activity: segment.activity.clone(), planned, rest, parts, outcome, late }
    }

    /// From the end of the planned rest before, or the shift's start, to the beginning of the next, or the shift's end.
    fn window(&self, place: usize, segment: &Segment) -> Span {
        let segments = self.course.plan.segments();
        let (shift_start, shift_end) = self.course.plan.shift_of(segment);
        let is_other = |other: &&Segment| other.shift == segment.shift && (other.activity.is_rest() || other.mandatory);
        let before = segments[..place].iter().rev().find(is_other).map_or(shift_start, |other| other.end);
        let after = segments[place + 1..].iter().find(is_other).map_or(shift_end, |other| other.start);
        (before, after)
    }

    /// Rests without anything between, cut to a window.
    fn rests(&self, window: Span) -> Vec<Span> {
        let mut rests: Vec<Span> = Vec::new();
        for piece in self.segments(window).filter(|piece| piece.state.as_ref().is_some_and(is_resting)) {
            match rests.last_mut().filter(|(_, end)| *end == piece.start) {
                Some((_, end)) => *end = piece.end,
                None => rests.push((piece.start, piece.end)),
            }
        }
        rests
    }

    fn is_unknown_in(&self, window: Span) -> bool {
        self.touching(window).iter().any(|piece| piece.verdict == Verdict::Unknown)
    }
}

/// A span with the whole of the shifts that reach into it.
pub fn hull(course: &Course<'_>, (from, to): Span) -> Span {
    let shifts = course.plan.segments().iter().map(|segment| course.plan.shift_of(segment));
    let touching = shifts.filter(|(start, end)| *start < to && from < *end);
    touching.fold((from, to), |(first, last), (start, end)| (first.min(start), last.max(end)))
}

#[cfg(test)]
mod tests;
