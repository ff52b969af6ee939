//! The keys of a profile, each checked by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::columns::ROLES;
use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind, quoted, type_fault};
use crate::config::shared::reader::{Section, reloadable};
use crate::config::shared::tree::{Node, Value};
use crate::domain::schedules::import::profile::{
    AgentKey, AgentZone, ColumnName, DateFormat, Encoding, LengthUnit, MappedActivity, Midnight, Pattern, TimeFormat,
};
use crate::domain::schedules::schedule::Activity;

/// The encoding of text files whose profile does not say it.
pub(super) const DEFAULT_ENCODING: Encoding = Encoding::Utf8;

/// The largest number of a column, which is that of spreadsheets.
const MAX_COLUMN: u16 = 16_384;

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LayoutName {
    Activities,
    Shifts,
    Days,
    Wide,
    Calendar,
}

const LAYOUTS: [(&str, LayoutName); 5] = [
    ("activities", LayoutName::Activities),
    ("shifts", LayoutName::Shifts),
    ("days", LayoutName::Days),
    ("wide", LayoutName::Wide),
    ("calendar", LayoutName::Calendar),
];

impl LayoutName {
    pub(super) fn name(self) -> &'static str {
        LAYOUTS.iter().find(|(_, layout)| *layout == self).map_or("", |(name, _)| name)
    }
}

/// How rows make shifts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ShiftsName {
    Row,
    Touching,
    Key,
}

/// A pair of columns with its activity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BreakKeys {
    pub(super) start: ColumnName,
    pub(super) end: ColumnName,
    pub(super) activity: MappedActivity,
}

/// `list`: a cell with several activities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ListKeys {
    pub(super) column: ColumnName,
    pub(super) items: String,
    pub(super) parts: String,
    pub(super) fields: Vec<String>,
}

/// `repeat`: cells that repeat to the end of the row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepeatKeys {
    pub(super) from: u16,
    pub(super) columns: Vec<String>,
}

/// `cell`: how the cell of a day is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CellKeys {
    pub(super) dash: String,
    pub(super) activities: Option<String>,
    pub(super) separator: Option<String>,
}

/// A shift with a code.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShiftCodeKeys {
    pub(super) start: String,
    pub(super) end: String,
    #[serde(default)]
    pub(super) activities: Vec<CodeActivityKeys>,
}

/// An activity of a shift with a code.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeActivityKeys {
    pub(super) activity: String,
    pub(super) start: String,
    pub(super) end: String,
}

/// An activity as the configuration states it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityKeys {
    activity: String,
    #[serde(default)]
    mandatory: bool,
    /// Whether it is paid, which no plan keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paid: Option<bool>,
}

/// The keys of a profile.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) layout: Option<LayoutName>,
    pub(super) encoding: Option<Encoding>,
    pub(super) delimiter: Option<u8>,
    pub(super) sheets: Vec<String>,
    pub(super) skip_sheets: Vec<String>,
    pub(super) is_team_sheet: bool,
    pub(super) header_row: u32,
    pub(super) header_prefix: Option<String>,
    pub(super) skip: Vec<String>,
    pub(super) agent_key: Option<AgentKey>,
    pub(super) roster: Option<PathBuf>,
    pub(super) date: DateFormat,
    pub(super) time: Option<TimeFormat>,
    pub(super) year: Option<i16>,
    pub(super) decimal: char,
    pub(super) midnight: Midnight,
    pub(super) time_zone: Option<String>,
    pub(super) agent_zone: Option<AgentZone>,
    pub(super) is_offset_checked: bool,
    pub(super) zone_names: BTreeMap<String, String>,
    pub(super) shifts: Option<ShiftsName>,
    pub(super) shift_activity: Option<String>,
    pub(super) joins_at_midnight: bool,
    pub(super) duration: Option<LengthUnit>,
    pub(super) work: Vec<String>,
    pub(super) off: Vec<String>,
    pub(super) ignore: Vec<String>,
    pub(super) ignore_columns: Vec<String>,
    pub(super) yes: Vec<String>,
    pub(super) no: Vec<String>,
    pub(super) columns: BTreeMap<String, Vec<ColumnName>>,
    pub(super) activities: Option<BTreeMap<String, MappedActivity>>,
    pub(super) breaks: BTreeMap<String, BreakKeys>,
    pub(super) repeat: Option<RepeatKeys>,
    pub(super) list: Option<ListKeys>,
    pub(super) cell: Option<CellKeys>,
    pub(super) day_columns: Vec<String>,
    pub(super) shift_codes: BTreeMap<String, ShiftCodeKeys>,
}

