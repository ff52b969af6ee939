//! What a job of kind `report` makes.

use std::rc::Rc;

use super::super::shared::complaint::Fault;
use super::super::shared::kind::{self, Kind};
use super::super::shared::reader::{Section, reloads};
use super::super::shared::tree::{Node, Value};
use super::JobKind;
use crate::domain::ids::TeamName;
use crate::domain::reports::report_run::{Format, Kind as Report};

/// The reports that the calendar may ask for: a trend is of one series, and people ask for it.
const REPORTS: &[(&str, Report)] = &[
    ("compliance", Report::Compliance),
    ("adherence", Report::Adherence),
    ("segments", Report::Segments),
    ("not-ready", Report::NotReady),
    ("breaks", Report::Breaks),
];

/// Those that this build writes.
const FORMATS: &[(&str, Format)] = &[
    (Format::Csv.name(), Format::Csv),
    (Format::Json.name(), Format::Json),
    (Format::Xlsx.name(), Format::Xlsx),
    (Format::Html.name(), Format::Html),
    #[cfg(feature = "parquet")]
    (Format::Parquet.name(), Format::Parquet),
];

const SPANS: &[(&str, ReportSpan)] =
    &[("day", ReportSpan::Day), ("week", ReportSpan::Week), ("month", ReportSpan::Month)];

/// Of when: the last whole one of these before the due instant, by the clock of the job's zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReportSpan {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to that of the next.
    Month,
}

/// A report that a job makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportOrder {
    /// Which.
    pub report: Report,
    /// A file in each of these.
    pub formats: Vec<Format>,
    /// Of when.
    pub span: ReportSpan,
    /// Of these teams alone; of everybody where there is none.
    pub teams: Vec<TeamName>,
    /// Which variant of the formula; the usual one where there is none.
    pub variant: Option<String>,
}

impl Default for ReportOrder {
    fn default() -> Self {
        Self {
            report: Report::Compliance,
            formats: vec![Format::Csv, Format::Xlsx],
            span: ReportSpan::Day,
            teams: Vec::new(),
            variant: None,
        }
    }
}

/// Reads it; complains where a job of another kind has it.
pub(super) fn read(section: &mut Section<'_, '_>, kind: Option<JobKind>) -> ReportOrder {
    let usual = ReportOrder::default();
    let report =
        section.optional(reloads("report", "For report: which one; compliance without it."), &kind::choice(REPORTS));
    let formats = section.optional(
        reloads("formats", "For report: the formats, each a file of its own; csv and xlsx without it."),
        &kind::list(format()),
    );
    let span = section.optional(
        reloads("span", "For report: of the last whole day (day), week from Monday (week) or month (month) in the zone; day without it."),
        &kind::choice(SPANS),
    );
    let teams = section
        .optional(reloads("teams", "For report: of these teams alone; of everybody without it."), &kind::list(team()));
    let variant = section
        .optional(reloads("variant", "For report: the variant of the formula, where it has several."), &kind::text());
    if kind.is_some_and(|kind| kind != JobKind::Report) {
        let given = [
            ("report", report.is_some()),
            ("formats", formats.is_some()),
            ("span", span.is_some()),
            ("teams", teams.is_some()),
            ("variant", variant.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            section.complain(key, Fault::new("is for jobs of kind report").advise("remove it"));
        }
    }
    if formats.as_ref().is_some_and(Vec::is_empty) {
        section.complain("formats", Fault::new("names no format").advise("as in [\"csv\", \"html\"]"));
    }
    let report = report.unwrap_or(usual.report);
    if let Err(why) = report.check_variant(variant.as_deref()) {
        section.complain("variant", Fault::new(why));
    }
    ReportOrder {
        report,
        formats: formats.unwrap_or(usual.formats),
        span: span.unwrap_or(usual.span),
        teams: teams.unwrap_or_default(),
        variant,
    }
}

/// One of those that this build writes; says of one that other builds write how to get it.
fn format() -> Kind<Format> {
    let offered = kind::choice(FORMATS);
    let name = offered.name.clone();
    let parse = Rc::new(move |node: &Node| {
        let asked = if let Value::Text(text) = &node.value { text.parse::<Format>().ok() } else { None };
        match asked.and_then(Format::missing) {
            Some(why) => Err(vec![Fault::new(why)]),
            None => (offered.parse)(node),
        }
    });
    Kind { name, parse, show: offered.show }
}

fn team() -> Kind<TeamName> {
    let convert = |text: &str| {
        if text.trim().is_empty() { Err(Fault::new("must not be empty")) } else { Ok(TeamName::new(text)) }
    };
    Kind::from_text("name of a team", convert, |team| toml::Value::String(team.to_string()).to_string())
}
