//! Reports as files: request, follow, cancel, download.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::path::{Path as FilePath, PathBuf};
use tokio::io::AsyncReadExt as _;
use utoipa::{IntoParams, ToSchema};

use super::analytics::trends::{can_view_series, series_not_permitted};
use crate::domain::ids::{JobId, ReportRunId, TeamName, TenantId};
use crate::domain::reports::report_run::{ReportFormat, ReportKind, ReportRun, RunStatus};
use crate::domain::time::UtcMicros;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::{TenantQuery, next_cursor};
use crate::http::services::reports::{ReportRequest, ReportRequestError};
use crate::http::state::ApiState;
use crate::report::manifest::path_for;
use crate::report::request::{Filters, Request};

/// The maximum number of runs per page.
const MAX_PAGE_SIZE: u32 = 100;

/// How much of a file is read at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A report to make as a file.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewReportBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The kind of report.
    report: ReportKind,
    /// The start of the time range (inclusive); by default the beginning of the data.
    #[serde(default)]
    from: Option<UtcMicros>,
    /// The end of the time range (exclusive); now by default.
    #[serde(default)]
    to: Option<UtcMicros>,
    /// The IANA time zone that determines days and hours, and in which times are shown; `UTC` by default.
    #[serde(default)]
    zone: Option<String>,
    /// Filters of the report's content. If a caller restricted to teams names no teams, the report covers those teams.
    #[serde(default)]
    filters: Filters,
    /// The variant of the formula, for reports that have several.
    #[serde(default)]
    variant: Option<String>,
    /// The format of the file.
    format: ReportFormat,
    /// For formats that hold one section (`csv`, `parquet`): the section. By default the section with the detailed rows
    /// from which the others can be computed.
    #[serde(default)]
    section: Option<String>,
}

has_tenant!(NewReportBody, CancelReportBody);

/// A requested report.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ReportRunResponse {
    /// The id of the report.
    id: ReportRunId,
    /// The id of the tenant.
    tenant: TenantId,
    /// What was requested.
    request: Request,
    /// The format of the file.
    format: ReportFormat,
    /// The section in the file; null if the format holds the whole report.
    section: Option<String>,
    /// Who requested the report, such as `person:anna` or `job:report`.
    asked_by: String,
    /// When the report was requested.
    asked_at: UtcMicros,
    /// The id of the scheduled job that requested the report; null if a person did.
    job: Option<JobId>,
    /// The status of the report.
    status: RunStatus,
    /// When the report was last started; null while it waits.
    started_at: Option<UtcMicros>,
    /// When the report ended; null while it is open.
    ended_at: Option<UtcMicros>,
    /// The number of rows: so far in all sections while the report runs, and in the file once it is done.
    rows: Option<u64>,
    /// The size of the file in bytes; null if there is none.
    bytes: Option<u64>,
    /// The SHA-256 of the file, in hexadecimal; null if there is none.
    sha256: Option<String>,
    /// The name of the file.
    file_name: String,
    /// Whether the file can be downloaded. It cannot before the report is done and after retention has deleted it.
    has_file: bool,
    /// Why the report failed; null if it did not.
    error: Option<String>,
}

impl ReportRunResponse {
    /// Creates the response for a run. Returns `None` if the request cannot be read, such as one of another version, or
    /// if the caller may not see the report.
    fn from_run(run: &ReportRun, state: &ApiState, caller: &Caller) -> Option<Self> {
        let request: Request = serde_json::from_str(&run.request).ok()?;
        if !can_view_report(caller, &request) {
            return None;
        }
        let file = run.file.as_ref();
        Some(Self {
            id: run.id,
            tenant: run.tenant.clone(),
            request,
            format: run.format,
            section: run.section.as_deref().map(str::to_owned),
            asked_by: run.requested_by.to_string(),
            asked_at: run.requested_at,
            job: run.job.clone(),
            status: run.status,
            started_at: run.started_at,
            ended_at: run.ended_at,
            rows: file.map(|file| file.rows).or_else(|| state.reports.rows_so_far(run.id)),
            bytes: file.map(|file| file.bytes),
            sha256: file.map(|file| file.sha256.clone()),
            file_name: run.file_name().to_owned(),
            has_file: file.is_some_and(|file| file.exists),
            error: run.error.clone(),
        })
    }
}

/// Whether the report covers only agents and series that the caller may see.
fn can_view_report(caller: &Caller, request: &Request) -> bool {
    if request.report == ReportKind::Trend {
        return request.filters.series_source().is_ok_and(|source| can_view_series(caller, &request.tenant, &source));
    }
    let Some(teams) = caller.teams(&request.tenant) else { return true };
    let named = &request.filters.teams;
    !has_team_filter(request.report) || (!named.is_empty() && named.iter().all(|team| teams.contains(team)))
}

