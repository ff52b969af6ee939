//! Reports as files: asked for, followed, called off, fetched.

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

use super::analytics::trends::{out_of_sight, sees_series};
use crate::domain::ids::{JobId, ReportRunId, TeamName, TenantId};
use crate::domain::reports::report_run::{Format, Kind, ReportRun, RunStatus};
use crate::domain::time::UtcMicros;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Json as Asked, Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, RequestKey, answer, once};
use crate::http::{ApiState, ReportRefused, WantedReport};
use crate::report::manifest::beside;
use crate::report::request::{Filters, Request};
use crate::report::trend;

/// The most runs of one page.
const MOST_RUNS: u32 = 100;

/// What is read of a file at once.
const CHUNK: usize = 64 * 1024;

/// A report that is wanted as a file.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewReport {
    /// Whose.
    tenant: TenantId,
    /// Which report.
    report: Kind,
    /// From this instant on; from the beginning without it.
    #[serde(default)]
    from: Option<UtcMicros>,
    /// Before this instant; up to now without it.
    #[serde(default)]
    to: Option<UtcMicros>,
    /// The time zone whose days and hours count, and that instants are shown in; UTC without it.
    #[serde(default)]
    zone: Option<String>,
    /// Of whom and what. Who is bound to teams gets those where none is named.
    #[serde(default)]
    filters: Filters,
    /// Which variant of the formula, where there are several.
    #[serde(default)]
    variant: Option<String>,
    /// The format of the file.
    format: Format,
    /// For CSV, which holds one: the section; the rows that all the others can be counted from without it.
    #[serde(default)]
    section: Option<String>,
}

/// A report that was asked for.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct RunView {
    /// Its id.
    id: ReportRunId,
    /// Whose.
    tenant: TenantId,
    /// What was asked for.
    request: Request,
    /// The format of the file.
    format: Format,
    /// The section, where the format holds one.
    section: Option<String>,
    /// Who asked: `person:anna`, `job:report`.
    asked_by: String,
    /// When.
    asked_at: UtcMicros,
    /// The job of the calendar that asked.
    job: Option<JobId>,
    /// How it stands.
    status: RunStatus,
    /// When it was begun last.
    started_at: Option<UtcMicros>,
    /// When it ended.
    ended_at: Option<UtcMicros>,
    /// Rows of all sections so far while it runs, rows in the file once it is done.
    rows: Option<u64>,
    /// The size of the file.
    bytes: Option<u64>,
    /// The SHA-256 of the file, in hexadecimal digits.
    sha256: Option<String>,
    /// The name of the file.
    file_name: String,
    /// The file can be fetched; else it is not made yet, or was let go.
    has_file: bool,
    /// Why it came to nothing.
    error: Option<String>,
}

impl RunView {
    /// None where the request is of another version, or names teams that the caller does not have.
    fn of(run: &ReportRun, state: &ApiState, caller: &Caller) -> Option<Self> {
        let request: Request = serde_json::from_str(&run.request).ok()?;
        if !sees(caller, &request) {
            return None;
        }
        let file = run.file.as_ref();
        Some(Self {
            id: run.id,
            tenant: run.tenant.clone(),
            request,
            format: run.format,
            section: run.section.as_deref().map(str::to_owned),
            asked_by: run.asked_by.to_string(),
            asked_at: run.asked_at,
            job: run.job.clone(),
            status: run.status,
            started_at: run.started_at,
            ended_at: run.ended_at,
            rows: file.map(|file| file.rows).or_else(|| state.reports.rows_so_far(run.id)),
            bytes: file.map(|file| file.bytes),
            sha256: file.map(|file| file.sha256.clone()),
            file_name: run.file_name().to_owned(),
            has_file: file.is_some_and(|file| file.there),
            error: run.error.clone(),
        })
    }
}

/// Whether a report is of nobody but those whom the caller may see.
fn sees(caller: &Caller, request: &Request) -> bool {
    if request.report == Kind::Trend {
        return trend::source(&request.filters).is_ok_and(|source| sees_series(caller, &request.tenant, &source));
    }
    let Some(own) = caller.teams(&request.tenant) else { return true };
    let named = &request.filters.teams;
    !is_of_agents(request.report) || (!named.is_empty() && named.iter().all(|team| own.contains(team)))
}

/// Whether it can be narrowed to teams.
fn is_of_agents(report: Kind) -> bool {
    report.filters().contains(&"teams")
}

