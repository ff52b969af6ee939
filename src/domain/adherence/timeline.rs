//! Adherence over a span: segments between changes of plan or state with the verdict on each, and the total time of
//! each verdict.
//!
//! The verdict on a segment is the live one at the end of its whole stretch, even if the span shows only part of it: a
//! deviation that outlasts its tolerance counts from its beginning, a shorter one not at all.

use std::time::Duration;

use super::{AdherenceSettings, CurrentPlan, Verdict, VerdictReason};
use crate::domain::agents::kind_sets::PlanKind;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::ReasonCode;
use crate::domain::schedules::schedule::{Activity, AgentPlan, PlanAt};
use crate::domain::time::UtcMicros;

/// A span from one instant up to but not including another.
pub type Span = (UtcMicros, UtcMicros);

/// The time from entering a state until leaving it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateInterval {
    /// The state.
    pub state: AgentState,
    /// The reason, if it is known.
    pub reason: Option<ReasonCode>,
    /// When the state was entered.
    pub start: UtcMicros,
    /// When the state ended, or until when it is known to have lasted.
    pub end: UtcMicros,
}

/// The facts that a timeline is computed from.
#[derive(Clone, Copy, Debug)]
pub struct AdherenceTimeline<'a> {
    /// The adherence settings.
    pub settings: &'a AdherenceSettings,
    /// The plan.
    pub plan: &'a AgentPlan,
    /// The observed states, in order and without overlap; each interval is whole.
    pub intervals: &'a [StateInterval],
    /// The spans covered by exceptions.
    pub exceptions: &'a [Span],
}

/// A stretch in which neither the plan nor the state changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimelineSegment {
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after it.
    pub end: UtcMicros,
    /// The planned kind.
    pub plan_kind: PlanKind,
    /// The planned activity, within a shift.
    pub activity: Option<Activity>,
    /// Whether it lies in a mandatory break.
    pub mandatory: bool,
    /// The state; `None` if unknown.
    pub state: Option<AgentState>,
    /// The reason code of the state, if known.
    pub reason: Option<ReasonCode>,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason for the verdict.
    pub verdict_reason: VerdictReason,
    /// Whether an exception covers it.
    pub under_exception: bool,
}

impl TimelineSegment {
    /// Returns the activity's name, or `off` or `uncovered`.
    pub fn activity_name(&self) -> &str {
        self.activity.as_ref().map_or_else(|| self.plan_kind.name(), Activity::name)
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        let facts = |segment: &Self| (segment.plan_kind, segment.verdict_reason, segment.under_exception);
        !self.plan_kind.is_in_shift()
            && facts(self) == facts(next)
            && self.state == next.state
            && self.reason == next.reason
    }

    /// Returns the part within a span; `None` if they do not overlap.
    pub fn clipped_to(&self, (from, to): Span) -> Option<Self> {
        let (start, end) = (self.start.max(from), self.end.min(to));
        (start < end).then(|| Self { start, end, ..self.clone() })
    }

    /// Returns the length in microseconds.
    pub const fn micros(&self) -> u64 {
        self.end.as_micros().saturating_sub(self.start.as_micros()).unsigned_abs()
    }
}

/// What is planned from one instant to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedInterval {
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after it.
    pub end: UtcMicros,
    /// The activity's name, or `off` or `uncovered`.
    pub activity: String,
    /// Whether it is a mandatory break.
    pub mandatory: bool,
}

/// The total time of each verdict.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct VerdictDurations {
    /// In adherence.
    pub r#in: Duration,
    /// Out of adherence.
    pub out: Duration,
    /// On a contact while something else was planned, or under an exception.
    pub neutral: Duration,
    /// Without a shift planned.
    pub unscheduled: Duration,
    /// With the plan or the state unknown.
    pub unknown: Duration,
}

