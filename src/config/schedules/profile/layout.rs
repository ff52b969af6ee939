//! Builds the layout of a profile from its keys, and reports what is missing.

use super::columns::ColumnSet;
use super::keys::{CellKeys, Keys, LayoutName, ListKeys, RepeatKeys, ShiftCodeKeys, ShiftsName, report};
use crate::config::shared::reader::Section;
use crate::domain::schedules::import::profile::{
    ActivitiesLayout, ActivityList, BreakColumns, CellActivities, DateFormat, DayCell, DayContent, DaysLayout, End,
    Grouping, Layout, LengthUnit, ListField, MandatoryColumn, ShiftCode, ShiftsLayout, SpanColumns, WideLayout,
};

/// What the parts of an activity in a list can be.
const LIST_FIELDS: [&str; 5] = ["activity", "start", "end", "duration", "-"];

pub(super) fn build(
    section: &mut Section<'_, '_>,
    keys: &Keys,
    layout: LayoutName,
    columns: &mut ColumnSet,
) -> Option<Layout> {
    match layout {
        LayoutName::Activities => activities(section, keys, columns).map(Layout::Activities),
        LayoutName::Shifts => shifts(section, keys, columns).map(Layout::Shifts),
        LayoutName::Days => days(section, keys, columns).map(Layout::Days),
        LayoutName::Wide => wide(section, keys).map(Layout::Wide),
        LayoutName::Calendar => None,
    }
}

/// Checks that the form of times is stated. `has_dates` is whether dates are apart from times.
fn check_times(section: &mut Section<'_, '_>, keys: &Keys, has_dates: bool) {
    if has_dates && keys.time.is_none() {
        report(section, "time_format", "is missing", "state the form of the times, such as \"HH:mm\"");
    } else if !has_dates && keys.needs_text_time() {
        report(section, "time_format", "must be a form such as \"HH:mm\"", "dates and times are in one cell");
    }
    if has_dates && keys.date == DateFormat::UnixSeconds {
        report(section, "date_format", "is \"unix_seconds\", which has no dates of its own", "remove columns.date");
    }
}

fn activities(section: &mut Section<'_, '_>, keys: &Keys, columns: &mut ColumnSet) -> Option<ActivitiesLayout> {
    let (activity, start) = (columns.need(section, "activity"), columns.need(section, "start"));
    let date = columns.take("date");
    check_times(section, keys, date.is_some());
    let end = match keys.duration {
        Some(unit) => columns.need(section, "duration").map(|column| End::After(column, unit)),
        None => columns.need(section, "end").map(End::At),
    };
    if keys.duration.is_some() && date.is_some() {
        report(section, "duration", "cannot be read if the date has its own column", "use start and end");
    }
    let column = columns.take("mandatory");
    let mandatory = column.map(|column| MandatoryColumn { column, yes: keys.yes.clone(), no: keys.no.clone() });
    let shifts = match keys.shifts {
        Some(ShiftsName::Row) => {
            if keys.shift_activity.is_none() {
                let advice = "shifts = \"row\" needs what the rows of shifts are called";
                report(section, "shift_activity", "is missing", advice);
            }
            keys.shift_activity.clone().map(Grouping::OwnRows)
        }
        Some(ShiftsName::Touching) => Some(Grouping::Touching),
        Some(ShiftsName::Key) => columns.need(section, "shift").map(Grouping::Key),
        None => {
            report(section, "shifts", "is missing", "write \"row\", \"touching\" or \"key\"");
            None
        }
    };
    let (activity, start, end, shifts) = (activity?, start?, end?, shifts?);
    let joins_at_midnight = keys.joins_at_midnight;
    Some(ActivitiesLayout { activity, date, start, end, mandatory, shifts, joins_at_midnight })
}

fn shifts(section: &mut Section<'_, '_>, keys: &Keys, columns: &mut ColumnSet) -> Option<ShiftsLayout> {
    check_times(section, keys, false);
    let (shift_start, shift_end) = (columns.need(section, "shift_start"), columns.need(section, "shift_end"));
    let offset = if keys.is_offset_checked { columns.need(section, "offset") } else { None };
    let activity = match columns.take("activity") {
        Some(activity) => {
            let (start, end) = (columns.need(section, "start"), columns.need(section, "end"));
            Some(SpanColumns { activity, start: start?, end: end? })
        }
        None => None,
    };
    Some(ShiftsLayout { shift_start: shift_start?, shift_end: shift_end?, offset, activity })
}

fn days(section: &mut Section<'_, '_>, keys: &Keys, columns: &mut ColumnSet) -> Option<DaysLayout> {
    let (date, activity) = (columns.take("date"), columns.take("activity"));
    check_times(section, keys, date.is_some());
    let content = match &keys.repeat {
        Some(repeat) => groups(section, keys, repeat, date.is_some()),
        None => day_shift(section, keys, columns)?,
    };
    Some(DaysLayout { date, activity, content })
}

