//! Schedule imports: the body is the file.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::domain::ids::TenantId;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::{ApiState, ImportAnswer, ImportError, WantedImport};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ImportQuery {
    tenant: TenantId,
    name: String,
    #[serde(default)]
    move_weeks: i32,
    #[serde(default)]
    whole: bool,
}

/// `POST /api/v1/schedule-imports?tenant=…&name=…`: whole or not at all. Repeating it changes nothing, so it needs no key.
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    query: Result<Query<ImportQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ImportAnswer>, Problem> {
    let Query(query) = query?;
    caller.check(&state, Right::Import, &query.tenant)?;
    let wanted = WantedImport {
        tenant: query.tenant,
        name: query.name,
        bytes: body?.as_ref().into(),
        move_weeks: query.move_weeks,
        whole: query.whole,
        actor: format!("person:{}", caller.id()),
    };
    match state.imports.import(wanted).await {
        Ok(answer) => Ok(Json(answer)),
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: ImportError) -> Problem {
    let detail = error.to_string();
    match error {
        ImportError::Refused { complaints, faults, .. } => {
            let lines = serde_json::to_value(complaints).unwrap_or_default();
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "schedule_refused", detail)
                .with("complaints", lines)
                .with("faults", faults.into())
        }
        ImportError::Store(cause) => unavailable(&cause.into(), detail),
        ImportError::Read(cause) => unavailable(&cause.into(), detail),
    }
}

fn unavailable(cause: &anyhow::Error, detail: String) -> Problem {
    tracing::error!(error = format!("{cause:#}"), "an import could not be stored");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(2)
}
