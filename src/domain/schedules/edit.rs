//! Edits of shifts on the schedule board: moving, adding and removing activities, and changing when a shift starts or
//! ends.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::{Activity, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;

/// The longest shift.
pub const MAX_SHIFT_DURATION: Duration = Duration::from_hours(24);

/// An edit of the shifts of one day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = ScheduleEdit)]
pub enum ShiftEdit {
    /// Moves activities within their shifts.
    Move {
        /// The name of the activities, such as `lunch`.
        #[schema(value_type = String)]
        activity: Activity,
        /// The instant at which the activity to move starts; all activities of the name without it.
        #[serde(default)]
        start: Option<UtcMicros>,
        /// The number of minutes; negative values move the activities to earlier times.
        by_minutes: i64,
    },
    /// Adds an activity.
    Add {
        /// The name of the activity, such as `meeting`.
        #[schema(value_type = String)]
        activity: Activity,
        /// The start of the activity (inclusive).
        start: UtcMicros,
        /// The end of the activity (exclusive).
        end: UtcMicros,
        /// Whether it is a mandatory break.
        #[serde(default)]
        mandatory: bool,
    },
    /// Removes activities; their time becomes work.
    Remove {
        /// The name of the activities.
        #[schema(value_type = String)]
        activity: Activity,
        /// The instant at which the activity to remove starts; all activities of the name without it.
        #[serde(default)]
        start: Option<UtcMicros>,
    },
    /// Moves the end of the shift, for time off or overtime. Activities outside of the shift are removed.
    MoveEnd {
        /// The number of minutes; negative values let the shift end earlier.
        by_minutes: i64,
    },
    /// Changes when the shift starts or ends. Activities outside of it are removed.
    SetShift {
        /// The new start (inclusive); the present one without it.
        #[serde(default)]
        start: Option<UtcMicros>,
        /// The new end (exclusive); the present one without it.
        #[serde(default)]
        end: Option<UtcMicros>,
    },
}

/// Why an edit does not fit an agent's shifts.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditRefusal {
    /// There is no shift on the day.
    #[error("no shift on this day")]
    NoShift,
    /// No shift of the day contains the time.
    #[error("no shift contains this time")]
    OutsideShift,
    /// There are several shifts, so that it is unknown which one to change.
    #[error("several shifts on this day")]
    SeveralShifts,
    /// The day has no such activity.
    #[error("no {0} on this day")]
    NoActivity(Activity),
    /// The activity would leave its shift.
    #[error("the {0} would not lie within the shift")]
    LeavesShift(Activity),
    /// The activity would overlap another one.
    #[error("the {0} would overlap the {1}")]
    Overlaps(Activity, Activity),
    /// The name stands for something else.
    #[error("{0} is not the name of an activity: it stands for a whole shift or for a day off")]
    ReservedName(Activity),
    /// The shift would not end after it starts, or would be longer than 24 hours.
    #[error("the shift would not end within 24 hours after its start")]
    BadLength,
}

impl ShiftEdit {
    /// Whether the edit contains no instant, so that it can be applied to any shift.
    pub const fn is_relative(&self) -> bool {
        match self {
            Self::Move { start, .. } | Self::Remove { start, .. } => start.is_none(),
            Self::MoveEnd { .. } => true,
            Self::Add { .. } | Self::SetShift { .. } => false,
        }
    }

    /// Returns the shifts of a day after the edit.
    pub fn apply(&self, shifts: &[Shift]) -> Result<Vec<Shift>, EditRefusal> {
        if shifts.is_empty() {
            return Err(EditRefusal::NoShift);
        }
        let mut shifts = shifts.to_vec();
        match self {
            Self::Move { activity, start, by_minutes } => {
                let offset = by_minutes.saturating_mul(60_000_000);
                change_activities(&mut shifts, activity, *start, |moved| {
                    Some(ShiftActivity { start: moved.start.offset(offset), end: moved.end.offset(offset), ..moved })
                })?;
            }
            Self::Remove { activity, start } => change_activities(&mut shifts, activity, *start, |_| None)?,
            Self::Add { activity, .. } if activity.is_reserved() => {
                return Err(EditRefusal::ReservedName(activity.clone()));
            }
            Self::Add { activity, start, end, mandatory } => {
                let within = |shift: &&mut Shift| shift.start <= *start && *end <= shift.end && start < end;
                let shift = shifts.iter_mut().find(within).ok_or(EditRefusal::OutsideShift)?;
                let added =
                    ShiftActivity { activity: activity.clone(), start: *start, end: *end, mandatory: *mandatory };
                shift.activities.push(added);
                check(shift, activity)?;
            }
            Self::MoveEnd { by_minutes } => {
                let shift = single_shift(&mut shifts)?;
                let end = shift.end.offset(by_minutes.saturating_mul(60_000_000));
                set_times(shift, shift.start, end)?;
            }
            Self::SetShift { start, end } => {
                let shift = single_shift(&mut shifts)?;
                set_times(shift, start.unwrap_or(shift.start), end.unwrap_or(shift.end))?;
            }
        }
        Ok(shifts)
    }
}

