//! What is planned for an agent: read over a span, and one local day read and put. Files are imported in `imports`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::imports::unavailable;
use crate::domain::adherence::course::Span;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::schedules::schedule::{Activity, Coverage, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;
use crate::http::api::agents::course::{day_of, span, zone_of};
use crate::http::api::agents::{OfTenant, known};
use crate::http::auth::{Caller, Right};
use crate::http::etag::{IfMatch, IfMatchHeader, Version};
use crate::http::extract::{Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, RequestKey, answer, once_versioned};
use crate::http::{ApiState, DayOfShifts, PutShifts, PutShiftsError};
use crate::store::StoredPlan;

/// The longest span that is read at once.
const LONGEST_DAYS: i64 = 100;

/// The most shifts of one day, and activities of one shift.
const MOST_SHIFTS: usize = 10;
const MOST_ACTIVITIES: usize = 100;

/// The longest name of an activity, in characters.
const LONGEST_ACTIVITY: usize = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ShiftsQuery {
    /// Whose agent.
    tenant: TenantId,
    /// Shifts that end after this instant.
    from: UtcMicros,
    /// Shifts that begin before this instant, at most 100 days later.
    to: UtcMicros,
}

/// A shift.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Shift)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ShiftShown {
    /// First instant.
    start: UtcMicros,
    /// First instant after it.
    end: UtcMicros,
    /// What lies in it beside plain work, in order.
    #[serde(default)]
    activities: Vec<ActivityShown>,
}

/// An activity of a shift.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ShiftActivity)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ActivityShown {
    /// `break`, `lunch`, `meeting`, `training`, or any other name, in lower case.
    #[schema(min_length = 1, max_length = 100)]
    activity: String,
    /// First instant.
    start: UtcMicros,
    /// First instant after it.
    end: UtcMicros,
    /// A break that must be taken.
    #[serde(default)]
    mandatory: bool,
}

/// A span that the schedule speaks for.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleCoverage)]
pub(in crate::http) struct CoverageShown {
    /// First instant.
    start: UtcMicros,
    /// First instant after it.
    end: UtcMicros,
}

/// Shifts of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ShiftList {
    /// Whose.
    agent: AgentId,
    /// The agent's zone, where it is known.
    zone: Option<String>,
    /// In order.
    shifts: Vec<ShiftShown>,
    /// What the schedule speaks for; where it does and has no shift, the agent is off.
    covered: Vec<CoverageShown>,
}

/// Shifts of an agent
///
/// Those in force that overlap the span, and what of it the schedule speaks for.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/shifts",
    tag = "shifts",
    operation_id = "list_shifts",
    params(("id" = AgentId, Path, description = "The agent."), ShiftsQuery),
    responses((status = 200, description = "the shifts", body = ShiftList))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(query): Query<ShiftsQuery>,
) -> Result<Json<ShiftList>, Problem> {
    let (_, card) = known(&state, &caller, Right::Read, &query.tenant, &id).await?;
    let asked = span(query.from, query.to, LONGEST_DAYS)?;
    let plan = state.reader.plan_of_agent(&query.tenant, &id, asked).await?;
    let (shifts, coverage) = plan.map(|plan| (plan.shifts, plan.coverage)).unwrap_or_default();
    Ok(Json(ShiftList {
        agent: id,
        zone: card.zone.map(|zone| zone.to_string()),
        shifts: shifts.into_iter().map(ShiftShown::from).collect(),
        covered: coverage.into_iter().map(CoverageShown::from).collect(),
    }))
}

/// A day of an agent's schedule.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ShiftDay {
    /// Whose.
    agent: AgentId,
    /// The local day.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// The zone of the day: the agent's, UTC where the agent has none.
    zone: String,
    /// First instant of the day.
    from: UtcMicros,
    /// First instant after it.
    to: UtcMicros,
    /// The schedule speaks for the whole day; without a shift the agent is off.
    covered: bool,
    /// The shifts that begin on the day, in order.
    shifts: Vec<ShiftShown>,
    /// The version of the day, as the `ETag` has it.
    version: String,
}

