//! Adherence over a span: a day cut where plan or state changes, with the verdict on each piece, and how long each verdict held.
//!
//! The verdict on a piece is the live one at the end of its whole stretch, also where the span shows only a part of it: a deviation
//! that outlasts its tolerance is one from its beginning, a shorter one is none.

use std::time::Duration;

use super::{AdherenceSettings, PlannedNow, Verdict, Why};
use crate::domain::agents::sets::PlanKind;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::ReasonCode;
use crate::domain::schedules::schedule::{Activity, AgentPlan, Planned};
use crate::domain::time::UtcMicros;

/// From one instant up to but not including another.
pub type Span = (UtcMicros, UtcMicros);

/// A state that an agent was in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stay {
    /// Which.
    pub state: AgentState,
    /// Its reason code; known only after a change of ours.
    pub reason: Option<ReasonCode>,
    /// Since when.
    pub start: UtcMicros,
    /// When it ended, or up to when it is known to have lasted.
    pub end: UtcMicros,
}

/// Facts over a span.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// What the activities allow.
    pub settings: &'a AdherenceSettings,
    /// What was planned.
    pub plan: &'a AgentPlan,
    /// What was seen, in order and without overlap; each stay whole.
    pub stays: &'a [Stay],
    /// Spans that somebody excused.
    pub excused: &'a [Span],
}

/// A stretch in which neither what is planned nor the state changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First instant.
    pub start: UtcMicros,
    /// First instant after it.
    pub end: UtcMicros,
    /// What was planned.
    pub kind: PlanKind,
    /// Its activity, in a shift.
    pub activity: Option<Activity>,
    /// It lies in a break that must be taken.
    pub mandatory: bool,
    /// The state; `None` where nobody knows.
    pub state: Option<AgentState>,
    /// The state's reason code, where one is known.
    pub reason: Option<ReasonCode>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is so.
    pub why: Why,
    /// Somebody excused it.
    pub excused: bool,
}

impl Piece {
    /// The activity's name, or `off` or `uncovered`.
    pub fn activity_name(&self) -> &str {
        self.activity.as_ref().map_or_else(|| self.kind.name(), Activity::name)
    }

    fn goes_on_as(&self, next: &Self) -> bool {
        let facts = |piece: &Self| (piece.kind, piece.why, piece.excused);
        !self.kind.is_in_shift() && facts(self) == facts(next) && self.state == next.state && self.reason == next.reason
    }

    /// The part of it that lies within a span; `None` where none does.
    pub fn within(&self, (from, to): Span) -> Option<Self> {
        let (start, end) = (self.start.max(from), self.end.min(to));
        (start < end).then(|| Self { start, end, ..self.clone() })
    }

    /// How long it is, in microseconds.
    pub const fn micros(&self) -> u64 {
        self.end.as_micros().saturating_sub(self.start.as_micros()).unsigned_abs()
    }
}

/// What is planned from one instant to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// First instant.
    pub start: UtcMicros,
    /// First instant after it.
    pub end: UtcMicros,
    /// The activity's name, or `off` or `uncovered`.
    pub activity: String,
    /// A break that must be taken.
    pub mandatory: bool,
}

/// How long each verdict held.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// In adherence.
    pub r#in: Duration,
    /// Out of it.
    pub out: Duration,
    /// On a contact while something else was planned, or excused.
    pub neutral: Duration,
    /// Without a shift.
    pub unscheduled: Duration,
    /// Nothing speaks for it.
    pub unknown: Duration,
}

impl Tally {
    /// Of some pieces.
    pub fn of(pieces: &[Piece]) -> Self {
        let mut tally = Self::default();
        for piece in pieces {
            let held = match piece.verdict {
                Verdict::In => &mut tally.r#in,
                Verdict::Out => &mut tally.out,
                Verdict::Neutral => &mut tally.neutral,
                Verdict::Unscheduled => &mut tally.unscheduled,
                Verdict::Unknown => &mut tally.unknown,
            };
            *held += piece.end.since(piece.start);
        }
        tally
    }