impl VerdictDurations {
    /// Computes the totals of some segments.
    pub fn from_segments(segments: &[TimelineSegment]) -> Self {
        let mut durations = Self::default();
        for segment in segments {
            let duration = match segment.verdict {
                Verdict::In => &mut durations.r#in,
                Verdict::Out => &mut durations.out,
                Verdict::Neutral => &mut durations.neutral,
                Verdict::Unscheduled => &mut durations.unscheduled,
                Verdict::Unknown => &mut durations.unknown,
            };
            *duration += segment.end.since(segment.start);
        }
        durations
    }

    /// Returns in ÷ (in + out); `None` if both are zero. Source: the usual definition of adherence, without neutral
    /// time.
    pub fn share(&self) -> Option<f64> {
        let in_or_out = self.r#in + self.out;
        (!in_or_out.is_zero()).then(|| self.r#in.as_secs_f64() / in_or_out.as_secs_f64())
    }
}

impl AdherenceTimeline<'_> {
    /// Returns the segments that tile a span.
    pub fn segments(&self, (from, to): Span) -> Vec<TimelineSegment> {
        let mut boundaries = plan_boundaries(self.plan, (from, to));
        boundaries.extend(self.intervals.iter().flat_map(|interval| [interval.start, interval.end]));
        boundaries.extend(self.exceptions.iter().flat_map(|(start, end)| [*start, *end]));
        let mut segments: Vec<TimelineSegment> = Vec::new();
        for (start, end) in split_at(boundaries, (from, to)) {
            let segment = self.build_segment(start, end);
            match segments.last_mut().filter(|previous| previous.is_continued_by(&segment)) {
                Some(before) => before.end = end,
                None => segments.push(segment),
            }
        }
        segments
    }

    fn build_segment(&self, start: UtcMicros, end: UtcMicros) -> TimelineSegment {
        let planned = match self.plan.at(start) {
            PlanAt::NotCovered => (PlanKind::Uncovered, None),
            PlanAt::Off => (PlanKind::Off, None),
            PlanAt::In(segment) => (PlanKind::from_activity(&segment.activity), Some(segment)),
        };
        let (kind, segment) = planned;
        let activity = segment.map(|segment| &segment.activity);
        let interval = self.interval_at(start);
        let under_exception =
            kind.is_in_shift() && self.exceptions.iter().any(|(first, after)| *first <= start && start < *after);
        let verdict_reason = match interval {
            None => VerdictReason::NotSeen,
            Some(interval) => {
                // Time under an exception before or after does not extend a deviation.
                let since = segment
                    .map(|segment| self.last_exception_end(start).map_or(segment.start, |end| segment.start.max(end)));
                let until = segment.map_or(UtcMicros::MAX, |segment| segment.end).min(self.next_exception_start(start));
                let planned = CurrentPlan { kind, activity: || activity, since };
                let (reason, _) = self.settings.judge_with_reason(
                    planned,
                    (&interval.state, interval.start),
                    interval.end.min(until),
                );
                let is_judged = matches!(reason.verdict(), Verdict::In | Verdict::Out);
                if under_exception && is_judged { VerdictReason::Excused } else { reason }
            }
        };
        let (state, reason) = interval.map(|interval| (interval.state.clone(), interval.reason.clone())).unzip();
        TimelineSegment {
            start,
            end,
            plan_kind: kind,
            activity: activity.cloned(),
            mandatory: segment.is_some_and(|segment| segment.mandatory),
            state,
            reason: reason.flatten(),
            verdict: verdict_reason.verdict(),
            verdict_reason,
            under_exception,
        }
    }

    /// Returns when the last exception before an instant ended.
    fn last_exception_end(&self, instant: UtcMicros) -> Option<UtcMicros> {
        self.exceptions.iter().map(|(_, end)| *end).filter(|end| *end <= instant).max()
    }

    /// Returns when the next exception after an instant begins.
    fn next_exception_start(&self, instant: UtcMicros) -> UtcMicros {
        self.exceptions.iter().map(|(start, _)| *start).filter(|start| *start > instant).min().unwrap_or(UtcMicros::MAX)
    }

    fn interval_at(&self, instant: UtcMicros) -> Option<&StateInterval> {
        let after = self.intervals.partition_point(|interval| interval.start <= instant);
        self.intervals[..after].last().filter(|interval| instant < interval.end)
    }
}