/// The shifts of an agent that begin on a local day
///
/// Its `ETag` goes into the `If-Match` of a change.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/shifts/{day}",
    tag = "shifts",
    operation_id = "show_shift_day",
    params(
        ("id" = AgentId, Path, description = "The agent."),
        ("day" = String, Path, description = "The local day, as 2026-10-25.", format = Date),
        OfTenant
    ),
    responses((status = 200, description = "the day", body = ShiftDay, headers(("ETag" = String, description = "its version"))))
)]
pub(in crate::http) async fn day(
    State(state): State<ApiState>,
    caller: Caller,
    Path((id, day)): Path<(AgentId, Date)>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Response, Problem> {
    let (_, card) = known(&state, &caller, Right::Read, &tenant, &id).await?;
    let zone = card.zone.as_deref().unwrap_or("UTC");
    let asked = day_of(day, &zone_of(zone)?)?;
    let plan = state.reader.plan_of_agent(&tenant, &id, asked).await?;
    let shown = ShiftDay::of(id, day, zone, asked, plan);
    let version = Version::of(&shown.version);
    Ok(([version.header()], Json(shown)).into_response())
}

/// The body of a change of a day.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewShiftDay {
    /// Whose agent.
    tenant: TenantId,
    /// The shifts that begin on the day, in place of those there are; none for a day off.
    #[schema(max_items = 10)]
    shifts: Vec<ShiftShown>,
}

/// Put the shifts of an agent that begin on a local day
///
/// In place of those there are, as an import of this day for this agent alone: a version of the schedule, with an entry in the audit
/// chain. Other days and other agents stay as they are.
#[utoipa::path(
    put,
    path = "/api/v1/agents/{id}/shifts/{day}",
    tag = "shifts",
    operation_id = "put_shift_day",
    params(
        ("id" = AgentId, Path, description = "The agent."),
        ("day" = String, Path, description = "The local day, as 2026-10-25.", format = Date),
        IfMatchHeader,
        KeyHeader
    ),
    request_body = NewShiftDay,
    responses((status = 200, description = "in force", body = ShiftDay, headers(("ETag" = String, description = "its version"))))
)]
pub(in crate::http) async fn put(
    State(state): State<ApiState>,
    caller: Caller,
    Path((id, day)): Path<(AgentId, Date)>,
    if_match: IfMatch,
    key: RequestKey,
    crate::http::extract::Json(body): crate::http::extract::Json<NewShiftDay>,
) -> Result<Response, Problem> {
    let (_, card) = known(&state, &caller, Right::Import, &body.tenant, &id).await?;
    let key = key.with_json(&body)?;
    let tenant = body.tenant.clone();
    let zone = card.zone.as_deref().unwrap_or("UTC").to_owned();
    let asked = day_of(day, &zone_of(&zone)?)?;
    let shifts = arranged(body.shifts, asked)?;
    let (imports, actor) = (state.imports.clone(), format!("person:{}", caller.id()));
    let of = tenant.clone();
    let work = async move {
        let in_force = {
            let (id, zone) = (id.clone(), zone.clone());
            move |plan: Option<StoredPlan>| ShiftDay::of(id.clone(), day, &zone, asked, plan)
        };
        let is_expected = {
            let in_force = in_force.clone();
            move |plan: Option<StoredPlan>| if_match.check(&Version::of(in_force(plan).version))
        };
        let day_of_shifts = DayOfShifts { tenant: of, agent: id, day, span: asked, shifts, actor };
        let wanted = PutShifts { day: day_of_shifts, is_expected: Box::new(is_expected) };
        let plan = imports.put(wanted).await.map_err(refused)?;
        Ok(answer(StatusCode::OK, &in_force(plan)))
    };
    once_versioned(&state, &caller, Some(&tenant), key, work).await
}