impl Keys {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let about = "What a row is. `activities`: an activity. `shifts`: a shift, or an activity with its shift repeated. `days`: an \
                     agent's day. `wide`: an agent, with a column for each day. `calendar`: the file is an iCalendar file.";
        let layout = section.required(reloadable("layout", about), &kind::choice(&LAYOUTS));
        let mut keys = Self { layout, ..Self::default() };
        keys.read_file(section);
        keys.read_rows(section);
        keys.read_agents(section);
        keys.read_times(section);
        keys.read_zones(section);
        keys.read_shifts(section);
        keys.read_activities(section);
        keys.read_cells(section);
        keys
    }

    fn read_file(&mut self, section: &mut Section<'_, '_>) {
        let encodings =
            [("utf-8", Encoding::Utf8), ("utf-16", Encoding::Utf16), ("windows-1252", Encoding::Windows1252)];
        let key = reloadable(
            "encoding",
            "The encoding of a text file, `utf-8` if it is left out. UTF-16 needs a byte-order mark.",
        );
        self.encoding = section.optional(key, &kind::choice(&encodings));
        let key = reloadable(
            "delimiter",
            "The character between the fields of a text file, or `tab`. Without it, files are workbooks (XLSX).",
        );
        self.delimiter = section.optional(key, &delimiter());
        let key = reloadable(
            "sheets",
            "The sheets of a workbook to read, in which `*` stands for any text; all if it is left out.",
        );
        self.sheets = section.value(key, &kind::list(kind::text()), Vec::new());
        let key = reloadable("skip_sheets", "Sheets that hold no schedule although `sheets` fits them.");
        self.skip_sheets = section.value(key, &kind::list(kind::text()), Vec::new());
        let key = reloadable("team_from", "`sheet`: the name of a sheet is the team of its agents.");
        self.is_team_sheet = section.optional(key, &kind::choice(&[("sheet", ())])).is_some();
    }

    fn read_rows(&mut self, section: &mut Section<'_, '_>) {
        let key = reloadable(
            "header_row",
            "The line of the header, on every sheet. What is above it is not read. 0: there is none.",
        );
        self.header_row = section.value(key, &kind::integer(0..=10_000), 1);
        let key = reloadable("header_prefix", "The text before the first heading, such as `#fields`.");
        self.header_prefix = section.optional(key, &kind::text());
        let key = reloadable(
            "skip",
            "Rows whose first filled cell begins with one of these texts hold no data, such as totals.",
        );
        self.skip = section.value(key, &kind::list(kind::text()), Vec::new());
        let key = reloadable(
            "columns",
            "The heading or number of each column: `agent`, `name` (several are joined by a space), `team`, `time_zone`, \
             `offset`, `date`, `shift`, `activity`, `start`, `end`, `duration`, `mandatory`, `shift_start`, `shift_end`.",
        );
        self.columns = section.value(key, &kind::map(role(), columns()), BTreeMap::new());
    }

    fn read_agents(&mut self, section: &mut Section<'_, '_>) {
        let key = reloadable(
            "agent_key",
            "What names the agents. `id`, `user_name` and `uuid` are those of the platform; `employee_no` and `login` need a \
             `roster`.",
        );
        self.agent_key = section.optional(key, &kind::named(&AgentKey::ALL, AgentKey::name));
        let key = reloadable(
            "roster",
            "A CSV file that lists the agents, relative to this file. Its header names `id`, the agent key, and perhaps \
             `time_zone`. It is read at every import.",
        );
        self.roster = section.optional(key, &kind::file());
    }

    fn read_times(&mut self, section: &mut Section<'_, '_>) {
        let key = reloadable(
            "date_format",
            "How dates are written: `YYYY`, `YY`, `MM`, `M`, `MMM` (Jan), `DD`, `D`, `ddd` (a weekday) and the text between \
             them. `cell`: real dates of a workbook. `number`: day numbers. `unix_seconds`: dates and times as seconds since \
             1970. Without it, no date is read.",
        );
        self.date = section.optional(key, &date_format()).unwrap_or_default();
        let key = reloadable(
            "time_format",
            "How times of day are written: `HH`, `H`, `hh`, `h`, `mm`, `ss`, `AM`, `a` (for a or p) and the text between \
             them. `cell`: real times of a workbook. `hours`: decimal hours. `minutes`: minutes after midnight.",
        );
        self.time = section.optional(key, &time_format());
        let key = reloadable("year", "The year of dates that are written without one.");
        self.year = section.optional(key, &kind::integer(1970..=2199));
        let signs = [("point", '.'), (".", '.'), ("comma", ','), (",", ',')];
        let key = reloadable("decimal", "The decimal sign of numbers.");
        self.decimal = section.value(key, &kind::choice(&signs), '.');
        let ways = [("dated", Midnight::Dated), ("next_day", Midnight::NextDay), ("over_24", Midnight::Over24)];
        let key = reloadable(
            "midnight",
            "How shifts over midnight are written. `dated`: the end has its own date. `next_day`: an end that is not after \
             its start is on the next day, and so is an activity before the start of its shift. `over_24`: hours count on, as \
             in 30:00.",
        );
        self.midnight = section.value(key, &kind::choice(&ways), Midnight::Dated);
    }

    fn read_zones(&mut self, section: &mut Section<'_, '_>) {
        let key = reloadable(
            "time_zone",
            "The zone of all times: an IANA name or `UTC`. `column`: each row says it. `roster`: each agent's own. `value`: \
             each time states its offset.",
        );
        self.time_zone = section.optional(key, &zone_or(&["column", "roster", "value"]));
        let key = reloadable(
            "agent_zone",
            "The agents' own zone, if it is not that of the times: an IANA name, or `roster`.",
        );
        self.agent_zone = section.optional(key, &zone_or(&["roster"])).map(|zone| match zone.as_str() {
            "roster" => AgentZone::Roster,
            _ => AgentZone::Named(zone),
        });
        let key =
            reloadable("offset", "`check`: the column `offset` must agree with the zone at the start of the shift.");
        self.is_offset_checked = section.optional(key, &kind::choice(&[("check", ())])).is_some();
        let key = reloadable("time_zones", "The IANA names of what the file calls zones.");
        self.zone_names = section.value(key, &kind::map(any_text(), kind::zone()), BTreeMap::new());
    }

    fn read_shifts(&mut self, section: &mut Section<'_, '_>) {
        let ways = [("row", ShiftsName::Row), ("touching", ShiftsName::Touching), ("key", ShiftsName::Key)];
        let key = reloadable(
            "shifts",
            "How rows of activities make shifts. `row`: rows with `shift_activity` are the shifts. `touching`: activities \
             without a gap between them are a shift. `key`: rows of an agent with the same value in `columns.shift` are.",
        );
        self.shifts = section.optional(key, &kind::choice(&ways));
        let key = reloadable("shift_activity", "What the rows of shifts are called.");
        self.shift_activity = section.optional(key, &kind::text());
        let key =
            reloadable("join_at_midnight", "Whether two pieces of the same activity that meet at midnight are one.");
        self.joins_at_midnight = section.value(key, &kind::boolean(), false);
        let units = [("minutes", LengthUnit::Minutes), ("hours", LengthUnit::Hours)];
        let key =
            reloadable("duration", "The unit of `columns.duration`, which then takes the place of `columns.end`.");
        self.duration = section.optional(key, &kind::choice(&units));
    }

    fn read_activities(&mut self, section: &mut Section<'_, '_>) {
        let mut words = |name, about| section.value(reloadable(name, about), &kind::list(any_text()), Vec::new());
        self.work = words("work", "Activities that are plain work.");
        self.off = words("off", "What says that there is no shift. An empty text stands for an empty cell.");
        self.ignore = words("ignore", "Activities that overlie others and change nothing.");
        self.ignore_columns =
            words("ignore_columns", "In the layout `wide`: columns that are neither of the agent nor of a day.");
        let mut words = |name, about, default: [&str; 3]| {
            section.value(reloadable(name, about), &kind::list(kind::text()), default.map(str::to_owned).to_vec())
        };
        self.yes = words("yes", "What the column `mandatory` has for yes.", ["true", "yes", "1"]);
        self.no = words("no", "What the column `mandatory` has for no.", ["false", "no", "0"]);
        let key = reloadable(
            "activities",
            "What the other activities of the file are. An activity in no list is refused; without this table, every name is \
             accepted as it is. `paid` is accepted, but schedules do not keep it.",
        );
        self.activities = section.optional(key, &kind::map(any_text(), activity()));
    }

    fn read_cells(&mut self, section: &mut Section<'_, '_>) {
        let key = reloadable("breaks", "In the layout `days`: pairs of columns, each with its activity.");
        self.breaks = section.value(key, &kind::map(any_text(), break_columns()), BTreeMap::new());
        let key = reloadable(
            "repeat",
            "In the layout `days`: the first column of the cells that repeat to the end of the row.",
        );
        self.repeat =
            section.optional(key, &structured("{ from = number, columns = [\"activity\", \"start\", \"end\"] }"));
        let key = reloadable(
            "list",
            "In the layout `days`: a cell with several activities. `items` is the sign between them, `parts` that between \
             their parts; `fields` are `activity`, `start`, `end`, `duration` and `-` for a part that is not used.",
        );
        self.list = section.optional(key, &list());
        let key = reloadable(
            "cell",
            "In the layout `wide`: the sign between start and end, where activities are (`brackets`, or `lines` below), and \
             the sign between them.",
        );
        self.cell = section.optional(key, &structured("{ dash = text, activities = place, separator = text }"));
        let key =
            reloadable("day_columns", "In the layout `wide`: each day has a column for the start and one for the end.");
        self.day_columns = section.value(key, &kind::list(kind::text()), Vec::new());
        let key = reloadable(
            "shift_codes",
            "In the layout `wide`: shifts that are named by a code, with their times and activities.",
        );
        let shift = structured("{ start = time, end = time, activities = [{ activity, start, end }] }");
        self.shift_codes = section.value(key, &kind::map(any_text(), shift), BTreeMap::new());
    }

    /// Whether the dates are text and the times are not.
    pub(super) fn needs_text_time(&self) -> bool {
        matches!(self.date, DateFormat::Pattern(_)) && !matches!(self.time, Some(TimeFormat::Pattern(_)))
    }
}