    /// In ÷ (in + out); none where there was neither. Source: the usual definition of adherence, with what is neutral left out.
    pub fn share(&self) -> Option<f64> {
        let judged = self.r#in + self.out;
        (!judged.is_zero()).then(|| self.r#in.as_secs_f64() / judged.as_secs_f64())
    }
}

impl Course<'_> {
    /// The pieces of a span, which they tile.
    pub fn pieces(&self, (from, to): Span) -> Vec<Piece> {
        let mut edges = plan_edges(self.plan, (from, to));
        edges.extend(self.stays.iter().flat_map(|stay| [stay.start, stay.end]));
        edges.extend(self.excused.iter().flat_map(|(start, end)| [*start, *end]));
        let mut pieces: Vec<Piece> = Vec::new();
        for (start, end) in tiles(edges, (from, to)) {
            let piece = self.piece(start, end);
            match pieces.last_mut().filter(|before| before.goes_on_as(&piece)) {
                Some(before) => before.end = end,
                None => pieces.push(piece),
            }
        }
        pieces
    }

    fn piece(&self, start: UtcMicros, end: UtcMicros) -> Piece {
        let planned = match self.plan.at(start) {
            Planned::NotCovered => (PlanKind::Uncovered, None),
            Planned::Off => (PlanKind::Off, None),
            Planned::In(segment) => (PlanKind::of(&segment.activity), Some(segment)),
        };
        let (kind, segment) = planned;
        let activity = segment.map(|segment| &segment.activity);
        let stay = self.stay_at(start);
        let excused = kind.is_in_shift() && self.excused.iter().any(|(first, after)| *first <= start && start < *after);
        let why = match stay {
            None => Why::NotSeen,
            Some(stay) => {
                // What was excused before or after does not make a deviation longer.
                let since = segment
                    .map(|segment| self.excused_until(start).map_or(segment.start, |end| segment.start.max(end)));
                let until = segment.map_or(UtcMicros::MAX, |segment| segment.end).min(self.excused_from(start));
                let planned = PlannedNow { kind, activity: || activity, since };
                let (why, _) = self.settings.weigh(planned, (&stay.state, stay.start), stay.end.min(until));
                let is_judged = matches!(why.verdict(), Verdict::In | Verdict::Out);
                if excused && is_judged { Why::Excused } else { why }
            }
        };
        let (state, reason) = stay.map(|stay| (stay.state.clone(), stay.reason.clone())).unzip();
        Piece {
            start,
            end,
            kind,
            activity: activity.cloned(),
            mandatory: segment.is_some_and(|segment| segment.mandatory),
            state,
            reason: reason.flatten(),
            verdict: why.verdict(),
            why,
            excused,
        }
    }

    /// When what was excused last before an instant ended.
    fn excused_until(&self, instant: UtcMicros) -> Option<UtcMicros> {
        self.excused.iter().map(|(_, end)| *end).filter(|end| *end <= instant).max()
    }

    /// When what is excused next after an instant begins.
    fn excused_from(&self, instant: UtcMicros) -> UtcMicros {
        self.excused.iter().map(|(start, _)| *start).filter(|start| *start > instant).min().unwrap_or(UtcMicros::MAX)
    }

    fn stay_at(&self, instant: UtcMicros) -> Option<&Stay> {
        let after = self.stays.partition_point(|stay| stay.start <= instant);
        self.stays[..after].last().filter(|stay| instant < stay.end)
    }
}

/// What is planned over a span, which the stretches tile.
pub fn stretches(plan: &AgentPlan, span: Span) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (start, end) in tiles(plan_edges(plan, span), span) {
        let (activity, mandatory, in_shift) = match plan.at(start) {
            Planned::NotCovered => (PlanKind::Uncovered.name(), false, false),
            Planned::Off => (PlanKind::Off.name(), false, false),
            Planned::In(segment) => (segment.activity.name(), segment.mandatory, true),
        };
        match stretches.last_mut().filter(|before| !in_shift && before.activity == activity) {
            Some(before) => before.end = end,
            None => stretches.push(Stretch { start, end, activity: activity.to_owned(), mandatory }),
        }
    }
    stretches
}

fn plan_edges(plan: &AgentPlan, (from, to): Span) -> Vec<UtcMicros> {
    let segments = plan.segments().iter().flat_map(|segment| [segment.start, segment.end]);
    let covered = plan.coverage().iter().flat_map(|span| [span.start, span.end]);
    // A shift goes on where one covered day ends and the next begins.
    let covered = covered.filter(|edge| plan.index_at(*edge).is_none());
    segments.chain(covered).filter(|edge| from < *edge && *edge < to).collect()
}

