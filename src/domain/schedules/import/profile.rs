//! Import profiles: what a person states about the files of one source, so that nothing in them has to be guessed.
//!
//! A profile says where the columns are, how dates and times are written, whose time they are in, how rows make shifts,
//! and what the activities mean. [`read`] turns a file into the same draft as an import without a profile does.

mod activities;
mod agents;
mod archive;
mod cell;
mod context;
mod days;
pub mod detect;
mod format;
mod header;
mod reader;
mod shifts;
mod text;
mod values;
mod wide;
mod workbook;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::schedules::schedule::Activity;

pub use agents::{AgentLookup, RosterAgent, parse_roster};
pub use format::{DateFormat, Pattern, TimeFormat};
pub use reader::read;

/// An import profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Profile {
    /// iCalendar, whose events say nearly everything themselves.
    Calendar {
        /// The zone of agents whose shifts are all given in UTC.
        agent_zone: Option<String>,
    },
    /// A text file with delimiters, or a workbook.
    Table(Box<TableProfile>),
}

impl Profile {
    /// Returns the file that lists the agents and their keys, if there is one.
    pub fn roster(&self) -> Option<&PathBuf> {
        match self {
            Self::Calendar { .. } => None,
            Self::Table(table) => table.roster.as_ref(),
        }
    }

    /// Returns what names the agents in the file.
    pub fn agent_key(&self) -> AgentKey {
        match self {
            Self::Calendar { .. } => AgentKey::Id,
            Self::Table(table) => table.agent_key,
        }
    }
}

/// The profile of a text file with delimiters or of a workbook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableProfile {
    /// How the file is stored.
    pub file: FileFormat,
    /// The line of the header on every sheet; 0 if there is none.
    pub header_row: u32,
    /// The text before the first heading.
    pub header_prefix: String,
    /// Rows whose first filled cell begins with one of these texts hold no data.
    pub skip: Vec<String>,
    /// All columns that the rest of the profile refers to.
    pub columns: Vec<ColumnName>,
    /// The columns about the agent.
    pub agent: AgentColumns,
    /// What names the agent.
    pub agent_key: AgentKey,
    /// The file that lists the agents and their keys.
    pub roster: Option<PathBuf>,
    /// How dates and times are read.
    pub times: TimeRules,
    /// What the activities of the file are.
    pub activities: ActivityRules,
    /// What a row is.
    pub layout: Layout,
}

/// How a file is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileFormat {
    /// A text file with delimiters.
    Text {
        /// The encoding.
        encoding: Encoding,
        /// The delimiter.
        delimiter: u8,
    },
    /// A workbook (XLSX).
    Workbook {
        /// The names of the sheets, in which `*` stands for any text; empty for all sheets.
        sheets: Vec<String>,
        /// The sheets without a schedule.
        skip_sheets: Vec<String>,
        /// Whether the name of a sheet is the team of its agents.
        is_team_sheet: bool,
    },
}

/// The encoding of a text file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// UTF-8, with or without a byte-order mark.
    Utf8,
    /// UTF-16 with a byte-order mark.
    Utf16,
    /// Windows-1252.
    Windows1252,
}

/// A column, by its heading or by its number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ColumnName {
    /// The heading.
    Heading(String),
    /// The number, from 1.
    Number(u16),
}

/// The index of a column in [`TableProfile::columns`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ColumnId(pub u16);

/// The columns about the agent of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentColumns {
    /// The key of the agent.
    pub agent: ColumnId,
    /// The parts of the name, which are joined by spaces.
    pub name: Vec<ColumnId>,
    /// The team.
    pub team: Option<ColumnId>,
}

/// What names the agent in a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AgentKey {
    /// The id on the platform.
    Id,
    /// The name with which the agent signs in on the platform.
    UserName,
    /// The id of the agent's user account on the platform.
    Uuid,
    /// The employee number.
    EmployeeNumber,
    /// The login at the telephone system.
    Login,
}

impl AgentKey {
    /// All keys.
    pub const ALL: [Self; 5] = [Self::Id, Self::UserName, Self::Uuid, Self::EmployeeNumber, Self::Login];

    /// Returns the name of the key, which is also its column in a roster file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::UserName => "user_name",
            Self::Uuid => "uuid",
            Self::EmployeeNumber => "employee_no",
            Self::Login => "login",
        }
    }
}

/// How dates and times are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeRules {
    /// The form of dates.
    pub date: DateFormat,
    /// The year of dates that have none.
    pub year: Option<i16>,
    /// The form of times of day; `None` if the file has none of their own.
    pub time: Option<TimeFormat>,
    /// The decimal sign of numbers.
    pub decimal: char,
    /// How a shift over midnight is written.
    pub midnight: Midnight,
    /// The zone of all times.
    pub zone: ZoneSource,
    /// The agents' own zone, if it is not the zone of the times.
    pub agent_zone: Option<AgentZone>,
    /// What the file calls zones; if empty, it uses IANA names.
    pub zone_names: BTreeMap<String, String>,
}

/// How a shift over midnight is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Midnight {
    /// The end has its own date.
    #[default]
    Dated,
    /// An end that is not after its start is on the next day.
    NextDay,
    /// Hours count on after 24.
    Over24,
}

/// Where the zone of times comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ZoneSource {
    /// All times are in this zone.
    Named(String),
    /// Each row says it.
    Column(ColumnId),
    /// Each time is in its agent's zone.
    Roster,
    /// Each time states its offset.
    Value,
}

/// Where the agents' own zone comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AgentZone {
    /// All agents are in this zone.
    Named(String),
    /// The list of agents says it.
    Roster,
}