/// Whether the report can be filtered by team.
fn has_team_filter(report: ReportKind) -> bool {
    report.filters().contains(&"teams")
}

/// Request a report
///
/// The response is 202 with the report, which is made in the background; follow it by its id or by the event
/// `report.completed`. At most five reports of a tenant may wait or run at once.
#[utoipa::path(
    post,
    path = "/api/v1/reports",
    tag = "reports",
    operation_id = "ask_for_report",
    params(IdempotencyKeyHeader),
    request_body = NewReportBody,
    responses((status = 202, description = "The report, which waits or has started.", body = ReportRunResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewReportBody>,
) -> Result<Response, Problem> {
    let request = into_report_request(body, &caller)?;
    let (shared, requester) = (state.clone(), caller.clone());
    let work = async move {
        let run = shared.reports.request_report(request).await?;
        Ok(ReportRunResponse::from_run(&run, &shared, &requester))
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::ACCEPTED, work).await
}

fn into_report_request(body: NewReportBody, caller: &Caller) -> Result<ReportRequest, Problem> {
    let NewReportBody { tenant, report, from, to, zone, mut filters, variant, format, section } = body;
    if has_team_filter(report)
        && let Some(teams) = caller.teams(&tenant)
    {
        if let Some(team) = filters.teams.iter().find(|team| !teams.contains(*team)) {
            return Err(no_such_team(&tenant, team));
        }
        if filters.teams.is_empty() {
            filters.teams = teams.iter().cloned().collect();
        }
    }
    let defaults = Request::whole_tenant(report, tenant, to.unwrap_or(UtcMicros::MAX));
    let request = Request { from, zone: zone.unwrap_or_else(|| defaults.zone.clone()), filters, variant, ..defaults };
    if request.report == ReportKind::Trend
        && let Ok(source) = request.filters.series_source()
        && !can_view_series(caller, &request.tenant, &source)
    {
        return Err(series_not_permitted(&source));
    }
    Ok(ReportRequest { request, format, section, actor: format!("person:{}", caller.id()) })
}

fn no_such_team(tenant: &TenantId, team: &TeamName) -> Problem {
    Problem::from_code(Code::NoSuchTeam, format!("tenant {tenant} has no team {team}, or you cannot access it"))
}

impl From<ReportRequestError> for Problem {
    fn from(refused: ReportRequestError) -> Self {
        let detail = refused.to_string();
        match refused {
            ReportRequestError::InvalidRequest(_) => Self::from_code(Code::ReportRefused, detail),
            ReportRequestError::TooMany(_) => Self::from_code(Code::TooManyReports, detail).with_retry_after(30),
            ReportRequestError::NoFolder => Self::from_code(Code::NoReportFolder, detail),
            ReportRequestError::Read(cause) => cause.into(),
            ReportRequestError::Store(cause) => store_unavailable(cause, "a report could not be recorded", detail),
        }
    }
}

/// The page of a list of reports.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RunsQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The `next` of the previous page; omit it for the first page.
    #[serde(default)]
    cursor: Option<ReportRunId>,
    /// The maximum number of reports to return.
    #[serde(default = "usual_page")]
    #[param(required = false, minimum = 1, maximum = 100, default = 50)]
    limit: u32,
}

const fn usual_page() -> u32 {
    50
}

/// A page of reports.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ReportRunsResponse {
    /// The reports, newest first.
    reports: Vec<ReportRunResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<ReportRunId>,
}