/// Ask for a report
///
/// 202 with the run, which goes on by itself: follow it by its id, or by the event `report.completed`. Five of a tenant may wait or run.
#[utoipa::path(
    post,
    path = "/api/v1/reports",
    tag = "reports",
    operation_id = "ask_for_report",
    params(KeyHeader),
    request_body = NewReport,
    responses((status = 202, description = "it waits or runs", body = RunView))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: RequestKey,
    Asked(body): Asked<NewReport>,
) -> Result<Response, Problem> {
    caller.check(&state, Right::Report, &body.tenant)?;
    let key = key.with_json(&body)?;
    let tenant = body.tenant.clone();
    let wanted = wanted(body, &caller)?;
    let (asked, asker) = (state.clone(), caller.clone());
    let work = async move {
        let run = asked.reports.ask(wanted).await?;
        Ok(answer(StatusCode::ACCEPTED, &RunView::of(&run, &asked, &asker)))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

fn wanted(body: NewReport, caller: &Caller) -> Result<WantedReport, Problem> {
    let NewReport { tenant, report, from, to, zone, mut filters, variant, format, section } = body;
    if is_of_agents(report)
        && let Some(own) = caller.teams(&tenant)
    {
        if let Some(team) = filters.teams.iter().find(|team| !own.contains(*team)) {
            return Err(no_such_team(&tenant, team));
        }
        if filters.teams.is_empty() {
            filters.teams = own.iter().cloned().collect();
        }
    }
    let usual = Request::whole(report, tenant, to.unwrap_or(UtcMicros::MAX));
    let request = Request { from, zone: zone.unwrap_or_else(|| usual.zone.clone()), filters, variant, ..usual };
    if request.report == Kind::Trend
        && let Ok(source) = trend::source(&request.filters)
        && !sees_series(caller, &request.tenant, &source)
    {
        return Err(out_of_sight(&source));
    }
    Ok(WantedReport { request, format, section, actor: format!("person:{}", caller.id()) })
}

fn no_such_team(tenant: &TenantId, team: &TeamName) -> Problem {
    Problem::of(Code::NoSuchTeam, format!("there is no team {team} within reach at tenant {tenant}"))
}

impl From<ReportRefused> for Problem {
    fn from(refused: ReportRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            ReportRefused::Request(_) => Self::of(Code::ReportRefused, detail),
            ReportRefused::TooMany(_) => Self::of(Code::TooManyReports, detail).retry_after(30),
            ReportRefused::NoFolder => Self::of(Code::NoReportFolder, detail),
            ReportRefused::Read(cause) => cause.into(),
            ReportRefused::Store(cause) => {
                tracing::error!(error = format!("{:#}", anyhow::Error::from(cause)), "a report could not be recorded");
                Self::of(Code::StoreUnavailable, detail).retry_after(2)
            }
        }
    }
}

/// Which tenant is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    /// Whose.
    tenant: TenantId,
}

/// Which runs are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RunsQuery {
    /// Whose.
    tenant: TenantId,
    /// The `next` of the page before.
    #[serde(default)]
    cursor: Option<ReportRunId>,
    /// At most so many.
    #[serde(default = "usual_page")]
    #[param(required = false, minimum = 1, maximum = 100, default = 50)]
    limit: u32,
}

const fn usual_page() -> u32 {
    50
}

/// A page of runs.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct RunsView {
    /// Newest first.
    reports: Vec<RunView>,
    /// The cursor of the next page; null on the last.
    next: Option<ReportRunId>,
}

/// The reports that were asked for
///
/// Who is bound to teams sees those of his teams.
#[utoipa::path(
    get,
    path = "/api/v1/reports",
    tag = "reports",
    operation_id = "list_reports",
    params(RunsQuery),
    responses((status = 200, description = "a page of them", body = RunsView))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<RunsQuery>,
) -> Result<Json<RunsView>, Problem> {
    caller.check(&state, Right::Report, &query.tenant)?;
    let limit = query.limit.clamp(1, MOST_RUNS);
    let runs = state.reader.report_runs(&query.tenant, query.cursor, limit).await?;
    let next = if runs.len() < limit as usize { None } else { runs.last().map(|run| run.id) };
    let reports = runs.iter().filter_map(|run| RunView::of(run, &state, &caller)).collect();
    Ok(Json(RunsView { reports, next }))
}

