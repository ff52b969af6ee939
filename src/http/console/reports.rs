//! The reports page: the compliance figures of a date range, and files that the daemon makes.

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::live::live_view::LiveView;
use super::shared::page_error::PageError;
use super::shared::page_request::PageRequest;
use super::shared::shell::{ConsolePage, Shell, render_page};
use super::shared::times::{self, Stamp};
use crate::domain::ids::TenantId;
use crate::domain::reports::report_run::{ReportFormat, ReportKind, RunStatus};
use crate::domain::time::UtcMicros;
use crate::http::api::reports;
use crate::http::auth::Right;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::report::compliance::{ComplianceSpan, ComplianceSummary, DEFINITIONS, LOG_COLUMNS, TransitionLog};
use crate::report::csv_sheet::CsvSheet;
use crate::report::export::tenant_part;
use crate::report::request::Request;
use crate::store::Reader;

/// The default number of days.
const DEFAULT_DAYS: i64 = 7;

/// The requested date range in the viewer's time zone; it includes both days.
struct DayRange {
    from: Date,
    to: Date,
}

impl DayRange {
    fn from_request(request: &PageRequest) -> Result<Self, PageError> {
        let today = request.now.timestamp().to_zoned(request.times.zone_for(None)).date();
        let read = |key: &str, default: Date| match request.value(key) {
            None => Ok(default),
            Some(text) => {
                text.parse::<Date>().map_err(|_| Problem::bad_request(format!("{key}: write a day as 2026-10-26")))
            }
        };
        let week = today.checked_sub((DEFAULT_DAYS - 1).days()).unwrap_or(today);
        let days = Self { from: read("from", week)?, to: read("to", today)? };
        if days.from > days.to {
            return Err(Problem::bad_request(format!("{} does not lie before {}", days.from, days.to)).into());
        }
        Ok(days)
    }

    /// Returns the span from the first midnight to the end of the last day.
    fn span(&self, zone: &TimeZone) -> ComplianceSpan {
        let midnight = |day: Date| day.to_zoned(zone.clone()).ok().map(|at| UtcMicros::from(at.timestamp()));
        ComplianceSpan { from: midnight(self.from), to: self.to.checked_add(1.day()).ok().and_then(midnight) }
    }
}

/// A requested report, as the API returns it.
#[derive(Deserialize)]
struct ReportRunView {
    id: String,
    request: Request,
    format: String,
    asked_by: String,
    asked_at: UtcMicros,
    status: RunStatus,
    rows: Option<u64>,
    bytes: Option<u64>,
    file_name: String,
    has_file: bool,
    error: Option<String>,
}

impl ReportRunView {
    /// Returns the class and the text of the report's status.
    fn standing(&self) -> (&'static str, String) {
        match self.status {
            RunStatus::Waiting => ("outcome-wait", "queued".to_owned()),
            RunStatus::Running => ("outcome-wait", format!("{} rows so far", self.rows.unwrap_or_default())),
            RunStatus::Done => ("outcome-good", format!("{} rows", self.rows.unwrap_or_default())),
            RunStatus::Failed => ("outcome-no", "failed".to_owned()),
            RunStatus::Cancelled => ("outcome-no", "cancelled".to_owned()),
        }
    }

    fn is_open(&self) -> bool {
        !self.status.is_final()
    }

    /// Returns the file's size, for people.
    fn size(&self) -> String {
        let bytes = self.bytes.unwrap_or_default();
        if bytes < 1_000_000 { format!("{} kB", bytes.div_ceil(1000)) } else { format!("{} MB", bytes / 1_000_000) }
    }
}

#[derive(Deserialize)]
struct ReportRunList {
    reports: Vec<ReportRunView>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "reports/reports.html")]
struct ReportsPage {
    shell: Shell,
    zone: String,
    from: String,
    to: String,
    /// The first and the last day, for people.
    first_day: String,
    last_day: String,
    /// The span as instants, for requests of report files.
    span: (String, String),
    /// The compliance figures; `None` for viewers restricted to teams, because the figures cover all teams.
    figures: Option<ComplianceSummary>,
    made: Stamp,
    download: String,
    kinds: Vec<ReportKind>,
    teams: Vec<String>,
    runs: Vec<ReportRunView>,
    older: Option<String>,
}

