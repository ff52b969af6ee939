//! Converts one calendar event to rows: its agents, activity, times and occurrences.
//!
//! | property | meaning |
//! |---|---|
//! | `ATTENDEE` | `urn:agent:<id>`, one or several; `CN` is the name. Other attendees are ignored |
//! | `CATEGORIES` | the activity, `SHIFT` for a shift, in any case; `SUMMARY` if there is none |
//! | `DTSTART` | with a `TZID`, which for a shift is the agent's zone; or in UTC; floating only with a default zone |
//! | `DTEND`, `DURATION` | one of them; elapsed time for every occurrence, except days and weeks of a `DURATION` |
//! | `RRULE`, `RDATE`, `EXDATE` | bounded rules, see [`super::recurrence`] |
//! | `X-TEAM`, or `LOCATION` | the team |
//! | `X-SKILLS` | the ids of the agents' skills, such as `4711\|12` |
//! | `X-TIME-ZONE` | the agent's zone, if the times do not give it |
//! | `X-MANDATORY:TRUE` | a mandatory break; calendars have no standard property for it |
//!
//! Single occurrences that were moved or cancelled (`RECURRENCE-ID`) are refused, because the event that they belong to
//! may be in another file.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Span;
use jiff::civil::DateTime;

use super::super::assembler::{AgentFields, Assembler, RowFields, activity_named};
use super::super::diagnostic::ImportDiagnostic;
use super::super::field::{self, LONG_TEXT, SHORT_TEXT};
use super::super::options::ImportOptions;
use super::super::place::Place;
use super::super::zones::{OUT_OF_RANGE, ZoneIndex, local_text};
use super::recurrence::Recurrence;
use super::value::{EventDuration, parse_calendar_time};
use crate::domain::schedules::schedule::{OFF_ACTIVITY, SHIFT_ACTIVITY};
use crate::domain::time::UtcMicros;

/// The property that holds the start of an event.
pub(super) const START: &str = "DTSTART";

/// The properties of an event that are read.
pub(in super::super) const PROPERTIES: [&str; 17] = [
    START,
    "DTEND",
    "DURATION",
    "RRULE",
    "RDATE",
    "EXDATE",
    "EXRULE",
    "RECURRENCE-ID",
    "ATTENDEE",
    "CATEGORIES",
    "SUMMARY",
    "X-TEAM",
    "LOCATION",
    "X-SKILLS",
    "X-TIME-ZONE",
    "X-MANDATORY",
    "STATUS",
];

/// The properties that an event may have only once.
const SINGLE_VALUED: [&str; 4] = [START, "DTEND", "DURATION", "RRULE"];

/// One property of an event, with parameter names in capitals.
pub(super) struct Property {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl Property {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One event as written in the file.
pub(super) struct Event {
    pub(super) line: u64,
    pub(super) properties: Vec<Property>,
}

/// A local time with its zone.
#[derive(Clone, Copy)]
struct ZonedTime {
    local: DateTime,
    zone: ZoneIndex,
    /// How the file gave the zone.
    zone_source: ZoneSource,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ZoneSource {
    Named,
    Utc,
    Floating,
}

/// Adds the rows of an event. Returns `false` if its recurrence rule failed.
pub(super) fn read(event: &Event, options: &ImportOptions, assembler: &mut Assembler) -> bool {
    let mut reader = EventReader { event, options, assembler, is_valid: true, rule_failed: false };
    reader.read();
    !reader.rule_failed
}

struct EventReader<'e, 'a, 'o> {
    event: &'e Event,
    options: &'a ImportOptions,
    assembler: &'a mut Assembler<'o>,
    is_valid: bool,
    rule_failed: bool,
}

impl<'e> EventReader<'e, '_, '_> {
    fn read(&mut self) {
        if self.get("STATUS").is_some_and(|status| status.value.eq_ignore_ascii_case("CANCELLED")) {
            self.assembler
                .report_warning(ImportDiagnostic::for_line(self.event.line, "the event is cancelled; it is ignored"));
            return;
        }
        self.refuse_unsupported();
        let activity = self.read_activity();
        let agents = self.read_agents();
        let team = self.get("X-TEAM").or_else(|| self.get("LOCATION"));
        let team = self.parse_text(team, SHORT_TEXT);
        let skills = self.skills();
        let mandatory = match self.get("X-MANDATORY") {
            Some(property) => self.parse_property(property, field::parse_flag).unwrap_or_default(),
            None => false,
        };
        let start = self.read_start();
        let length = self.read_duration(start);
        let occurrences = start.map(|start| self.expand_occurrences(start)).unwrap_or_default();
        let (Some(activity), Some(start), Some(length), true) = (activity, start, length, self.is_valid) else {
            for (id, _) in agents {
                self.assembler.record_unreadable(Some(id), activity);
            }
            return;
        };
        if occurrences.is_empty() {
            self.assembler.report_warning(ImportDiagnostic::for_line(
                self.event.line,
                "EXDATE takes away every occurrence; the event is ignored",
            ));
        }
        // Only a shift tells the agent's zone; a break or a meeting may be given in another one.
        let is_off = activity.eq_ignore_ascii_case(OFF_ACTIVITY);
        let is_of_day = is_off || activity.eq_ignore_ascii_case(SHIFT_ACTIVITY);
        let own_zone = (is_of_day && start.zone_source != ZoneSource::Utc).then_some(start.zone);
        let zone = own_zone.or_else(|| self.read_time_zone());
        for when in occurrences {
            for &(id, name) in &agents {
                if self.assembler.is_row_limit_reached(self.event.line) {
                    return;
                }
                let place = self.assembler.row_place(self.event.line);
                let agent_fields = AgentFields { id, name, team, skills, zone, place: place.without_column() };
                if is_off {
                    self.add_days_off(&agent_fields, when, &length, place);
                    continue;
                }
                let Some((from, to)) = self.occurrence_span(when, &length) else { break };
                let row =
                    RowFields { activity: activity_named(activity), start: from, end: to, mandatory, shift: 0, place };
                self.assembler.add_row(&agent_fields, row);
            }
        }
        if !self.is_valid {
            for (id, _) in agents {
                self.assembler.record_unreadable(Some(id), Some(activity));
            }
        }
    }

