//! `[import.profiles.NAME]`: how the files of one source are read, so that nothing in them has to be guessed.

mod columns;
mod keys;
mod layout;

use columns::ColumnSet;
use keys::{Keys, LayoutName, report};

use crate::config::shared::reader::Section;
use crate::domain::schedules::import::profile::{
    ActivityRules, AgentColumns, AgentKey, AgentZone, DateFormat, FileFormat, Profile, TableProfile, TimeRules,
    ZoneSource,
};

/// Reads a profile. `None` means that a mistake was reported.
pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Option<Profile> {
    let keys = Keys::read(section);
    let layout = keys.layout?;
    report_unused(section, &keys, layout);
    if layout == LayoutName::Calendar {
        return calendar(section, &keys);
    }
    let mut columns = ColumnSet::new(keys.columns.clone());
    let file = file_format(section, &keys);
    let agent = columns.need(section, "agent");
    let name = columns.take_all("name");
    let team = columns.take("team");
    if team.is_some() && keys.is_team_sheet {
        report(section, "team_from", "and columns.team both say the team", "keep one");
    }
    let agent_key = require(section, "agent_key", keys.agent_key);
    if matches!(keys.agent_key, Some(AgentKey::EmployeeNumber | AgentKey::Login)) && keys.roster.is_none() {
        let advice = "name a CSV file with the columns id and the agent key";
        report(section, "roster", "is missing: the platform does not know this agent key", advice);
    }
    let zone = zone_source(section, &keys, &mut columns);
    let layout = layout::build(section, &keys, layout, &mut columns);
    columns.report_unused(section);
    if keys.header_row == 0 && columns.has_headings() {
        let advice = "give every column by its number, or set header_row to the line of the header";
        report(section, "columns", "has headings, but header_row is 0", advice);
    }
    let agent = AgentColumns { agent: agent?, name, team };
    let times = TimeRules {
        date: keys.date.clone(),
        year: keys.year,
        time: keys.time.clone(),
        decimal: keys.decimal,
        midnight: keys.midnight,
        zone: zone?,
        agent_zone: keys.agent_zone.clone(),
        zone_names: keys.zone_names.clone(),
    };
    let Keys { work, off, ignore, activities: known, .. } = keys;
    Some(Profile::Table(Box::new(TableProfile {
        file: file?,
        header_row: keys.header_row,
        header_prefix: keys.header_prefix.unwrap_or_default(),
        skip: keys.skip,
        columns: columns.into_names(),
        agent,
        agent_key: agent_key?,
        roster: keys.roster,
        times,
        activities: ActivityRules { work, off, ignore, known },
        layout: layout?,
    })))
}

fn require<T>(section: &mut Section<'_, '_>, key: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        report(section, key, "is missing", "every profile but that of a calendar needs it");
    }
    value
}

/// Reports keys that change nothing in this layout.
fn report_unused(section: &mut Section<'_, '_>, keys: &Keys, layout: LayoutName) {
    use LayoutName::{Activities, Calendar, Days, Shifts, Wide};
    let tables: &[LayoutName] = &[Activities, Shifts, Days, Wide];
    let uses: [(&str, bool, &[LayoutName]); 19] = [
        ("columns", !keys.columns.is_empty(), tables),
        ("delimiter", keys.delimiter.is_some(), tables),
        ("sheets", !keys.sheets.is_empty(), tables),
        ("time_zone", keys.time_zone.is_some(), tables),
        ("roster", keys.roster.is_some(), tables),
        ("activities", keys.activities.is_some(), tables),
        ("offset", keys.is_offset_checked, &[Shifts]),
        ("shifts", keys.shifts.is_some(), &[Activities, Days]),
        ("shift_activity", keys.shift_activity.is_some(), &[Activities]),
        ("join_at_midnight", keys.joins_at_midnight, &[Activities, Days]),
        ("duration", keys.duration.is_some(), &[Activities, Days]),
        ("breaks", !keys.breaks.is_empty(), &[Days]),
        ("repeat", keys.repeat.is_some(), &[Days]),
        ("list", keys.list.is_some(), &[Days]),
        ("ignore_columns", !keys.ignore_columns.is_empty(), &[Wide]),
        ("cell", keys.cell.is_some(), &[Wide]),
        ("day_columns", !keys.day_columns.is_empty(), &[Wide]),
        ("shift_codes", !keys.shift_codes.is_empty(), &[Wide]),
        ("date_format", layout == Calendar && keys.date != DateFormat::Unstated, tables),
    ];
    for (key, is_set, layouts) in uses {
        if is_set && !layouts.contains(&layout) {
            let name = layout.name();
            report(
                section,
                key,
                format!("changes nothing in the layout {name}"),
                "remove it, or choose another layout",
            );
        }
    }
}

fn calendar(section: &mut Section<'_, '_>, keys: &Keys) -> Option<Profile> {
    if keys.agent_key.is_some_and(|key| key != AgentKey::Id) {
        report(section, "agent_key", "is not \"id\"", "a calendar names agents as urn:agent:ID");
        return None;
    }
    match &keys.agent_zone {
        Some(AgentZone::Roster) => {
            report(section, "agent_zone", "is \"roster\", which a calendar does not have", "write an IANA name");
            None
        }
        Some(AgentZone::Named(zone)) => Some(Profile::Calendar { agent_zone: Some(zone.clone()) }),
        None => Some(Profile::Calendar { agent_zone: None }),
    }
}

fn file_format(section: &mut Section<'_, '_>, keys: &Keys) -> Option<FileFormat> {
    let is_workbook_only = !keys.sheets.is_empty() || !keys.skip_sheets.is_empty() || keys.is_team_sheet;
    match (keys.delimiter, keys.encoding) {
        (Some(_), _) if is_workbook_only => {
            report(section, "delimiter", "is for text, but the profile names sheets", "remove one of them");
            None
        }
        (Some(delimiter), encoding) => {
            let encoding = encoding.unwrap_or(keys::DEFAULT_ENCODING);
            Some(FileFormat::Text { encoding, delimiter })
        }
        (None, Some(_)) => {
            report(
                section,
                "encoding",
                "is for text, which needs a delimiter",
                "set delimiter, or remove encoding for a workbook",
            );
            None
        }
        (None, None) => Some(FileFormat::Workbook {
            sheets: keys.sheets.clone(),
            skip_sheets: keys.skip_sheets.clone(),
            is_team_sheet: keys.is_team_sheet,
        }),
    }
}

fn zone_source(section: &mut Section<'_, '_>, keys: &Keys, columns: &mut ColumnSet) -> Option<ZoneSource> {
    let column = columns.take("time_zone");
    if let (Some(DateFormat::Cell | DateFormat::DayNumber), Some("value")) =
        (Some(&keys.date), keys.time_zone.as_deref())
    {
        report(
            section,
            "time_zone",
            "is \"value\", but real dates and day numbers have no offset",
            "write an IANA name",
        );
    }
    match (require(section, "time_zone", keys.time_zone.as_deref())?, column) {
        ("column", Some(column)) => return Some(ZoneSource::Column(column)),
        ("column", None) => {
            report(section, "columns", "lacks time_zone, which time_zone = \"column\" needs", "name the column");
            return None;
        }
        (_, Some(_)) => report(section, "columns", "has time_zone, which is not read", "set time_zone = \"column\""),
        ("roster", None) => return Some(ZoneSource::Roster),
        ("value", None) => return Some(ZoneSource::Value),
        (name, None) => return Some(ZoneSource::Named(name.to_owned())),
    }
    None
}
