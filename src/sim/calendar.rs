//! The schedule of a simulated agent. Pure; `shifts` reads schedule files.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::time::UtcMicros;

/// The meaning of an activity within a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// A break or lunch; nobody may be made available during a mandatory one.
    Rest {
        /// Whether the platform refuses READY while it lasts.
        mandatory: bool,
    },
    /// A meeting or training: away from contacts, but not resting.
    Away,
}

/// One activity within a shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start: UtcMicros,
    pub(super) end: UtcMicros,
    pub(super) activity: Activity,
    /// The name of the activity, such as `Lunch`.
    pub(super) title: Arc<str>,
}

/// One shift: its bounds and its activities in order. Time without an activity is work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) start: UtcMicros,
    pub(super) end: UtcMicros,
    pub(super) segments: Vec<Segment>,
}

/// What an agent is scheduled for at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No shift.
    Off,
    /// Plain work.
    Work,
    /// Another activity of the shift.
    In(Activity),
}

/// A phase and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) phase: Phase,
    /// The end of the phase, exclusive; [`UtcMicros::MAX`] if it never ends.
    pub(super) until: UtcMicros,
}

impl Shift {
    /// Returns the same shift, later by a number of microseconds.
    fn moved(&self, by: i64) -> Self {
        let segment = |one: &Segment| Segment { start: one.start.offset(by), end: one.end.offset(by), ..one.clone() };
        Self {
            start: self.start.offset(by),
            end: self.end.offset(by),
            segments: self.segments.iter().map(segment).collect(),
        }
    }

    fn span_at(&self, now: UtcMicros) -> Span {
        for segment in &self.segments {
            if now < segment.start {
                return Span { phase: Phase::Work, until: segment.start };
            }
            if now < segment.end {
                return Span { phase: Phase::In(segment.activity), until: segment.end };
            }
        }
        Span { phase: Phase::Work, until: self.end }
    }
}

/// All shifts of one agent.
#[derive(Clone, Debug)]
pub(super) enum Calendar {
    /// Never scheduled.
    Never,
    /// Always scheduled: in a mandatory break until the given instant, and at work from then on.
    Always { break_until: UtcMicros },
    /// The shifts of a file, in order and without overlaps.
    Listed(Vec<Shift>),
    /// The same shift repeated: it starts at `anchor` and every `period` before and after it.
    Rolling {
        anchor: UtcMicros,
        period: Duration,
        /// The shift, with instants counted from the epoch.
        shift: Shift,
    },
}

impl Calendar {
    /// Returns the shifts that overlap the time from `from` until `to`, in order. Whoever is always scheduled has one
    /// shift for all of it.
    pub(super) fn shifts_between(&self, from: UtcMicros, to: UtcMicros) -> Vec<Shift> {
        let overlaps = |shift: &Shift| shift.start < to && shift.end > from;
        match self {
            Self::Never => Vec::new(),
            Self::Always { break_until } => {
                let rest = (*break_until > from).then(|| Segment {
                    start: from,
                    end: (*break_until).min(to),
                    activity: Activity::Rest { mandatory: true },
                    title: "Break".into(),
                });
                vec![Shift { start: from, end: to, segments: rest.into_iter().collect() }]
            }
            Self::Listed(shifts) => shifts.iter().filter(|shift| overlaps(shift)).cloned().collect(),
            Self::Rolling { anchor, period, shift } => {
                let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
                let first = (from.as_micros() - anchor.as_micros()).div_euclid(period) - 1;
                let last = (to.as_micros() - anchor.as_micros()).div_euclid(period);
                let cycle = |number: i64| shift.moved(anchor.as_micros() + number * period);
                (first..=last).map(cycle).filter(overlaps).collect()
            }
        }
    }