impl fmt::Display for ShiftEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Move { activity, by_minutes, .. } => write!(f, "{activity} moved by {by_minutes} min"),
            Self::Add { activity, .. } => write!(f, "{activity} added"),
            Self::Remove { activity, .. } => write!(f, "{activity} removed"),
            Self::MoveEnd { by_minutes } if *by_minutes < 0 => {
                write!(f, "shift ends {} min earlier", by_minutes.unsigned_abs())
            }
            Self::MoveEnd { by_minutes } => write!(f, "shift ends {by_minutes} min later"),
            Self::SetShift { .. } => f.write_str("shift times changed"),
        }
    }
}

fn single_shift(shifts: &mut [Shift]) -> Result<&mut Shift, EditRefusal> {
    match shifts {
        [shift] => Ok(shift),
        _ => Err(EditRefusal::SeveralShifts),
    }
}

fn set_times(shift: &mut Shift, start: UtcMicros, end: UtcMicros) -> Result<(), EditRefusal> {
    if end <= start || end.since(start) > MAX_SHIFT_DURATION {
        return Err(EditRefusal::BadLength);
    }
    (shift.start, shift.end) = (start, end);
    cut_activities(shift);
    Ok(())
}

/// Replaces activities of a name by what `change` makes of them.
fn change_activities(
    shifts: &mut [Shift],
    activity: &Activity,
    start: Option<UtcMicros>,
    change: impl Fn(ShiftActivity) -> Option<ShiftActivity>,
) -> Result<(), EditRefusal> {
    let is_meant = |one: &ShiftActivity| one.activity == *activity && start.is_none_or(|start| one.start == start);
    let mut found = false;
    for shift in shifts {
        if !shift.activities.iter().any(is_meant) {
            continue;
        }
        found = true;
        let changed = |one: ShiftActivity| if is_meant(&one) { change(one) } else { Some(one) };
        shift.activities = std::mem::take(&mut shift.activities).into_iter().filter_map(changed).collect();
        check(shift, activity)?;
    }
    if found { Ok(()) } else { Err(EditRefusal::NoActivity(activity.clone())) }
}

/// Sorts the activities of a shift and checks that they lie in it and do not overlap; `edited` is the one that changed.
fn check(shift: &mut Shift, edited: &Activity) -> Result<(), EditRefusal> {
    shift.activities.sort_by_key(|activity| activity.start);
    if shift.activities.iter().any(|one| one.start < shift.start || one.end > shift.end) {
        return Err(EditRefusal::LeavesShift(edited.clone()));
    }
    match shift.activities.windows(2).find(|pair| pair[1].start < pair[0].end) {
        None => Ok(()),
        Some(pair) => {
            let other = if pair[0].activity == *edited { &pair[1] } else { &pair[0] };
            Err(EditRefusal::Overlaps(edited.clone(), other.activity.clone()))
        }
    }
}

