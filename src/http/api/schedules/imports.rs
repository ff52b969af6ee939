//! Schedule imports: the body is the file.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::TenantId;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::extract::Query;
use crate::http::request::idempotency::{IdempotencyKeyHeader, RequestKey, run_once};
use crate::http::services::schedule_changes::ScheduleCheck;
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
    /// The hash of the check of the import, to import exactly what it showed.
    hash: Option<String>,
}

impl ImportQuery {
    fn into_request(self, caller: &Caller, body: &Bytes) -> ImportRequest {
        ImportRequest {
            tenant: self.tenant,
            name: self.name,
            bytes: body.as_ref().into(),
            profile: self.profile,
            move_weeks: self.move_weeks,
            is_complete: self.whole,
            hash: self.hash,
            actor: format!("person:{}", caller.id()),
        }
    }
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
    let request = query.into_request(&caller, &body);
    let importer = state.importer.clone();
    let work = async move { importer.import(request).await.map_err(import_problem) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// Check a schedule file
///
/// Returns what the import of a file would change, and what to look at first. Nothing changes. Send the `hash` with the
/// import to import exactly this.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-imports/check",
    tag = "shifts",
    operation_id = "check_schedule_import",
    params(ImportQuery),
    request_body(content_type = "application/octet-stream", content = Vec<u8>, description = "The file, as CSV or iCalendar."),
    responses((status = 200, description = "The changes.", body = ScheduleCheck))
)]
pub(in crate::http) async fn check(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ImportQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ScheduleCheck>, Problem> {
    caller.check_all_teams(&state, Right::Import, &query.tenant)?;
    let request = query.into_request(&caller, &body?);
    Ok(Json(state.importer.check_import(request).await.map_err(import_problem)?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ImportProfilesQuery {
    /// The id of the tenant.
    tenant: TenantId,
}

/// The import profiles of the configuration.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ImportProfilesResponse {
    /// The names of the profiles, in order.
    pub(in crate::http) profiles: Vec<String>,
}

/// List import profiles
///
/// Returns the names of the profiles that an import can use.
#[utoipa::path(
    get,
    path = "/api/v1/import-profiles",
    tag = "shifts",
    operation_id = "list_import_profiles",
    params(ImportProfilesQuery),
    responses((status = 200, description = "The profiles.", body = ImportProfilesResponse))
)]
pub(in crate::http) async fn profiles(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ImportProfilesQuery>,
) -> Result<Json<ImportProfilesResponse>, Problem> {
    caller.check_all_teams(&state, Right::Import, &query.tenant)?;
    Ok(Json(ImportProfilesResponse { profiles: state.importer.options().profiles.into_keys().collect() }))
}

pub(super) fn import_problem(error: ImportError) -> Problem {
    let detail = error.to_string();
    match error {
        ImportError::Refused { diagnostics: complaints, faults, .. } => {
            let lines = serde_json::to_value(complaints).unwrap_or_default();
            Problem::from_code(Code::ScheduleRefused, detail)
                .with_member("complaints", lines)
                .with_member("faults", faults.into())
        }
        ImportError::HashDiffers => Problem::from_code(Code::HashMismatch, detail),
        ImportError::Profile(_) => Problem::from_code(Code::ImportProfile, detail),
        ImportError::Store(cause) => store_unavailable(cause, NOT_STORED, detail),
        ImportError::Read(cause) => store_unavailable(cause, NOT_STORED, detail),
    }
}
