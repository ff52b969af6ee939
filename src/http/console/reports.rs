//! Reports: the compliance report for a span of days, on the page and to be taken along.

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::ask::Ask;
use super::failure::Failure;
use super::shell::{Place, Shell, page};
use super::times::{self, Stamp};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::auth::Right;
use crate::http::problem::Problem;
use crate::report::compliance::{Compliance, DEFINITIONS, LOG_COLUMNS, Log, Span};
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

#[derive(Template)]
#[template(path = "reports.html")]
struct ReportsPage {
    shell: Shell,
    zone: String,
    from: String,
    to: String,
    figures: Compliance,
    made: Stamp,
    download: String,
}

impl ReportsPage {
    fn violations(&self) -> String {
        format!("{:.2} %", self.figures.violation_frequency * 100.0)
    }
}

/// `GET /reports?from=&to=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check_whole(&state, Right::Report)?;
    let days = Days::of(&ask)?;
    let zone = ask.times.zone_of(None);
    let figures = Compliance::read(&state.reader, &ask.tenant, days.span(&zone)).await?;
    let shell = ask.shell(Place::Reports, "Reports");
    let (from, to) = (days.from.to_string(), days.to.to_string());
    Ok(page(&ReportsPage {
        download: format!("{}&from={from}&to={to}", shell.to("/reports/compliance.csv")),
        zone: times::name(&zone).to_owned(),
        made: ask.times.second(ask.now),
        shell,
        from,
        to,
        figures,
    }))
}

/// `GET /reports/compliance.csv?from=&to=`: every state change of the span, as `shiftkeeper report compliance --output csv` has it.
pub(in crate::http) async fn download(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check_whole(&state, Right::Report)?;
    let days = Days::of(&ask)?;
    let name = format!("compliance-{}-{}-{}.csv", file_part(&ask.tenant), days.from, days.to);
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

/// The part of a file's name that a tenant's id gives.
fn file_part(tenant: &TenantId) -> String {
    tenant.as_str().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
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
