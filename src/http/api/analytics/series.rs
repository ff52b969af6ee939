//! The names of the series that results have, for `GET /api/v1/trend` or for monitoring.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::rows::check_has_rows;
use super::{configured_queries, find_run};
use crate::domain::analytics::Aggregation;
use crate::domain::analytics::series::aggregated::{AggregatedMetric, ResultSource};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, TenantId};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::Query;
use crate::http::state::ApiState;

/// The maximum number of groups listed; those of other values can still be named.
const MAX_GROUPS: usize = 100;

/// The result whose series are listed: the latest of a configured query, or that of one run.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SeriesQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The id of a query in the configuration, whose latest result is used.
    #[serde(default)]
    query: Option<AnalyticsQueryId>,
    /// The id of a run, instead of `query`.
    #[serde(default)]
    run: Option<AnalyticsRunId>,
}

/// The series of a result.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = AnalyticsSeriesList)]
pub(in crate::http) struct SeriesListResponse {
    /// The series, ordered by metric; the total comes before the groups.
    pub(in crate::http) series: Vec<SeriesResponse>,
}

/// A series of a result.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AnalyticsSeries)]
pub(in crate::http) struct SeriesResponse {
    /// The name of the series, such as `analytics:calls:count:channel=voice`.
    pub(in crate::http) series: String,
    /// The name of the metric.
    pub(in crate::http) metric: String,
    /// How the values of the metric are aggregated.
    pub(in crate::http) aggregation: Aggregation,
    /// The dimension values of the group, for display; empty for the total.
    pub(in crate::http) group: String,
}

impl SeriesResponse {
    /// Returns a title for people, such as `sum count, channel voice`.
    pub(in crate::http) fn title(&self) -> String {
        let comma = if self.group.is_empty() { "" } else { ", " };
        format!("{} {}{comma}{}", self.aggregation.name(), self.metric, self.group)
    }
}

/// List the series of a query or run
///
/// Returns one series for the total of each metric, if its groups can be combined, and one for each group in the latest
/// rows, at most 100. Groups can be combined for the aggregations `sum`, `min` and `max`, but not for `avg` and `pct`.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/series",
    tag = "analytics",
    operation_id = "list_analytics_series",
    params(SeriesQuery),
    responses((status = 200, description = "The series.", body = SeriesListResponse))
)]
pub(in crate::http) async fn series(
    State(state): State<ApiState>,
    caller: Caller,
    Query(SeriesQuery { tenant, query, run }): Query<SeriesQuery>,
) -> Result<Json<SeriesListResponse>, Problem> {
    caller.check_all_teams(&state, Right::Analytics, &tenant)?;
    let (source, result) = match (query, run) {
        (None, Some(id)) => {
            let run = find_run(&state, &caller, &tenant, id).await?;
            check_has_rows(&run)?;
            (ResultSource::Run(id), Some(run))
        }
        (Some(query), None) => {
            let newest = state.reader.last_analytics_run(&tenant, &query).await?;
            (ResultSource::Query(query), newest)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::bad_request("name either a query of the configuration or a run, not both"));
        }
    };
    let (metrics, dimensions, groups) = match (&result, &source) {
        (Some(run), _) => {
            let groups = state.reader.last_groups(run, MAX_GROUPS).await?;
            (run.request.metrics.clone(), run.request.dimensions.clone(), groups)
        }
        (None, ResultSource::Query(id)) => {
            let Some(configured) = configured_queries(&state, &tenant).into_iter().find(|query| query.id == *id) else {
                let detail = format!("the configuration of tenant {tenant} has no analytics query {id}");
                return Err(Problem::from_code(Code::NoSuchQuery, detail));
            };
            (configured.query.metrics, configured.query.dimensions, Vec::new())
        }
        (None, ResultSource::Run(_)) => (Vec::new(), Vec::new(), Vec::new()),
    };
    let all = AggregatedMetric::all_series(&source, &metrics, &dimensions, &groups).into_iter().filter_map(|one| {
        let metric = metrics.iter().find(|asked| asked.name == one.metric)?;
        let (series, group) = (one.to_string(), one.group_text());
        Some(SeriesResponse { series, metric: one.metric, aggregation: metric.aggregation, group })
    });
    Ok(Json(SeriesListResponse { series: all.collect() }))
}