/// The spans between edges.
fn tiles(mut edges: Vec<UtcMicros>, (from, to): Span) -> Vec<Span> {
    if from >= to {
        return Vec::new();
    }
    edges.retain(|edge| from < *edge && *edge < to);
    edges.extend([from, to]);
    edges.sort_unstable();
    edges.dedup();
    edges.windows(2).map(|pair| (pair[0], pair[1])).collect()
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

    fn stay(state: AgentState, start: i64, end: i64) -> Stay {
        Stay { state, reason: None, start: at(start), end: at(end) }
    }

    fn course(stays: &[Stay], excused: &[Span], span: (i64, i64)) -> (Vec<(i64, i64, String, Verdict)>, Tally) {
        let (settings, plan) = (AdherenceSettings::default(), plan());
        let course = Course { settings: &settings, plan: &plan, stays, excused };
        let pieces = course.pieces((at(span.0), at(span.1)));
        let minute = |instant: UtcMicros| instant.as_micros() / 60_000_000;
        let told = pieces.iter().map(|p| (minute(p.start), minute(p.end), p.activity_name().to_owned(), p.verdict));
        (told.collect(), Tally::of(&pieces))
    }

    #[test]
    fn a_day_is_cut_where_plan_or_state_changes_and_a_deviation_counts_from_its_beginning() {
        use AgentState::{LoggedOut, OnContact, Paused, Ready};
        let stays = [
            stay(LoggedOut, -600, 61),
            stay(Ready, 61, 115),
            stay(OnContact, 115, 125),
            stay(Paused, 125, 160),
            stay(Ready, 160, 380),
        ];
        let (told, tally) = course(&stays, &[], (0, 450));
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
        assert_eq!(told, expected.map(|(from, to, activity, verdict)| (from, to, activity.to_owned(), verdict)));
        let minutes = |duration: Duration| duration.as_secs() / 60;
        assert_eq!((minutes(tally.r#in), minutes(tally.out), minutes(tally.neutral)), (225, 10, 5));
        assert_eq!((minutes(tally.unscheduled), minutes(tally.unknown)), (140, 70));
        assert_eq!(tally.share().map(|share| (share * 1000.0).round()), Some(957.0));
    }

    #[test]
    fn a_part_of_a_stretch_is_judged_by_the_whole_of_it() {
        let stays = [stay(AgentState::Paused, 150, 160)];
        assert_eq!(course(&stays, &[], (150, 151)).0, [(150, 151, "work".to_owned(), Verdict::Out)]);
        assert_eq!(course(&stays, &[], (159, 160)).0, [(159, 160, "work".to_owned(), Verdict::Out)]);
    }

    #[test]
    fn what_is_excused_is_neutral_within_its_span_and_off_time_stays_off() {
        let stays = [
            stay(AgentState::Paused, 200, 280),
            stay(AgentState::unseen(), 280, 300),
            stay(AgentState::Paused, 300, 320),
        ];
        let (told, _) = course(&stays, &[(at(220), at(310))], (200, 320));
        let expected = [
            (200, 220, "work", Verdict::Out),
            (220, 280, "work", Verdict::Neutral),
            (280, 300, "work", Verdict::Unknown),
            (300, 320, "off", Verdict::Unscheduled),
        ];
        assert_eq!(told, expected.map(|(from, to, activity, verdict)| (from, to, activity.to_owned(), verdict)));
    }

    #[test]
    fn stretches_tile_the_span_and_cover_edges_do_not_show() {
        let told: Vec<_> = stretches(&plan(), (at(0), at(500)))
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
        assert_eq!(told, expected.map(|(from, to, activity, must)| (from, to, activity.to_owned(), must)));
        assert_eq!(stretches(&plan(), (at(5), at(5))), []);
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
            let stays: Vec<Stay> = edges.windows(2).zip(states.iter().cycle())
                .map(|(pair, state)| stay(state.clone(), pair[0], pair[1])).collect();
            let excused = [(at(excuse.0), at(excuse.0 + excuse.1))];
            let (told, tally) = course(&stays, &excused, (from, from + length));
            prop_assert_eq!(told[0].0, from);
            prop_assert_eq!(told[told.len() - 1].1, from + length);
            prop_assert!(told.windows(2).all(|pair| pair[0].1 == pair[1].0));
            let sum = tally.r#in + tally.out + tally.neutral + tally.unscheduled + tally.unknown;
            prop_assert_eq!(sum, Duration::from_secs(u64::try_from(length).expect("positive") * 60));
        }
    }
}
