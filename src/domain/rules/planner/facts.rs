//! The facts behind a decision, as JSON for the record and as a line of text for people.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::agents::state::AgentState;
use crate::domain::time::{UtcMicros, rough_duration_text};

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
