//! Conditions on anomalies of monitored series: parsing, evaluation and text.
//!
//! They are the same for all agents, so a pass evaluates each only once. A condition on a series that is not monitored
//! never holds.

use std::time::Duration;

use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::ids::SeriesId;
use crate::domain::time::span;
use crate::domain::time::{UtcMicros, duration_text, rough_duration_text};

use super::{AnomalyConditions, suggestion};

/// A test for a recent anomaly of a monitored series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnomalyTest {
    /// The series.
    pub series: SeriesId,
    /// The direction; `None` means either.
    kind: Option<AnomalyKind>,
    /// The greatest age of the anomaly.
    within: Duration,
}

impl AnomalyTest {
    /// Whether the test holds at `now`.
    pub fn holds(&self, anomalies: &Anomalies, now: UtcMicros) -> bool {
        anomalies.is_monitored(&self.series) && anomalies.find(&self.series, self.kind, self.within, now).is_some()
    }

    /// Returns the requirement as text, such as `a spike of voice-queued within 30m`.
    pub fn requirement_text(&self) -> String {
        let kind = self.kind.map_or("an anomaly", |kind| match kind {
            AnomalyKind::Spike => "a spike",
            AnomalyKind::Drop => "a drop",
        });
        format!("{kind} of {} within {}", self.series, duration_text(self.within))
    }

    /// Returns the actual value as text, such as `spike since 2026-10-26T13:30:00Z (57 where 12.3 was expected)`.
    pub fn actual_text(&self, anomalies: &Anomalies, now: UtcMicros) -> String {
        if !anomalies.is_monitored(&self.series) {
            return format!("unknown: no series {} is watched", self.series);
        }
        if let Some(record) = anomalies.find(&self.series, self.kind, self.within, now) {
            return match record.ended_at.filter(|ended| *ended <= now) {
                None => record.to_string(),
                Some(_) => {
                    format!("{record}, last seen {} ago", rough_duration_text(now.since(record.last_observed_at)))
                }
            };
        }
        match anomalies.find(&self.series, None, Anomalies::RETENTION, now) {
            None => "none".to_owned(),
            Some(other) => {
                format!("none; {} {} ago", other.kind.label(), rough_duration_text(now.since(other.last_observed_at)))
            }
        }
    }
}

/// Parses the conditions on a series; the errors are given by field.
pub(super) fn parse(conditions: &AnomalyConditions) -> Result<AnomalyTest, Vec<(&'static str, String)>> {
    let mut errors = Vec::new();
    if conditions.series.trim().is_empty() {
        errors.push((
            "anomaly.series",
            "an empty id names nothing; write the id of one of the tenant's [[tenants.series]]".to_owned(),
        ));
    }
    let kind = conditions.kind.as_deref().and_then(|word| {
        let found = AnomalyKind::ALL.into_iter().find(|kind| kind.label() == word);
        if found.is_none() {
            let near = suggestion(word, AnomalyKind::ALL.map(AnomalyKind::label));
            errors.push(("anomaly.kind", format!("`{word}` is not one of spike, drop{near}")));
        }
        found
    });
    let within = match span::parse(&conditions.within) {
        Ok(within) if within.is_zero() => Err("a time of zero has no effect".to_owned()),
        Ok(within) if within > Anomalies::RETENTION => Err("a time may be 168h (a week) at most".to_owned()),
        other => other,
    };
    match within {
        Ok(within) if errors.is_empty() => Ok(AnomalyTest { series: conditions.series.as_str().into(), kind, within }),
        Ok(_) => Err(errors),
        Err(reason) => {
            errors.push(("anomaly.within", reason));
            Err(errors)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analytics::anomaly::tests::record;
    use crate::domain::analytics::series::QUARTER_US;

    fn conditions(series: &str, kind: Option<&str>, within: &str) -> AnomalyConditions {
        AnomalyConditions { series: series.to_owned(), kind: kind.map(str::to_owned), within: within.to_owned() }
    }

    fn at(quarter: i64) -> UtcMicros {
        UtcMicros::from_micros(quarter * QUARTER_US)
    }

    #[test]
    fn a_condition_says_what_it_asked_for_and_what_it_found() {
        let test = parse(&conditions("voice", Some("spike"), "30m")).expect("sound");
        assert_eq!(test.requirement_text(), "a spike of voice within 30m");
        let watched = vec!["voice".into()];
        let open =
            Anomalies { monitored: watched.clone(), recent: vec![record("voice", AnomalyKind::Spike, 10, 10, None)] };
        let over = Anomalies {
            monitored: watched.clone(),
            recent: vec![record("voice", AnomalyKind::Spike, 10, 10, Some(11))],
        };
        let drop = Anomalies { monitored: watched, recent: vec![record("voice", AnomalyKind::Drop, 10, 10, Some(11))] };
        for (anomalies, now, holds, actual) in [
            (&Anomalies::default(), 10, false, "unknown: no series voice is watched"),
            (&open, 9, false, "none"),
            (&open, 10, true, "spike since 1970-01-01T02:15:00Z (57 where 12.2 was expected)"),
            (&open, 99, true, "spike since 1970-01-01T02:15:00Z (57 where 12.2 was expected)"),
            (&over, 12, true, "spike since 1970-01-01T02:15:00Z (57 where 12.2 was expected), last seen 30m ago"),
            (&over, 13, false, "none; spike 45m ago"),
            (&drop, 10, false, "none; drop 0s ago"),
        ] {
            assert_eq!(test.holds(anomalies, at(now)), holds, "{now}: {actual}");
            assert_eq!(test.actual_text(anomalies, at(now)), actual);
        }
        let either = parse(&conditions("voice", None, "1h")).expect("sound");
        assert_eq!(
            (either.requirement_text(), either.holds(&drop, at(11))),
            ("an anomaly of voice within 1h".to_owned(), true)
        );
    }

    #[test]
    fn what_is_wrong_is_named_field_by_field() {
        let wrong = parse(&conditions(" ", Some("spikes"), "0s")).expect_err("three mistakes");
        let fields: Vec<_> = wrong.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["anomaly.series", "anomaly.kind", "anomaly.within"]);
        assert!(wrong[1].1.ends_with("did you mean `spike`?"), "{wrong:?}");
        assert!(parse(&conditions("voice", None, "200h")).is_err_and(|wrong| wrong[0].1.contains("168h")));
        assert!(parse(&conditions("voice", None, "soon")).is_err());
    }
}
