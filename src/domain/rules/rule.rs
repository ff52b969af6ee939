//! Rules as people write them: what to look at, what to want, how carefully.
//!
//! This is the data, in TOML and JSON alike. [`check`] says all that is wrong with it, [`compile`] makes it fast; what a rule
//! means is in [`condition`] and in the planner.

pub mod anomaly;
pub mod check;
pub mod compile;
pub mod condition;
pub mod figures;
pub mod parse;
pub mod shelf;
pub mod subjects;
mod translate;
pub mod written;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::domain::changes::policy::OnContact;
use crate::domain::changes::priority::Priority;
use crate::domain::ids::RuleId;

/// One rule, as it stands in a file or in a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique in the set: letters, digits, `-`, `_` and `.`, at most 64.
    pub id: RuleId,
    /// It wants an agent for whom all of these hold.
    pub when: Conditions,
    /// It lets go of an agent for whom all of these hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Conditions>,
    /// What it wants.
    pub then: Wish,
    /// Whether it acts. A new rule watches.
    #[serde(default)]
    pub mode: Mode,
    /// Its class; rules of a more urgent class are tried first.
    #[serde(default)]
    pub priority: Class,
    /// The least time between two acts on the same agent. Where it is left out: 5 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<String>,
    /// How much it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

/// What a rule looks at. Everything that is named must hold; lists hold when one of their members does.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// The planned activity, `off` (no shift) or `uncovered` (no schedule speaks for now).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Names>,
    /// What comes next in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Names>,
    /// What came directly before in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Names>,
    /// The state that the agent is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Names>,
    /// The least time in that state.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub state_for: Option<String>,
    /// The least time in the planned activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_for: Option<String>,
    /// The least time that is left of the planned activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_left: Option<String>,
    /// `due`: planned now, and the agent does not rest; `running`: planned now; `over`: planned until now, and the agent rests.
    #[serde(rename = "break", skip_serializing_if = "Option::is_none")]
    pub break_is: Option<String>,
    /// Whether the planned activity is mandatory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mandatory: Option<bool>,
    /// The least continuous work since the last rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worked: Option<String>,
    /// Where now falls, seen from the shift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<ShiftConditions>,
    /// The adherence verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Names>,
    /// How long the facts behind the verdict have held, at least (a deviation's time includes its tolerance).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_for: Option<String>,
    /// The agent's team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<Names>,
    /// The queue that the platform names for the agent now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Names>,
    /// The local time of the agent's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_time: Option<LocalTime>,
    /// The local day of the week: `mon` to `sun`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<Names>,
    /// Whether the agent is with a contact or wraps one up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_contact: Option<bool>,
    /// A skill that the agent has, by id or name; a file or a person says who has which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill: Option<Names>,
    /// The figures of a skill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill_figures: Option<FigureConditions>,
    /// The figures of a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_figures: Option<FigureConditions>,
    /// A watched series was odd lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<AnomalyConditions>,
}

/// Which series was odd, which way, and how long ago at most.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyConditions {
    /// The watched series, as the configuration names it.
    pub series: String,
    /// `spike` or `drop`; either without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// At most so long ago.
    pub within: String,
}

/// Bounds of the figures of one skill or queue; all that are named must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FigureConditions {
    /// The platform's id of the skill or queue.
    pub id: SubjectText,
    /// By the measure's name, as `contacts_queued`.
    #[serde(flatten)]
    pub figures: BTreeMap<String, Bounds>,
}

/// An id as people write it: text, or a bare number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "TextOrNumber")]
pub struct SubjectText(pub String);

#[derive(Deserialize)]
#[serde(untagged, expecting = "an id was expected, as in \"1234\"")]
enum TextOrNumber {
    Text(String),
    Number(u64),
}

impl From<TextOrNumber> for SubjectText {
    fn from(id: TextOrNumber) -> Self {
        Self(match id {
            TextOrNumber::Text(text) => text,
            TextOrNumber::Number(number) => number.to_string(),
        })
    }
}

/// Between what a figure must lie; at least one of them is named.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// It is this or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Bound>,
    /// It is less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Bound>,
}

/// One bound: a count or a share of 1 as a number, a time as text with its unit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number was expected, or a time as in \"2m\"")]
pub enum Bound {
    /// A count, or a share of 1.
    Number(f64),
    /// A time.
    Time(String),
}

/// Where now falls, seen from the shift. The first three ask for a running shift, `starts_within` and the last two for none.
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
    /// The last shift has been over for at least this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_for: Option<String>,
    /// The last shift has been over for at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_within: Option<String>,
}

/// A stretch of the local day, from `from` up to but not including `to`; it may pass midnight.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalTime {
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`; `24:00` is the end of the day.
    pub to: String,
}

/// What a rule wants: one of `set_state`, `log_out`, `tell` and `ask`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    /// Put the agent into this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_state: Option<String>,
    /// The reason code that goes with it; the state's default where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Log the agent out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_out: Option<bool>,
    /// What to do with a change while the agent is with a contact: wait for its end (`after`, the default), `now`, or `skip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_contact: Option<OnContact>,
    /// Tell people this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<String>,
    /// Ask a person this.
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
    /// The name in files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Enforce => "enforce",
            Self::Approve => "approve",
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
    /// The priority of its intents.
    pub const fn priority(self) -> Priority {
        match self {
            Self::MandatoryBreak => Priority::MandatoryBreak,
            Self::Schedule => Priority::Schedule,
            Self::Housekeeping => Priority::Housekeeping,
        }
    }
}

/// How much a rule may do within any minute.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// Acts, over all agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<i64>,
    /// Acts on agents of one team, as a share of those of its agents who are at work; at least one is always allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_team: Option<f64>,
}

/// One name, or a list of names.
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
    /// What tells two versions of a rule apart: the first 12 hexadecimal digits of the SHA-256 of its canonical JSON (RFC 8785).
    /// Fails for a rule that has no JSON, which is one with a share that is not a number.
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

/// One thing that is wrong with a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleComplaint {
    /// The rule's position in its list, from 0.
    pub index: usize,
    /// Its id, where it has one.
    pub rule: Option<RuleId>,
    /// Where in the rule, as `when.state`; empty for the rule as a whole.
    pub field: String,
    /// What is wrong, and the way out.
    pub reason: String,
}

impl fmt::Display for RuleComplaint {
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

/// Gathers what is wrong with one rule.
#[derive(Debug)]
struct Complaints {
    index: usize,
    rule: Option<RuleId>,
    all: Vec<RuleComplaint>,
}

impl Complaints {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.all.push(RuleComplaint {
            index: self.index,
            rule: self.rule.clone(),
            field: field.into(),
            reason: reason.into(),
        });
    }
}

/// `name`'s nearest neighbour among `known`, as the end of a sentence; empty where none is near.
fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let distance = |other: &str| strsim::damerau_levenshtein(&folded, &other.to_lowercase());
    let (near, far) = known.iter().map(|other| (*other, distance(other))).min_by_key(|(_, far)| *far)?;
    if far <= 2 && far < folded.chars().count() {
        return Some(near);
    }
    // `ended` for `ended_for`.
    known.into_iter().find(|other| folded.len() >= 4 && other.to_lowercase().starts_with(&folded))
}
