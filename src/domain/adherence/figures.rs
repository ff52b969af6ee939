//! The figures that are made of sums, each with its formula and source.
//!
//! Each is a part and a whole in microseconds: percentages are never averaged, a caller adds sums and divides once. Time that nobody
//! saw is in neither part.

use super::sums::{Class, Sums};
use super::{AdherenceSettings, Verdict, Why};
use crate::domain::agents::sets::PlanKind;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::Hash;
use crate::domain::ids::TeamName;

/// The version of the formulas and of what is summed: what was computed under another is computed anew.
pub const FORMULA_VERSION: u32 = 1;

/// What sums are computed by, as a short text: formulas, settings, the zone whose days they are of, and the team, which decides who is
/// excused. Sums of another basis are computed anew.
pub fn basis(settings: &AdherenceSettings, zone: &str, team: Option<&TeamName>) -> String {
    let team = team.map_or("", TeamName::as_str);
    let mut text =
        Hash::of(format!("{FORMULA_VERSION}\n{}\n{zone}\n{team}", settings.to_stored()).as_bytes()).to_string();
    text.truncate(16);
    text
}

/// Which adherence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Variant {
    /// In ÷ (scheduled − neutral), as the console has it: excused time counts neither way.
    #[default]
    NeutralOut,
    /// In ÷ scheduled.
    InOfScheduled,
    /// 1 − exceptions ÷ scheduled, floor 0; the exceptions are what is out.
    Exceptions,
    /// The same with work outside of shifts in both parts.
    ExceptionsOutside,
}

impl Variant {
    /// All of them, the usual one first.
    pub const ALL: [Self; 4] = [Self::NeutralOut, Self::InOfScheduled, Self::Exceptions, Self::ExceptionsOutside];

    /// Their names and formulas, in that order.
    pub const NAMES: &[(&'static str, &'static str)] = &[
        (Self::NeutralOut.name(), Self::NeutralOut.formula()),
        (Self::InOfScheduled.name(), Self::InOfScheduled.formula()),
        (Self::Exceptions.name(), Self::Exceptions.formula()),
        (Self::ExceptionsOutside.name(), Self::ExceptionsOutside.formula()),
    ];

    /// The name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InOfScheduled => "in-of-scheduled",
            Self::Exceptions => "exceptions",
            Self::ExceptionsOutside => "exceptions-outside",
            Self::NeutralOut => "neutral-out",
        }
    }

    /// The formula in words.
    pub const fn formula(self) -> &'static str {
        match self {
            Self::InOfScheduled => "in / scheduled",
            Self::Exceptions => "1 - out / scheduled, and 0 where that is less",
            Self::ExceptionsOutside => "1 - (out + outside) / (scheduled + outside), and 0 where that is less",
            Self::NeutralOut => "in / (scheduled - neutral)",
        }
    }

    /// The variant of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name() == name)
    }

    /// Part and whole.
    pub fn of(self, times: &Times) -> Ratio {
        let (outside, scheduled) = (times.outside_us, times.scheduled_us);
        match self {
            Self::InOfScheduled => Ratio(times.in_us, scheduled),
            Self::Exceptions => Ratio(scheduled.saturating_sub(times.out_us), scheduled),
            Self::ExceptionsOutside => {
                let whole = scheduled + outside;
                Ratio(whole.saturating_sub(times.out_us + outside), whole)
            }
            Self::NeutralOut => Ratio(times.in_us, scheduled - times.neutral_us),
        }
    }
}

/// A part of a whole, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ratio(pub u64, pub u64);

impl Ratio {
    /// The share of 1; none of nothing.
    #[expect(clippy::cast_precision_loss, reason = "sums of microseconds lose less than a billionth of a share")]
    pub fn share(self) -> Option<f64> {
        (self.1 > 0).then(|| self.0 as f64 / self.1 as f64)
    }
}

