//! What somebody asks of a report, and which reports there are.
//!
//! A request is all that a report depends on beside the store: it stands in the manifest of each file, and the same request gives the
//! same rows again.

use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::adherence::{self, break_list, by_day as days, not_ready_time, segment_list};
use super::document::{Definition, Recount, ReportError, Section, Sink};
use super::{compliance, trend};
use crate::domain::analytics::series::Source;
use crate::domain::analytics::series::aggregated::Results;
use crate::domain::ids::{AgentId, QueueId, SkillId, TeamName, TenantId};
pub use crate::domain::reports::report_run::Kind;
use crate::domain::time::UtcMicros;
use crate::store::Reader;

/// The longest shift and the longest tolerance that are usual: after that nothing of a span changes by itself.
const SETTLED_AFTER: Duration = Duration::from_hours(36);

impl Kind {
    /// For people.
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

    /// Its tables, in the order in which they are written.
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

    /// The section whose rows all others can be counted from again: what CSV holds unless another is named.
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

    /// The filters that it knows.
    pub const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Compliance | Self::Adherence | Self::Segments | Self::NotReady | Self::Breaks => &["teams", "agents"],
            Self::Trend => &["series", "skill", "queue", "figure", "window", "threshold"],
        }
    }

    /// What its figures mean.
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

    /// What a reader has to know of this span, a sentence each.
    pub async fn notes(self, request: &Request, reader: &Reader) -> Result<Vec<String>, ReportError> {
        match self {
            Self::Compliance => Ok(Vec::new()),
            Self::Trend => trend::notes(request, reader).await,
            Self::Adherence | Self::Segments | Self::NotReady | Self::Breaks => adherence::notes(request, reader).await,
        }
    }

    /// Whether rows of a report that was made at this instant may have become others by themselves: what a shift or a stay adds up to is
    /// settled when it is over, and a deviation once its tolerance is used up.
    pub fn may_go_on(self, request: &Request, made_at: UtcMicros) -> bool {
        match self {
            Self::Compliance => false,
            Self::Trend if trend::source(&request.filters).is_ok_and(|source| is_kept_as_read(&source)) => false,
            // A later run may bring other values for the same buckets.
            Self::Trend if trend::source(&request.filters).is_ok_and(|source| source.aggregated().is_some()) => true,
            Self::Trend | Self::Adherence | Self::Segments | Self::NotReady | Self::Breaks => {
                request.to + SETTLED_AFTER > made_at
            }
        }
    }

    /// Reads it and pushes its sections with their rows.
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

    /// What counts its figures again from its rows; none where no figure is made of other rows of it.
    pub fn recount(self) -> Option<Box<dyn Recount>> {
        match self {
            Self::Compliance => Some(Box::new(compliance::Again::default())),
            Self::Trend => None,
            Self::Adherence => Some(Box::new(days::Again::default())),
            Self::Segments => Some(Box::new(segment_list::Again::default())),
            Self::NotReady => Some(Box::new(not_ready_time::Again::default())),
            Self::Breaks => Some(Box::new(break_list::Again::default())),
        }
    }
}

/// Its values are what the platform said once and for all.
fn is_kept_as_read(source: &Source) -> bool {
    match source {
        Source::Skill(..) | Source::Queue(..) => true,
        Source::Adherence(..) | Source::NotReady(..) => false,
        Source::Analytics(of) => matches!(of.of, Results::Run(_)),
    }
}

/// What somebody asks for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReportRequest)]
pub struct Request {
    /// Which report.
    pub report: Kind,
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

/// Of whom and what. A report refuses what it does not know ([`Kind::filters`]).
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

/// The most teams and agents that a request names.
const MOST_NAMED: usize = 1000;

/// The longest name, id or figure in a request, in bytes.
const LONGEST_NAME: usize = 256;

impl Request {
    /// Everything of a tenant, before an instant, in UTC.
    pub fn whole(report: Kind, tenant: TenantId, to: UtcMicros) -> Self {
        Self { report, tenant, from: None, to, zone: utc(), filters: Filters::default(), variant: None }
    }

    /// Whether it can be answered: says what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if let Some(from) = self.from.filter(|from| *from >= self.to) {
            return Err(format!("from {from} does not lie before to {}", self.to));
        }
        if TimeZoneDatabase::bundled().get(&self.zone).is_err() {
            return Err(format!("zone: there is no time zone {:?}; write one such as Europe/Berlin", self.zone));
        }
        self.filters.check(self.report)?;
        if self.report == Kind::Trend {
            trend::source(&self.filters).map_err(|error| error.to_string())?;
        }
        self.report.check_variant(self.variant.as_deref()).map_err(|why| format!("variant: {why}"))
    }

    /// The zone that it names; UTC where nobody knows it, which [`Request::check`] refuses.
    pub fn time_zone(&self) -> TimeZone {
        TimeZoneDatabase::bundled().get(&self.zone).unwrap_or(TimeZone::UTC)
    }

    /// The variant of the formula that holds, where there are several.
    pub fn variant_name(&self) -> Option<&str> {
        self.variant.as_deref().or_else(|| self.report.variants().first().map(|(name, _)| *name))
    }
}

impl Filters {
    /// Those that say something, by their names.
    fn given(&self) -> Vec<&'static str> {
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

    fn check(&self, report: Kind) -> Result<(), String> {
        let known = report.filters();
        if let Some(name) = self.given().into_iter().find(|name| !known.contains(name)) {
            return Err(format!("{name}: {report} does not know it; it knows {}", known.join(", ")));
        }
        if self.teams.len() > MOST_NAMED || self.agents.len() > MOST_NAMED {
            return Err(format!("more than {MOST_NAMED} teams or agents are named: name fewer, or none for all"));
        }
        let names = self.teams.iter().map(TeamName::as_str).chain(self.agents.iter().map(AgentId::as_str));
        let names = names.chain(self.skill.iter().map(SkillId::as_str)).chain(self.queue.iter().map(QueueId::as_str));
        if names.chain(self.figure.as_deref()).any(|name| name.len() > LONGEST_NAME) {
            return Err(format!("a name or id is longer than {LONGEST_NAME} bytes"));
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
        assert_eq!(short, Request::whole(Kind::Compliance, "acme".into(), short.to));
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
        assert!("complianse".parse::<Kind>().is_err_and(|error| error.contains("compliance, trend")));
    }

    #[test]
    fn each_report_has_tables_with_a_main_one_and_names_that_files_can_have() {
        for kind in Kind::ALL {
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