/// List requested reports
///
/// A caller restricted to teams gets the reports about those teams.
#[utoipa::path(
    get,
    path = "/api/v1/reports",
    tag = "reports",
    operation_id = "list_reports",
    params(RunsQuery),
    responses((status = 200, description = "A page of reports.", body = ReportRunsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<RunsQuery>,
) -> Result<Json<ReportRunsResponse>, Problem> {
    caller.check(&state, Right::Report, &query.tenant)?;
    let limit = query.limit.clamp(1, MAX_PAGE_SIZE);
    let runs = state.reader.report_runs(&query.tenant, query.cursor, limit).await?;
    let next = next_cursor(&runs, limit, |run| run.id);
    let reports = runs.iter().filter_map(|run| ReportRunResponse::from_run(run, &state, &caller)).collect();
    Ok(Json(ReportRunsResponse { reports, next }))
}

/// Retrieve a report
#[utoipa::path(
    get,
    path = "/api/v1/reports/{id}",
    tag = "reports",
    operation_id = "show_report",
    params(("id" = ReportRunId, Path, description = "The id of the report."), TenantQuery),
    responses((status = 200, description = "The report.", body = ReportRunResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ReportRunId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<ReportRunResponse>, Problem> {
    Ok(Json(find_report(&state, &caller, &tenant, id).await?.1))
}

async fn find_report(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    id: ReportRunId,
) -> Result<(ReportRun, ReportRunResponse), Problem> {
    caller.check(state, Right::Report, tenant)?;
    let run = state.reader.report_run(tenant, id).await?;
    run.and_then(|run| ReportRunResponse::from_run(&run, state, caller).map(|view| (run, view)))
        .ok_or_else(|| no_such_report(tenant, id))
}

fn no_such_report(tenant: &TenantId, id: ReportRunId) -> Problem {
    Problem::from_code(Code::NoSuchReport, format!("tenant {tenant} has no report {id}, or you cannot access it"))
}

/// The tenant of the report to cancel.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CancelReportBody {
    /// The id of the tenant.
    tenant: TenantId,
}

/// Cancel a report
///
/// No file is kept. A report that is running stops at its next row; a report that has ended does not change.
#[utoipa::path(
    post,
    path = "/api/v1/reports/{id}/cancel",
    tag = "reports",
    operation_id = "cancel_report",
    params(("id" = ReportRunId, Path, description = "The id of the report."), IdempotencyKeyHeader),
    request_body = CancelReportBody,
    responses((status = 200, description = "The report.", body = ReportRunResponse))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    Path(id): Path<ReportRunId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<CancelReportBody>,
) -> Result<Response, Problem> {
    find_report(&state, &caller, &tenant, id).await?;
    let (shared, requester) = (state.clone(), caller.clone());
    let work = async move {
        let run = shared.reports.cancel_report(body.tenant.clone(), id).await?;
        run.and_then(|run| ReportRunResponse::from_run(&run, &shared, &requester))
            .ok_or_else(|| no_such_report(&body.tenant, id))
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// Download the file of a report
#[utoipa::path(
    get,
    path = "/api/v1/reports/{id}/file",
    tag = "reports",
    operation_id = "fetch_report",
    params(("id" = ReportRunId, Path, description = "The id of the report."), TenantQuery),
    responses((status = 200, description = "The file, with the media type of its format.", content(
        (String = "text/csv"),
        (Object = "application/json"),
        (String = "text/html"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    )))
)]
pub(in crate::http) async fn file(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ReportRunId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Response, Problem> {
    let (run, _) = find_report(&state, &caller, &tenant, id).await?;
    let path = file_path(&run)?;
    send_file(&path, run.file_name(), run.format.media_type()).await
}

/// Retrieve the manifest of a report's file
///
/// Keep the manifest with the file: `shiftkeeper report verify` needs it.
#[utoipa::path(
    get,
    path = "/api/v1/reports/{id}/manifest",
    tag = "reports",
    operation_id = "fetch_report_manifest",
    params(("id" = ReportRunId, Path, description = "The id of the report."), TenantQuery),
    responses((status = 200, description = "The manifest.", content_type = "application/json", body = Object))
)]
pub(in crate::http) async fn manifest(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ReportRunId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Response, Problem> {
    let (run, _) = find_report(&state, &caller, &tenant, id).await?;
    let path = path_for(&file_path(&run)?);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    send_file(&path, &name, "application/json").await
}

fn file_path(run: &ReportRun) -> Result<PathBuf, Problem> {
    if run.file.as_ref().is_some_and(|file| file.exists) {
        return Ok(PathBuf::from(&*run.path));
    }
    let detail = match run.status {
        RunStatus::Done if run.error.is_some() => run.error.as_deref().unwrap_or_default(),
        RunStatus::Waiting | RunStatus::Running => "the report is not done yet; ask again when its status is done",
        RunStatus::Done => "the file has expired and was deleted; request the report again",
        RunStatus::Failed | RunStatus::Cancelled => "the report failed; its error says why",
    };
    Err(Problem::from_code(Code::NoReportFile, detail))
}

/// Streams a file, so that a large one takes no more memory than a small one.
async fn send_file(path: &FilePath, name: &str, media_type: &'static str) -> Result<Response, Problem> {
    let opened = async {
        let file = tokio::fs::File::open(path).await?;
        let bytes = file.metadata().await?.len();
        Ok::<_, std::io::Error>((file, bytes))
    };
    let (file, bytes) = opened.await.map_err(|error| {
        tracing::warn!(file = %path.display(), %error, "a report's file cannot be read");
        Problem::from_code(
            Code::NoReportFile,
            "the file was removed from the daemon's folder; request the report again",
        )
    })?;
    let body = Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    }));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
        (header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment"))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body).into_response())
}