/// Cuts the activities to the times of their shift and removes those outside of it.
fn cut_activities(shift: &mut Shift) {
    let (start, end) = (shift.start, shift.end);
    shift.activities.retain_mut(|one| {
        (one.start, one.end) = (one.start.max(start), one.end.min(end));
        one.start < one.end
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn activity(activity: Activity, start: i64, end: i64) -> ShiftActivity {
        ShiftActivity { activity, start: at(start), end: at(end), mandatory: false }
    }

    /// A shift of eight hours with two breaks and lunch.
    fn day() -> Vec<Shift> {
        let activities = vec![
            activity(Activity::Break, 120, 135),
            activity(Activity::Lunch, 240, 270),
            activity(Activity::Break, 360, 375),
        ];
        vec![Shift { start: at(0), end: at(480), activities }]
    }

    fn spans(edited: Result<Vec<Shift>, EditRefusal>) -> Result<Vec<(String, i64, i64)>, String> {
        let minute = |at: UtcMicros| at.as_micros() / 60_000_000;
        let shifts = edited.map_err(|refused| refused.to_string())?;
        let all = shifts.into_iter().flat_map(|shift| shift.activities);
        Ok(all.map(|one| (one.activity.to_string(), minute(one.start), minute(one.end))).collect())
    }

    #[test]
    fn activities_are_moved_added_and_removed_where_they_fit() {
        let break_at = |start: i64, end| ("break".to_owned(), start, end);
        let lunch = ("lunch".to_owned(), 240, 270);
        let moved = |start, by_minutes| ShiftEdit::Move { activity: Activity::Break, start, by_minutes };
        let both = spans(moved(None, 30).apply(&day()));
        assert_eq!(both, Ok(vec![break_at(150, 165), lunch.clone(), break_at(390, 405)]));
        let first = spans(moved(Some(at(120)), -60).apply(&day()));
        assert_eq!(first, Ok(vec![break_at(60, 75), lunch.clone(), break_at(360, 375)]));
        // Past lunch, it is the last but one.
        let past = spans(moved(Some(at(120)), 150).apply(&day()));
        assert_eq!(past, Ok(vec![lunch.clone(), break_at(270, 285), break_at(360, 375)]));
        assert_eq!(spans(moved(Some(at(120)), 120).apply(&day())), Err("the break would overlap the lunch".to_owned()));
        let out = spans(moved(None, 120).apply(&day()));
        assert_eq!(out, Err("the break would not lie within the shift".to_owned()));
        let unknown = spans(moved(Some(at(1)), 5).apply(&day()));
        assert_eq!(unknown, Err("no break on this day".to_owned()));

        let add = |start, end| ShiftEdit::Add {
            activity: Activity::Meeting,
            start: at(start),
            end: at(end),
            mandatory: false,
        };
        assert_eq!(spans(add(300, 330).apply(&day())).map(|all| all.len()), Ok(4));
        assert_eq!(spans(add(250, 300).apply(&day())), Err("the meeting would overlap the lunch".to_owned()));
        assert_eq!(spans(add(470, 490).apply(&day())), Err("no shift contains this time".to_owned()));
        let day_off =
            ShiftEdit::Add { activity: Activity::from_name("Off"), start: at(300), end: at(330), mandatory: false };
        assert_eq!(day_off.apply(&day()), Err(EditRefusal::ReservedName(Activity::from_name("off"))));
        assert_eq!(spans(add(330, 300).apply(&day())), Err("no shift contains this time".to_owned()));
        let remove = ShiftEdit::Remove { activity: Activity::Break, start: None };
        assert_eq!(spans(remove.apply(&day())), Ok(vec![lunch]));
        assert_eq!(remove.apply(&[]), Err(EditRefusal::NoShift));
    }

    #[test]
    fn a_shift_that_ends_early_loses_what_is_planned_after_its_end() {
        let set = |start: Option<i64>, end: Option<i64>| ShiftEdit::SetShift { start: start.map(at), end: end.map(at) };
        let early = set(None, Some(250)).apply(&day()).expect("fits");
        assert_eq!((early[0].end, early[0].activities.len(), early[0].activities[1].end), (at(250), 2, at(250)));
        let late = set(Some(-60), Some(540)).apply(&day()).expect("fits");
        assert_eq!((late[0].start, late[0].end, late[0].activities.len()), (at(-60), at(540), 3));
        for wrong in [set(Some(480), None), set(None, Some(0)), set(None, Some(24 * 60 + 1))] {
            assert_eq!(wrong.apply(&day()), Err(EditRefusal::BadLength));
        }
        let move_end = |by_minutes| ShiftEdit::MoveEnd { by_minutes };
        assert_eq!(move_end(-230).apply(&day()), Ok(early));
        assert_eq!(move_end(60).apply(&day()).map(|moved| moved[0].end), Ok(at(540)));
        assert_eq!(move_end(-480).apply(&day()), Err(EditRefusal::BadLength));
        assert_eq!(move_end(i64::MIN).apply(&day()), Err(EditRefusal::BadLength));
        let two = [day(), vec![Shift { start: at(600), end: at(700), activities: Vec::new() }]].concat();
        assert_eq!(set(None, Some(250)).apply(&two), Err(EditRefusal::SeveralShifts));
        assert_eq!(move_end(-60).apply(&two), Err(EditRefusal::SeveralShifts));
    }
}
