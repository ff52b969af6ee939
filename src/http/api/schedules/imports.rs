//! Schedule imports: the body is the file.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::ids::TenantId;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::extract::Query;
use crate::http::request::idempotency::{IdempotencyKeyHeader, RequestKey, run_once};
use crate::http::services::schedules::{ImportError, ImportRequest, ImportResult};
use crate::http::state::ApiState;

/// What the log says of an import that the store could not take.
pub(super) const NOT_STORED: &str = "an import could not be stored";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ImportQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The name of the file. Its extension determines the format if the content does not.
    name: String,
    /// The name of the import profile by which to read the file. Without one, the file is a table or a calendar as
    /// Shiftkeeper describes them.
    #[param(required = false)]
    profile: Option<String>,
    /// The number of whole weeks by which to move every local date; may be negative.
    #[serde(default)]
    #[param(required = false)]
    move_weeks: i32,
    /// Whether the file is the complete schedule of its days: agents that it does not name then have no shift on them.
    #[serde(default)]
    #[param(required = false)]
    whole: bool,
}

/// Import a schedule file
///
/// The file is imported completely or not at all. Importing the same file again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-imports",
    tag = "shifts",
    operation_id = "import_schedule",
    params(ImportQuery, IdempotencyKeyHeader),
    request_body(content_type = "application/octet-stream", content = Vec<u8>, description = "The file: CSV, iCalendar, or what the profile describes."),
    responses((status = 200, description = "The schedule is in force.", body = ImportResult))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ImportQuery>,
    key: RequestKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::Import, &query.tenant)?;
    let (body, tenant) = (body?, query.tenant.clone());
    let key = key.into_key(&body);
    let request = ImportRequest {
        tenant: query.tenant,
        name: query.name,
        bytes: body.as_ref().into(),
        profile: query.profile,
        move_weeks: query.move_weeks,
        is_complete: query.whole,
        actor: format!("person:{}", caller.id()),
    };
    let importer = state.importer.clone();
    let work = async move { importer.import(request).await.map_err(import_problem) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

fn import_problem(error: ImportError) -> Problem {
    let detail = error.to_string();
    match error {
        ImportError::Refused { diagnostics: complaints, faults, .. } => {
            let lines = serde_json::to_value(complaints).unwrap_or_default();
            Problem::from_code(Code::ScheduleRefused, detail)
                .with_member("complaints", lines)
                .with_member("faults", faults.into())
        }
        ImportError::Profile(_) => Problem::from_code(Code::ImportProfile, detail),
        ImportError::Store(cause) => store_unavailable(cause, NOT_STORED, detail),
        ImportError::Read(cause) => store_unavailable(cause, NOT_STORED, detail),
    }
}
