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

/// The conditions of a rule. Every condition that is set must hold; a list holds if one of its members does.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// The planned activity, `off` (no shift) or `uncovered` (not covered by a schedule).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Names>,
    /// The next planned activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Names>,
    /// The previous planned activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Names>,
    /// The agent's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Names>,
    /// The least time in that state.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub state_for: Option<String>,
    /// The least time in the planned activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_for: Option<String>,
    /// The least time left of the planned activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_left: Option<String>,
    /// The status of the break: `due` (planned now, and the agent does not rest), `running` (planned now) or `over`
    /// (has just ended, and the agent still rests).
    #[serde(rename = "break", skip_serializing_if = "Option::is_none")]
    pub break_is: Option<String>,
    /// Whether the planned activity is mandatory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mandatory: Option<bool>,
    /// The least time of continuous work since the last rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worked: Option<String>,
    /// The time relative to the agent's shift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<ShiftConditions>,
    /// The agent's adherence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Names>,
    /// The least time for which the facts behind the adherence have held; the time of a deviation includes its
    /// tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_for: Option<String>,
    /// The agent's team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<Names>,
    /// The queue that the platform shows for the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Names>,
    /// The time of day in the agent's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_time: Option<LocalTime>,
    /// The day of the week in the agent's time zone: `mon` to `sun`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<Names>,
    /// Whether the agent is on a contact or in wrap-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_contact: Option<bool>,
    /// A skill of the agent, by id or name, as assigned by a schedule file or a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill: Option<Names>,
    /// The figures of a skill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill_figures: Option<FigureConditions>,
    /// The figures of a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_figures: Option<FigureConditions>,
    /// A recent anomaly of a monitored series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<AnomalyConditions>,
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

/// Conditions on the time relative to the agent's shift. The first three require a running shift, `starts_within` and
/// the last two that there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShiftConditions {
    /// The shift has run for at least this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_for: Option<String>,
    /// The shift has run for at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_within: Option<String>,
    /// The shift ends in at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_within: Option<String>,
    /// The next shift starts in at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_within: Option<String>,
    /// The last shift ended at least this long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_for: Option<String>,
    /// The last shift ended at most this long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_within: Option<String>,
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

/// The action of a rule: exactly one of `set_state`, `log_out`, `tell` and `ask`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionDefinition {
    /// The state to set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_state: Option<String>,
    /// The reason code to set with the state; the state's default if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether to log the agent out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_out: Option<bool>,
    /// How a change treats an agent with a contact: wait for its end (`after`, the default), `now`, or `skip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_contact: Option<OnContact>,
    /// The message to send to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<String>,
    /// The question to ask a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
}

/// Whether a rule acts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RuleMode)]
pub enum Mode {
    /// It records what it would have done, and keeps no agent from the rules after it.
    #[default]
    Watch,
    /// It acts.
    Enforce,
    /// It waits for a person.
    Approve,
}

impl Mode {
    /// Returns the name used in files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Enforce => "enforce",
            Self::Approve => "approve",
        }
    }

    /// Returns the verb that goes before an action, such as `would`.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Watch => "would",
            Self::Enforce => "will",
            Self::Approve => "asks to",
        }
    }
}

/// The class of a rule. People's requests are a class of their own, between the first two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RuleClass)]
pub enum Class {
    /// A break that must be taken.
    MandatoryBreak,
    /// Keeping agents in plan.
    #[default]
    Schedule,
    /// Tidying up.
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

/// The largest number of actions of a rule within any minute.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// The largest number of actions on all agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<i64>,
    /// The largest number of actions on one team, as a share of its agents at work; at least one is always allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_team: Option<f64>,
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