/// Returns the layout in which activity, start and end repeat to the end of the row.
fn groups(section: &mut Section<'_, '_>, keys: &Keys, repeat: &RepeatKeys, has_date: bool) -> DayContent {
    if repeat.columns != ["activity", "start", "end"] {
        report(section, "repeat", "has other columns than activity, start and end", "write them in this order");
    }
    if !has_date {
        let advice = "name the heading or number of the column";
        report(section, "columns", "lacks date, which repeat needs", advice);
    }
    if keys.shifts != Some(ShiftsName::Touching) {
        report(section, "shifts", "must be \"touching\" with repeat", "the cells of a row are one shift");
    }
    DayContent::Groups { from: repeat.from.max(1), joins_at_midnight: keys.joins_at_midnight }
}

/// Returns the layout in which each row has a shift and activities within it.
fn day_shift(section: &mut Section<'_, '_>, keys: &Keys, columns: &mut ColumnSet) -> Option<DayContent> {
    let (start, end) = (columns.need(section, "shift_start"), columns.need(section, "shift_end"));
    let breaks = keys.breaks.values().map(|one| BreakColumns {
        start: columns.add(one.start.clone()),
        end: columns.add(one.end.clone()),
        activity: one.activity.clone(),
    });
    let breaks = breaks.collect();
    let list = match &keys.list {
        Some(list) => Some(activity_list(section, list, keys.duration, columns)?),
        None => None,
    };
    Some(DayContent::Shift { start: start?, end: end?, breaks, list })
}

fn activity_list(
    section: &mut Section<'_, '_>,
    list: &ListKeys,
    unit: Option<LengthUnit>,
    columns: &mut ColumnSet,
) -> Option<ActivityList> {
    if list.fields.iter().any(|field| !LIST_FIELDS.contains(&field.as_str())) {
        report(section, "list", "has an unknown field", "known: activity, start, end, duration and \"-\"");
        return None;
    }
    let fields = list.fields.iter().map(|field| match field.as_str() {
        "activity" => ListField::Activity,
        "start" => ListField::Start,
        "end" => ListField::End,
        "duration" => ListField::Duration,
        _ => ListField::Unused,
    });
    let fields: Vec<ListField> = fields.collect();
    let has = |field| fields.iter().filter(|found| **found == field).count() == 1;
    if !has(ListField::Activity) || !has(ListField::Start) || !has(ListField::End) {
        report(
            section,
            "list",
            "must have one activity, one start and one end among its fields",
            "other parts are \"-\"",
        );
        return None;
    }
    if list.items.is_empty() || list.parts.is_empty() {
        report(section, "list", "must have a sign in items and in parts", "such as \"~\" and \",\"");
        return None;
    }
    let (items, parts) = (list.items.clone(), list.parts.clone());
    let unit = unit.unwrap_or(LengthUnit::Minutes);
    Some(ActivityList { column: columns.add(list.column.clone()), items, parts, fields, unit })
}

fn wide(section: &mut Section<'_, '_>, keys: &Keys) -> Option<WideLayout> {
    check_times(section, keys, true);
    if keys.header_row == 0 {
        report(section, "header_row", "is 0, but the days are in the header", "set it to the line of the header");
    }
    let cells = match (&keys.cell, !keys.day_columns.is_empty(), keys.shift_codes.is_empty()) {
        (Some(cell), false, true) => cell_text(section, cell)?,
        (None, true, true) if keys.day_columns == ["start", "end"] => DayCell::Pairs,
        (None, true, true) => {
            report(section, "day_columns", "is not [\"start\", \"end\"]", "each day has its start before its end");
            return None;
        }
        (None, false, false) => {
            DayCell::Codes(keys.shift_codes.iter().map(|(code, shift)| (code.clone(), shift_code(shift))).collect())
        }
        (None, false, true) => {
            report(
                section,
                "cell",
                "is missing",
                "set cell, day_columns or shift_codes, so that the cells of days can be read",
            );
            return None;
        }
        (Some(_), ..) | (None, true, false) => {
            report(section, "layout", "has more than one of cell, day_columns and shift_codes", "keep one");
            return None;
        }
    };
    Some(WideLayout { ignore_columns: keys.ignore_columns.clone(), cells })
}

fn cell_text(section: &mut Section<'_, '_>, cell: &CellKeys) -> Option<DayCell> {
    if cell.dash.is_empty() {
        report(section, "cell", "has an empty dash", "write the sign between start and end");
        return None;
    }
    let activities = match (cell.activities.as_deref(), cell.separator.as_deref()) {
        (None, _) => CellActivities::None,
        (Some("lines"), _) => CellActivities::Lines,
        (Some("brackets"), Some(separator)) if !separator.is_empty() => CellActivities::Brackets(separator.to_owned()),
        (Some("brackets"), _) => {
            report(section, "cell", "lacks a separator", "write the sign between the activities in brackets");
            return None;
        }
        (Some(_), _) => {
            report(section, "cell", "has activities in an unknown place", "write \"brackets\" or \"lines\"");
            return None;
        }
    };
    Some(DayCell::Text { dash: cell.dash.clone(), activities })
}

fn shift_code(shift: &ShiftCodeKeys) -> ShiftCode {
    let activities = shift.activities.iter().map(|one| [one.activity.clone(), one.start.clone(), one.end.clone()]);
    ShiftCode { start: shift.start.clone(), end: shift.end.clone(), activities: activities.collect() }
}
