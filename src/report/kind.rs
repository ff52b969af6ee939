//! What each kind of report consists of: its tables and definitions, and what reads its rows and counts them again.

use std::time::Duration;

use super::adherence::{self, breaks, days, not_ready, segments};
use super::document::{Definition, Recount, ReportError, Section, Sink};
use super::request::{ReportKind, Request};
use super::{compliance, trend};
use crate::domain::analytics::series::SeriesSource;
use crate::domain::analytics::series::aggregated::ResultSource;
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
            Self::Segments => segments::SECTIONS,
            Self::NotReady => not_ready::SECTIONS,
            Self::Breaks => breaks::SECTIONS,
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

    /// Returns the definitions of the figures.
    pub fn definitions(self, request: &Request) -> Vec<Definition> {
        match self {
            Self::Compliance => compliance::definitions(request),
            Self::Trend => trend::definitions(request),
            Self::Adherence => days::definitions(request),
            Self::Segments => segments::definitions(request),
            Self::NotReady => not_ready::definitions(request),
            Self::Breaks => breaks::definitions(request),
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
            Self::Trend if request.filters.series_source().is_ok_and(|source| is_unbuffered(&source)) => false,
            // A later run may give other values for the same buckets.
            Self::Trend if request.filters.series_source().is_ok_and(|source| source.aggregated_metric().is_some()) => {
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
            Self::Segments => segments::write(request, reader, sink).await,
            Self::NotReady => not_ready::write(request, reader, sink).await,
            Self::Breaks => breaks::write(request, reader, sink).await,
        }
    }

    /// Creates the recount of the report's figures from its rows, or `None` if no figure is derived from other rows.
    pub fn new_recount(self) -> Option<Box<dyn Recount>> {
        match self {
            Self::Compliance => Some(Box::new(compliance::ComplianceRecount::default())),
            Self::Trend => None,
            Self::Adherence => Some(Box::new(days::DaysRecount::default())),
            Self::Segments => Some(Box::new(segments::SegmentsRecount::default())),
            Self::NotReady => Some(Box::new(not_ready::NotReadyRecount::default())),
            Self::Breaks => Some(Box::new(breaks::BreaksRecount::default())),
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

#[cfg(test)]
mod tests {
    use super::*;

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