impl ReportsPage {
    /// Whether this build can write Parquet files.
    fn has_parquet() -> bool {
        ReportFormat::Parquet.unavailable_reason().is_none()
    }

    fn violations(figures: &ComplianceSummary) -> String {
        format!("{:.2} %", figures.violation_frequency * 100.0)
    }

    /// Returns the date range of a report, in its own time zone.
    fn days(run: &ReportRunView) -> String {
        let zone = run.request.time_zone();
        let day = |at: UtcMicros| day_text(at.timestamp().to_zoned(zone.clone()).date());
        let from = run.request.from.map_or_else(|| "the beginning".to_owned(), day);
        format!("{from} to {}", day(run.request.to.offset(-1)))
    }

    fn has_open_runs(&self) -> bool {
        self.runs.iter().any(ReportRunView::is_open)
    }
}

/// Formats a day for people.
fn day_text(day: Date) -> String {
    day.strftime("%-d %b %Y").to_string()
}

/// `GET /reports?from=&to=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Report)?;
    let days = DayRange::from_request(&request)?;
    let zone = request.times.zone_for(None);
    let span = days.span(&zone);
    let figures = match request.check_all_teams(&state, Right::Report) {
        Ok(()) => Some(ComplianceSummary::read(&state.reader, &request.tenant, span).await?),
        Err(_) => None,
    };
    let query = [("limit", "20"), ("cursor", request.value("cursor").unwrap_or_default())];
    let ReportRunList { reports: runs, next } =
        request.api("/api/v1/reports").query(&query).call(&state, reports::list).await?;
    let shell = request.shell(ConsolePage::Reports, "Reports");
    let (from, to) = (days.from.to_string(), days.to.to_string());
    let older = next.map(|next| format!("{}&from={from}&to={to}&cursor={next}", shell.to("/reports")));
    let instant = |at: Option<UtcMicros>| at.map(|at| at.to_string()).unwrap_or_default();
    Ok(render_page(&ReportsPage {
        download: format!("{}&from={from}&to={to}", shell.to("/reports/compliance.csv")),
        zone: times::zone_name(&zone).to_owned(),
        made: request.times.second(request.now),
        span: (instant(span.from), instant(span.to)),
        kinds: ReportKind::ALL.into_iter().filter(|kind| kind.filters().contains(&"teams")).collect(),
        teams: LiveView::load(&state, &request).await.map_or_else(Vec::new, |picture| picture.teams()),
        shell,
        first_day: day_text(days.from),
        last_day: day_text(days.to),
        from,
        to,
        figures,
        runs,
        older,
    }))
}

/// `GET /reports/compliance.csv?from=&to=`: every state change of the date range, as `shiftkeeper report compliance
/// --output csv` writes it.
pub(in crate::http) async fn download(
    State(state): State<ApiState>,
    request: PageRequest,
) -> Result<Response, PageError> {
    request.check_all_teams(&state, Right::Report)?;
    let days = DayRange::from_request(&request)?;
    let name = format!("compliance-{}-{}-{}.csv", tenant_part(&request.tenant), days.from, days.to);
    let span = days.span(&request.times.zone_for(None));
    let body = Body::from_stream(csv_stream(&state.reader, &request.tenant, span));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment"))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body).into_response())
}

/// Streams the log as CSV, reading the store page by page, so that a long log takes no more memory than a short one.
fn csv_stream(
    reader: &Reader,
    tenant: &TenantId,
    span: ComplianceSpan,
) -> impl stream::Stream<Item = anyhow::Result<Vec<u8>>> + use<> {
    let log = TransitionLog::new(reader, tenant, span);
    stream::unfold((log, true), |(mut log, first)| async move {
        match next_csv_chunk(&mut log, first).await {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => Some((Ok(bytes), (log, false))),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a report broke off");
                Some((Err(error), (log, false)))
            }
        }
    })
}

async fn next_csv_chunk(log: &mut TransitionLog, first: bool) -> anyhow::Result<Vec<u8>> {
    let page = log.next_page().await?;
    let mut sheet = CsvSheet::default();
    if first {
        sheet.write_row(LOG_COLUMNS)?;
    }
    for line in &page {
        sheet.write_row(line.cells().iter().map(String::as_str))?;
    }
    Ok(sheet.finish()?)
}
