//! Boundaries of shifts and breaks to the second, and what must hold for any plan, any history and any days.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::domain::adherence::AdherenceSettings;
use crate::domain::adherence::coverage;
use crate::domain::adherence::days::days_overlapping;
use crate::domain::adherence::figures::AdherenceTimes;
use crate::domain::adherence::timeline::StateInterval;
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::{AgentPlan, Coverage, Shift, ShiftActivity};

/// A second of the day.
fn at(second: i64) -> UtcMicros {
    UtcMicros::from_micros(second * 1_000_000)
}

const HOUR: i64 = 3600;

/// From 8 to 16 o'clock, with a mandatory lunch of half an hour at 12 and a break of a quarter at 14.
fn plan() -> AgentPlan {
    let activity =
        |activity, start, end, mandatory| ShiftActivity { activity, start: at(start), end: at(end), mandatory };
    let activities = vec![
        activity(Activity::Lunch, 12 * HOUR, 12 * HOUR + 1800, true),
        activity(Activity::Break, 14 * HOUR, 14 * HOUR + 900, false),
    ];
    let shift = Shift { start: at(8 * HOUR), end: at(16 * HOUR), activities };
    AgentPlan::new(vec![shift], vec![Coverage { start: at(0), end: at(24 * HOUR) }])
}