/// The times that figures are made of, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Times {
    /// In shifts, and seen: in + out + neutral.
    pub scheduled_us: u64,
    /// In adherence, in shifts.
    pub in_us: u64,
    /// Out of it, in shifts.
    pub out_us: u64,
    /// On a contact, or excused, in shifts.
    pub neutral_us: u64,
    /// Of the neutral: excused.
    pub excused_us: u64,
    /// In shifts, and nobody knows what the agent did.
    pub unknown_us: u64,
    /// Outside of shifts, or without a schedule, and nobody knows what the agent did.
    pub unknown_outside_us: u64,
    /// At work ([`AgentState::is_working`]) outside of shifts.
    pub outside_us: u64,
    /// Outside of shifts, whatever the agent did.
    pub unscheduled_us: u64,
    /// Plain work was planned, and somebody saw the agent.
    pub planned_work_us: u64,
    /// At work, in shifts or outside of them.
    pub worked_us: u64,
    /// `Ready`, in shifts or outside of them: waiting for a contact.
    pub waiting_us: u64,
    /// With a contact or wrapping one up, in shifts or outside of them.
    pub handling_us: u64,
    /// The same within shifts.
    pub handling_in_shift_us: u64,
    /// At work within shifts.
    pub worked_in_shift_us: u64,
    /// `NotReady`, `Paused` or `Idle`, in shifts or outside of them.
    pub not_ready_us: u64,
}

impl Times {
    /// Of some sums.
    pub fn of(sums: &Sums) -> Self {
        let mut times = Self::default();
        for (class, micros) in &sums.held {
            times.take(class, *micros);
        }
        times
    }