    /// Adds a row that says that an agent has no shift for some days.
    fn add_days_off(&mut self, agent: &AgentFields<'_>, when: ZonedTime, length: &EventDuration, place: Place) {
        const DAY_SECONDS: u64 = 24 * 3600;
        const LARGEST_CLOCK_CHANGE: u64 = 3 * 3600;
        let seconds = length.exact.as_secs();
        let days = (seconds + DAY_SECONDS / 2) / DAY_SECONDS;
        // Elapsed time, so a day with a clock change is shorter or longer.
        let is_whole =
            seconds.abs_diff(days * DAY_SECONDS) <= LARGEST_CLOCK_CHANGE && when.zone_source != ZoneSource::Utc;
        let days = length.days.saturating_add(i64::try_from(days).unwrap_or(i64::MAX));
        let end = Span::new().try_days(days).ok().and_then(|days| when.local.checked_add(days).ok());
        let added = match end.filter(|_| is_whole) {
            Some(end) => self.assembler.add_days_off(agent, [when.local, end], place),
            None => {
                Err("is not about whole days; days off start at 00:00 and end at 00:00 of a later day, both with a \
                         TZID"
                    .to_owned())
            }
        };
        if let Err(reason) = added {
            self.report_error(ImportDiagnostic::for_value(self.event.line, START, &local_text(when.local), reason));
        }
    }

    /// Returns the zone that the event gives for its agents.
    fn read_time_zone(&mut self) -> Option<ZoneIndex> {
        let property = self.get("X-TIME-ZONE")?;
        let found = self.assembler.zones.find(&property.value);
        found.map_err(|reason| self.report_property_error(property, reason)).ok()
    }

    fn get(&self, name: &str) -> Option<&'e Property> {
        self.event.properties.iter().find(|property| property.name == name)
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &'e Property> + use<'e> {
        self.event.properties.iter().filter(move |property| property.name == name)
    }

    fn report_error(&mut self, complaint: ImportDiagnostic) {
        self.is_valid = false;
        self.assembler.report_error(complaint);
    }

    fn report_property_error(&mut self, property: &Property, reason: impl Into<String>) {
        self.report_error(if property.value.is_empty() {
            ImportDiagnostic::for_column(property.line, &property.name, reason)
        } else {
            ImportDiagnostic::for_value(property.line, &property.name, &property.value, reason)
        });
    }

    fn report_missing(&mut self, name: &str, reason: &str) {
        self.report_error(ImportDiagnostic::for_column(self.event.line, name, reason));
    }

    fn parse_property<T>(&mut self, property: &Property, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(&property.value).map_err(|reason| self.report_property_error(property, reason)).ok()
    }

    fn parse_text(&mut self, property: Option<&'e Property>, max_chars: usize) -> &'e str {
        let Some(property) = property else { return "" };
        if let Err(reason) = field::check_plain_text(&property.value, max_chars) {
            self.report_property_error(property, reason);
        }
        &property.value
    }

    fn skills(&mut self) -> &'e str {
        let Some(property) = self.get("X-SKILLS") else { return "" };
        if let Err(reason) = field::check_skills(&property.value) {
            self.report_property_error(property, reason);
        }
        &property.value
    }

