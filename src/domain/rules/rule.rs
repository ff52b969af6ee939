//! Rules as people write them: conditions, an action, and limits.
//!
//! These are the plain data for both TOML and JSON. [`check`] reports everything that is wrong with a rule and
//! [`compile`] prepares it for fast evaluation; its meaning is defined by [`condition`] and the planner.

pub mod anomaly;
pub mod catalog;
pub mod check;
pub mod compile;
mod compiled_rule;
pub mod condition;
mod condition_parser;
pub mod figures;
pub mod parse;
pub mod rule_text;
pub mod staffing;
pub mod subjects;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::domain::changes::policy::OnContact;
use crate::domain::changes::priority::Priority;
use crate::domain::ids::RuleId;
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::wording::named_enum;

/// Defines a table of a rule, all of whose keys may be left out, and lists its keys. `as` gives a key that is a word of Rust.
macro_rules! optional_keys {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $($(#[$field_attribute:meta])* $field:ident $(as $key:literal)?: $type:ty,)+
        }
    ) => {
        $(#[$attribute])*
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                $(#[$field_attribute])*
                #[serde($(rename = $key,)? skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }

        impl $name {
            /// The keys, in the order of the fields.
            const KEYS: &[&str] = &[$(optional_keys!(@key $field $($key)?)),+];
        }
    };
    (@key $field:ident) => {
        stringify!($field)
    };
    (@key $field:ident $key:literal) => {
        $key
    };
}

/// A rule as written in a file or a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The id, unique in the set: 1 to 64 letters, digits, `-`, `_` or `.`.
    pub id: RuleId,
    /// The conditions that must all hold for the rule to match an agent.
    pub when: Conditions,
    /// The conditions that hold the rule back if all of them hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Conditions>,
    /// The action.
    pub then: ActionDefinition,
    /// The mode; a new rule only monitors.
    #[serde(default)]
    pub mode: Mode,
    /// The class. Rules of a more urgent class are tried first.
    #[serde(default)]
    pub priority: Class,
    /// The least time between two actions on the same agent; 5 minutes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<String>,
    /// The limits of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

optional_keys! {
    /// The conditions of a rule. Every condition that is set must hold; a list holds if one of its members does.
    #[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
    pub struct Conditions {
        /// The planned activity, `off` (no shift) or `uncovered` (not covered by a schedule).
        planned: Names,
        /// The next planned activity.
        next: Names,
        /// The previous planned activity.
        after: Names,
        /// The agent's state.
        state: Names,
        /// The least time in that state.
        state_for as "for": String,
        /// The least time in the planned activity.
        planned_for: String,
        /// The least time left of the planned activity.
        planned_left: String,
        /// The status of the break: `due` (planned now, and the agent does not rest), `running` (planned now) or `over`
        /// (has just ended, and the agent still rests).
        break_is as "break": String,
        /// Whether the planned activity is mandatory.
        mandatory: bool,
        /// The least time of continuous work since the last rest.
        worked: String,
        /// The time relative to the agent's shift.
        shift: ShiftConditions,
        /// The agent's adherence.
        verdict: Names,
        /// The least time for which the facts behind the adherence have held; the time of a deviation includes its
        /// tolerance.
        verdict_for: String,
        /// The agent's team.
        team: Names,
        /// The queue that the platform shows for the agent.
        queue: Names,
        /// The time of day in the agent's time zone.
        local_time: LocalTime,
        /// The day of the week in the agent's time zone: `mon` to `sun`.
        weekdays: Names,
        /// Whether the agent is on a contact or in wrap-up.
        on_contact: bool,
        /// A skill of the agent, by id or name, as assigned by a schedule file or a person.
        skill: Names,
        /// The figures of a skill.
        skill_figures: FigureConditions,
        /// The figures of a queue.
        queue_figures: FigureConditions,
        /// A recent anomaly of a monitored series.
        anomaly: AnomalyConditions,
        /// The planned staffing of the agent's team.
        staffing: StaffingConditions,
    }
}

/// A condition on a recent anomaly of a monitored series.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyConditions {
    /// The id of the monitored series in the configuration.
    pub series: String,
    /// `spike` or `drop`; `None` means either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The greatest age of the anomaly.
    pub within: String,
}

/// A condition on the planned staffing of the agent's team in the next quarter hours.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaffingConditions {
    /// The bounds on the number of agents planned minus the number required.
    pub net: Bounds,
    /// How far to look ahead.
    pub ahead: String,
}

/// Bounds on the figures of one skill or queue; all of them must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FigureConditions {
    /// The platform's id of the skill or queue.
    pub id: IdText,
    /// The bounds by the name of the figure, such as `contacts_queued`.
    #[serde(flatten)]
    pub figures: BTreeMap<String, Bounds>,
}

/// An id written as text or as a bare number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "TextOrNumber")]
pub struct IdText(pub String);

#[derive(Deserialize)]
#[serde(untagged, expecting = "an id was expected, as in \"1234\"")]
enum TextOrNumber {
    Text(String),
    Number(u64),
}

impl From<TextOrNumber> for IdText {
    fn from(id: TextOrNumber) -> Self {
        Self(match id {
            TextOrNumber::Text(text) => text,
            TextOrNumber::Number(number) => number.to_string(),
        })
    }
}

/// The bounds of a figure, at least one of which is set.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// The least value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Bound>,
    /// The value that the figure must stay below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Bound>,
}

/// One bound: a number for a count or a share of 1, or text with a unit for a time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number was expected, or a time as in \"2m\"")]
pub enum Bound {
    /// A count or a share of 1.
    Number(f64),
    /// A time, such as `2m`.
    Time(String),
}

