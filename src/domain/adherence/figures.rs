//! The figures computed from sums, each with its formula and source.
//!
//! Each is a ratio of two times in microseconds. Percentages are never averaged: callers add up sums and divide once.
//! Unobserved time is in neither part.

use super::sums::{Sums, TimeClass};
use super::{AdherenceSettings, Verdict, VerdictReason};
use crate::domain::agents::kind_sets::PlanKind;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::Hash;
use crate::domain::ids::TeamName;

/// The version of the formulas and sums; what was computed under another version is computed again.
pub const FORMULA_VERSION: u32 = 1;

/// Returns what a computation depends on, as a short text: formulas, settings, the zone of its days, and the team,
/// which decides which exceptions apply. Sums with another basis are computed again.
pub fn computation_basis(settings: &AdherenceSettings, zone: &str, team: Option<&TeamName>) -> String {
    let team = team.map_or("", TeamName::as_str);
    let mut text =
        Hash::of(format!("{FORMULA_VERSION}\n{}\n{zone}\n{team}", settings.to_stored()).as_bytes()).to_string();
    text.truncate(16);
    text
}

/// The formula for adherence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AdherenceFormula {
    /// In ÷ (scheduled − neutral), as in the console: exceptions count neither way.
    #[default]
    NeutralOut,
    /// In adherence ÷ scheduled.
    InOfScheduled,
    /// 1 − exceptions ÷ scheduled, at least 0, where the exceptions are the time out of adherence.
    Exceptions,
    /// Like `Exceptions`, with work outside of shifts added to both parts.
    ExceptionsOutside,
}

impl AdherenceFormula {
    /// All formulas, the default first.
    pub const ALL: [Self; 4] = [Self::NeutralOut, Self::InOfScheduled, Self::Exceptions, Self::ExceptionsOutside];

    /// The names and formulas, in the order of `ALL`.
    pub const NAMES: &[(&'static str, &'static str)] = &[
        (Self::NeutralOut.name(), Self::NeutralOut.expression()),
        (Self::InOfScheduled.name(), Self::InOfScheduled.expression()),
        (Self::Exceptions.name(), Self::Exceptions.expression()),
        (Self::ExceptionsOutside.name(), Self::ExceptionsOutside.expression()),
    ];

    /// Returns the name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InOfScheduled => "in-of-scheduled",
            Self::Exceptions => "exceptions",
            Self::ExceptionsOutside => "exceptions-outside",
            Self::NeutralOut => "neutral-out",
        }
    }

    /// Returns the formula in words.
    pub const fn expression(self) -> &'static str {
        match self {
            Self::InOfScheduled => "in / scheduled",
            Self::Exceptions => "1 - out / scheduled, and 0 where that is less",
            Self::ExceptionsOutside => "1 - (out + outside) / (scheduled + outside), and 0 where that is less",
            Self::NeutralOut => "in / (scheduled - neutral)",
        }
    }

    /// Returns the formula with this name, or `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|formula| formula.name() == name)
    }

    /// Returns the two parts of the ratio.
    pub fn ratio(self, times: &AdherenceTimes) -> Ratio {
        let (worked_outside, scheduled) = (times.worked_outside_us, times.scheduled_us);
        match self {
            Self::InOfScheduled => Ratio(times.in_us, scheduled),
            Self::Exceptions => Ratio(scheduled.saturating_sub(times.out_us), scheduled),
            Self::ExceptionsOutside => {
                let whole = scheduled + worked_outside;
                Ratio(whole.saturating_sub(times.out_us + worked_outside), whole)
            }
            Self::NeutralOut => Ratio(times.in_us, scheduled - times.neutral_us),
        }
    }
}

/// A part of a whole, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ratio(pub u64, pub u64);

impl Ratio {
    /// Returns the share between 0 and 1 for a part within the whole; `None` if the whole is zero.
    #[expect(clippy::cast_precision_loss, reason = "sums of microseconds lose less than a billionth of a share")]
    pub fn share(self) -> Option<f64> {
        (self.1 > 0).then(|| self.0 as f64 / self.1 as f64)
    }
}

