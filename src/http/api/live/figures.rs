//! Figures of queues and skills: the newest, and their history.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{QueueId, SkillId, TenantId};
use crate::domain::live::figures::{
    Figures, Measure, PPM, QUEUE_MEASURES, QueueFigures, SKILL_MEASURES, SkillFigures, Stat, TimedFigures, Unit,
};
use crate::domain::live::thresholds::{ServiceLevelRating, Thresholds};
use crate::domain::time::UtcMicros;
use crate::engine::agents::skills::SkillService;
use crate::http::api::agents::TenantQuery;
use crate::http::api::agents::history::check_span;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::{Path, Query};
use crate::http::state::ApiState;
use crate::store::{FIGURES_PAGE_LIMIT, FigurePoint};

/// The longest span of a history, in days.
const MAX_DAYS: i64 = 400;

/// The queues of a tenant.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct QueuesResponse {
    /// The queues whose figures have been read, ordered by id.
    queues: Vec<QueueResponse>,
    /// The time of the response.
    at: UtcMicros,
    /// The age in milliseconds above which figures are stale.
    good_for_ms: u64,
}

/// A queue with its latest figures. Figures that the platform did not report are null, never 0.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
pub(in crate::http) struct QueueResponse {
    /// The platform's id of the queue.
    id: QueueId,
    /// The name of the queue; null if the platform gave none.
    name: Option<String>,
    /// When the figures were read.
    taken_at: UtcMicros,
    /// The age of the figures in milliseconds.
    age_ms: u64,
    /// Whether the figures are too old to describe the current situation.
    stale: bool,
    /// The number of agents who are logged in.
    agents_logged_on: Option<u64>,
    /// The number of agents who are available for calls.
    agents_available: Option<u64>,
    /// The number of agents on a call or in wrap-up.
    agents_busy: Option<u64>,
    /// The number of calls waiting.
    calls_waiting: Option<u64>,
    /// The average time that the waiting calls have waited so far, in milliseconds.
    average_wait_time_ms: Option<u64>,
    /// The service level: calls answered in time, as a fraction from 0 to 1.
    service_level: Option<f64>,
    /// How the service level compares with the tenant's thresholds.
    standing: Option<ServiceLevelRating>,
    /// The wait within which the platform counts a call as answered in time, in seconds; null if it is not configured.
    answered_within_s: Option<u64>,
}

/// List queues
///
/// Returns the queues of a tenant with their latest figures.
#[utoipa::path(
    get,
    path = "/api/v1/queues",
    tag = "figures",
    operation_id = "list_queues",
    params(TenantQuery),
    responses((status = 200, description = "The queues.", body = QueuesResponse))
)]
pub(in crate::http) async fn queues(
    State(state): State<ApiState>,
    caller: Caller,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<QueuesResponse>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let newest = CurrentFigures::load(&state, &tenant)?;
    let queues = newest.figures.queues.iter().map(|taken| QueueResponse::from_reading(taken, &newest)).collect();
    Ok(Json(QueuesResponse { queues, at: newest.at, good_for_ms: millis(newest.figures.fresh_for) }))
}

/// The skills of a tenant.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SkillsResponse {
    /// The skills, ordered by id.
    skills: Vec<SkillResponse>,
    /// The time of the response.
    at: UtcMicros,
    /// The age in milliseconds above which figures are stale.
    good_for_ms: u64,
}

/// A skill with its latest figures. Figures that the platform did not report are null, never 0.
#[derive(Serialize, ToSchema)]
#[schema(as = Skill)]
pub(in crate::http) struct SkillResponse {
    /// The platform's id of the skill.
    id: SkillId,
    /// The name of the skill; null if unknown. A name set by a person takes precedence over the platform's.
    name: Option<String>,
    /// The staffing floor: how many agents with the skill must stay available; null if there is no floor.
    floor: Option<u32>,
    /// The number of agents with the skill, as assigned by the schedule file or a person; null if currently unknown.
    agents: Option<u32>,
    /// The number of these agents who are ready, on a contact or in wrap-up, according to an observation that is not
    /// stale.
    available: Option<u32>,
    /// When the figures were read; null if they never were.
    taken_at: Option<UtcMicros>,
    /// The age of the figures in milliseconds; null if they were never read.
    age_ms: Option<u64>,
    /// Whether the figures are missing or too old to describe the current situation.
    stale: bool,
    /// The number of contacts waiting.
    contacts_queued: Option<u64>,
    /// The number of contacts being handled.
    contacts_active: Option<u64>,
    /// The longest time that a waiting contact has waited so far, in seconds.
    longest_queue_duration_s: Option<u64>,
    /// The service level: contacts answered in time, as a fraction from 0 to 1.
    service_level: Option<f64>,
    /// How the service level compares with the tenant's thresholds.
    standing: Option<ServiceLevelRating>,
    /// The wait within which the platform counts a contact as answered in time, in seconds; null if it is not
    /// configured.
    answered_within_s: Option<u64>,
    /// The number of agents who are available for contacts.
    agents_available: Option<u64>,
    /// The number of agents who are logged in and have the skill.
    agents_staffed: Option<u64>,
    /// The number of agents on a contact.
    agents_on_contact: Option<u64>,
    /// The number of agents in wrap-up.
    agents_in_acw: Option<u64>,
    /// The platform's estimate of how long a contact that arrives now will wait, in seconds.
    estimated_wait_time_s: Option<u64>,
}

