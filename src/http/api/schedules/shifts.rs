//! The plan of an agent: read over a span, and read and replace a local day. Files are imported in `imports`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::imports::NOT_STORED;
use crate::domain::adherence::timeline::Span;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::schedules::schedule::{Activity, Coverage, Shift};
use crate::domain::time::UtcMicros;
use crate::http::api::agents::history::{check_span, day_span, parse_zone};
use crate::http::api::agents::{TenantQuery, find_agent};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::etag::{IfMatch, IfMatchHeader, Version};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, json_answer, run_once_versioned};
use crate::http::services::schedules::{DayOfShifts, PutShiftsError, PutShiftsRequest};
use crate::http::services::shifts::ShiftBody;
use crate::http::state::ApiState;
use crate::store::StoredPlan;

/// The longest span that is read at once, in days.
const MAX_DAYS: i64 = 100;

/// The maximum number of shifts per day, and of activities per shift.
const MAX_SHIFTS_PER_DAY: usize = 10;
const MAX_ACTIVITIES_PER_SHIFT: usize = 100;

/// The longest name of an activity, in characters.
const MAX_ACTIVITY_CHARS: usize = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ShiftsQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only shifts that end after this instant.
    from: UtcMicros,
    /// Only shifts that begin before this instant, at most 100 days after `from`.
    to: UtcMicros,
}

/// A period that the schedule covers.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleCoverage)]
pub(in crate::http) struct CoverageResponse {
    /// The start of the period (inclusive).
    start: UtcMicros,
    /// The end of the period (exclusive).
    end: UtcMicros,
}

/// The shifts of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ShiftsResponse {
    /// The id of the agent.
    agent: AgentId,
    /// The IANA time zone of the agent; null if unknown.
    zone: Option<String>,
    /// The shifts in order of time.
    shifts: Vec<ShiftBody>,
    /// The periods that the schedule covers. The agent is off where such a period has no shift.
    covered: Vec<CoverageResponse>,
}

/// List an agent's shifts
///
/// Returns the shifts in force that overlap the time range, and the periods that the schedule covers.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/shifts",
    tag = "shifts",
    operation_id = "list_shifts",
    params(("id" = AgentId, Path, description = "The id of the agent."), ShiftsQuery),
    responses((status = 200, description = "The shifts.", body = ShiftsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(query): Query<ShiftsQuery>,
) -> Result<Json<ShiftsResponse>, Problem> {
    let (_, card) = find_agent(&state, &caller, Right::Read, &query.tenant, &id).await?;
    let requested = check_span(query.from, query.to, MAX_DAYS)?;
    let plan = state.reader.plan_of_agent(&query.tenant, &id, requested).await?;
    let (shifts, coverage) = plan.map(|plan| (plan.shifts, plan.coverage)).unwrap_or_default();
    Ok(Json(ShiftsResponse {
        agent: id,
        zone: card.zone.map(|zone| zone.to_string()),
        shifts: shifts.into_iter().map(ShiftBody::from).collect(),
        covered: coverage.into_iter().map(CoverageResponse::from).collect(),
    }))
}

/// A day of an agent's schedule.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ShiftDayResponse {
    /// The id of the agent.
    agent: AgentId,
    /// The local day.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// The IANA time zone of the day: the agent's, or `UTC` if the agent has none.
    zone: String,
    /// The start of the day (inclusive).
    from: UtcMicros,
    /// The end of the day (exclusive).
    to: UtcMicros,
    /// Whether the schedule covers the whole day. The agent is off if a covered day has no shift.
    covered: bool,
    /// The shifts that begin on the day, in order of time.
    shifts: Vec<ShiftBody>,
    /// The version of the day, which is also the `ETag`.
    version: String,
}