    fn take(&mut self, class: &Class, micros: u64) {
        let (plan, in_shift) = (class.plan(), class.plan().is_in_shift());
        match class.why().verdict() {
            Verdict::In => self.in_us += micros,
            Verdict::Out => self.out_us += micros,
            Verdict::Neutral => self.neutral_us += micros,
            Verdict::Unscheduled => self.unscheduled_us += micros,
            Verdict::Unknown if in_shift => self.unknown_us += micros,
            Verdict::Unknown => self.unknown_outside_us += micros,
        }
        if class.why() == Why::Excused {
            self.excused_us += micros;
        }
        self.scheduled_us = self.in_us + self.out_us + self.neutral_us;
        let Some(state) = class.state() else { return };
        if plan == PlanKind::Work {
            self.planned_work_us += micros;
        }
        // Where no schedule speaks, nobody can say whether it was worked as planned.
        if state.is_working() && plan != PlanKind::Uncovered {
            self.worked_us += micros;
            *(if in_shift { &mut self.worked_in_shift_us } else { &mut self.outside_us }) += micros;
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
        if state.counts_as_not_ready() {
            self.not_ready_us += micros;
        }
    }

    /// Worked ÷ planned work, whenever it was worked: beyond 1 for who worked more than planned. Source: the usual definition of
    /// conformance in workforce management.
    pub const fn conformance(&self) -> Ratio {
        Ratio(self.worked_us, self.planned_work_us)
    }

    /// Handling ÷ (handling + waiting). Source: the usual definition of occupancy, of the time in which contacts can come.
    pub const fn occupancy(&self) -> Ratio {
        Ratio(self.handling_us, self.handling_us + self.waiting_us)
    }

    /// Handling within shifts ÷ scheduled. Source: the usual definition of utilisation, of all time that is paid for.
    pub const fn utilisation(&self) -> Ratio {
        Ratio(self.handling_in_shift_us, self.scheduled_us)
    }

    /// (Scheduled − at work within shifts) ÷ scheduled. Source: the usual definition of shrinkage, of scheduled time in which no contact
    /// could come, whether planned so or not.
    pub const fn shrinkage(&self) -> Ratio {
        Ratio(self.scheduled_us.saturating_sub(self.worked_in_shift_us), self.scheduled_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::adherence::course::{Course, Span, Stay};
    use crate::domain::schedules::schedule::{AgentPlan, Coverage, Shift};
    use crate::domain::time::UtcMicros;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    /// A shift without breaks, what the agent did, and what is excused: by the minute.
    fn times(shift: (i64, i64), stays: &[(AgentState, i64, i64)], excused: &[Span]) -> Times {
        let shift = Shift { start: at(shift.0), end: at(shift.1), activities: vec![] };
        let plan = AgentPlan::new(vec![shift], vec![Coverage { start: at(0), end: at(1440) }]);
        let stay = |(state, start, end): &(AgentState, i64, i64)| Stay {
            state: state.clone(),
            reason: None,
            start: at(*start),
            end: at(*end),
        };
        let stays: Vec<Stay> = stays.iter().map(stay).collect();
        let settings = AdherenceSettings::default();
        let course = Course { settings: &settings, plan: &plan, stays: &stays, excused };
        let mut sums = Sums::default();
        for piece in course.pieces((at(0), at(1440))) {
            sums.take(&piece);
        }
        assert_eq!(sums.micros(|_| true), 1440 * 60_000_000);
        Times::of(&sums)
    }

    /// In hundredths of a per cent, cut off.
    fn hundredths(ratio: Ratio) -> Option<u64> {
        (ratio.1 > 0).then(|| ratio.0 * 10_000 / ratio.1)
    }

    #[test]
    fn an_hour_with_ten_minutes_late_and_ten_stayed_after() {
        use AgentState::{LoggedOut, Ready};
        let stays = [(LoggedOut, 0, 550), (Ready, 550, 610), (LoggedOut, 610, 1440)];
        let times = times((540, 600), &stays, &[]);
        assert_eq!(times.out_us, 10 * 60_000_000);
        assert_eq!(times.outside_us, 10 * 60_000_000);
        assert_eq!(hundredths(Variant::Exceptions.of(&times)), Some(8333));
        assert_eq!(hundredths(Variant::ExceptionsOutside.of(&times)), Some(7142), "50 of 70 minutes");
        assert_eq!(hundredths(Variant::InOfScheduled.of(&times)), Some(8333));
    }

    #[test]
    fn three_hours_in_one_out_and_two_neutral() {
        use AgentState::{Paused, Ready};
        let stays = [(Ready, 0, 180), (Paused, 180, 360)];
        // The last two hours are excused.
        let times = times((0, 360), &stays, &[(at(240), at(360))]);
        assert_eq!([times.in_us, times.out_us, times.neutral_us].map(|us| us / 3_600_000_000), [3, 1, 2]);
        assert_eq!(Variant::NeutralOut.of(&times).share(), Some(0.75));
        assert_eq!(Variant::InOfScheduled.of(&times).share(), Some(0.5));
        assert_eq!(times.excused_us, times.neutral_us);
    }

    #[test]
    fn whoever_starts_and_ends_half_an_hour_late_conforms_and_does_not_adhere() {
        use AgentState::{LoggedOut, Ready};
        let stays = [(LoggedOut, 0, 570), (Ready, 570, 1050), (LoggedOut, 1050, 1440)];
        let times = times((540, 1020), &stays, &[]);
        assert_eq!(Variant::InOfScheduled.of(&times).share(), Some(0.9375));
        assert_eq!(times.conformance().share(), Some(1.0));
    }

    #[test]
    fn what_nobody_saw_is_in_no_part_of_any_figure_and_of_nothing_there_is_no_share() {
        use AgentState::{OnContact, Paused, Ready};
        let unseen = times((0, 1440), &[], &[]);
        assert_eq!((unseen.scheduled_us, unseen.unknown_us), (0, 1440 * 60_000_000));
        for variant in Variant::ALL {
            assert_eq!(variant.of(&unseen).share(), None, "{}", variant.name());
            assert_eq!(Variant::from_name(variant.name()), Some(variant));
        }
        assert_eq!(
            [unseen.conformance(), unseen.occupancy(), unseen.utilisation(), unseen.shrinkage()].map(Ratio::share),
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
        let times = Times { scheduled_us: 60, out_us: 60, outside_us: 100, ..Times::default() };
        assert_eq!(Variant::ExceptionsOutside.of(&times), Ratio(0, 160));
        assert_eq!(Variant::Exceptions.of(&times), Ratio(0, 60));
    }
}
