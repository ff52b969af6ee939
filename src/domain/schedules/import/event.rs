//! One calendar event made rows: whose it is, what, when, and how often.
//!
//! | property | meaning |
//! |---|---|
//! | `ATTENDEE` | `urn:agent:<id>`, one or several; `CN` is the name. Other attendees are ignored |
//! | `CATEGORIES` | the activity, `SHIFT` for a shift, in any case; `SUMMARY` where there is none |
//! | `DTSTART` | with a `TZID`, which for a shift is the agent's zone; or in UTC; floating only with a default zone |
//! | `DTEND`, `DURATION` | one of them; both mean elapsed time for every occurrence, but for the days and weeks of a `DURATION` |
//! | `RRULE`, `RDATE`, `EXDATE` | bounded rules, see [`super::recurrence`] |
//! | `X-TEAM`, or `LOCATION` | the team |
//! | `X-SKILLS` | the ids of the agents' skills, as `4711\|12` |
//! | `X-MANDATORY:TRUE` | a mandatory break; calendars have no property for it, so without it none is mandatory |
//!
//! Moved or cancelled single occurrences (`RECURRENCE-ID`) are refused: they would have to be matched with an event that may
//! stand in another file.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Span;
use jiff::civil::DateTime;

use super::ImportOptions;
use super::assemble::{Assembler, Who};
use super::calendar_value::{Length, calendar_time};
use super::complaint::Complaint;
use super::field::{self, LONG_TEXT, SHORT_TEXT};
use super::recurrence::Recurrence;
use super::zones::{OUT_OF_RANGE, ZoneIndex, local_text};
use crate::domain::time::UtcMicros;

/// The property that holds the start of an event.
pub(super) const START: &str = "DTSTART";

/// The properties of an event that mean something here.
pub(super) const PROPERTIES: [&str; 16] = [
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
    "X-MANDATORY",
    "STATUS",
];

/// The properties that an event may have once.
const SINGLE: [&str; 4] = [START, "DTEND", "DURATION", "RRULE"];

/// One property of an event, parameter names in capitals.
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

/// One event as it stands in the file.
pub(super) struct Event {
    pub(super) line: u64,
    pub(super) properties: Vec<Property>,
}

/// A time with the zone that it is local to.
#[derive(Clone, Copy)]
struct When {
    local: DateTime,
    zone: ZoneIndex,
    /// How the file said the zone.
    said: Said,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Zone,
    Utc,
    Floating,
}

/// Adds the rows of an event. Gives `false` when its rule could not be followed.
pub(super) fn read(event: &Event, options: &ImportOptions, assembler: &mut Assembler) -> bool {
    let mut reader = EventReader { event, options, assembler, sound: true, rule_failed: false };
    reader.read();
    !reader.rule_failed
}

struct EventReader<'e, 'a, 'o> {
    event: &'e Event,
    options: &'a ImportOptions,
    assembler: &'a mut Assembler<'o>,
    sound: bool,
    rule_failed: bool,
}