/// One report
#[utoipa::path(
    get,
    path = "/api/v1/reports/{id}",
    tag = "reports",
    operation_id = "show_report",
    params(("id" = ReportRunId, Path, description = "The run."), OfTenant),
    responses((status = 200, description = "the run", body = RunView))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ReportRunId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<RunView>, Problem> {
    Ok(Json(find(&state, &caller, &tenant, id).await?.1))
}

async fn find(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    id: ReportRunId,
) -> Result<(ReportRun, RunView), Problem> {
    caller.check(state, Right::Report, tenant)?;
    let run = state.reader.report_run(tenant, id).await?;
    run.and_then(|run| RunView::of(&run, state, caller).map(|view| (run, view))).ok_or_else(|| unknown(tenant, id))
}

fn unknown(tenant: &TenantId, id: ReportRunId) -> Problem {
    Problem::of(Code::NoSuchReport, format!("there is no report {id} at tenant {tenant}, or none within reach"))
}

/// Which tenant's report is called off.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CancelReport {
    /// Whose.
    tenant: TenantId,
}

/// Call a report off
///
/// Nothing of its file is left. One that runs ends at its next row; one that has ended stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/reports/{id}/cancel",
    tag = "reports",
    operation_id = "cancel_report",
    params(("id" = ReportRunId, Path, description = "The run."), KeyHeader),
    request_body = CancelReport,
    responses((status = 200, description = "the run", body = RunView))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ReportRunId>,
    key: RequestKey,
    Asked(body): Asked<CancelReport>,
) -> Result<Response, Problem> {
    let tenant = body.tenant.clone();
    find(&state, &caller, &tenant, id).await?;
    let key = key.with_json(&body)?;
    let (asked, asker, of) = (state.clone(), caller.clone(), tenant.clone());
    let work = async move {
        let run = asked.reports.cancel(of.clone(), id).await?;
        let view = run.and_then(|run| RunView::of(&run, &asked, &asker)).ok_or_else(|| unknown(&of, id))?;
        Ok(answer(StatusCode::OK, &view))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

/// The file of a report
#[utoipa::path(
    get,
    path = "/api/v1/reports/{id}/file",
    tag = "reports",
    operation_id = "fetch_report",
    params(("id" = ReportRunId, Path, description = "The run."), OfTenant),
    responses((status = 200, description = "the file, of the type that its format has", content(
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
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Response, Problem> {
    let (run, _) = find(&state, &caller, &tenant, id).await?;
    let place = place_of(&run)?;
    sent(&place, run.file_name(), run.format.media_type()).await
}

/// The manifest of a report's file
///
/// Keep it beside the file: `shiftkeeper report verify` goes by it.
#[utoipa::path(
    get,
    path = "/api/v1/reports/{id}/manifest",
    tag = "reports",
    operation_id = "fetch_report_manifest",
    params(("id" = ReportRunId, Path, description = "The run."), OfTenant),
    responses((status = 200, description = "the manifest", content_type = "application/json", body = Object))
)]
pub(in crate::http) async fn manifest(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ReportRunId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Response, Problem> {
    let (run, _) = find(&state, &caller, &tenant, id).await?;
    let place = beside(&place_of(&run)?);
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    sent(&place, &name, "application/json").await
}

fn place_of(run: &ReportRun) -> Result<PathBuf, Problem> {
    if run.file.as_ref().is_some_and(|file| file.there) {
        return Ok(PathBuf::from(&*run.place));
    }
    let detail = match run.status {
        RunStatus::Done if run.error.is_some() => run.error.as_deref().unwrap_or_default(),
        RunStatus::Waiting | RunStatus::Running => "the report is not done yet; ask again when its status is done",
        RunStatus::Done => "the file has expired and was deleted; request the report again",
        RunStatus::Failed | RunStatus::Cancelled => "the report failed; its error says why",
    };
    Err(Problem::of(Code::NoReportFile, detail))
}

/// A file, as it is read: a large one takes no more memory than a small one.
async fn sent(place: &FilePath, name: &str, media_type: &'static str) -> Result<Response, Problem> {
    let opened = async {
        let file = tokio::fs::File::open(place).await?;
        let bytes = file.metadata().await?.len();
        Ok::<_, std::io::Error>((file, bytes))
    };
    let (file, bytes) = opened.await.map_err(|error| {
        tracing::warn!(file = %place.display(), %error, "a report's file cannot be read");
        Problem::of(Code::NoReportFile, "the file was removed from the daemon's folder; request the report again")
    })?;
    let body = Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
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