/// The times that figures are computed from, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AdherenceTimes {
    /// In shifts and observed: in + out + neutral.
    pub scheduled_us: u64,
    /// In adherence, in shifts.
    pub in_us: u64,
    /// Out of adherence, in shifts.
    pub out_us: u64,
    /// On a contact or under an exception, in shifts.
    pub neutral_us: u64,
    /// The part of the neutral time under an exception.
    pub exception_us: u64,
    /// In shifts, with the agent's state unknown.
    pub unknown_us: u64,
    /// Outside of shifts or without a schedule, with the agent's state unknown.
    pub unknown_outside_us: u64,
    /// At work ([`AgentState::is_working`]) outside of shifts.
    pub worked_outside_us: u64,
    /// Outside of shifts, in any state.
    pub unscheduled_us: u64,
    /// With plain work planned and the agent observed.
    pub planned_work_us: u64,
    /// At work, in shifts or outside of them.
    pub worked_us: u64,
    /// `Ready`, in shifts or outside of them: waiting for a contact.
    pub waiting_us: u64,
    /// On a contact or in wrap-up, in shifts or outside of them.
    pub handling_us: u64,
    /// On a contact or in wrap-up, in shifts.
    pub handling_in_shift_us: u64,
    /// At work, in shifts.
    pub worked_in_shift_us: u64,
    /// `NotReady`, `Paused` or `Idle`, in shifts or outside of them.
    pub not_ready_us: u64,
}

impl AdherenceTimes {
    /// Computes the times from sums.
    pub fn from_sums(sums: &Sums) -> Self {
        let mut times = Self::default();
        for (class, micros) in &sums.micros_by_class {
            times.add(class, *micros);
        }
        times
    }

    fn add(&mut self, class: &TimeClass, micros: u64) {
        let (plan, in_shift) = (class.plan_kind(), class.plan_kind().is_in_shift());
        match class.verdict_reason().verdict() {
            Verdict::In => self.in_us += micros,
            Verdict::Out => self.out_us += micros,
            Verdict::Neutral => self.neutral_us += micros,
            Verdict::Unscheduled => self.unscheduled_us += micros,
            Verdict::Unknown if in_shift => self.unknown_us += micros,
            Verdict::Unknown => self.unknown_outside_us += micros,
        }
        if class.verdict_reason() == VerdictReason::Excused {
            self.exception_us += micros;
        }
        self.scheduled_us = self.in_us + self.out_us + self.neutral_us;
        let Some(state) = class.state() else { return };
        if plan == PlanKind::Work {
            self.planned_work_us += micros;
        }
        // Without schedule coverage, nobody can say whether the work was planned.
        if state.is_working() && plan != PlanKind::Uncovered {
            self.worked_us += micros;
            *(if in_shift { &mut self.worked_in_shift_us } else { &mut self.worked_outside_us }) += micros;
        }
        if *state == AgentState::Ready {
            self.waiting_us += micros;
        }
        if state.is_on_contact() {
            self.handling_us += micros;
            if in_shift {
                self.handling_in_shift_us += micros;
            }
        }
        if state.is_not_ready() {
            self.not_ready_us += micros;
        }
    }

    /// Returns worked ÷ planned work, whenever it was worked; above 1 for more work than planned. Source: the usual
    /// definition of conformance in workforce management.
    pub const fn conformance(&self) -> Ratio {
        Ratio(self.worked_us, self.planned_work_us)
    }

    /// Returns handling ÷ (handling + waiting). Source: the usual definition of occupancy, over the time in which
    /// contacts can come.
    pub const fn occupancy(&self) -> Ratio {
        Ratio(self.handling_us, self.handling_us + self.waiting_us)
    }

    /// Returns handling in shifts ÷ scheduled. Source: the usual definition of utilisation, over all paid time.
    pub const fn utilisation(&self) -> Ratio {
        Ratio(self.handling_in_shift_us, self.scheduled_us)
    }