    /// Returns what the agent is scheduled for at `now`, and until when.
    pub(super) fn span_at(&self, now: UtcMicros) -> Span {
        match self {
            Self::Never => Span { phase: Phase::Off, until: UtcMicros::MAX },
            Self::Always { break_until } if now < *break_until => {
                Span { phase: Phase::In(Activity::Rest { mandatory: true }), until: *break_until }
            }
            Self::Always { .. } => Span { phase: Phase::Work, until: UtcMicros::MAX },
            Self::Listed(shifts) => {
                let next = shifts.partition_point(|shift| shift.end <= now);
                match shifts.get(next) {
                    None => Span { phase: Phase::Off, until: UtcMicros::MAX },
                    Some(shift) if now < shift.start => Span { phase: Phase::Off, until: shift.start },
                    Some(shift) => shift.span_at(now),
                }
            }
            Self::Rolling { anchor, period, shift } => {
                let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
                let into = (now.as_micros().saturating_sub(anchor.as_micros())).rem_euclid(period);
                let cycle_start = now.offset(-into);
                let span = if UtcMicros::from_micros(into) < shift.end {
                    shift.span_at(UtcMicros::from_micros(into))
                } else {
                    Span { phase: Phase::Off, until: UtcMicros::from_micros(period) }
                };
                Span { phase: span.phase, until: cycle_start.offset(span.until.as_micros()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> UtcMicros {
        UtcMicros::from_micros(minutes * 60_000_000)
    }

    fn shift(from: i64) -> Shift {
        let rest = Activity::Rest { mandatory: true };
        Shift {
            start: at(from),
            end: at(from + 100),
            segments: vec![
                Segment { start: at(from + 20), end: at(from + 30), activity: rest, title: "Lunch".into() },
                Segment {
                    start: at(from + 30),
                    end: at(from + 40),
                    activity: Activity::Away,
                    title: "Training".into(),
                },
            ],
        }
    }

    #[test]
    fn every_edge_belongs_to_the_span_that_begins_there() {
        let rest = Phase::In(Activity::Rest { mandatory: true });
        let table = [
            (0, Phase::Off, 10),
            (10, Phase::Work, 30),
            (29, Phase::Work, 30),
            (30, rest, 40),
            (40, Phase::In(Activity::Away), 50),
            (50, Phase::Work, 110),
            (110, Phase::Off, 200),
        ];
        let listed = Calendar::Listed(vec![shift(10), shift(200)]);
        let rolling =
            Calendar::Rolling { anchor: at(10 + 190 * 7), period: Duration::from_secs(190 * 60), shift: shift(0) };
        for (now, phase, until) in table {
            assert_eq!(listed.span_at(at(now)), Span { phase, until: at(until) }, "listed at {now}");
            let now_rolling = now + 190;
            let span = Span { phase, until: at(until + 190) };
            assert_eq!(rolling.span_at(at(now_rolling)), span, "rolling at {now}");
        }
        assert_eq!(listed.span_at(at(300)), Span { phase: Phase::Off, until: UtcMicros::MAX });
    }

    #[test]
    fn shifts_of_a_time_are_those_that_overlap_it() {
        let bounds = |calendar: &Calendar, from: i64, to: i64| {
            let shifts = calendar.shifts_between(at(from), at(to));
            shifts.into_iter().map(|shift| (shift.start, shift.end, shift.segments.len())).collect::<Vec<_>>()
        };
        let listed = Calendar::Listed(vec![shift(10), shift(200)]);
        let rolling =
            Calendar::Rolling { anchor: at(10 + 190 * 7), period: Duration::from_secs(190 * 60), shift: shift(0) };
        for calendar in [&listed, &rolling] {
            assert_eq!(bounds(calendar, 110, 200), []);
            assert_eq!(bounds(calendar, 109, 201), [(at(10), at(110), 2), (at(200), at(300), 2)]);
        }
        assert_eq!(bounds(&Calendar::Never, 0, 900), []);
        assert_eq!(bounds(&Calendar::Always { break_until: at(30) }, 20, 50), [(at(20), at(50), 1)]);
        assert_eq!(bounds(&Calendar::Always { break_until: at(30) }, 30, 50), [(at(30), at(50), 0)]);
    }

    #[test]
    fn a_fixed_calendar_has_its_break_and_then_works() {
        let calendar = Calendar::Always { break_until: at(5) };
        assert_eq!(calendar.span_at(at(4)).until, at(5));
        assert_eq!(calendar.span_at(at(5)), Span { phase: Phase::Work, until: UtcMicros::MAX });
        assert_eq!(Calendar::Never.span_at(at(0)).phase, Phase::Off);
    }
}