optional_keys! {
    /// Conditions on the time relative to the agent's shift. The first three require a running shift, `starts_within` and
    /// the last two that there is none.
    #[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
    pub struct ShiftConditions {
        /// The shift has run for at least this long.
        started_for: String,
        /// The shift has run for at most this long.
        started_within: String,
        /// The shift ends in at most this long.
        ends_within: String,
        /// The next shift starts in at most this long.
        starts_within: String,
        /// The last shift ended at least this long ago.
        ended_for: String,
        /// The last shift ended at most this long ago.
        ended_within: String,
    }
}

/// A period of the local day, from `from` up to but not including `to`; it may extend past midnight.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalTime {
    /// The start as `HH:MM`.
    pub from: String,
    /// The end as `HH:MM`; `24:00` is the end of the day.
    pub to: String,
}

optional_keys! {
    /// The action of a rule: exactly one of `set_state`, `log_out`, `tell`, `ask` and `offer`.
    #[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
    pub struct ActionDefinition {
        /// The state to set.
        set_state: String,
        /// The reason code to set with the state; the state's default if left out.
        reason: String,
        /// Whether to log the agent out.
        log_out: bool,
        /// How a change treats an agent with a contact: wait for its end (`after`, the default), `now`, or `skip`.
        on_contact: OnContact,
        /// The message to send to people.
        tell: String,
        /// The question to ask a person.
        ask: String,
        /// The change of the agent's shift to offer.
        offer: ShiftEdit,
        /// How many agents can accept the offer; 1 if left out.
        places: u32,
        /// How long agents can answer the offer; 30 minutes if left out.
        open_for: String,
    }
}

named_enum! {
    /// The mode of a rule.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RuleMode)]
    pub enum Mode {
        /// Monitoring: the rule records what it would have changed, and does not keep later rules from acting on the
        /// agent.
        #[default]
        Watch = "watch",
        /// Enforcing: the rule makes its changes by itself.
        Enforce = "enforce",
        /// Requires approval: the rule's changes wait for a person.
        Approve = "approve",
    }
}

impl Mode {
    /// Returns the verb that goes before an action, such as `would`.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Watch => "would",
            Self::Enforce => "will",
            Self::Approve => "asks to",
        }
    }
}

/// The priority class of a rule. People's requests come between `mandatory_break` and `schedule`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RuleClass)]
pub enum Class {
    /// Mandatory breaks.
    MandatoryBreak,
    /// Keeping agents in line with their schedule.
    #[default]
    Schedule,
    /// Everything else, such as logging out agents after their shift.
    Housekeeping,
}

impl Class {
    /// Returns the priority of the rule's intents.
    pub const fn priority(self) -> Priority {
        match self {
            Self::MandatoryBreak => Priority::MandatoryBreak,
            Self::Schedule => Priority::Schedule,
            Self::Housekeeping => Priority::Housekeeping,
        }
    }
}

optional_keys! {
    /// The largest number of actions of a rule within any minute.
    #[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
    pub struct Limit {
        /// The largest number of actions on all agents.
        per_minute: i64,
        /// The largest number of actions on one team, as a share of its agents at work; at least one is always allowed.
        share_of_team: f64,
    }
}

/// One name or a list of names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Names(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a name or a list of names was expected")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Names {
    fn from(names: OneOrMany) -> Self {
        match names {
            OneOrMany::One(name) => Self(vec![name]),
            OneOrMany::Many(names) => Self(names),
        }
    }
}

impl Rule {
    /// Returns the version of the rule: the first 12 hexadecimal digits of the SHA-256 of its canonical JSON (RFC
    /// 8785).
    ///
    /// Fails if the rule has no JSON form, which is the case if a share is not a number.
    pub fn version(&self) -> Result<Arc<str>, serde_json::Error> {
        let canonical = serde_jcs::to_vec(self)?;
        let mut version = String::with_capacity(12);
        for byte in Sha256::digest(canonical).iter().take(6) {
            // Writing to a String cannot fail.
            let _ = write!(version, "{byte:02x}");
        }
        Ok(version.into())
    }
}

/// An error in a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleDiagnostic {
    /// The rule's index in its list, from 0.
    pub index: usize,
    /// The id of the rule, if it has one.
    pub rule: Option<RuleId>,
    /// The field, such as `when.state`; empty for the rule as a whole.
    pub field: String,
    /// What is wrong and how to correct it.
    pub reason: String,
}

impl fmt::Display for RuleDiagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "rule {rule}")?,
            None => write!(f, "rule number {}", self.index + 1)?,
        }
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Collects the errors of one rule.
#[derive(Debug)]
struct DiagnosticCollector {
    index: usize,
    rule: Option<RuleId>,
    diagnostics: Vec<RuleDiagnostic>,
}

impl DiagnosticCollector {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.diagnostics.push(RuleDiagnostic {
            index: self.index,
            rule: self.rule.clone(),
            field: field.into(),
            reason: reason.into(),
        });
    }
}

/// Returns the known name closest to `name` as the end of a sentence; empty if none is close.
fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let distance = |other: &str| strsim::damerau_levenshtein(&folded, &other.to_lowercase());
    let (closest, far) = known.iter().map(|other| (*other, distance(other))).min_by_key(|(_, far)| *far)?;
    if far <= 2 && far < folded.chars().count() {
        return Some(closest);
    }
    // `ended` for `ended_for`.
    known.into_iter().find(|other| folded.len() >= 4 && other.to_lowercase().starts_with(&folded))
}