/// Retrieve the shifts of a day
///
/// Returns the shifts of an agent that begin on a local day. Send the `ETag` as `If-Match` to replace them.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/shifts/{day}",
    tag = "shifts",
    operation_id = "show_shift_day",
    params(
        ("id" = AgentId, Path, description = "The id of the agent."),
        ("day" = String, Path, description = "The local day, such as `2026-10-25`.", format = Date),
        TenantQuery
    ),
    responses((status = 200, description = "The day.", body = ShiftDayResponse, headers(("ETag" = String, description = "The version of the day."))))
)]
pub(in crate::http) async fn day(
    State(state): State<ApiState>,
    caller: Caller,
    Path((id, day)): Path<(AgentId, Date)>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Response, Problem> {
    let (_, card) = find_agent(&state, &caller, Right::Read, &tenant, &id).await?;
    let zone = card.zone.as_deref().unwrap_or("UTC");
    let day_bounds = day_span(day, &parse_zone(zone)?)?;
    let plan = state.reader.plan_of_agent(&tenant, &id, day_bounds).await?;
    let response = ShiftDayResponse::from_plan(id, day, zone, day_bounds, plan);
    let version = Version::new(&response.version);
    Ok(([version.header()], Json(response)).into_response())
}

/// The new shifts of a day.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ShiftDayBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The shifts that begin on the day, which replace the existing ones; empty for a day off.
    #[schema(max_items = 10)]
    shifts: Vec<ShiftBody>,
}

has_tenant!(ShiftDayBody);

/// Replace the shifts of a day
///
/// Replaces the shifts of an agent that begin on a local day. This creates a new version of the schedule and an audit
/// entry, like an import of that day for that agent. Other days and agents do not change.
#[utoipa::path(
    put,
    path = "/api/v1/agents/{id}/shifts/{day}",
    tag = "shifts",
    operation_id = "put_shift_day",
    params(
        ("id" = AgentId, Path, description = "The id of the agent."),
        ("day" = String, Path, description = "The local day, such as `2026-10-25`.", format = Date),
        IfMatchHeader,
        IdempotencyKeyHeader
    ),
    request_body = ShiftDayBody,
    responses((status = 200, description = "The day with its new shifts, which are in force.", body = ShiftDayResponse, headers(("ETag" = String, description = "The version of the day."))))
)]
pub(in crate::http) async fn put(
    State(state): State<ApiState>,
    Path((id, day)): Path<(AgentId, Date)>,
    if_match: IfMatch,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<ShiftDayBody>,
) -> Result<Response, Problem> {
    let (_, card) = find_agent(&state, &caller, Right::Import, &tenant, &id).await?;
    let zone = card.zone.as_deref().unwrap_or("UTC").to_owned();
    let day_bounds = day_span(day, &parse_zone(&zone)?)?;
    let shifts = validate_shifts(body.shifts, day_bounds)?;
    let (importer, actor) = (state.importer.clone(), format!("person:{}", caller.id()));
    let work = async move {
        let day_response = {
            let (id, zone) = (id.clone(), zone.clone());
            move |plan: Option<StoredPlan>| ShiftDayResponse::from_plan(id.clone(), day, &zone, day_bounds, plan)
        };
        let check_current = {
            let day_response = day_response.clone();
            move |plan: Option<StoredPlan>| if_match.check(&Version::new(day_response(plan).version))
        };
        let day_of_shifts = DayOfShifts { tenant: body.tenant, agent: id, day, span: day_bounds, shifts, actor };
        let request = PutShiftsRequest { day: day_of_shifts, check_current: Box::new(check_current) };
        let plan = importer.put_shifts(request).await.map_err(put_shifts_problem)?;
        Ok(json_answer(StatusCode::OK, &day_response(plan)))
    };
    run_once_versioned(&state, &caller, Some(&tenant), key, work).await
}

