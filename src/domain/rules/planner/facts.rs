//! The facts behind a decision, as JSON for the record and as a line of text for people.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, RuleId};
use crate::domain::rules::rule::condition::Condition;
use crate::domain::time::{UtcMicros, rough_duration_text};

use super::view::{AgentInstant, planned_name};

/// The finding for one condition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The key in the rule.
    pub condition: Cow<'static, str>,
    /// The required value.
    pub wanted: String,
    /// The actual value.
    pub actual: String,
    /// Whether the condition held.
    pub held: bool,
}

/// The plan and observation of an agent, and the findings of a rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// When the decision was made.
    pub at: UtcMicros,
    /// The planned activity, `off` or `uncovered`.
    pub planned: String,
    /// When the planned activity started.
    pub planned_since: Option<UtcMicros>,
    /// When the planned activity ends; `None` if nothing more is planned.
    pub planned_until: Option<UtcMicros>,
    /// Whether the planned activity is mandatory.
    pub mandatory: bool,
    /// The observed state; `None` if the agent has not been observed.
    pub state: Option<AgentState>,
    /// When the agent entered the state.
    pub state_since: Option<UtcMicros>,
    /// When the newest observation of the agent was made.
    pub seen_at: Option<UtcMicros>,
    /// The offset of the agent's local time from UTC, in seconds; `None` if the zone is unknown.
    pub utc_offset_s: Option<i32>,
    /// The findings for the conditions of the rule.
    pub conditions: Vec<Finding>,
}

impl Facts {
    pub(super) fn of(view: &AgentInstant<'_>, when: &[Condition]) -> Self {
        let standing = &view.standing;
        let observed = view.slot.observed();
        Self {
            at: view.now(),
            planned: planned_name(standing.kind(), standing.activity(view.slot.plan())),
            planned_since: standing.since(),
            planned_until: Some(standing.until()).filter(|until| *until != UtcMicros::MAX),
            mandatory: standing.is_mandatory(),
            state: observed.map(|observed| observed.state.clone()),
            state_since: observed.map(|observed| observed.entered_at),
            seen_at: view.slot.last_observed_at(),
            utc_offset_s: view.utc_offset(),
            conditions: when.iter().map(|condition| view.finding(condition, view.holds(&condition.test))).collect(),
        }
    }

    fn required_text(&self, condition: &str) -> Option<&str> {
        self.conditions.iter().find(|finding| finding.condition == condition).map(|finding| finding.wanted.as_str())
    }

    /// Returns the agent's local time of day, or UTC if the zone is unknown, with its offset, because readers may be in
    /// another zone.
    fn local_time_text(&self, instant: UtcMicros) -> String {
        let offset = self.utc_offset_s.unwrap_or(0);
        let seconds = instant.as_micros().div_euclid(1_000_000) + i64::from(offset);
        let minute = seconds.div_euclid(60).rem_euclid(24 * 60);
        format!("{:02}:{:02} {}", minute / 60, minute % 60, utc_offset_text(offset))
    }
}

/// Returns an offset as text: `UTC`, `UTC+1` or `UTC-3:30`.
fn utc_offset_text(offset_s: i32) -> String {
    let sign = if offset_s < 0 { '-' } else { '+' };
    let minutes = offset_s.unsigned_abs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

/// Formats as `planned work since 13:15 UTC+1, state Paused for 4m (at least 2m), came after break`, in the agent's
/// local time.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "planned {}", self.planned)?;
        if self.mandatory {
            f.write_str(" (mandatory)")?;
        }
        if let Some(since) = self.planned_since {
            write!(f, " since {}", self.local_time_text(since))?;
        }
        if let Some(least) = self.required_text("planned_for") {
            write!(f, " ({least})")?;
        }
        match (&self.state, self.state_since) {
            (Some(state), Some(since)) => {
                write!(f, ", state {state} for {}", rough_duration_text(self.at.since(since)))?;
            }
            (Some(_) | None, None) | (None, Some(_)) => f.write_str(", never seen")?,
        }
        if let Some(least) = self.required_text("for") {
            write!(f, " ({least})")?;
        }
        for finding in &self.conditions {
            let Finding { condition, wanted, actual, held } = finding;
            let not = if *held { "" } else { "not met: " };
            match condition.as_ref() {
                "planned" | "state" | "for" | "planned_for" | "mandatory" if *held => {}
                "after" => write!(f, ", {not}came after {actual}")?,
                "next" => write!(f, ", {not}{actual} comes next")?,
                "worked" => write!(f, ", {not}worked {actual} without a rest ({wanted})")?,
                name if wanted == actual => write!(f, ", {not}{name} {actual}")?,
                name => write!(f, ", {not}{name} {actual} ({wanted})")?,
            }
        }
        Ok(())
    }
}

/// Returns a key (FNV-1a) over everything that identifies a decision.
///
/// It is implemented here because the key must be the same in every build and release, which the standard library's
/// hasher does not guarantee.
pub(super) fn fact_key(view: &AgentInstant<'_>, rule: (&RuleId, &str), guard: &str) -> u64 {
    let agent: &AgentId = view.slot.id();
    let observed = view.slot.observed();
    let since = |instant: Option<UtcMicros>| instant.map_or(i64::MIN, UtcMicros::as_micros).to_le_bytes();
    let planned = since(view.standing.since());
    let entered = since(observed.map(|observed| observed.entered_at));
    let state = observed.map_or("", |observed| observed.state.name());
    let kind = view.standing.kind().name();
    let texts = [agent.as_str(), rule.0.as_str(), rule.1, guard, state, kind];
    let parts = texts.iter().map(|text| text.as_bytes()).chain([planned.as_slice(), entered.as_slice()]);
    let mut key: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // The byte 0xff never occurs in UTF-8, so it separates the parts.
        for byte in part.iter().chain(&[0xff]) {
            key = (key ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_says_in_which_zone_it_is() {
        for (offset_s, expected) in [
            (Some(3600), "planned work since 14:15 UTC+1, never seen"),
            (Some(-12_600), "planned work since 09:45 UTC-3:30, never seen"),
            (Some(0), "planned work since 13:15 UTC, never seen"),
            (None, "planned work since 13:15 UTC, never seen"),
        ] {
            let facts = Facts {
                at: UtcMicros::from_micros(0),
                planned: "work".to_owned(),
                planned_since: Some("2026-10-26T13:15:00Z".parse().expect("an instant")),
                planned_until: None,
                mandatory: false,
                state: None,
                state_since: None,
                seen_at: None,
                utc_offset_s: offset_s,
                conditions: Vec::new(),
            };
            assert_eq!(facts.to_string(), expected);
        }
    }
}