impl<'e> EventReader<'e, '_, '_> {
    fn read(&mut self) {
        if self.get("STATUS").is_some_and(|status| status.value.eq_ignore_ascii_case("CANCELLED")) {
            self.assembler.warn(Complaint::line(self.event.line, "the event is cancelled; it is ignored"));
            return;
        }
        self.refuse_unsupported();
        let activity = self.activity();
        let agents = self.agents();
        let team = self.get("X-TEAM").or_else(|| self.get("LOCATION"));
        let team = self.text(team, SHORT_TEXT);
        let skills = self.skills();
        let mandatory = match self.get("X-MANDATORY") {
            Some(property) => self.checked(property, field::flag).unwrap_or_default(),
            None => false,
        };
        let start = self.start();
        let length = self.length(start);
        let occurrences = start.map(|start| self.occurrences(start)).unwrap_or_default();
        let (Some(activity), Some(start), Some(length), true) = (activity, start, length, self.sound) else {
            for (id, _) in agents {
                self.assembler.unread(Some(id), activity);
            }
            return;
        };
        if occurrences.is_empty() {
            self.assembler
                .warn(Complaint::line(self.event.line, "EXDATE takes away every occurrence; the event is ignored"));
        }
        // The zone of a break or a meeting says nothing of the agent's own.
        let own = activity.eq_ignore_ascii_case("shift") && start.said != Said::Utc;
        for when in occurrences {
            let Some((from, to)) = self.span(when, &length) else { continue };
            for &(id, name) in &agents {
                if self.assembler.is_full(self.event.line) {
                    return;
                }
                let who = Who { id, name, team, skills, zone: own.then_some(start.zone) };
                self.assembler.add(self.event.line, &who, activity, from, to, mandatory);
            }
        }
        if !self.sound {
            for (id, _) in agents {
                self.assembler.unread(Some(id), Some(activity));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&'e Property> {
        self.event.properties.iter().find(|property| property.name == name)
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &'e Property> + use<'e> {
        self.event.properties.iter().filter(move |property| property.name == name)
    }

    fn fault(&mut self, complaint: Complaint) {
        self.sound = false;
        self.assembler.fault(complaint);
    }

    fn fault_of(&mut self, property: &Property, reason: impl Into<String>) {
        self.fault(if property.value.is_empty() {
            Complaint::column(property.line, &property.name, reason)
        } else {
            Complaint::value(property.line, &property.name, &property.value, reason)
        });
    }

    fn missing(&mut self, name: &str, reason: &str) {
        self.fault(Complaint::column(self.event.line, name, reason));
    }

    fn checked<T>(&mut self, property: &Property, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(&property.value).map_err(|reason| self.fault_of(property, reason)).ok()
    }

    fn text(&mut self, property: Option<&'e Property>, longest: usize) -> &'e str {
        let Some(property) = property else { return "" };
        if let Err(reason) = field::plain_text(&property.value, longest) {
            self.fault_of(property, reason);
        }
        &property.value
    }

    fn skills(&mut self) -> &'e str {
        let Some(property) = self.get("X-SKILLS") else { return "" };
        if let Err(reason) = field::skills(&property.value) {
            self.fault_of(property, reason);
        }
        &property.value
    }

    fn refuse_unsupported(&mut self) {
        for name in ["RECURRENCE-ID", "EXRULE"] {
            if let Some(property) = self.get(name) {
                self.fault_of(
                    property,
                    "is not supported; export the calendar with every occurrence as an event of its own",
                );
            }
        }
        for name in SINGLE {
            if let Some(second) = self.all(name).nth(1) {
                self.fault_of(second, "stands in the event twice; keep one");
            }
        }
    }

    fn activity(&mut self) -> Option<&'e str> {
        let Some(property) = self.get("CATEGORIES").or_else(|| self.get("SUMMARY")) else {
            self.missing("CATEGORIES", "is missing; name the activity, such as SHIFT or LUNCH");
            return None;
        };
        if property.value.is_empty() {
            self.fault_of(property, "is empty; name the activity, such as SHIFT or LUNCH");
            return None;
        }
        let several =
            property.name == "CATEGORIES" && (property.value.contains(',') || self.all("CATEGORIES").count() > 1);
        if several {
            self.fault_of(property, "is more than one activity; name one");
            return None;
        }
        field::plain_text(&property.value, SHORT_TEXT).map_err(|reason| self.fault_of(property, reason)).ok()
    }

    /// The agents that the event is for, id and name.
    fn agents(&mut self) -> Vec<(&'e str, &'e str)> {
        const PREFIX: &str = "urn:agent:";
        let mut agents: Vec<(&str, &str)> = Vec::new();
        for property in self.all("ATTENDEE") {
            let (prefix, id) = property.value.split_at_checked(PREFIX.len()).unwrap_or_default();
            if !prefix.eq_ignore_ascii_case(PREFIX) {
                continue;
            }
            let (id, name) = (id.trim(), property.parameter("CN").unwrap_or_default().trim());
            if id.is_empty() || field::plain_text(id, SHORT_TEXT).is_err() {
                self.fault_of(property, "names no agent after urn:agent:");
            } else if let Err(reason) = field::plain_text(name, LONG_TEXT) {
                self.fault(Complaint::column(property.line, "ATTENDEE", format!("the name in CN {reason}")));
            } else if !agents.iter().any(|(known, _)| *known == id) {
                agents.push((id, name));
            }
        }
        if agents.is_empty() && self.sound {
            self.missing("ATTENDEE", "names no agent; add one as urn:agent:ID");
        }
        agents
    }

    /// A time of a property with the property's zone.
    fn when(&mut self, property: &Property, text: &str) -> Option<When> {
        let value = |reason: String| Complaint::value(property.line, &property.name, text, reason);
        if property.parameter("VALUE").is_some_and(|kind| !kind.eq_ignore_ascii_case("DATE-TIME")) {
            self.fault(value("is a date or a period; write date and time as 20261019T090000".to_owned()));
            return None;
        }
        let zone = property.parameter("TZID");
        let found = calendar_time(text).and_then(|time| {
            let (zone, said) = match (time.utc, zone) {
                (true, None) => (self.assembler.zones.find("UTC"), Said::Utc),
                (true, Some(_)) => (Err("has both a TZID and a Z; keep one".to_owned()), Said::Utc),
                (false, Some(zone)) => {
                    let found = self.assembler.zones.find(zone);
                    (found.map_err(|reason| format!("is in the zone {}, which {reason}", shown(zone))), Said::Zone)
                }
                (false, None) => {
                    let default = self.assembler.default_zone();
                    let reason = "names no time zone; add a TZID, or set a default time zone for the import";
                    (default.ok_or_else(|| reason.to_owned()), Said::Floating)
                }
            };
            Ok(When { local: time.local, zone: zone?, said })
        });
        found.map_err(|reason| self.fault(value(reason))).ok()
    }

    fn start(&mut self) -> Option<When> {
        let property = self.get(START);
        if property.is_none() {
            self.missing(START, "is missing; an event needs a start");
        }
        property.and_then(|property| self.when(property, &property.value))
    }

    fn length(&mut self, start: Option<When>) -> Option<Length> {
        match (self.get("DTEND"), self.get("DURATION")) {
            (None, Some(property)) => self.checked(property, Length::parse),
            (Some(property), None) => self.length_to(start, property),
            (Some(property), Some(_)) => {
                self.fault_of(property, "stands beside a DURATION; keep one");
                None
            }
            (None, None) => {
                self.missing("DTEND", "is missing, and there is no DURATION; an event needs an end");
                None
            }
        }
    }

    /// The elapsed time from the start to `DTEND`, which RFC 5545 part 3.8.5.3 gives to every occurrence.
    fn length_to(&mut self, start: Option<When>, property: &'e Property) -> Option<Length> {
        let end = self.when(property, &property.value)?;
        let start = start?;
        let from = match self.assembler.zones.instant(start.zone, start.local) {
            Ok(from) => from,
            Err(reason) => {
                self.fault(Complaint::value(self.event.line, START, &local_text(start.local), reason));
                return None;
            }
        };
        let to =
            self.assembler.zones.instant(end.zone, end.local).map_err(|reason| self.fault_of(property, reason)).ok()?;
        if to <= from {
            self.fault_of(property, "is not after DTSTART");
            return None;
        }
        Some(Length { days: 0, exact: to.since(from) })
    }

    /// Where the occurrences start, before they are moved.
    fn occurrences(&mut self, start: When) -> Vec<When> {
        let mut occurrences = vec![start];
        if let Some(property) = self.get("RRULE") {
            match self.repeated(property, start) {
                Some(times) => occurrences = times.into_iter().map(|local| When { local, ..start }).collect(),
                None => return Vec::new(),
            }
        }
        for property in self.all("RDATE") {
            occurrences.extend(property.value.split(',').filter_map(|text| self.when(property, text.trim())));
        }
        let mut excluded: BTreeMap<UtcMicros, (&Property, bool)> = BTreeMap::new();
        for property in self.all("EXDATE") {
            for text in property.value.split(',') {
                let instant = self.when(property, text.trim()).and_then(|when| self.compared(when));
                excluded.extend(instant.map(|instant| (instant, (property, false))));
            }
        }
        let mut seen = BTreeSet::new();
        occurrences.retain(|when| match self.compared(*when) {
            Some(instant) => match excluded.get_mut(&instant) {
                Some((_, used)) => {
                    *used = true;
                    false
                }
                None => seen.insert(instant),
            },
            None => true,
        });
        for (property, _) in excluded.into_values().filter(|(_, used)| !used) {
            let reason = "takes away no occurrence; is it meant for another time?";
            self.assembler.warn(Complaint::column(property.line, "EXDATE", reason));
        }
        occurrences
    }

    /// The instant of an occurrence before it is moved, to compare with others.
    fn compared(&self, when: When) -> Option<UtcMicros> {
        self.assembler.zones.instant_or_later(when.zone, when.local)
    }

    fn repeated(&mut self, property: &'e Property, start: When) -> Option<Vec<DateTime>> {
        let rule = self.checked(property, Recurrence::parse)?;
        let until = match rule.until {
            None => None,
            Some(until) if until.utc => {
                let utc = self.assembler.zones.find("UTC").ok()?;
                self.assembler.zones.instant_or_later(utc, until.local)
            }
            Some(until) if start.said == Said::Floating => {
                self.assembler.zones.instant_or_later(start.zone, until.local)
            }
            Some(_) => {
                self.fault_of(
                    property,
                    "has an UNTIL without a Z; an event with a time zone ends at an instant in UTC",
                );
                return None;
            }
        };
        let zones = &self.assembler.zones;
        let within =
            |local| until.is_none_or(|until| zones.instant_or_later(start.zone, local).is_some_and(|at| at <= until));
        match rule.expand(start.local, self.options.max_days, within) {
            Ok(times) => Some(times),
            Err(reason) => {
                self.rule_failed = true;
                self.fault_of(property, reason);
                None
            }
        }
    }

    /// The instants of one occurrence, moved.
    fn span(&mut self, when: When, length: &Length) -> Option<(UtcMicros, UtcMicros)> {
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
                self.fault(Complaint::value(self.event.line, START, &local_text(when.local), reason));
                None
            }
        }
    }
}

/// A zone's name fit for a message.
fn shown(zone: &str) -> String {
    zone.chars().filter(|c| !c.is_control()).take(60).collect()
}