/// Returns what is planned over a span, as intervals that tile it.
pub fn planned_intervals(plan: &AgentPlan, span: Span) -> Vec<PlannedInterval> {
    let mut planned_intervals: Vec<PlannedInterval> = Vec::new();
    for (start, end) in split_at(plan_boundaries(plan, span), span) {
        let (activity, mandatory, in_shift) = match plan.at(start) {
            PlanAt::NotCovered => (PlanKind::Uncovered.name(), false, false),
            PlanAt::Off => (PlanKind::Off.name(), false, false),
            PlanAt::In(segment) => (segment.activity.name(), segment.mandatory, true),
        };
        match planned_intervals.last_mut().filter(|previous| !in_shift && previous.activity == activity) {
            Some(before) => before.end = end,
            None => planned_intervals.push(PlannedInterval { start, end, activity: activity.to_owned(), mandatory }),
        }
    }
    planned_intervals
}

fn plan_boundaries(plan: &AgentPlan, (from, to): Span) -> Vec<UtcMicros> {
    let segments = plan.segments().iter().flat_map(|segment| [segment.start, segment.end]);
    let covered = plan.coverage().iter().flat_map(|span| [span.start, span.end]);
    // A shift continues where one covered day ends and the next begins.
    let covered = covered.filter(|boundary| plan.index_at(*boundary).is_none());
    segments.chain(covered).filter(|boundary| from < *boundary && *boundary < to).collect()
}