fn refused(error: PutShiftsError) -> Problem {
    let detail = error.to_string();
    match error {
        PutShiftsError::NotExpected(problem) => problem,
        PutShiftsError::Overlaps { .. } => not_so(vec![detail]),
        PutShiftsError::NoAgent(_) => Problem::of(Code::NoSuchAgent, detail),
        PutShiftsError::Read(cause) => unavailable(&cause.into(), detail),
        PutShiftsError::Store(cause) => unavailable(&cause.into(), detail),
    }
}

fn not_so(complaints: Vec<String>) -> Problem {
    let detail = format!("the shifts were not put: {}", complaints.join("; "));
    Problem::of(Code::ShiftsRefused, detail).with("complaints", complaints.into())
}

/// The shifts of a body as the schedule has them, or all that is wrong with them.
fn arranged(shown: Vec<ShiftShown>, (from, to): Span) -> Result<Vec<Shift>, Problem> {
    let mut complaints = Vec::new();
    if shown.len() > MOST_SHIFTS {
        return Err(not_so(vec![format!("at most {MOST_SHIFTS} shifts begin on a day")]));
    }
    let mut shifts: Vec<Shift> = Vec::with_capacity(shown.len());
    for shift in shown {
        let place = format!("the shift from {}", shift.start);
        if shift.start < from || shift.start >= to {
            complaints.push(format!("{place} does not begin on the day, which is from {from} to {to}"));
        }
        if shift.end <= shift.start || shift.end.since(shift.start) > LONGEST_SHIFT {
            complaints.push(format!("{place} has to end after it begins, and within 24 hours"));
        }
        complaints.extend(complaints_on(&shift, &place));
        shifts.push(shift.into());
    }
    shifts.sort_by_key(|shift| shift.start);
    for pair in shifts.windows(2).filter(|pair| pair[1].start < pair[0].end) {
        complaints.push(format!("the shift from {} begins before the one from {} ends", pair[1].start, pair[0].start));
    }
    if complaints.is_empty() { Ok(shifts) } else { Err(not_so(complaints)) }
}

const LONGEST_SHIFT: std::time::Duration = std::time::Duration::from_hours(24);

fn complaints_on(shift: &ShiftShown, place: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if shift.activities.len() > MOST_ACTIVITIES {
        complaints.push(format!("{place} has more than {MOST_ACTIVITIES} activities"));
        return complaints;
    }
    let mut sorted: Vec<_> = shift.activities.iter().collect();
    sorted.sort_by_key(|activity| activity.start);
    for activity in &sorted {
        let name = activity.activity.trim();
        if name.is_empty() || name.chars().count() > LONGEST_ACTIVITY || name.chars().any(char::is_control) {
            complaints
                .push(format!("{place}: the name of an activity has 1 to {LONGEST_ACTIVITY} printable characters"));
        }
        if activity.start >= activity.end || activity.start < shift.start || activity.end > shift.end {
            complaints.push(format!(
                "{place}: the activity from {} has to lie in it and end after it begins",
                activity.start
            ));
        }
    }
    for pair in sorted.windows(2).filter(|pair| pair[1].start < pair[0].end) {
        complaints.push(format!("{place}: the activities from {} and {} overlap", pair[0].start, pair[1].start));
    }
    complaints
}

impl ShiftDay {
    fn of(agent: AgentId, day: Date, zone: &str, (from, to): Span, plan: Option<StoredPlan>) -> Self {
        let (mut shifts, coverage) = plan.map(|plan| (plan.shifts, plan.coverage)).unwrap_or_default();
        // What runs over from the day before is that day's.
        shifts.retain(|shift| from <= shift.start && shift.start < to);
        let covered = covers(&coverage, (from, to));
        let version = version(covered, &shifts);
        let shifts = shifts.into_iter().map(ShiftShown::from).collect();
        Self { agent, day, zone: zone.to_owned(), from, to, covered, shifts, version }
    }
}

/// Whether the spans together cover all of it.
fn covers(coverage: &[Coverage], (from, to): Span) -> bool {
    let mut sorted = coverage.to_vec();
    sorted.sort_by_key(|span| span.start);
    let reached =
        sorted.iter().fold(from, |reached, span| if span.start <= reached { reached.max(span.end) } else { reached });
    reached >= to
}

