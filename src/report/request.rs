//! Requests for reports.
//!
//! A request holds everything that a report depends on besides the store. It stands in the manifest of each file, and
//! the same request over the same store gives the same rows.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::analytics::series::SeriesSource;
use crate::domain::ids::{AgentId, QueueId, SkillId, TeamName, TenantId};
pub use crate::domain::reports::report_run::ReportKind;
use crate::domain::time::UtcMicros;

impl ReportKind {
    /// Returns the filters that the report accepts.
    pub const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Compliance | Self::Adherence | Self::Segments | Self::NotReady | Self::Breaks => &["teams", "agents"],
            Self::Trend => &["series", "skill", "queue", "figure", "window", "threshold"],
        }
    }
}

/// The request for a report.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReportRequest)]
pub struct Request {
    /// The kind of report.
    pub report: ReportKind,
    /// The id of the tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The start of the time range (inclusive); null for the beginning of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<UtcMicros>,
    /// The end of the time range (exclusive).
    pub to: UtcMicros,
    /// The IANA time zone that determines days and hours, and in which times are shown.
    #[serde(default = "utc")]
    pub zone: String,
    /// The filters; without filters the report covers the whole tenant.
    #[serde(default)]
    pub filters: Filters,
    /// The variant of the formula, for reports that have several; null for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Filters of a report. Filters that the kind of report does not support are rejected ([`ReportKind::filters`]).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(as = ReportFilters)]
pub struct Filters {
    /// Only agents of these teams. Agents without a team are not included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamName>,
    /// Only these agents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<AgentId>,
    /// For a trend: the series, such as `adherence:team:Care`, instead of a skill or queue with a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// For a trend: the id of the skill.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub skill: Option<SkillId>,
    /// For a trend: the id of the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub queue: Option<QueueId>,
    /// For a trend: the name of the figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    /// For a trend: the number of values used for the moving average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// For a trend: the z-score above which a value is an anomaly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// The most teams and agents in a request.
const MAX_NAMES: usize = 1000;

/// The longest name, id or figure in a request, in bytes.
const MAX_NAME_CHARS: usize = 256;

impl Request {
    /// Creates a request for everything of a tenant before an instant, in UTC.
    pub fn whole_tenant(report: ReportKind, tenant: TenantId, to: UtcMicros) -> Self {
        Self { report, tenant, from: None, to, zone: utc(), filters: Filters::default(), variant: None }
    }

    /// Checks whether the request can be answered. The error says what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if let Some(from) = self.from.filter(|from| *from >= self.to) {
            return Err(format!("from {from} does not lie before to {}", self.to));
        }
        if TimeZoneDatabase::bundled().get(&self.zone).is_err() {
            return Err(format!("zone: there is no time zone {:?}; write one such as Europe/Berlin", self.zone));
        }
        self.filters.check(self.report)?;
        if self.report == ReportKind::Trend {
            self.filters.series_source()?;
        }
        self.report.check_variant(self.variant.as_deref()).map_err(|why| format!("variant: {why}"))
    }

    /// Returns the zone of the request; UTC if the zone is unknown, which [`Request::check`] refuses.
    pub fn time_zone(&self) -> TimeZone {
        TimeZoneDatabase::bundled().get(&self.zone).unwrap_or(TimeZone::UTC)
    }

    /// Returns the variant of the formula that applies, if there are several.
    pub fn variant_name(&self) -> Option<&str> {
        self.variant.as_deref().or_else(|| self.report.variants().first().map(|(name, _)| *name))
    }
}

impl Filters {
    /// Returns the names of the filters that are set.
    fn described(&self) -> Vec<&'static str> {
        let all = [
            ("teams", !self.teams.is_empty()),
            ("agents", !self.agents.is_empty()),
            ("series", self.series.is_some()),
            ("skill", self.skill.is_some()),
            ("queue", self.queue.is_some()),
            ("figure", self.figure.is_some()),
            ("window", self.window.is_some()),
            ("threshold", self.threshold.is_some()),
        ];
        all.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }

    /// Returns the series that a trend is of. The error says what to name.
    pub fn series_source(&self) -> Result<SeriesSource, String> {
        let figure = || self.figure.as_deref().unwrap_or_default();
        match (&self.series, &self.skill, &self.queue) {
            (Some(series), None, None) if self.figure.is_none() => series.parse(),
            (None, Some(skill), None) => SeriesSource::skill(skill.clone(), figure()),
            (None, None, Some(queue)) => SeriesSource::queue(queue.clone(), figure()),
            _ => Err("a trend is of one series, or of a figure of one skill or one queue: name one".to_owned()),
        }
    }

    fn check(&self, report: ReportKind) -> Result<(), String> {
        let known = report.filters();
        if let Some(name) = self.described().into_iter().find(|name| !known.contains(name)) {
            return Err(format!("{name}: {report} does not know it; it knows {}", known.join(", ")));
        }
        if self.teams.len() > MAX_NAMES || self.agents.len() > MAX_NAMES {
            return Err(format!("more than {MAX_NAMES} teams or agents are named: name fewer, or none for all"));
        }
        let names = self.teams.iter().map(TeamName::as_str).chain(self.agents.iter().map(AgentId::as_str));
        let names = names.chain(self.skill.iter().map(SkillId::as_str)).chain(self.queue.iter().map(QueueId::as_str));
        if names.chain(self.figure.as_deref()).any(|name| name.len() > MAX_NAME_CHARS) {
            return Err(format!("a name or id is longer than {MAX_NAME_CHARS} bytes"));
        }
        if self.window.is_some_and(|window| !(2..=1000).contains(&window)) {
            return Err("window: expects 2 to 1000".to_owned());
        }
        if self.threshold.is_some_and(|threshold| !(threshold.is_finite() && threshold > 0.0)) {
            return Err("threshold: expects a number greater than 0, such as 2.0".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<Request, String> {
        let request: Request = serde_json::from_str(json).map_err(|error| error.to_string())?;
        request.check().map(|()| request)
    }

    #[test]
    fn a_request_is_read_with_its_defaults_and_written_as_it_was() {
        let short = request(r#"{"report":"compliance","tenant":"acme","to":"2026-10-26T00:00:00Z"}"#).expect("sound");
        assert_eq!(short, Request::whole_tenant(ReportKind::Compliance, "acme".into(), short.to));
        let long = r#"{"report":"compliance","tenant":"acme","from":"2026-10-25T00:00:00Z","to":"2026-10-26T00:00:00Z","zone":"Europe/Berlin","filters":{"teams":["Care"]}}"#;
        let read = request(long).expect("sound");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), long);
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_the_way_out() {
        let with = |more: &str| {
            let text = format!(r#"{{"report":"compliance","tenant":"acme","to":"2026-10-26T00:00:00Z"{more}}}"#);
            request(&text).expect_err(more)
        };
        for (more, part) in [
            (r#","from":"2026-10-26T00:00:00Z""#, "does not lie before"),
            (r#","zone":"Mars/Base""#, "such as Europe/Berlin"),
            (r#","filters":{"skill":"1"}"#, "it knows teams, agents"),
            (r#","filters":{"colour":"red"}"#, "unknown field"),
            (r#","variant":"b""#, "has one formula"),
        ] {
            assert!(with(more).contains(part), "{more}: {}", with(more));
        }
        assert!("complianse".parse::<ReportKind>().is_err_and(|error| error.contains("compliance, trend")));
    }
}