fn put_shifts_problem(error: PutShiftsError) -> Problem {
    let detail = error.to_string();
    match error {
        PutShiftsError::ChangedMeanwhile(problem) => problem,
        PutShiftsError::Overlaps { .. } => shifts_refused(vec![detail]),
        PutShiftsError::NoAgent(_) => Problem::from_code(Code::NoSuchAgent, detail),
        PutShiftsError::Read(cause) => store_unavailable(cause, NOT_STORED, detail),
        PutShiftsError::Store(cause) => store_unavailable(cause, NOT_STORED, detail),
    }
}

fn shifts_refused(diagnostics: Vec<String>) -> Problem {
    let detail = format!("the shifts were not put: {}", diagnostics.join("; "));
    Problem::from_code(Code::ShiftsRefused, detail).with_member("complaints", diagnostics.into())
}

/// Converts the shifts of a body, or returns everything that is wrong with them.
fn validate_shifts(bodies: Vec<ShiftBody>, (from, to): Span) -> Result<Vec<Shift>, Problem> {
    let mut diagnostics = Vec::new();
    if bodies.len() > MAX_SHIFTS_PER_DAY {
        return Err(shifts_refused(vec![format!("at most {MAX_SHIFTS_PER_DAY} shifts begin on a day")]));
    }
    let mut shifts: Vec<Shift> = Vec::with_capacity(bodies.len());
    for shift in bodies {
        let label = format!("the shift from {}", shift.start);
        if shift.start < from || shift.start >= to {
            diagnostics.push(format!("{label} does not begin on the day, which is from {from} to {to}"));
        }
        if shift.end <= shift.start || shift.end.since(shift.start) > MAX_SHIFT_DURATION {
            diagnostics.push(format!("{label} has to end after it begins, and within 24 hours"));
        }
        diagnostics.extend(check_activities(&shift, &label));
        shifts.push(shift.into());
    }
    shifts.sort_by_key(|shift| shift.start);
    for pair in shifts.windows(2).filter(|pair| pair[1].start < pair[0].end) {
        diagnostics.push(format!("the shift from {} begins before the one from {} ends", pair[1].start, pair[0].start));
    }
    if diagnostics.is_empty() { Ok(shifts) } else { Err(shifts_refused(diagnostics)) }
}

const MAX_SHIFT_DURATION: std::time::Duration = std::time::Duration::from_hours(24);

fn check_activities(shift: &ShiftBody, label: &str) -> Vec<String> {
    let mut diagnostics = Vec::new();
    if shift.activities.len() > MAX_ACTIVITIES_PER_SHIFT {
        diagnostics.push(format!("{label} has more than {MAX_ACTIVITIES_PER_SHIFT} activities"));
        return diagnostics;
    }
    let mut sorted: Vec<_> = shift.activities.iter().collect();
    sorted.sort_by_key(|activity| activity.start);
    for activity in &sorted {
        let name = activity.activity.trim();
        if name.is_empty() || name.chars().count() > MAX_ACTIVITY_CHARS || name.chars().any(char::is_control) {
            diagnostics
                .push(format!("{label}: the name of an activity has 1 to {MAX_ACTIVITY_CHARS} printable characters"));
        }
        if Activity::from_name(name).is_reserved() {
            diagnostics.push(format!("{label}: {name} stands for a whole shift or for a day off, not for an activity"));
        }
        if activity.start >= activity.end || activity.start < shift.start || activity.end > shift.end {
            diagnostics.push(format!(
                "{label}: the activity from {} has to lie in it and end after it begins",
                activity.start
            ));
        }
    }
    for pair in sorted.windows(2).filter(|pair| pair[1].start < pair[0].end) {
        diagnostics.push(format!("{label}: the activities from {} and {} overlap", pair[0].start, pair[1].start));
    }
    diagnostics
}