    fn refuse_unsupported(&mut self) {
        for name in ["RECURRENCE-ID", "EXRULE"] {
            if let Some(property) = self.get(name) {
                self.report_property_error(
                    property,
                    "is not supported; export the calendar with every occurrence as an event of its own",
                );
            }
        }
        for name in SINGLE_VALUED {
            if let Some(second) = self.all(name).nth(1) {
                self.report_property_error(second, "is in the event twice; keep one");
            }
        }
    }

    fn read_activity(&mut self) -> Option<&'e str> {
        let Some(property) = self.get("CATEGORIES").or_else(|| self.get("SUMMARY")) else {
            self.report_missing("CATEGORIES", "is missing; name the activity, such as SHIFT or LUNCH");
            return None;
        };
        if property.value.is_empty() {
            self.report_property_error(property, "is empty; name the activity, such as SHIFT or LUNCH");
            return None;
        }
        let has_several =
            property.name == "CATEGORIES" && (property.value.contains(',') || self.all("CATEGORIES").count() > 1);
        if has_several {
            self.report_property_error(property, "is more than one activity; name one");
            return None;
        }
        field::check_plain_text(&property.value, SHORT_TEXT)
            .map_err(|reason| self.report_property_error(property, reason))
            .ok()
    }

    /// Returns the id and name of each agent that the event is for.
    fn read_agents(&mut self) -> Vec<(&'e str, &'e str)> {
        const PREFIX: &str = "urn:agent:";
        let mut agents: Vec<(&str, &str)> = Vec::new();
        for property in self.all("ATTENDEE") {
            let (prefix, id) = property.value.split_at_checked(PREFIX.len()).unwrap_or_default();
            if !prefix.eq_ignore_ascii_case(PREFIX) {
                continue;
            }
            let (id, name) = (id.trim(), property.parameter("CN").unwrap_or_default().trim());
            if id.is_empty() || field::check_plain_text(id, SHORT_TEXT).is_err() {
                self.report_property_error(property, "names no agent after urn:agent:");
            } else if let Err(reason) = field::check_plain_text(name, LONG_TEXT) {
                self.report_error(ImportDiagnostic::for_column(
                    property.line,
                    "ATTENDEE",
                    format!("the name in CN {reason}"),
                ));
            } else if !agents.iter().any(|(known, _)| *known == id) {
                agents.push((id, name));
            }
        }
        if agents.is_empty() && self.is_valid {
            self.report_missing("ATTENDEE", "names no agent; add one as urn:agent:ID");
        }
        agents
    }

    /// Parses a time of a property in the property's zone.
    fn read_time(&mut self, property: &Property, text: &str) -> Option<ZonedTime> {
        let value = |reason: String| ImportDiagnostic::for_value(property.line, &property.name, text, reason);
        if property.parameter("VALUE").is_some_and(|kind| !kind.eq_ignore_ascii_case("DATE-TIME")) {
            self.report_error(value("is a date or a period; write date and time as 20261019T090000".to_owned()));
            return None;
        }
        let zone = property.parameter("TZID");
        let found = parse_calendar_time(text).and_then(|time| {
            let (zone, zone_source) = match (time.utc, zone) {
                (true, None) => (self.assembler.zones.find("UTC"), ZoneSource::Utc),
                (true, Some(_)) => (Err("has both a TZID and a Z; keep one".to_owned()), ZoneSource::Utc),
                (false, Some(zone)) => {
                    let found = self.assembler.zones.find(zone);
                    (
                        found.map_err(|reason| format!("is in the zone {}, which {reason}", printable(zone))),
                        ZoneSource::Named,
                    )
                }
                (false, None) => {
                    let default = self.assembler.default_zone();
                    let reason = "names no time zone; add a TZID, or set a default time zone for the import";
                    (default.ok_or_else(|| reason.to_owned()), ZoneSource::Floating)
                }
            };
            Ok(ZonedTime { local: time.local, zone: zone?, zone_source })
        });
        found.map_err(|reason| self.report_error(value(reason))).ok()
    }

    fn read_start(&mut self) -> Option<ZonedTime> {
        let property = self.get(START);
        if property.is_none() {
            self.report_missing(START, "is missing; an event needs a start");
        }
        property.and_then(|property| self.read_time(property, &property.value))
    }

    fn read_duration(&mut self, start: Option<ZonedTime>) -> Option<EventDuration> {
        match (self.get("DTEND"), self.get("DURATION")) {
            (None, Some(property)) => self.parse_property(property, EventDuration::parse),
            (Some(property), None) => self.duration_until(start, property),
            (Some(property), Some(_)) => {
                self.report_property_error(property, "cannot be combined with a DURATION; keep one");
                None
            }
            (None, None) => {
                self.report_missing("DTEND", "is missing, and there is no DURATION; an event needs an end");
                None
            }
        }
    }