/// Reports a key that does not fit the others.
pub(super) fn report(section: &mut Section<'_, '_>, key: &str, problem: impl Into<String>, advice: &str) {
    section.add_diagnostic(key, ValueFault::new(problem.into()).with_suggestion(advice.to_owned()));
}

fn any_text() -> Kind<String> {
    Kind::from_text("text", |text| Ok(text.to_owned()), quoted)
}

fn delimiter() -> Kind<u8> {
    let convert = |text: &str| match text.as_bytes() {
        b"tab" => Ok(b'\t'),
        [sign] if sign.is_ascii_graphic() && !sign.is_ascii_alphanumeric() && *sign != b'"' => Ok(*sign),
        _ => Err(ValueFault::new("must be one sign, such as \";\" or \"|\", or \"tab\"")),
    };
    let show = |sign: &u8| if *sign == b'\t' { quoted(&"tab") } else { quoted(&char::from(*sign)) };
    Kind::from_text("character or \"tab\"", convert, show)
}

fn date_format() -> Kind<DateFormat> {
    let convert = |text: &str| match text {
        "" => Ok(DateFormat::Unstated),
        "cell" => Ok(DateFormat::Cell),
        "number" => Ok(DateFormat::DayNumber),
        "unix_seconds" => Ok(DateFormat::UnixSeconds),
        text => Pattern::of_date(text).map(DateFormat::Pattern).map_err(|problem| format_fault(problem, "DD/MM/YYYY")),
    };
    let show = |format: &DateFormat| match format {
        DateFormat::Unstated => quoted(&""),
        DateFormat::Cell => quoted(&"cell"),
        DateFormat::DayNumber => quoted(&"number"),
        DateFormat::UnixSeconds => quoted(&"unix_seconds"),
        DateFormat::Pattern(pattern) => quoted(&pattern.as_str()),
    };
    Kind::from_text("form of a date", convert, show)
}