/// Returns the spans between boundaries.
fn split_at(mut boundaries: Vec<UtcMicros>, (from, to): Span) -> Vec<Span> {
    if from >= to {
        return Vec::new();
    }
    boundaries.retain(|boundary| from < *boundary && *boundary < to);
    boundaries.extend([from, to]);
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::schedules::schedule::{Coverage, Shift, ShiftActivity};

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn plan() -> AgentPlan {
        let lunch = ShiftActivity { activity: Activity::Lunch, start: at(120), end: at(150), mandatory: true };
        let shift = Shift { start: at(60), end: at(300), activities: vec![lunch] };
        AgentPlan::new(
            vec![shift],
            vec![Coverage { start: at(0), end: at(200) }, Coverage { start: at(200), end: at(400) }],
        )
    }

    fn interval(state: AgentState, start: i64, end: i64) -> StateInterval {
        StateInterval { state, reason: None, start: at(start), end: at(end) }
    }

    fn segments_and_durations(
        intervals: &[StateInterval],
        exceptions: &[Span],
        span: (i64, i64),
    ) -> (Vec<(i64, i64, String, Verdict)>, VerdictDurations) {
        let (settings, plan) = (AdherenceSettings::default(), plan());
        let timeline = AdherenceTimeline { settings: &settings, plan: &plan, intervals, exceptions };
        let segments = timeline.segments((at(span.0), at(span.1)));
        let minute = |instant: UtcMicros| instant.as_micros() / 60_000_000;
        let rows = segments.iter().map(|p| (minute(p.start), minute(p.end), p.activity_name().to_owned(), p.verdict));
        (rows.collect(), VerdictDurations::from_segments(&segments))
    }

    #[test]
    fn a_day_is_cut_where_plan_or_state_changes_and_a_deviation_counts_from_its_beginning() {
        use AgentState::{LoggedOut, OnContact, Paused, Ready};
        let intervals = [
            interval(LoggedOut, -600, 61),
            interval(Ready, 61, 115),
            interval(OnContact, 115, 125),
            interval(Paused, 125, 160),
            interval(Ready, 160, 380),
        ];
        let (rows, durations) = segments_and_durations(&intervals, &[], (0, 450));
        let expected = [
            (0, 60, "off", Verdict::Unscheduled),
            // A minute late is within the tolerance.
            (60, 61, "work", Verdict::In),
            (61, 115, "work", Verdict::In),
            (115, 120, "work", Verdict::In),
            (120, 125, "lunch", Verdict::Neutral),
            (125, 150, "lunch", Verdict::In),
            (150, 160, "work", Verdict::Out),
            (160, 300, "work", Verdict::In),
            (300, 380, "off", Verdict::Unscheduled),
            (380, 400, "off", Verdict::Unknown),
            (400, 450, "uncovered", Verdict::Unknown),
        ];
        assert_eq!(rows, expected.map(|(from, to, activity, verdict)| (from, to, activity.to_owned(), verdict)));
        let minutes = |duration: Duration| duration.as_secs() / 60;
        assert_eq!((minutes(durations.r#in), minutes(durations.out), minutes(durations.neutral)), (225, 10, 5));
        assert_eq!((minutes(durations.unscheduled), minutes(durations.unknown)), (140, 70));
        assert_eq!(durations.share().map(|share| (share * 1000.0).round()), Some(957.0));
    }

    #[test]
    fn a_part_of_a_deviation_is_judged_by_its_whole_length() {
        let intervals = [interval(AgentState::Paused, 150, 160)];
        assert_eq!(
            segments_and_durations(&intervals, &[], (150, 151)).0,
            [(150, 151, "work".to_owned(), Verdict::Out)]
        );
        assert_eq!(
            segments_and_durations(&intervals, &[], (159, 160)).0,
            [(159, 160, "work".to_owned(), Verdict::Out)]
        );
    }

    #[test]
    fn an_exception_is_neutral_within_its_span_and_off_time_stays_off() {
        let intervals = [
            interval(AgentState::Paused, 200, 280),
            interval(AgentState::unobserved(), 280, 300),
            interval(AgentState::Paused, 300, 320),
        ];
        let (rows, _) = segments_and_durations(&intervals, &[(at(220), at(310))], (200, 320));
        let expected = [
            (200, 220, "work", Verdict::Out),
            (220, 280, "work", Verdict::Neutral),
            (280, 300, "work", Verdict::Unknown),
            (300, 320, "off", Verdict::Unscheduled),
        ];
        assert_eq!(rows, expected.map(|(from, to, activity, verdict)| (from, to, activity.to_owned(), verdict)));
    }

    #[test]
    fn stretches_tile_the_span_and_cover_edges_do_not_show() {
        let rows: Vec<_> = planned_intervals(&plan(), (at(0), at(500)))
            .into_iter()
            .map(|s| (s.start.as_micros() / 60_000_000, s.end.as_micros() / 60_000_000, s.activity, s.mandatory))
            .collect();
        let expected = [
            (0, 60, "off", false),
            (60, 120, "work", false),
            (120, 150, "lunch", true),
            (150, 300, "work", false),
            (300, 400, "off", false),
            (400, 500, "uncovered", false),
        ];
        assert_eq!(rows, expected.map(|(from, to, activity, must)| (from, to, activity.to_owned(), must)));
        assert_eq!(planned_intervals(&plan(), (at(5), at(5))), []);
    }

    proptest! {
        #[test]
        fn pieces_tile_the_span_and_every_second_counts_once(
            cuts in prop::collection::btree_set(-50_i64..500, 2..12),
            from in 0_i64..200,
            length in 1_i64..300,
            excuse in (0_i64..400, 1_i64..100),
        ) {
            let states = [AgentState::Ready, AgentState::Paused, AgentState::OnContact];
            let edges: Vec<i64> = cuts.into_iter().collect();
            let intervals: Vec<StateInterval> = edges.windows(2).zip(states.iter().cycle())
                .map(|(pair, state)| interval(state.clone(), pair[0], pair[1])).collect();
            let exceptions = [(at(excuse.0), at(excuse.0 + excuse.1))];
            let (rows, tally) = segments_and_durations(&intervals, &exceptions, (from, from + length));
            prop_assert_eq!(rows[0].0, from);
            prop_assert_eq!(rows[rows.len() - 1].1, from + length);
            prop_assert!(rows.windows(2).all(|pair| pair[0].1 == pair[1].0));
            let sum = tally.r#in + tally.out + tally.neutral + tally.unscheduled + tally.unknown;
            prop_assert_eq!(sum, Duration::from_secs(u64::try_from(length).expect("positive") * 60));
        }
    }
}