/// The same for the same day, whatever version of the schedule brought it.
fn version(covered: bool, shifts: &[Shift]) -> String {
    let content = serde_json::to_vec(&(covered, shifts)).unwrap_or_default();
    let hash = crate::domain::audit::Hash::of(&content).to_string();
    hash.get(..32).unwrap_or_default().to_owned()
}

impl From<Shift> for ShiftShown {
    fn from(shift: Shift) -> Self {
        let activities = shift.activities.into_iter().map(|activity| ActivityShown {
            activity: activity.activity.name().to_owned(),
            start: activity.start,
            end: activity.end,
            mandatory: activity.mandatory,
        });
        Self { start: shift.start, end: shift.end, activities: activities.collect() }
    }
}

impl From<ShiftShown> for Shift {
    fn from(shown: ShiftShown) -> Self {
        let mut activities: Vec<ShiftActivity> = shown
            .activities
            .into_iter()
            .map(|activity| ShiftActivity {
                activity: Activity::from_name(&activity.activity),
                start: activity.start,
                end: activity.end,
                mandatory: activity.mandatory,
            })
            .collect();
        activities.sort_by_key(|activity| activity.start);
        Self { start: shown.start, end: shown.end, activities }
    }
}

impl From<Coverage> for CoverageShown {
    fn from(coverage: Coverage) -> Self {
        Self { start: coverage.start, end: coverage.end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> UtcMicros {
        UtcMicros::from_micros(hour * 3_600_000_000)
    }

    fn shift(start: i64, end: i64, activities: &[(i64, i64)]) -> ShiftShown {
        let activity = |(start, end): &(i64, i64)| ActivityShown {
            activity: "Lunch ".into(),
            start: at(*start),
            end: at(*end),
            mandatory: true,
        };
        ShiftShown { start: at(start), end: at(end), activities: activities.iter().map(activity).collect() }
    }

    #[test]
    fn shifts_begin_on_the_day_and_neither_they_nor_their_activities_overlap() {
        let day = (at(24), at(48));
        let sound = arranged(vec![shift(46, 52, &[(50, 51), (48, 49)]), shift(30, 40, &[])], day).expect("sound");
        assert_eq!(sound.iter().map(|shift| shift.start).collect::<Vec<_>>(), [at(30), at(46)]);
        assert_eq!(sound[1].activities[0].start, at(48));
        assert_eq!(sound[1].activities[0].activity, Activity::Lunch);
        assert_eq!(arranged(Vec::new(), day), Ok(Vec::new()));
        for wrong in [
            vec![shift(23, 30, &[])],
            vec![shift(48, 50, &[])],
            vec![shift(30, 30, &[])],
            vec![shift(30, 55, &[])],
            vec![shift(30, 40, &[]), shift(39, 42, &[])],
            vec![shift(30, 40, &[(29, 31)])],
            vec![shift(30, 40, &[(39, 41)])],
            vec![shift(30, 40, &[(32, 34), (33, 35)])],
            vec![shift(30, 40, &[]); MOST_SHIFTS + 1],
        ] {
            assert!(arranged(wrong.clone(), day).is_err(), "{:?}", serde_json::to_string(&wrong));
        }
    }

    #[test]
    fn a_version_follows_the_content_and_coverage_may_come_in_pieces() {
        let shifts = vec![Shift::from(shift(30, 40, &[]))];
        assert_eq!(version(true, &shifts), version(true, &shifts));
        assert_ne!(version(true, &shifts), version(true, &[]));
        assert_ne!(version(true, &[]), version(false, &[]));
        let pieces = [Coverage { start: at(30), end: at(50) }, Coverage { start: at(20), end: at(30) }];
        assert!(covers(&pieces, (at(24), at(48))));
        assert!(!covers(&pieces[..1], (at(24), at(48))));
        assert!(!covers(&[], (at(24), at(48))));
    }
}