fn time_format() -> Kind<TimeFormat> {
    let convert = |text: &str| match text {
        "cell" => Ok(TimeFormat::Cell),
        "hours" => Ok(TimeFormat::Hours),
        "minutes" => Ok(TimeFormat::Minutes),
        text => Pattern::of_time(text).map(TimeFormat::Pattern).map_err(|problem| format_fault(problem, "HH:mm")),
    };
    let show = |format: &TimeFormat| match format {
        TimeFormat::Cell => quoted(&"cell"),
        TimeFormat::Hours => quoted(&"hours"),
        TimeFormat::Minutes => quoted(&"minutes"),
        TimeFormat::Pattern(pattern) => quoted(&pattern.as_str()),
    };
    Kind::from_text("form of a time", convert, show)
}

fn format_fault(problem: String, example: &str) -> ValueFault {
    ValueFault::new(problem).with_suggestion(format!("as in \"{example}\""))
}

/// An IANA zone, or one of some words.
fn zone_or(words: &'static [&'static str]) -> Kind<String> {
    let zone = kind::zone();
    let names: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let parse = move |node: &Node| match &node.value {
        Value::Text(text) if words.contains(&text.as_str()) => Ok(text.clone()),
        _ => (zone.parse)(node),
    };
    Kind::from_node(&format!("IANA zone, {}", names.join(", ")), parse, quoted)
}