/// What the activities of a file are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ActivityRules {
    /// Activities that are plain work.
    pub work: Vec<String>,
    /// What says that there is no shift.
    pub off: Vec<String>,
    /// Activities that change nothing.
    pub ignore: Vec<String>,
    /// The other activities; without this table every name is accepted as it is.
    pub known: Option<BTreeMap<String, MappedActivity>>,
}

/// What an activity of a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappedActivity {
    /// The activity.
    pub activity: Activity,
    /// Whether the agent must not be set ready during it.
    pub mandatory: bool,
}

/// What a row is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// A row for each activity.
    Activities(ActivitiesLayout),
    /// A row for each shift, or for each activity with its shift repeated.
    Shifts(ShiftsLayout),
    /// A row for each agent and day.
    Days(DaysLayout),
    /// A row for each agent, with a column for each day.
    Wide(WideLayout),
}

/// The layout with a row for each activity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActivitiesLayout {
    /// The activity.
    pub activity: ColumnId,
    /// The date, if start and end are times of day.
    pub date: Option<ColumnId>,
    /// The start.
    pub start: ColumnId,
    /// The end.
    pub end: End,
    /// Whether the activity is mandatory.
    pub mandatory: Option<MandatoryColumn>,
    /// How rows make shifts.
    pub shifts: Grouping,
    /// Whether two pieces of an activity that meet at midnight are one.
    pub joins_at_midnight: bool,
}

/// How rows make shifts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grouping {
    /// Rows with this activity are the shifts.
    OwnRows(String),
    /// Activities that follow each other without a gap are a shift.
    Touching,
    /// Rows of an agent with the same value in this column are a shift.
    Key(ColumnId),
}

/// Where the end of an activity comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A column has it.
    At(ColumnId),
    /// A column has the length.
    After(ColumnId, LengthUnit),
}

/// The unit of a length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LengthUnit {
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl LengthUnit {
    /// Returns the minutes of one unit.
    pub(super) const fn minutes(self) -> f64 {
        match self {
            Self::Minutes => 1.0,
            Self::Hours => 60.0,
        }
    }
}

/// A column that says whether an activity is mandatory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MandatoryColumn {
    /// The column.
    pub column: ColumnId,
    /// The words for yes.
    pub yes: Vec<String>,
    /// The words for no.
    pub no: Vec<String>,
}

/// The layout with a row for each shift.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShiftsLayout {
    /// The start of the shift.
    pub shift_start: ColumnId,
    /// The end of the shift.
    pub shift_end: ColumnId,
    /// The offset from UTC, which must agree with the zone at the start of the shift.
    pub offset: Option<ColumnId>,
    /// The columns of an activity within the shift.
    pub activity: Option<SpanColumns>,
}

/// The columns of an activity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpanColumns {
    /// The activity.
    pub activity: ColumnId,
    /// The start.
    pub start: ColumnId,
    /// The end.
    pub end: ColumnId,
}

/// The layout with a row for each agent and day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DaysLayout {
    /// The date; `None` if every time has its own.
    pub date: Option<ColumnId>,
    /// What the day is: work or a day off.
    pub activity: Option<ColumnId>,
    /// What the row says of the day.
    pub content: DayContent,
}

/// What a row says of a day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DayContent {
    /// The shift and activities within it.
    Shift {
        /// The start of the shift.
        start: ColumnId,
        /// The end of the shift.
        end: ColumnId,
        /// Pairs of columns, each with its activity.
        breaks: Vec<BreakColumns>,
        /// A cell with several activities.
        list: Option<ActivityList>,
    },
    /// Groups of activity, start and end from this column on, which together are the shift.
    Groups {
        /// The number of the first column, from 1.
        from: u16,
        /// Whether two pieces of an activity that meet at midnight are one.
        joins_at_midnight: bool,
    },
}

/// Two columns with the start and the end of an activity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakColumns {
    /// The start.
    pub start: ColumnId,
    /// The end.
    pub end: ColumnId,
    /// The activity.
    pub activity: MappedActivity,
}

/// A cell with several activities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActivityList {
    /// The column.
    pub column: ColumnId,
    /// The sign between activities.
    pub items: String,
    /// The sign between the parts of an activity.
    pub parts: String,
    /// What the parts are, in order.
    pub fields: Vec<ListField>,
    /// The unit of the length.
    pub unit: LengthUnit,
}

/// A part of an activity in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListField {
    /// The activity.
    Activity,
    /// The start.
    Start,
    /// The end.
    End,
    /// The length, which must agree with start and end.
    Duration,
    /// A part that is not used.
    Unused,
}

/// The layout with a column for each day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WideLayout {
    /// Columns that are neither of the agent nor of a day.
    pub ignore_columns: Vec<String>,
    /// What the cell of a day holds.
    pub cells: DayCell,
}

/// What the cell of a day holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DayCell {
    /// Start and end with a sign between them, and perhaps activities.
    Text {
        /// The sign between start and end.
        dash: String,
        /// Where the activities are.
        activities: CellActivities,
    },
    /// The start; the end is in the next column.
    Pairs,
    /// A code.
    Codes(BTreeMap<String, ShiftCode>),
}

/// Where the activities in the cell of a day are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CellActivities {
    /// There are none.
    None,
    /// In brackets after the shift, with this sign between them.
    Brackets(String),
    /// On lines of their own below the shift.
    Lines,
}

/// A shift that is named by a code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShiftCode {
    /// The start, as a time of the file.
    pub start: String,
    /// The end, as a time of the file.
    pub end: String,
    /// The activities: name, start and end.
    pub activities: Vec<[String; 3]>,
}