/// List skills
///
/// Returns the skills of a tenant with their latest figures.
#[utoipa::path(
    get,
    path = "/api/v1/skills",
    tag = "figures",
    operation_id = "list_skills",
    params(TenantQuery),
    responses((status = 200, description = "The skills.", body = SkillsResponse))
)]
pub(in crate::http) async fn skills(
    State(state): State<ApiState>,
    caller: Caller,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<SkillsResponse>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let newest = CurrentFigures::load(&state, &tenant)?;
    let with_figures = newest
        .figures
        .skills
        .iter()
        .map(|taken| (taken.figures.id.clone(), SkillResponse::from_reading(taken, &newest)));
    let mut skills: BTreeMap<SkillId, SkillResponse> = with_figures.collect();
    for skill in state.reader.skills(&tenant).await? {
        let response = skills.entry(skill.id.clone()).or_insert_with(|| SkillResponse::without_figures(skill.id));
        response.floor = skill.floor;
        response.name = skill.name.as_deref().map(str::to_owned).or_else(|| response.name.take());
    }
    // A keeper that is unavailable is so only briefly; the figures are returned without it.
    if let Ok(staffed) = SkillService::new(state.keepers.clone()).staffing(&tenant).await {
        for id in staffed.keys() {
            skills.entry(id.clone()).or_insert_with(|| SkillResponse::without_figures(id.clone()));
        }
        for (id, response) in &mut skills {
            let count = staffed.get(id).copied().unwrap_or_default();
            (response.agents, response.available) = (Some(count.agents), Some(count.available));
        }
    }
    let skills = skills.into_values().collect();
    Ok(Json(SkillsResponse { skills, at: newest.at, good_for_ms: millis(newest.figures.fresh_for) }))
}

/// The newest figures of a tenant, and the thresholds that they are judged by.
pub(in crate::http) struct CurrentFigures {
    pub(in crate::http) figures: Arc<Figures>,
    pub(in crate::http) thresholds: Arc<Thresholds>,
    pub(in crate::http) at: UtcMicros,
}

impl CurrentFigures {
    pub(in crate::http) fn load(state: &ApiState, tenant: &TenantId) -> Result<Self, Problem> {
        let link = state.keepers.tenants().link(tenant);
        let link =
            link.ok_or_else(|| Problem::from_code(Code::NoSuchTenant, format!("there is no tenant {tenant}")))?;
        let (figures, thresholds) = (link.figures.borrow().clone(), link.thresholds.borrow().clone());
        Ok(Self { figures, thresholds, at: link.clock.now() })
    }
}

impl QueueResponse {
    fn from_reading(taken: &TimedFigures<QueueFigures>, newest: &CurrentFigures) -> Self {
        let (TimedFigures { at, figures }, CurrentFigures { figures: all, thresholds, at: now }) = (taken, newest);
        Self {
            id: figures.id.clone(),
            name: figures.name.as_deref().map(str::to_owned),
            taken_at: *at,
            age_ms: millis(now.since(*at)),
            stale: !all.is_fresh(*at, *now),
            agents_logged_on: figures.agents_logged_on,
            agents_available: figures.agents_available,
            agents_busy: figures.agents_busy,
            calls_waiting: figures.calls_waiting,
            average_wait_time_ms: figures.average_wait_time_ms,
            service_level: figures.service_level_ppm.map(share),
            standing: figures.service_level_ppm.map(|level| thresholds.service_level_rating(level)),
            answered_within_s: thresholds.queues_answered_within.map(|within| within.as_secs()),
        }
    }
}

impl SkillResponse {
    /// Creates a skill whose figures were never read.
    const fn without_figures(id: SkillId) -> Self {
        Self {
            id,
            name: None,
            floor: None,
            agents: None,
            available: None,
            taken_at: None,
            age_ms: None,
            stale: true,
            contacts_queued: None,
            contacts_active: None,
            longest_queue_duration_s: None,
            service_level: None,
            standing: None,
            answered_within_s: None,
            agents_available: None,
            agents_staffed: None,
            agents_on_contact: None,
            agents_in_acw: None,
            estimated_wait_time_s: None,
        }
    }