fn role() -> Kind<String> {
    let convert = |text: &str| {
        if ROLES.contains(&text) {
            return Ok(text.to_owned());
        }
        let fault = ValueFault::new("names a column that profiles do not have");
        Err(fault.with_suggestion(format!("known: {}", ROLES.join(", "))).with_closest(text, ROLES))
    };
    Kind::from_text("column", convert, String::clone)
}

/// One column or several, each by its heading or number.
fn columns() -> Kind<Vec<ColumnName>> {
    let parse = |node: &Node| match &node.value {
        Value::List(nodes) if !nodes.is_empty() => {
            nodes.iter().map(|node| column(node).map_err(|fault| vec![fault])).collect()
        }
        _ => column(node).map(|column| vec![column]).map_err(|fault| vec![fault]),
    };
    let show = |columns: &Vec<ColumnName>| match columns.as_slice() {
        [only] => show_column(only),
        several => format!("[{}]", several.iter().map(show_column).collect::<Vec<_>>().join(", ")),
    };
    Kind::from_node("heading or number", parse, show)
}

fn column(node: &Node) -> Result<ColumnName, ValueFault> {
    match &node.value {
        Value::Text(heading) if !heading.trim().is_empty() => Ok(ColumnName::Heading(heading.trim().to_owned())),
        Value::Integer(number) => match u16::try_from(*number) {
            Ok(number) if (1..=MAX_COLUMN).contains(&number) => Ok(ColumnName::Number(number)),
            Ok(_) | Err(_) => Err(ValueFault::new(format!("must be the number of a column, from 1 to {MAX_COLUMN}"))),
        },
        _ => Err(type_fault("the heading or number of a column", node)),
    }
}