    /// Returns (scheduled − at work in shifts) ÷ scheduled. Source: the usual definition of shrinkage, over scheduled
    /// time in which no contact could come, planned so or not.
    pub const fn shrinkage(&self) -> Ratio {
        Ratio(self.scheduled_us.saturating_sub(self.worked_in_shift_us), self.scheduled_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::adherence::timeline::{AdherenceTimeline, Span, StateInterval};
    use crate::domain::schedules::schedule::{AgentPlan, Coverage, Shift};
    use crate::domain::time::UtcMicros;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    /// A shift without breaks, what the agent did, and what is excused: by the minute.
    fn times(shift: (i64, i64), intervals: &[(AgentState, i64, i64)], exceptions: &[Span]) -> AdherenceTimes {
        let shift = Shift { start: at(shift.0), end: at(shift.1), activities: vec![] };
        let plan = AgentPlan::new(vec![shift], vec![Coverage { start: at(0), end: at(1440) }]);
        let interval = |(state, start, end): &(AgentState, i64, i64)| StateInterval {
            state: state.clone(),
            reason: None,
            start: at(*start),
            end: at(*end),
        };
        let intervals: Vec<StateInterval> = intervals.iter().map(interval).collect();
        let settings = AdherenceSettings::default();
        let timeline = AdherenceTimeline { settings: &settings, plan: &plan, intervals: &intervals, exceptions };
        let mut sums = Sums::default();
        for segment in timeline.segments((at(0), at(1440))) {
            sums.add_segment(&segment);
        }
        assert_eq!(sums.total_micros_where(|_| true), 1440 * 60_000_000);
        AdherenceTimes::from_sums(&sums)
    }

    /// In hundredths of a per cent, cut off.
    fn hundredths(ratio: Ratio) -> Option<u64> {
        (ratio.1 > 0).then(|| ratio.0 * 10_000 / ratio.1)
    }

    #[test]
    fn an_hour_with_ten_minutes_late_and_ten_stayed_after() {
        use AgentState::{LoggedOut, Ready};
        let intervals = [(LoggedOut, 0, 550), (Ready, 550, 610), (LoggedOut, 610, 1440)];
        let times = times((540, 600), &intervals, &[]);
        assert_eq!(times.out_us, 10 * 60_000_000);
        assert_eq!(times.worked_outside_us, 10 * 60_000_000);
        assert_eq!(hundredths(AdherenceFormula::Exceptions.ratio(&times)), Some(8333));
        assert_eq!(hundredths(AdherenceFormula::ExceptionsOutside.ratio(&times)), Some(7142), "50 of 70 minutes");
        assert_eq!(hundredths(AdherenceFormula::InOfScheduled.ratio(&times)), Some(8333));
    }

    #[test]
    fn three_hours_in_one_out_and_two_neutral() {
        use AgentState::{Paused, Ready};
        let intervals = [(Ready, 0, 180), (Paused, 180, 360)];
        // The last two hours are excused.
        let times = times((0, 360), &intervals, &[(at(240), at(360))]);
        assert_eq!([times.in_us, times.out_us, times.neutral_us].map(|us| us / 3_600_000_000), [3, 1, 2]);
        assert_eq!(AdherenceFormula::NeutralOut.ratio(&times).share(), Some(0.75));
        assert_eq!(AdherenceFormula::InOfScheduled.ratio(&times).share(), Some(0.5));
        assert_eq!(times.exception_us, times.neutral_us);
    }

    #[test]
    fn a_shift_worked_half_an_hour_late_conforms_and_does_not_adhere() {
        use AgentState::{LoggedOut, Ready};
        let intervals = [(LoggedOut, 0, 570), (Ready, 570, 1050), (LoggedOut, 1050, 1440)];
        let times = times((540, 1020), &intervals, &[]);
        assert_eq!(AdherenceFormula::InOfScheduled.ratio(&times).share(), Some(0.9375));
        assert_eq!(times.conformance().share(), Some(1.0));
    }

    #[test]
    fn what_nobody_saw_is_in_no_part_of_any_figure_and_of_nothing_there_is_no_share() {
        use AgentState::{OnContact, Paused, Ready};
        let unobserved = times((0, 1440), &[], &[]);
        assert_eq!((unobserved.scheduled_us, unobserved.unknown_us), (0, 1440 * 60_000_000));
        for formula in AdherenceFormula::ALL {
            assert_eq!(formula.ratio(&unobserved).share(), None, "{}", formula.name());
            assert_eq!(AdherenceFormula::from_name(formula.name()), Some(formula));
        }
        assert_eq!(
            [unobserved.conformance(), unobserved.occupancy(), unobserved.utilisation(), unobserved.shrinkage()]
                .map(Ratio::share),
            [None; 4]
        );
        // An hour of each, the rest of the shift unseen.
        let times = times((0, 1440), &[(Ready, 0, 60), (OnContact, 60, 120), (Paused, 120, 180)], &[]);
        assert_eq!(times.occupancy().share(), Some(0.5));
        assert_eq!(times.utilisation(), Ratio(3_600_000_000, 3 * 3_600_000_000));
        assert_eq!(times.shrinkage(), Ratio(3_600_000_000, 3 * 3_600_000_000));
        assert_eq!(times.not_ready_us, 3_600_000_000);
        assert_eq!(times.unknown_us, 21 * 3_600_000_000);
    }

    #[test]
    fn more_exceptions_than_schedule_are_adherence_0() {
        let times =
            AdherenceTimes { scheduled_us: 60, out_us: 60, worked_outside_us: 100, ..AdherenceTimes::default() };
        assert_eq!(AdherenceFormula::ExceptionsOutside.ratio(&times), Ratio(0, 160));
        assert_eq!(AdherenceFormula::Exceptions.ratio(&times), Ratio(0, 60));
    }
}
