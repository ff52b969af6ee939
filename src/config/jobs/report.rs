//! The report of a job of kind `report`.

use std::rc::Rc;

use super::job_kind::JobKind;
use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};
use crate::config::shared::tree::{Node, Value};
use crate::domain::ids::TeamName;
use crate::domain::reports::report_run::{ReportFormat, ReportKind as Report};

/// The reports that a job may make. A trend needs a series and is requested by people only.
const REPORTS: [Report; 5] =
    [Report::Compliance, Report::Adherence, Report::Segments, Report::NotReady, Report::Breaks];

const SPANS: &[(&str, ReportSpan)] =
    &[("day", ReportSpan::Day), ("week", ReportSpan::Week), ("month", ReportSpan::Month)];

/// The period of a report: the last whole one before the due instant, in the job's time zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReportSpan {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first day of a month to the first of the next.
    Month,
}

/// A report that a job makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduledReport {
    /// The kind of report.
    pub report: Report,
    /// The formats; one file is made in each.
    pub formats: Vec<ReportFormat>,
    /// The period.
    pub span: ReportSpan,
    /// The teams; everybody if empty.
    pub teams: Vec<TeamName>,
    /// The variant of the formula; the usual one if `None`.
    pub variant: Option<String>,
}

impl Default for ScheduledReport {
    fn default() -> Self {
        Self {
            report: Report::Compliance,
            formats: vec![ReportFormat::Csv, ReportFormat::Xlsx],
            span: ReportSpan::Day,
            teams: Vec::new(),
            variant: None,
        }
    }
}

/// Reads the settings. Reports them as errors in a job of another kind.
pub(super) fn read(section: &mut Section<'_, '_>, kind: Option<JobKind>) -> ScheduledReport {
    let defaults = ScheduledReport::default();
    let report = section.optional(
        reloadable("report", "For report: the report; compliance by default."),
        &kind::named(&REPORTS, Report::name),
    );
    let formats = section.optional(
        reloadable("formats", "For report: the formats, one file each; csv and xlsx by default."),
        &kind::list(format()),
    );
    let span = section.optional(
        reloadable(
            "span",
            "For report: the last complete day, week (from Monday) or month in the zone; day by default.",
        ),
        &kind::choice(SPANS),
    );
    let teams = section
        .optional(reloadable("teams", "For report: the teams to include; everyone by default."), &kind::list(team()));
    let variant = section.optional(
        reloadable("variant", "For report: the variant of the formula, if the report has several."),
        &kind::text(),
    );
    if kind.is_some_and(|kind| kind != JobKind::Report) {
        let given = [
            ("report", report.is_some()),
            ("formats", formats.is_some()),
            ("span", span.is_some()),
            ("teams", teams.is_some()),
            ("variant", variant.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            section.add_diagnostic(key, ValueFault::new("is for jobs of kind report").with_suggestion("remove it"));
        }
    }
    if formats.as_ref().is_some_and(Vec::is_empty) {
        section
            .add_diagnostic("formats", ValueFault::new("names no format").with_suggestion("as in [\"csv\", \"html\"]"));
    }
    let report = report.unwrap_or(defaults.report);
    if let Err(why) = report.check_variant(variant.as_deref()) {
        section.add_diagnostic("variant", ValueFault::new(why));
    }
    ScheduledReport {
        report,
        formats: formats.unwrap_or(defaults.formats),
        span: span.unwrap_or(defaults.span),
        teams: teams.unwrap_or_default(),
        variant,
    }
}

/// A format that this build can write. For a format that only other builds write, the error tells how to get it.
fn format() -> Kind<ReportFormat> {
    let offered = kind::named(&ReportFormat::ALL, ReportFormat::name);
    let name = offered.name.clone();
    let parse = Rc::new(move |node: &Node| {
        let requested = if let Value::Text(text) = &node.value { text.parse::<ReportFormat>().ok() } else { None };
        match requested.and_then(ReportFormat::unavailable_reason) {
            Some(why) => Err(vec![ValueFault::new(why)]),
            None => (offered.parse)(node),
        }
    });
    Kind { name, parse, show: offered.show }
}

fn team() -> Kind<TeamName> {
    let convert = |text: &str| {
        if text.trim().is_empty() { Err(ValueFault::new("must not be empty")) } else { Ok(TeamName::new(text)) }
    };
    Kind::from_text("name of a team", convert, kind::quoted)
}