    /// Returns the elapsed time from the start to `DTEND`, which applies to every occurrence (RFC 5545, section
    /// 3.8.5.3).
    fn duration_until(&mut self, start: Option<ZonedTime>, property: &'e Property) -> Option<EventDuration> {
        let end = self.read_time(property, &property.value)?;
        let start = start?;
        let from = match self.assembler.zones.instant(start.zone, start.local) {
            Ok(from) => from,
            Err(reason) => {
                self.report_error(ImportDiagnostic::for_value(
                    self.event.line,
                    START,
                    &local_text(start.local),
                    reason,
                ));
                return None;
            }
        };
        let to = self
            .assembler
            .zones
            .instant(end.zone, end.local)
            .map_err(|reason| self.report_property_error(property, reason))
            .ok()?;
        if to <= from {
            self.report_property_error(property, "is not after DTSTART");
            return None;
        }
        Some(EventDuration { days: 0, exact: to.since(from) })
    }

    /// Returns the starts of all occurrences, before they are moved by weeks.
    fn expand_occurrences(&mut self, start: ZonedTime) -> Vec<ZonedTime> {
        let mut occurrences = vec![start];
        if let Some(property) = self.get("RRULE") {
            match self.expand_rule(property, start) {
                Some(times) => occurrences = times.into_iter().map(|local| ZonedTime { local, ..start }).collect(),
                None => return Vec::new(),
            }
        }
        for property in self.all("RDATE") {
            occurrences.extend(property.value.split(',').filter_map(|text| self.read_time(property, text.trim())));
        }
        let mut exclusions: BTreeMap<UtcMicros, (&Property, bool)> = BTreeMap::new();
        for property in self.all("EXDATE") {
            for text in property.value.split(',') {
                let instant = self.read_time(property, text.trim()).and_then(|when| self.comparison_instant(when));
                exclusions.extend(instant.map(|instant| (instant, (property, false))));
            }
        }
        let mut instants = BTreeSet::new();
        occurrences.retain(|when| match self.comparison_instant(*when) {
            Some(instant) => match exclusions.get_mut(&instant) {
                Some((_, used)) => {
                    *used = true;
                    false
                }
                None => instants.insert(instant),
            },
            None => true,
        });
        for (property, _) in exclusions.into_values().filter(|(_, used)| !used) {
            let reason = "takes away no occurrence; is it meant for another time?";
            self.assembler.report_warning(ImportDiagnostic::for_column(property.line, "EXDATE", reason));
        }
        occurrences
    }

    /// Returns the instant of an occurrence before it is moved, for comparison with others.
    fn comparison_instant(&self, when: ZonedTime) -> Option<UtcMicros> {
        self.assembler.zones.instant_or_later(when.zone, when.local)
    }

    fn expand_rule(&mut self, property: &'e Property, start: ZonedTime) -> Option<Vec<DateTime>> {
        let rule = self.parse_property(property, Recurrence::parse)?;
        let until = match rule.until {
            None => None,
            Some(until) if until.utc => {
                let utc = self.assembler.zones.find("UTC").ok()?;
                self.assembler.zones.instant_or_later(utc, until.local)
            }
            Some(until) if start.zone_source == ZoneSource::Floating => {
                self.assembler.zones.instant_or_later(start.zone, until.local)
            }
            Some(_) => {
                self.report_property_error(
                    property,
                    "has an UNTIL without a Z; an event with a time zone ends at an instant in UTC",
                );
                return None;
            }
        };
        let zones = &self.assembler.zones;
        let is_within_until =
            |local| until.is_none_or(|until| zones.instant_or_later(start.zone, local).is_some_and(|at| at <= until));
        match rule.expand(start.local, self.options.max_days, is_within_until) {
            Ok(times) => Some(times),
            Err(reason) => {
                self.rule_failed = true;
                self.report_property_error(property, reason);
                None
            }
        }
    }

    /// Returns the start and end of one occurrence, moved by the weeks of the options.
    fn occurrence_span(&mut self, when: ZonedTime, length: &EventDuration) -> Option<(UtcMicros, UtcMicros)> {
        let start = self.assembler.instant(when.zone, when.local);
        let end = if length.days == 0 {
            start.clone()
        } else {
            let days = Span::new().try_days(length.days).and_then(|days| when.local.checked_add(days));
            days.map_err(|_| OUT_OF_RANGE.to_owned()).and_then(|end| self.assembler.instant(when.zone, end))
        };
        match (start, end) {
            (Ok(start), Ok(end)) => Some((start, end + length.exact)),
            (Err(reason), _) | (_, Err(reason)) => {
                self.report_error(ImportDiagnostic::for_value(self.event.line, START, &local_text(when.local), reason));
                None
            }
        }
    }
}

/// Returns the name of a zone, shortened and without control characters.
fn printable(zone: &str) -> String {
    zone.chars().filter(|c| !c.is_control()).take(60).collect()
}