    fn from_reading(taken: &TimedFigures<SkillFigures>, newest: &CurrentFigures) -> Self {
        let (TimedFigures { at, figures }, CurrentFigures { figures: all, thresholds, at: now }) = (taken, newest);
        Self {
            name: figures.name.as_deref().map(str::to_owned),
            taken_at: Some(*at),
            age_ms: Some(millis(now.since(*at))),
            stale: !all.is_fresh(*at, *now),
            contacts_queued: figures.contacts_queued,
            contacts_active: figures.contacts_active,
            longest_queue_duration_s: figures.longest_queue_duration_s,
            service_level: figures.service_level_ppm.map(share),
            standing: figures.service_level_ppm.map(|level| thresholds.service_level_rating(level)),
            answered_within_s: thresholds.skills_answered_within.map(|within| within.as_secs()),
            agents_available: figures.agents_available,
            agents_staffed: figures.agents_staffed,
            agents_on_contact: figures.agents_on_contact,
            agents_in_acw: figures.agents_in_acw,
            estimated_wait_time_s: figures.estimated_wait_time_s,
            ..Self::without_figures(figures.id.clone())
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a million at the most")]
fn share(ppm: u64) -> f64 {
    ppm as f64 / PPM as f64
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct FigureHistoryQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only points that begin at this instant or later.
    from: UtcMicros,
    /// Only points that begin before this instant, at most 400 days after `from`.
    to: UtcMicros,
    /// The maximum number of points to return, 1 to 4000; 500 by default.
    limit: Option<u32>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<UtcMicros>,
}

/// A page of past figures.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FigureHistoryResponse {
    /// The points in order of time: quarter hours, and single reads for the last day.
    points: Vec<FigurePointResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<UtcMicros>,
}

/// The figures of a quarter hour or of a single read.
#[derive(Serialize, ToSchema)]
#[schema(as = FiguresPoint)]
pub(in crate::http) struct FigurePointResponse {
    /// The start of the point.
    starts_at: UtcMicros,
    /// The length of the point in seconds; 0 for a single read.
    span_s: u64,
    /// The number of reads that the point summarises.
    polls: u64,
    /// The figures by name. A figure that no read returned has neither a mean nor a maximum.
    figures: BTreeMap<String, FigureStatResponse>,
}

/// The summary of one figure.
#[derive(Serialize, ToSchema)]
#[schema(as = FigureStat)]
pub(in crate::http) struct FigureStatResponse {
    /// The mean of the reads; null if no read returned the figure.
    mean: Option<f64>,
    /// The maximum of the reads; null if no read returned the figure.
    max: Option<f64>,
}

/// List past figures of a queue
///
/// Returns single reads for the last day and quarter hours for the time before.
#[utoipa::path(
    get,
    path = "/api/v1/queues/{id}/history",
    tag = "figures",
    operation_id = "queue_history",
    params(("id" = QueueId, Path, description = "The platform's id of the queue."), FigureHistoryQuery),
    responses((status = 200, description = "A page of points.", body = FigureHistoryResponse))
)]
pub(in crate::http) async fn queue_history(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<QueueId>,
    Query(query): Query<FigureHistoryQuery>,
) -> Result<Json<FigureHistoryResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    if CurrentFigures::load(&state, &query.tenant)?.figures.queue(id.as_str()).is_none() {
        return Err(Problem::from_code(Code::NoSuchQueue, format!("no figures of a queue {id} have been read")));
    }
    let (span, limit) = query.resolve()?;
    let points = state.reader.queue_series(&query.tenant, &id, span, limit).await?;
    Ok(Json(FigureHistoryResponse::from_points(&points, &QUEUE_MEASURES, limit)))
}

/// List past figures of a skill
///
/// Returns single reads for the last day and quarter hours for the time before.
#[utoipa::path(
    get,
    path = "/api/v1/skills/{id}/history",
    tag = "figures",
    operation_id = "skill_history",
    params(("id" = SkillId, Path, description = "The platform's id of the skill."), FigureHistoryQuery),
    responses((status = 200, description = "A page of points.", body = FigureHistoryResponse))
)]
pub(in crate::http) async fn skill_history(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<SkillId>,
    Query(query): Query<FigureHistoryQuery>,
) -> Result<Json<FigureHistoryResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    if CurrentFigures::load(&state, &query.tenant)?.figures.skill(id.as_str()).is_none() {
        return Err(Problem::from_code(Code::NoSuchSkill, format!("no figures of a skill {id} have been read")));
    }
    let (span, limit) = query.resolve()?;
    let points = state.reader.skill_series(&query.tenant, &id, span, limit).await?;
    Ok(Json(FigureHistoryResponse::from_points(&points, &SKILL_MEASURES, limit)))
}

