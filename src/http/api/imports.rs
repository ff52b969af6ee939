//! Schedule imports: the body is the file.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::domain::ids::TenantId;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request_key::{RequestKey, answer, once};
use crate::http::{ApiState, ImportError, WantedImport};

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

/// `POST /api/v1/schedule-imports?tenant=…&name=…`: whole or not at all. Repeating it changes nothing.
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    query: Result<Query<ImportQuery>, QueryRejection>,
    key: RequestKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query?;
    caller.check(&state, Right::Import, &query.tenant)?;
    let (body, tenant) = (body?, query.tenant.clone());
    let key = key.with(&body);
    let wanted = WantedImport {
        tenant: query.tenant,
        name: query.name,
        bytes: body.as_ref().into(),
        move_weeks: query.move_weeks,
        whole: query.whole,
        actor: format!("person:{}", caller.id()),
    };
    let imports = state.imports.clone();
    let work = async move {
        let imported = imports.import(wanted).await.map_err(refused)?;
        Ok(answer(StatusCode::OK, &json!(imported)))
    };
    once(&state, &caller, Some(&tenant), key, work).await
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
