//! Reports for a span of days: the compliance figures on the page, and files that the daemon makes, followed and taken along.

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

use super::shared::ask::Ask;
use super::shared::failure::Failure;
use super::shared::read::{Want, read};
use super::shared::shell::{Place, Shell, page};
use super::shared::times::{self, Stamp, Times};
use crate::domain::ids::TenantId;
use crate::domain::reports::report_run::{Format, Kind, RunStatus};
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::reports;
use crate::http::auth::Right;
use crate::http::problem::Problem;
use crate::report::compliance::{Compliance, DEFINITIONS, LOG_COLUMNS, Log, Span};
use crate::report::export::tenant_part;
use crate::report::request::Request;
use crate::report::sheet::Sheet;
use crate::store::Reader;

/// Days that the page begins with.
const DAYS: i64 = 7;

/// The days that are asked for, in the viewer's zone; both are of the span.
struct Days {
    from: Date,
    to: Date,
}

impl Days {
    fn of(ask: &Ask) -> Result<Self, Failure> {
        let today = ask.now.timestamp().to_zoned(ask.times.zone_of(None)).date();
        let read = |key: &str, usual: Date| match ask.value(key) {
            None => Ok(usual),
            Some(text) => {
                text.parse::<Date>().map_err(|_| Problem::bad_request(format!("{key}: write a day as 2026-10-26")))
            }
        };
        let week = today.checked_sub((DAYS - 1).days()).unwrap_or(today);
        let days = Self { from: read("from", week)?, to: read("to", today)? };
        if days.from > days.to {
            return Err(Problem::bad_request(format!("{} does not lie before {}", days.from, days.to)).into());
        }
        Ok(days)
    }

    /// From the first midnight to the one after the last day.
    fn span(&self, zone: &TimeZone) -> Span {
        let midnight = |day: Date| day.to_zoned(zone.clone()).ok().map(|at| UtcMicros::from(at.timestamp()));
        Span { from: midnight(self.from), to: self.to.checked_add(1.day()).ok().and_then(midnight) }
    }
}

/// A report that was asked for, as the API shows it.
#[derive(Deserialize)]
struct Run {
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

impl Run {
    /// How it stands, in a class and in words.
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

    /// Its size, as people say it.
    fn size(&self) -> String {
        let bytes = self.bytes.unwrap_or_default();
        if bytes < 1_000_000 { format!("{} kB", bytes.div_ceil(1000)) } else { format!("{} MB", bytes / 1_000_000) }
    }
}

#[derive(Deserialize)]
struct Runs {
    reports: Vec<Run>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "reports/reports.html")]
struct ReportsPage {
    shell: Shell,
    times: Times,
    zone: String,
    from: String,
    to: String,
    /// The span as instants: what a file is made of.
    span: (String, String),
    /// None for who is bound to teams: these figures are of all of them.
    figures: Option<Compliance>,
    made: Stamp,
    download: String,
    kinds: Vec<Kind>,
    teams: Vec<String>,
    runs: Vec<Run>,
    older: Option<String>,
}

impl ReportsPage {
    /// Whether this build writes it.
    fn has_parquet() -> bool {
        Format::Parquet.missing().is_none()
    }

    fn violations(figures: &Compliance) -> String {
        format!("{:.2} %", figures.violation_frequency * 100.0)
    }

    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// The days of a run's span, in its own zone.
    fn days(run: &Run) -> String {
        let zone = run.request.time_zone();
        let day = |at: UtcMicros| at.timestamp().to_zoned(zone.clone()).date().to_string();
        let from = run.request.from.map_or_else(|| "the beginning".to_owned(), day);
        format!("{from} to {}", day(run.request.to.offset(-1)))
    }

    fn some_are_open(&self) -> bool {
        self.runs.iter().any(Run::is_open)
    }
}

/// `GET /reports?from=&to=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Report)?;
    let days = Days::of(&ask)?;
    let zone = ask.times.zone_of(None);
    let span = days.span(&zone);
    let figures = match ask.check_whole(&state, Right::Report) {
        Ok(()) => Some(Compliance::read(&state.reader, &ask.tenant, span).await?),
        Err(_) => None,
    };
    let query = [("limit", "20"), ("cursor", ask.value("cursor").unwrap_or_default())];
    let want = Want { route: "/api/v1/reports", id: None, query: &query };
    let Runs { reports: runs, next } = read(&state, &ask, want, reports::list).await?;
    let shell = ask.shell(Place::Reports, "Reports");
    let (from, to) = (days.from.to_string(), days.to.to_string());
    let older = next.map(|next| format!("{}&from={from}&to={to}&cursor={next}", shell.to("/reports")));
    let instant = |at: Option<UtcMicros>| at.map(|at| at.to_string()).unwrap_or_default();
    Ok(page(&ReportsPage {
        download: format!("{}&from={from}&to={to}", shell.to("/reports/compliance.csv")),
        zone: times::name(&zone).to_owned(),
        made: ask.times.second(ask.now),
        span: (instant(span.from), instant(span.to)),
        kinds: Kind::ALL.into_iter().filter(|kind| kind.filters().contains(&"teams")).collect(),
        teams: ask.picture(&state).await.map_or_else(Vec::new, |picture| picture.teams()),
        times: ask.times,
        shell,
        from,
        to,
        figures,
        runs,
        older,
    }))
}

/// `GET /reports/compliance.csv?from=&to=`: every state change of the span, as `shiftkeeper report compliance --output csv` has it.
pub(in crate::http) async fn download(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check_whole(&state, Right::Report)?;
    let days = Days::of(&ask)?;
    let name = format!("compliance-{}-{}-{}.csv", tenant_part(&ask.tenant), days.from, days.to);
    let span = days.span(&ask.times.zone_of(None));
    let body = Body::from_stream(lines(&state.reader, &ask.tenant, span));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment"))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body).into_response())
}

/// The log as CSV, a page of the store at a time: a long one takes no more memory than a short one.
fn lines(
    reader: &Reader,
    tenant: &TenantId,
    span: Span,
) -> impl stream::Stream<Item = anyhow::Result<Vec<u8>>> + use<> {
    let log = Log::new(reader, tenant, span);
    stream::unfold((log, true), |(mut log, first)| async move {
        match next_lines(&mut log, first).await {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => Some((Ok(bytes), (log, false))),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a report broke off");
                Some((Err(error), (log, false)))
            }
        }
    })
}

async fn next_lines(log: &mut Log, first: bool) -> anyhow::Result<Vec<u8>> {
    let page = log.next_page().await?;
    let mut sheet = Sheet::default();
    if first {
        sheet.row(LOG_COLUMNS)?;
    }
    for line in &page {
        sheet.row(line.cells().iter().map(String::as_str))?;
    }
    Ok(sheet.finish()?)
}
