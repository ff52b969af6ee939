//! The schedule as a file.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use jiff::civil::Date;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{TeamName, TenantId};
use crate::domain::schedules::export::{self, ExportFormat, ExportedAgent};
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::extract::Query;
use crate::http::state::ApiState;

/// The header with the number of agents whose schedule does not cover all days of the file.
const PARTLY_COVERED: HeaderName = HeaderName::from_static("shiftkeeper-partly-covered-agents");

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ScheduleExportQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The first day, such as `2026-10-26`, in each agent's time zone.
    #[param(value_type = String, format = Date)]
    from: Date,
    /// The last day, at most 399 days after the first.
    #[param(value_type = String, format = Date)]
    through: Date,
    /// Only agents of this team.
    team: Option<TeamName>,
    /// The format of the file: `csv` by default, or `ics` for iCalendar.
    #[serde(default)]
    format: ScheduleExportFormat,
}

/// The format of the file.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum ScheduleExportFormat {
    /// A table.
    #[default]
    Csv,
    /// A calendar.
    Ics,
}

/// Export the schedule
///
/// Returns a file with the schedule in force, which the import reads back to the same schedule: every shift that begins
/// on one of the days, and the days off. If an agent's schedule does not cover all days of the file, the import makes
/// the agent off on the other days; the header `Shiftkeeper-Partly-Covered-Agents` has the number of such agents.
#[utoipa::path(
    get,
    path = "/api/v1/schedule-export",
    tag = "shifts",
    operation_id = "export_schedule",
    params(ScheduleExportQuery),
    responses((status = 200, description = "The file.", content((String = "text/csv"), (String = "text/calendar")), headers(("Shiftkeeper-Partly-Covered-Agents" = u64, description = "The number of agents whose schedule does not cover all days of the file."))))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ScheduleExportQuery>,
) -> Result<Response, Problem> {
    let ScheduleExportQuery { tenant, from, through, team, format } = query;
    caller.check(&state, Right::Read, &tenant)?;
    let span = export::span_of_days(from, through).map_err(Problem::bad_request)?;
    let is_wanted = |agent: &ExportedAgent| {
        caller.has_team(&tenant, agent.team.as_ref())
            && team.as_ref().is_none_or(|team| agent.team.as_ref() == Some(team))
    };
    let mut agents = state.reader.exported_agents(&tenant, span).await?;
    agents.retain(is_wanted);
    let (format, content_type) = match format {
        ScheduleExportFormat::Csv => (ExportFormat::Csv, "text/csv; charset=utf-8"),
        ScheduleExportFormat::Ics => (ExportFormat::ICalendar, "text/calendar; charset=utf-8"),
    };
    let options = state.importer.options();
    let exported = export::export(&agents, (from, through), format, &options, state.readiness.now());
    let file = format!("attachment; filename=\"schedule-{tenant}-{from}-{through}.{format}\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(file).unwrap_or(HeaderValue::from_static("attachment"))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (PARTLY_COVERED, HeaderValue::from(exported.partly_covered.len())),
    ];
    Ok((headers, exported.text).into_response())
}