/// What the agent entered when, until midnight.
fn with_ledger<T>(entered: &[(i64, AgentState)], exceptions: &[Span], inspect: impl FnOnce(&Ledger<'_>) -> T) -> T {
    let ends = entered.iter().skip(1).map(|(start, _)| *start).chain([24 * HOUR]);
    let intervals: Vec<StateInterval> = entered
        .iter()
        .zip(ends)
        .map(|((start, state), end)| StateInterval {
            state: state.clone(),
            reason: None,
            start: at(*start),
            end: at(end),
        })
        .collect();
    let (settings, plan) = (AdherenceSettings::default(), plan());
    let timeline = AdherenceTimeline { settings: &settings, plan: &plan, intervals: &intervals, exceptions };
    inspect(&Ledger::new(timeline, day()))
}

fn day() -> Span {
    (at(0), at(24 * HOUR))
}

fn counts(entered: &[(i64, AgentState)]) -> Counts {
    with_ledger(entered, &[], |ledger| ledger.sums(day()).counts)
}

#[test]
fn a_start_is_late_and_a_leave_early_beyond_the_tolerance_of_two_minutes_and_then_from_the_edge() {
    use AgentState::{LoggedOut, Ready};
    for (second, late) in [(119, 0), (120, 0), (121, 121)] {
        let counts = counts(&[(0, LoggedOut), (8 * HOUR + second, Ready), (16 * HOUR, LoggedOut)]);
        assert_eq!((counts.late_starts, counts.late_us), (u64::from(late > 0), late * 1_000_000), "{second} s late");
        assert_eq!((counts.shifts, counts.early_leaves, counts.absences), (1, 0, 0));
    }
    for (second, early) in [(119, 0), (120, 0), (121, 121)] {
        let counts = counts(&[(0, LoggedOut), (8 * HOUR, Ready), (16 * HOUR - second, LoggedOut)]);
        assert_eq!((counts.early_leaves, counts.early_us), (u64::from(early > 0), early * 1_000_000));
    }
    // Who never came was not late, and did not rest too long.
    let absent = counts(&[(0, LoggedOut)]);
    assert_eq!(
        (absent.shifts, absent.absences, absent.late_starts, absent.early_leaves, absent.overruns),
        (1, 1, 0, 0, 0)
    );
}

#[test]
fn a_rest_overruns_beyond_the_tolerance_and_then_from_the_planned_end() {
    use AgentState::{NotReady, Paused, Ready};
    let (begin, end) = (14 * HOUR, 14 * HOUR + 900);
    for (second, overrun) in [(119, 0), (120, 0), (121, 121)] {
        let counts = counts(&[(0, Ready), (begin, NotReady), (end + second, Ready)]);
        assert_eq!(
            (counts.overruns, counts.overrun_us),
            (u64::from(overrun > 0), overrun * 1_000_000),
            "{second} s over"
        );
    }
    let paused_later = counts(&[(0, Ready), (end + 60, Paused), (end + 600, Ready)]);
    assert_eq!(paused_later.overruns, 0, "who did not rest at its end does not overrun it");
}

/// What became of lunch: outcome, rest, parts, short and late in seconds.
fn lunch_result(entered: &[(i64, AgentState)]) -> (BreakOutcome, i64, usize, u64, u64) {
    with_ledger(entered, &[], |ledger| {
        let breaks: Vec<BreakRecord> = ledger.breaks(day()).collect();
        assert_eq!(breaks.len(), 1, "the other break need not be taken");
        let rested = breaks[0].rest.map_or(0, |(start, end)| (end.as_micros() - start.as_micros()) / 1_000_000);
        (breaks[0].outcome, rested, breaks[0].rest_count, breaks[0].short_by().as_secs(), breaks[0].late_by.as_secs())
    })
}

#[test]
fn the_minutes_of_a_break_are_counted_in_one_go_and_never_rounded() {
    use AgentState::{OnContact, Paused, Ready};
    use BreakOutcome::{Late, Missed, Short, ShortAndLate, Taken};
    let noon = 12 * HOUR;
    for (start, length, outcome, short, late) in [
        (0, 1799, Short, 1, 0),
        (0, 1800, Taken, 0, 0),
        (0, 1801, Taken, 0, 0),
        // The tolerance of two minutes is for its beginning alone.
        (119, 1800, Taken, 0, 0),
        (120, 1800, Taken, 0, 0),
        (121, 1800, Late, 0, 121),
        (121, 1799, ShortAndLate, 1, 121),
        // Before its time is in time.
        (-3600, 1800, Taken, 0, 0),
        // Less than five minutes are a pause and no rest.
        (0, 299, Missed, 0, 0),
        (0, 300, Short, 1500, 0),
        (0, 301, Short, 1499, 0),
    ] {
        let actual = lunch_result(&[(0, Ready), (noon + start, Paused), (noon + start + length, Ready)]);
        let parts = usize::from(start < 1800 && start + length > 0);
        assert_eq!(actual, (outcome, length, parts, short, late), "{length} s from {start} s on");
    }
    assert_eq!(lunch_result(&[(0, Ready)]), (Missed, 0, 0, 0, 0));
    // Two quarters of an hour with a contact between are no half hour.
    let twice = [(0, Ready), (noon, Paused), (noon + 900, OnContact), (noon + 960, Paused), (noon + 1860, Ready)];
    assert_eq!(lunch_result(&twice), (Short, 900, 2, 900, 0));
    // Another state of rest does not interrupt.
    let changed = [(0, Ready), (noon, Paused), (noon + 900, AgentState::NotReady), (noon + 1800, Ready)];
    assert_eq!(lunch_result(&changed), (Taken, 1800, 1, 0, 0));
    // The break at 14 o'clock is another one.
    assert_eq!(lunch_result(&[(0, Ready), (14 * HOUR, Paused), (15 * HOUR, Ready)]), (Missed, 0, 0, 0, 0));
}

#[test]
fn an_unobserved_break_is_unknown_and_one_with_an_exception_is_not_due() {
    use AgentState::{Paused, Ready};
    let noon = 12 * HOUR;
    let unobserved = [(0, Ready), (noon + 60, AgentState::unobserved()), (noon + 1700, Ready)];
    assert_eq!(lunch_result(&unobserved).0, BreakOutcome::Unknown);
    let observed_whole = [
        (0, Ready),
        (9 * HOUR, AgentState::unobserved()),
        (9 * HOUR + 60, Ready),
        (noon, Paused),
        (noon + 1800, Ready),
    ];
    assert_eq!(lunch_result(&observed_whole).0, BreakOutcome::Taken, "what was seen is enough");
    let under_exception = with_ledger(&[(0, Ready)], &[(at(noon), at(noon + 1))], |ledger| ledger.sums(day()).counts);
    assert_eq!((under_exception.breaks_excused, under_exception.breaks_due, under_exception.breaks_missed), (1, 0, 0));
    let before = with_ledger(&[(0, Ready)], &[(at(noon - 1), at(noon))], |ledger| ledger.sums(day()).counts);
    assert_eq!((before.breaks_excused, before.breaks_due, before.breaks_missed), (0, 1, 1));
}

#[test]
fn while_the_daemon_was_down_nobody_is_out() {
    use AgentState::{Paused, Ready};
    // Paused from 9 to 13 o'clock as history has it; but nobody looked between 9:01 and 13.
    let interval = |state, start, end| StateInterval { state, reason: None, start: at(start), end: at(end) };
    let (rest, end) = (14 * HOUR, 14 * HOUR + 900);
    let mut intervals = vec![
        interval(Ready, 0, 9 * HOUR),
        interval(Paused, 9 * HOUR, 13 * HOUR),
        interval(Ready, 13 * HOUR, rest),
        interval(Paused, rest, end),
        interval(Ready, end, 24 * HOUR),
    ];
    let observed_spans = [(at(0), at(9 * HOUR + 60)), (at(13 * HOUR), at(24 * HOUR))];
    coverage::trim_unobserved(&mut intervals, &observed_spans, Some(at(24 * HOUR)));
    let (settings, plan) = (AdherenceSettings::default(), plan());
    let timeline = AdherenceTimeline { settings: &settings, plan: &plan, intervals: &intervals, exceptions: &[] };
    let times = AdherenceTimes::from_sums(&Ledger::new(timeline, day()).sums(day()));
    assert_eq!((times.out_us, times.unknown_us), (0, (4 * 3600 - 60) * 1_000_000));
}

/// A plan of some days, what an agent did, what was excused, and when somebody looked: by the minute from an instant on.
#[derive(Clone, Debug)]
struct Case {
    from: i64,
    zone: &'static str,
    days: i64,
    shifts: Vec<(i64, i64, i64)>,
    states: Vec<(i64, usize)>,
    exceptions: Vec<(i64, i64)>,
    observed_spans: Vec<(i64, i64)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Chatham", "UTC"];
    let begin = 1_577_836_800_i64..2_145_916_800;
    let shifts = prop::collection::vec((0_i64..600, 60_i64..700, 5_i64..60), 0..5);
    let states = prop::collection::vec((1_i64..400, 0_usize..9), 0..60);
    let exceptions = prop::collection::vec((0_i64..7000, 1_i64..600), 0..3);
    let observed_spans = prop::collection::vec((1_i64..3000, 1_i64..200), 1..6);
    (begin, prop::sample::select(zones.to_vec()), 1_i64..5, shifts, states, exceptions, observed_spans).prop_map(
        |(from, zone, days, shifts, states, exceptions, observed_spans)| Case {
            from,
            zone,
            days,
            shifts,
            states,
            exceptions,
            observed_spans,
        },
    )
}

impl Case {
    fn at(&self, minute: i64) -> UtcMicros {
        at(self.from + minute * 60)
    }

    fn span(&self) -> Span {
        (self.at(0), self.at(self.days * 1440))
    }

    fn plan(&self) -> AgentPlan {
        let (mut shifts, mut free) = (Vec::new(), -300);
        for (gap, length, rest) in &self.shifts {
            let (start, end) = (free + gap, free + gap + length);
            let middle = start + length / 2;
            let activity = if length % 2 == 0 { Activity::Lunch } else { Activity::Meeting };
            let (start_at, end_at) = (self.at(middle), self.at((middle + rest).min(end)));
            let activities = vec![ShiftActivity { activity, start: start_at, end: end_at, mandatory: length % 3 == 0 }];
            shifts.push(Shift { start: self.at(start), end: self.at(end), activities });
            free = end;
        }
        AgentPlan::new(shifts, vec![Coverage { start: self.at(-500), end: self.at(3000) }])
    }

    fn intervals(&self) -> Vec<StateInterval> {
        let unknown = [AgentState::unobserved(), AgentState::Unknown("Tea".into())];
        let states: Vec<AgentState> = AgentState::KNOWN.into_iter().chain(unknown).collect();
        let (mut intervals, mut start) = (Vec::new(), -700);
        for (length, state) in &self.states {
            intervals.push(StateInterval {
                state: states[*state].clone(),
                reason: (length % 2 == 0).then(|| "BREAK".into()),
                start: self.at(start),
                end: self.at(start + length),
            });
            start += length;
        }
        let (mut observed_spans, mut from) = (Vec::new(), -800);
        for (length, gap) in &self.observed_spans {
            observed_spans.push((self.at(from), self.at(from + length)));
            from += length + gap;
        }
        coverage::trim_unobserved(&mut intervals, &observed_spans, observed_spans.last().map(|(_, until)| *until));
        intervals
    }

    fn exceptions(&self) -> Vec<Span> {
        let mut spans: Vec<(i64, i64)> =
            self.exceptions.iter().map(|(start, length)| (*start, start + length)).collect();
        spans.sort_unstable();
        spans.dedup_by(|next, before| next.0 <= before.1);
        spans.into_iter().map(|(start, end)| (self.at(start), self.at(end))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn segments_tile_any_span_and_days_add_up_to_it(case in cases()) {
        let (settings, plan, intervals, exceptions) = (AdherenceSettings::default(), case.plan(), case.intervals(), case.exceptions());
        let timeline = AdherenceTimeline { settings: &settings, plan: &plan, intervals: &intervals, exceptions: &exceptions };
        let span = case.span();
        let ledger = Ledger::new(timeline, span);
        let segments: Vec<TimelineSegment> = ledger.segments(span).collect();
        prop_assert_eq!(segments[0].start, span.0);
        prop_assert_eq!(segments[segments.len() - 1].end, span.1);
        prop_assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
        prop_assert!(segments.iter().all(|piece| piece.start < piece.end && piece.verdict == piece.verdict_reason.verdict()));
        // What is not seen is never out, and what is in a gap is not seen.
        prop_assert!(segments.iter().all(|piece| piece.state.is_some() || piece.verdict == Verdict::Unknown));

        // The days of a zone: each day's sums are those of its segments, and all of them those of the span.
        let zone = TimeZone::get(case.zone).expect("a zone");
        let mut whole = Sums::default();
        for (_, day) in days_overlapping(span, &zone) {
            let part = (day.0.max(span.0), day.1.min(span.1));
            let sums = ledger.sums(part);
            // Computed from that day alone they are the same.
            prop_assert_eq!(&Ledger::new(timeline, part).sums(part), &sums);
            let mut counted = Sums::default();
            for segment in segments.iter().filter_map(|piece| piece.clipped_to(part)) {
                counted.add_segment(&segment);
            }
            prop_assert_eq!(&counted.micros_by_class, &sums.micros_by_class);
            whole.add(&sums);
        }
        prop_assert_eq!(&whole, &ledger.sums(span));
        let micros = u64::try_from(span.1.as_micros() - span.0.as_micros()).expect("forwards");
        prop_assert_eq!(whole.total_micros_where(|_| true), micros);
        let times = AdherenceTimes::from_sums(&whole);
        prop_assert_eq!(times.scheduled_us + times.unknown_us + times.unknown_outside_us + times.unscheduled_us, micros);
    }
}
