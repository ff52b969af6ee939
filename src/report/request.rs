//! The kinds of reports, and requests for them.
//!
//! A request holds everything that a report depends on besides the store. It stands in the manifest of each file, and
//! the same request over the same store gives the same rows.

use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::adherence::{self, break_list, by_day as days, not_ready_time, segment_list};
use super::document::{Definition, Recount, ReportError, Section, Sink};
use super::{compliance, trend};
use crate::domain::analytics::series::SeriesSource;
use crate::domain::analytics::series::aggregated::ResultSource;
use crate::domain::ids::{AgentId, QueueId, SkillId, TeamName, TenantId};
pub use crate::domain::reports::report_run::ReportKind;
use crate::domain::time::UtcMicros;
use crate::store::Reader;

/// The time after which nothing in a span changes by itself: the longest usual shift and the longest tolerance.
const FINAL_AFTER: Duration = Duration::from_hours(36);

impl ReportKind {
    /// Returns the title for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Compliance => "Compliance",
            Self::Trend => "Trend",
            Self::Adherence => "Adherence",
            Self::Segments => "Segments",
            Self::NotReady => "Not-ready time",
            Self::Breaks => "Mandatory breaks",
        }
    }

    /// Returns the tables, in the order in which they are written.
    pub const fn sections(self) -> &'static [Section] {
        match self {
            Self::Compliance => compliance::SECTIONS,
            Self::Trend => trend::SECTIONS,
            Self::Adherence => days::SECTIONS,
            Self::Segments => segment_list::SECTIONS,
            Self::NotReady => not_ready_time::SECTIONS,
            Self::Breaks => break_list::SECTIONS,
        }
    }

    /// Returns the section from which all others can be counted again, which a CSV file holds by default.
    pub const fn main_section(self) -> &'static str {
        match self {
            Self::Compliance => "logs",
            Self::Trend => "points",
            Self::Adherence => "days",
            Self::Segments => "segments",
            Self::NotReady => "agents",
            Self::Breaks => "breaks",
        }
    }

    /// Returns the filters that the report accepts.
    pub const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Compliance | Self::Adherence | Self::Segments | Self::NotReady | Self::Breaks => &["teams", "agents"],
            Self::Trend => &["series", "skill", "queue", "figure", "window", "threshold"],
        }
    }

    /// Returns the definitions of the figures.
    pub fn definitions(self, request: &Request) -> Vec<Definition> {
        match self {
            Self::Compliance => compliance::definitions(request),
            Self::Trend => trend::definitions(request),
            Self::Adherence => days::definitions(request),
            Self::Segments => segment_list::definitions(request),
            Self::NotReady => not_ready_time::definitions(request),
            Self::Breaks => break_list::definitions(request),
        }
    }

    /// Returns notes about the span, a sentence each.
    pub async fn notes(self, request: &Request, reader: &Reader) -> Result<Vec<String>, ReportError> {
        match self {
            Self::Compliance => Ok(Vec::new()),
            Self::Trend => trend::notes(request, reader).await,
            Self::Adherence | Self::Segments | Self::NotReady | Self::Breaks => adherence::notes(request, reader).await,
        }
    }

    /// Returns whether rows of a report made at this instant may still have changed by themselves. Sums of a shift or
    /// state interval are final when it is over, and a deviation when its tolerance is used up.
    pub fn may_still_grow(self, request: &Request, made_at: UtcMicros) -> bool {
        match self {
            Self::Compliance => false,
            Self::Trend if trend::source(&request.filters).is_ok_and(|source| is_unbuffered(&source)) => false,
            // A later run may give other values for the same buckets.
            Self::Trend if trend::source(&request.filters).is_ok_and(|source| source.aggregated_metric().is_some()) => {
                true
            }
            Self::Trend | Self::Adherence | Self::Segments | Self::NotReady | Self::Breaks => {
                request.to + FINAL_AFTER > made_at
            }
        }
    }

    /// Reads the report and pushes its sections with their rows.
    pub async fn write(
        self,
        request: &Request,
        reader: &Reader,
        sink: &mut (dyn Sink + '_),
    ) -> Result<(), ReportError> {
        match self {
            Self::Compliance => compliance::write(request, reader, sink).await,
            Self::Trend => trend::write(request, reader, sink).await,
            Self::Adherence => days::write(request, reader, sink).await,
            Self::Segments => segment_list::write(request, reader, sink).await,
            Self::NotReady => not_ready_time::write(request, reader, sink).await,
            Self::Breaks => break_list::write(request, reader, sink).await,
        }
    }

    /// Creates the recount of the report's figures from its rows, or `None` if no figure is derived from other rows.
    pub fn new_recount(self) -> Option<Box<dyn Recount>> {
        match self {
            Self::Compliance => Some(Box::new(compliance::ComplianceRecount::default())),
            Self::Trend => None,
            Self::Adherence => Some(Box::new(days::DaysRecount::default())),
            Self::Segments => Some(Box::new(segment_list::SegmentsRecount::default())),
            Self::NotReady => Some(Box::new(not_ready_time::NotReadyRecount::default())),
            Self::Breaks => Some(Box::new(break_list::BreaksRecount::default())),
        }
    }
}

/// Returns whether the values are final as the platform gave them.
fn is_unbuffered(source: &SeriesSource) -> bool {
    match source {
        SeriesSource::Skill(..) | SeriesSource::Queue(..) => true,
        SeriesSource::Adherence(..) | SeriesSource::NotReady(..) => false,
        SeriesSource::Analytics(of) => matches!(of.source, ResultSource::Run(_)),
    }
}

/// What somebody asks for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReportRequest)]
pub struct Request {
    /// Which report.
    pub report: ReportKind,
    /// Whose.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// From this instant on; from the beginning without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<UtcMicros>,
    /// Before this instant.
    pub to: UtcMicros,
    /// The zone whose days and hours count, and in which people see instants.
    #[serde(default = "utc")]
    pub zone: String,
    /// Of whom and what; everything where nothing is named.
    #[serde(default)]
    pub filters: Filters,
    /// Which variant of the formula, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Of whom and what. A report refuses what it does not know ([`ReportKind::filters`]).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(as = ReportFilters)]
pub struct Filters {
    /// Agents of these teams alone. An agent without a team is in none of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamName>,
    /// These agents alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<AgentId>,
    /// The series that a trend is of, as in `adherence:team:Care`; or a skill or queue with its figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The skill that a trend is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub skill: Option<SkillId>,
    /// The queue that a trend is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub queue: Option<QueueId>,
    /// The figure that a trend is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    /// How many values a trend's moving average is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// From which z-score on a value is odd.
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
            trend::source(&self.filters).map_err(|error| error.to_string())?;
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

    #[test]
    fn each_report_has_tables_with_a_main_one_and_names_that_files_can_have() {
        for kind in ReportKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            let sections = kind.sections();
            assert!(sections.iter().any(|section| section.name == kind.main_section()), "{kind}");
            for section in sections {
                let short = |name: &str| (1..=31).contains(&name.len());
                assert!(short(section.name) && section.name.chars().all(|c| c.is_ascii_lowercase()), "{kind}");
                let mut names: Vec<_> = section.columns.iter().map(|column| column.name).collect();
                assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric())), "{kind} {names:?}");
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), section.columns.len(), "{kind}: a column twice");
                let inside = |place: &usize| *place < section.columns.len();
                assert!(section.written.iter().all(inside));
                assert!(
                    section
                        .chart
                        .iter()
                        .all(|chart| chart.labels.iter().chain(&chart.mark).all(inside)
                            && chart.values.iter().all(inside))
                );
            }
        }
    }
}