fn show_column(column: &ColumnName) -> String {
    match column {
        ColumnName::Heading(heading) => quoted(heading),
        ColumnName::Number(number) => number.to_string(),
    }
}

/// A table of fixed keys.
fn structured<T: DeserializeOwned + Serialize + 'static>(name: &str) -> Kind<T> {
    let parse =
        |node: &Node| T::deserialize(node.to_toml()).map_err(|error| vec![ValueFault::new(error.message().trim())]);
    let show = |value: &T| toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default();
    Kind::from_node(name, parse, show)
}

fn activity() -> Kind<MappedActivity> {
    let keys = structured::<ActivityKeys>("");
    let parse = move |node: &Node| (keys.parse)(node).and_then(|keys| to_activity(&keys));
    Kind::from_node("{ activity = name, mandatory = true or false, paid = true or false }", parse, show_activity)
}

fn to_activity(keys: &ActivityKeys) -> Result<MappedActivity, Vec<ValueFault>> {
    if keys.activity.trim().is_empty() || keys.activity.chars().count() > 128 {
        return Err(vec![ValueFault::new("has an activity that is empty or longer than 128 characters")]);
    }
    let activity = Activity::from_name(&keys.activity);
    if activity.is_reserved() {
        let reason = format!("has the activity {activity}, which stands for a whole shift or for a day off");
        return Err(vec![ValueFault::new(reason)]);
    }
    Ok(MappedActivity { activity, mandatory: keys.mandatory })
}

fn show_activity(mapped: &MappedActivity) -> String {
    format!("{{ activity = {}, mandatory = {} }}", quoted(&mapped.activity), mapped.mandatory)
}

fn break_columns() -> Kind<BreakKeys> {
    let keys = structured::<ActivityKeys>("");
    let parse = move |node: &Node| {
        let Value::Table(table) = &node.value else { return Err(vec![type_fault("a table", node)]) };
        let mut rest = table.clone();
        let mut take = |name: &str| match rest.remove(name) {
            Some(entry) => column(&entry.node).map_err(|fault| vec![fault]),
            None => Err(vec![ValueFault::new(format!("lacks {name}, the heading or number of a column"))]),
        };
        let (start, end) = (take("start")?, take("end")?);
        let activity = (keys.parse)(&Node { origin: node.origin.clone(), value: Value::Table(rest) })
            .and_then(|keys| to_activity(&keys))?;
        Ok(BreakKeys { start, end, activity })
    };
    let show = |keys: &BreakKeys| {
        let (start, end) = (show_column(&keys.start), show_column(&keys.end));
        format!("{{ start = {start}, end = {end}, {}", show_activity(&keys.activity).trim_start_matches("{ "))
    };
    Kind::from_node("{ start = column, end = column, activity = name, mandatory = true or false }", parse, show)
}

fn list() -> Kind<ListKeys> {
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rest {
        items: String,
        parts: String,
        fields: Vec<String>,
    }
    let keys = structured::<Rest>("");
    let parse = move |node: &Node| {
        let Value::Table(table) = &node.value else { return Err(vec![type_fault("a table", node)]) };
        let mut rest = table.clone();
        let Some(entry) = rest.remove("column") else {
            return Err(vec![ValueFault::new("lacks column, the heading or number of the cell")]);
        };
        let column = column(&entry.node).map_err(|fault| vec![fault])?;
        let Rest { items, parts, fields } =
            (keys.parse)(&Node { origin: node.origin.clone(), value: Value::Table(rest) })?;
        Ok(ListKeys { column, items, parts, fields })
    };
    let show = |keys: &ListKeys| {
        let fields: Vec<_> = keys.fields.iter().map(quoted).collect();
        let (column, items, parts) = (show_column(&keys.column), quoted(&keys.items), quoted(&keys.parts));
        format!("{{ column = {column}, items = {items}, parts = {parts}, fields = [{}] }}", fields.join(", "))
    };
    Kind::from_node("{ column = column, items = text, parts = text, fields = list of text }", parse, show)
}
