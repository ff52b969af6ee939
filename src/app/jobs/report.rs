//! The job that requests a report of the last whole day, week or month, in the same way as people do.

use std::path::PathBuf;

use anyhow::Context as _;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use crate::app::reports::ReportRunner;
use crate::clock::BoxFuture;
use crate::config::{ReportSpan, ScheduledReport};
use crate::domain::ids::{JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::jobs::Job;
use crate::http::ReportRequest;
use crate::report::request::{Filters, Request};

/// The job. Cheap to clone.
#[derive(Clone)]
pub(super) struct ReportJob {
    pub(super) reports: ReportRunner,
    pub(super) tenant: TenantId,
    pub(super) job: JobId,
    pub(super) order: ScheduledReport,
    /// The time zone of the days, weeks and months.
    pub(super) zone: TimeZone,
    /// The folder for the files, if not the daemon's own.
    pub(super) folder: Option<PathBuf>,
}

impl Job for ReportJob {
    fn run(&self, due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move { job.create_reports(due).await })
    }
}

impl ReportJob {
    async fn create_reports(&self, due: UtcMicros) -> anyhow::Result<String> {
        let (from, to) = previous_span(due, self.order.span, &self.zone)
            .context("the time range of the report could not be computed")?;
        let filters = Filters { teams: self.order.teams.clone(), ..Filters::default() };
        let request = Request {
            from: Some(from),
            zone: self.zone.iana_name().unwrap_or("UTC").to_owned(),
            filters,
            variant: self.order.variant.clone(),
            ..Request::whole_tenant(self.order.report, self.tenant.clone(), to)
        };
        let mut created = Vec::new();
        for format in &self.order.formats {
            let order = ReportRequest {
                request: request.clone(),
                format: *format,
                section: None,
                actor: format!("job:{}", self.job),
            };
            let run = self.reports.submit(order, Some((self.job.clone(), self.folder.clone()))).await?;
            let run = self.reports.wait_for_end(&self.tenant, run.id).await?;
            match (run.status, &run.file) {
                (RunStatus::Done, Some(file)) => {
                    created.push(format!("{} with {}", run.path, count_with_noun(file.rows, "row")));
                }
                (RunStatus::Cancelled, _) => anyhow::bail!("the report as {format} was cancelled"),
                _ => anyhow::bail!("the report as {format} failed: {}", run.error.unwrap_or_default()),
            }
        }
        Ok(created.join("; "))
    }
}

/// Returns the last whole day, week or month before an instant.
fn previous_span(due: UtcMicros, span: ReportSpan, zone: &TimeZone) -> Option<(UtcMicros, UtcMicros)> {
    let today: Date = due.timestamp().to_zoned(zone.clone()).date();
    let (from, to) = match span {
        ReportSpan::Day => (today.checked_sub(1.day()).ok()?, today),
        ReportSpan::Week => {
            let since = i64::from(today.weekday().since(Weekday::Monday));
            let monday = today.checked_sub(since.days()).ok()?;
            (monday.checked_sub(1.week()).ok()?, monday)
        }
        ReportSpan::Month => {
            let first = today.first_of_month();
            (first.checked_sub(1.month()).ok()?, first)
        }
    };
    let midnight = |day: Date| day.to_zoned(zone.clone()).ok().map(|at: Zoned| UtcMicros::from(at.timestamp()));
    Some((midnight(from)?, midnight(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_is_the_last_whole_one_also_where_a_day_has_another_length() {
        let berlin = TimeZone::get("Europe/Berlin").expect("known");
        for (due, span, from, to) in [
            ("2026-10-26T01:15:00+01:00", ReportSpan::Day, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
            ("2026-10-26T00:00:00+01:00", ReportSpan::Day, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
            ("2026-11-01T23:59:59+01:00", ReportSpan::Week, "2026-10-19T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
            ("2026-11-02T00:00:00+01:00", ReportSpan::Week, "2026-10-26T00:00:00+01:00", "2026-11-02T00:00:00+01:00"),
            ("2026-03-31T12:00:00+02:00", ReportSpan::Month, "2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+01:00"),
        ] {
            let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
            assert_eq!(previous_span(at(due), span, &berlin), Some((at(from), at(to))), "{span:?} before {due}");
        }
    }
}
