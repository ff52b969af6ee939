//! The rows of a run's result: page by page, or all of them as CSV.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::find_run;
use crate::domain::analytics::ResultRow;
use crate::domain::analytics::analytics_run::AnalyticsRun;
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::http::auth::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::{Path, Query};
use crate::http::request::query::TenantQuery;
use crate::http::state::ApiState;
use crate::report::csv_sheet::{CsvSheet, SheetCell};
use crate::store::{ROWS_PAGE_LIMIT, Reader};

/// The page of a list of rows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RowsQuery {
    /// The id of the tenant.
    pub(in crate::http) tenant: TenantId,
    /// The `next` of the previous page; omit it for the first page.
    #[serde(default)]
    pub(in crate::http) cursor: u64,
    /// The maximum number of rows to return.
    #[serde(default = "usual_rows")]
    #[param(required = false, minimum = 1, maximum = 2000, default = 500)]
    pub(in crate::http) limit: u32,
}

const fn usual_rows() -> u32 {
    500
}

/// A row of a result: the values of one bucket and one combination of dimensions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsRowResponse {
    /// The start of the row's bucket.
    pub at: UtcMicros,
    /// The value of each dimension, in the order of the request; null if the platform gave none.
    pub dimensions: Vec<Option<String>>,
    /// The value of each metric, in the order of the request; null if the platform gave none.
    pub metrics: Vec<Option<f64>>,
}

/// A page of rows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsRowsResponse {
    /// The rows, ordered by time and then by dimensions.
    pub rows: Vec<AnalyticsRowResponse>,
    /// The `cursor` of the next page; null on the last page.
    pub next: Option<u64>,
}

/// List the rows of a run
#[utoipa::path(
    get,
    path = "/api/v1/analytics/runs/{id}/rows",
    tag = "analytics",
    operation_id = "read_analytics_rows",
    params(("id" = AnalyticsRunId, Path, description = "The id of the run."), RowsQuery),
    responses((status = 200, description = "A page of rows.", body = AnalyticsRowsResponse))
)]
pub(in crate::http) async fn rows(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AnalyticsRunId>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<AnalyticsRowsResponse>, Problem> {
    let run = find_run(&state, &caller, &query.tenant, id).await?;
    check_has_rows(&run)?;
    let limit = query.limit.clamp(1, ROWS_PAGE_LIMIT);
    let rows = state.reader.result_rows(&run.tenant, run.id, query.cursor, limit).await?;
    let next = (rows.len() == limit as usize).then(|| query.cursor.saturating_add(u64::from(limit)));
    let view = |row: ResultRow| AnalyticsRowResponse {
        at: row.at,
        dimensions: row.dimensions.into_iter().map(|value| value.map(|value| value.to_string())).collect(),
        metrics: row.metrics,
    };
    Ok(Json(AnalyticsRowsResponse { rows: rows.into_iter().map(view).collect(), next }))
}

/// Returns an error if the run has no rows to read.
pub(super) fn check_has_rows(run: &AnalyticsRun) -> Result<(), Problem> {
    if run.result.as_ref().is_some_and(|result| result.has_rows) {
        return Ok(());
    }
    let detail = match run.status {
        RunStatus::Waiting | RunStatus::Running => "the run is not done yet; ask again when its status is done",
        RunStatus::Done => "the rows have expired and were deleted; run the query again",
        RunStatus::Failed | RunStatus::Cancelled => "the run failed; its error says why",
    };
    Err(Problem::from_code(Code::NoRows, detail))
}

/// Download the rows of a run as CSV
///
/// The file follows RFC 4180 and has a header. Values that a spreadsheet would read as formulas are escaped.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/runs/{id}/csv",
    tag = "analytics",
    operation_id = "fetch_analytics_csv",
    params(("id" = AnalyticsRunId, Path, description = "The id of the run."), TenantQuery),
    responses((status = 200, description = "The CSV file.", content_type = "text/csv", body = String))
)]
pub(in crate::http) async fn csv(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AnalyticsRunId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Response, Problem> {
    let run = find_run(&state, &caller, &tenant, id).await?;
    check_has_rows(&run)?;
    let name = run.query.as_ref().map_or("analytics", AnalyticsQueryId::as_str);
    let file = format!("attachment; filename=\"{name}-{}-{id}.csv\"", run.tenant);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(file).unwrap_or(HeaderValue::from_static("attachment"))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let body = Body::from_stream(stream::try_unfold((state.reader.clone(), run, Some(0)), next_csv_chunk));
    Ok((headers, body).into_response())
}

/// The position in a CSV file that is being written: the next row, or `None` at the end.
type CsvPosition = (Reader, AnalyticsRun, Option<u64>);

/// Returns the lines of the next page, with the header before the first.
async fn next_csv_chunk((reader, run, from): CsvPosition) -> std::io::Result<Option<(Bytes, CsvPosition)>> {
    let Some(from) = from else { return Ok(None) };
    let mut sheet = CsvSheet::default();
    if from == 0 {
        let metrics = run.request.metrics.iter().map(|metric| format!("{} {}", metric.aggregation.name(), metric.name));
        let names = std::iter::once("at".to_owned()).chain(run.request.dimensions.iter().cloned()).chain(metrics);
        sheet.write_cells(names.map(|name| SheetCell::Text(name.into())))?;
    }
    let rows = reader.result_rows(&run.tenant, run.id, from, ROWS_PAGE_LIMIT).await.map_err(std::io::Error::other)?;
    for row in &rows {
        let dimensions =
            row.dimensions.iter().map(|value| SheetCell::Text(value.as_deref().unwrap_or_default().into()));
        let metrics = row.metrics.iter().map(|value| SheetCell::ExactText(*value));
        sheet.write_cells(
            std::iter::once(SheetCell::Text(row.at.to_string().into())).chain(dimensions).chain(metrics),
        )?;
    }
    let next = (rows.len() == ROWS_PAGE_LIMIT as usize).then(|| from + u64::from(ROWS_PAGE_LIMIT));
    Ok(Some((Bytes::from(sheet.finish()?), (reader, run, next))))
}