impl FigureHistoryQuery {
    fn resolve(&self) -> Result<((UtcMicros, UtcMicros), u32), Problem> {
        let (from, to) = check_span(self.from, self.to, MAX_DAYS)?;
        let from = self.cursor.map_or(from, |cursor| from.max(cursor));
        Ok(((from, to), self.limit.unwrap_or(500).clamp(2, FIGURES_PAGE_LIMIT)))
    }
}

impl FigureHistoryResponse {
    /// Creates a page of points.
    ///
    /// The last point of a full page is left for the next page, because two points may begin at the same instant where
    /// single polls turn into quarters of an hour.
    fn from_points<const N: usize>(points: &[FigurePoint<N>], measures: &[Measure; N], limit: u32) -> Self {
        let full = points.len() == limit as usize;
        let last = points.last().filter(|_| full).map(|point| point.starts_at);
        let complete = points.iter().filter(|point| Some(point.starts_at) != last);
        let complete: Vec<FigurePointResponse> =
            complete.map(|point| FigurePointResponse::from_point(point, measures)).collect();
        // A page whose points all begin at one instant cannot be divided.
        if complete.is_empty() && full {
            let all = points.iter().map(|point| FigurePointResponse::from_point(point, measures)).collect();
            return Self { points: all, next: last.map(|at| at.offset(1)) };
        }
        Self { points: complete, next: last }
    }
}

impl FigurePointResponse {
    fn from_point<const N: usize>(point: &FigurePoint<N>, measures: &[Measure; N]) -> Self {
        let figures = measures.iter().zip(&point.stats);
        Self {
            starts_at: point.starts_at,
            span_s: point.span.as_secs(),
            polls: point.polls,
            figures: figures
                .map(|(measure, stat)| (figure_name(measure).to_owned(), FigureStatResponse::from_stat(measure, stat)))
                .collect(),
        }
    }
}

/// Returns the name of a measure, the same as for the newest figures.
fn figure_name(measure: &Measure) -> &'static str {
    match measure.unit {
        Unit::Ppm => measure.name,
        Unit::Count | Unit::Seconds | Unit::Millis => measure.column,
    }
}

impl FigureStatResponse {
    #[expect(clippy::cast_precision_loss, reason = "sums of figures that are held to a hundred million each")]
    fn from_stat(measure: &Measure, stat: &Stat) -> Self {
        let unit = if measure.unit == Unit::Ppm { PPM as f64 } else { 1.0 };
        let mean = (stat.count > 0).then(|| stat.sum as f64 / stat.count as f64 / unit);
        Self { mean, max: stat.max.map(|max| max as f64 / unit) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn point(second: i64, waiting: Stat) -> FigurePoint<{ QUEUE_MEASURES.len() }> {
        let mut stats = [Stat::default(); QUEUE_MEASURES.len()];
        stats[3] = waiting;
        stats[5] = Stat { sum: 1_500_000, count: 2, max: Some(900_000) };
        FigurePoint { starts_at: UtcMicros::from_micros(second * 1_000_000), span: Duration::ZERO, polls: 2, stats }
    }

    #[test]
    fn a_point_has_means_in_the_units_of_the_newest_figures() {
        let shown =
            json!(FigurePointResponse::from_point(&point(5, Stat { sum: 7, count: 2, max: Some(4) }), &QUEUE_MEASURES));
        assert_eq!(shown["figures"]["calls_waiting"], json!({"mean": 3.5, "max": 4.0}));
        assert_eq!(shown["figures"]["service_level"], json!({"mean": 0.75, "max": 0.9}));
        assert_eq!(shown["figures"]["agents_busy"], json!({"mean": null, "max": null}));
    }

    #[test]
    fn a_full_page_continues_at_the_start_of_its_last_point() {
        let points = [point(1, Stat::default()), point(2, Stat::default()), point(2, Stat::default())];
        let page = FigureHistoryResponse::from_points(&points, &QUEUE_MEASURES, 3);
        assert_eq!((page.points.len(), page.next), (1, Some(UtcMicros::from_micros(2_000_000))));
        let last = FigureHistoryResponse::from_points(&points, &QUEUE_MEASURES, 4);
        assert_eq!((last.points.len(), last.next), (3, None));
        let same_instant = FigureHistoryResponse::from_points(&points[1..], &QUEUE_MEASURES, 2);
        assert_eq!((same_instant.points.len(), same_instant.next), (2, Some(UtcMicros::from_micros(2_000_001))));
    }
}