impl ShiftDayResponse {
    fn from_plan(agent: AgentId, day: Date, zone: &str, (from, to): Span, plan: Option<StoredPlan>) -> Self {
        let (mut shifts, coverage) = plan.map(|plan| (plan.shifts, plan.coverage)).unwrap_or_default();
        // A shift that continues from the day before belongs to that day.
        shifts.retain(|shift| from <= shift.start && shift.start < to);
        let covered = covers_span(&coverage, (from, to));
        let version = day_version(covered, &shifts);
        let shifts = shifts.into_iter().map(ShiftBody::from).collect();
        Self { agent, day, zone: zone.to_owned(), from, to, covered, shifts, version }
    }
}

/// Whether the coverage includes the whole span.
fn covers_span(coverage: &[Coverage], (from, to): Span) -> bool {
    let mut sorted = coverage.to_vec();
    sorted.sort_by_key(|span| span.start);
    let covered_until =
        sorted.iter().fold(from, |reached, span| if span.start <= reached { reached.max(span.end) } else { reached });
    covered_until >= to
}

/// Returns a version that depends only on the content of the day, not on the version of the schedule.
fn day_version(covered: bool, shifts: &[Shift]) -> String {
    let content = serde_json::to_vec(&(covered, shifts)).unwrap_or_default();
    let hash = crate::domain::audit::Hash::of(&content).to_string();
    hash.get(..32).unwrap_or_default().to_owned()
}

impl From<Coverage> for CoverageResponse {
    fn from(coverage: Coverage) -> Self {
        Self { start: coverage.start, end: coverage.end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::services::shifts::ShiftActivityBody;

    fn at(hour: i64) -> UtcMicros {
        UtcMicros::from_micros(hour * 3_600_000_000)
    }

    fn shift(start: i64, end: i64, activities: &[(i64, i64)]) -> ShiftBody {
        let activity = |(start, end): &(i64, i64)| ShiftActivityBody {
            activity: "Lunch ".into(),
            start: at(*start),
            end: at(*end),
            mandatory: true,
        };
        ShiftBody { start: at(start), end: at(end), activities: activities.iter().map(activity).collect() }
    }

    #[test]
    fn shifts_begin_on_the_day_and_neither_they_nor_their_activities_overlap() {
        let day = (at(24), at(48));
        let sound =
            validate_shifts(vec![shift(46, 52, &[(50, 51), (48, 49)]), shift(30, 40, &[])], day).expect("sound");
        assert_eq!(sound.iter().map(|shift| shift.start).collect::<Vec<_>>(), [at(30), at(46)]);
        assert_eq!(sound[1].activities[0].start, at(48));
        assert_eq!(sound[1].activities[0].activity, Activity::Lunch);
        assert_eq!(validate_shifts(Vec::new(), day), Ok(Vec::new()));
        for wrong in [
            vec![shift(23, 30, &[])],
            vec![shift(48, 50, &[])],
            vec![shift(30, 30, &[])],
            vec![shift(30, 55, &[])],
            vec![shift(30, 40, &[]), shift(39, 42, &[])],
            vec![shift(30, 40, &[(29, 31)])],
            vec![shift(30, 40, &[(39, 41)])],
            vec![shift(30, 40, &[(32, 34), (33, 35)])],
            vec![shift(30, 40, &[]); MAX_SHIFTS_PER_DAY + 1],
        ] {
            assert!(validate_shifts(wrong.clone(), day).is_err(), "{:?}", serde_json::to_string(&wrong));
        }
    }

    #[test]
    fn a_version_follows_the_content_and_coverage_may_come_in_pieces() {
        let shifts = vec![Shift::from(shift(30, 40, &[]))];
        assert_eq!(day_version(true, &shifts), day_version(true, &shifts));
        assert_ne!(day_version(true, &shifts), day_version(true, &[]));
        assert_ne!(day_version(true, &[]), day_version(false, &[]));
        let pieces = [Coverage { start: at(30), end: at(50) }, Coverage { start: at(20), end: at(30) }];
        assert!(covers_span(&pieces, (at(24), at(48))));
        assert!(!covers_span(&pieces[..1], (at(24), at(48))));
        assert!(!covers_span(&[], (at(24), at(48))));
    }
}
