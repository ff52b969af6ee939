//! What an agent did: the rows of history, and a day with its plan, its adherence and its changes.

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AgentName, find_agent};
use crate::domain::adherence::Verdict;
use crate::domain::adherence::coverage;
use crate::domain::adherence::exception::{Exception, exception_spans};
use crate::domain::adherence::timeline::{
    AdherenceTimeline, Span, StateInterval, TimelineSegment, VerdictDurations, planned_intervals,
};
use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ExceptionId, ReasonCode, TenantId, TransitionId};
use crate::domain::schedules::schedule::AgentPlan;
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::{AgentList, AgentSummary};
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::extract::{Path, Query};
use crate::http::request::query::{next_cursor, page_size};
use crate::http::state::ApiState;
use crate::store::{HISTORY_PAGE_LIMIT, PAGE_LIMIT, StoredHistory, StoredPlan, TransitionFilter};

/// The longest span of a history, in days.
const MAX_HISTORY_DAYS: i64 = 400;

/// The longest span of a timeline, in days: a week, and one more for a change of clocks.
const MAX_TIMELINE_DAYS: i64 = 8;

const DAY_US: i64 = 86_400_000_000;

/// Returns the span of a query if it is valid and not too long.
pub(in crate::http::api) fn check_span(from: UtcMicros, to: UtcMicros, most_days: i64) -> Result<Span, Problem> {
    if from >= to {
        return Err(Problem::bad_request("to: must be later than from"));
    }
    if from.offset(most_days.saturating_mul(DAY_US)) < to {
        return Err(Problem::bad_request(format!(
            "from, to: must be at most {most_days} days apart; ask for parts of it"
        )));
    }
    Ok((from, to))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HistoryQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only states that lasted beyond this instant.
    from: UtcMicros,
    /// Only states that began before this instant, at most 400 days after `from`.
    to: UtcMicros,
    /// The maximum number of states to return, 1 to 500; 100 by default.
    limit: Option<u32>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<UtcMicros>,
}

/// A page of an agent's history.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct HistoryResponse {
    /// The states, oldest first.
    history: Vec<Row>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<UtcMicros>,
}

/// A state in an agent's history.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryRow)]
pub(in crate::http) struct Row {
    /// The id of the row. A correction replaces a row by one with a new id.
    id: u64,
    /// The state.
    state: AgentState,
    /// The reason; null if unknown. The guide dialect shows none, so there it is known only for states that
    /// Shiftkeeper set.
    reason: Option<ReasonCode>,
    /// The queue that the platform named; null if it named none.
    queue: Option<String>,
    /// When the agent entered the state.
    entered_at: UtcMicros,
    /// When the agent left the state; null for the current state.
    left_at: Option<UtcMicros>,
    /// Where the state was learned from.
    source: ObservationSource,
    /// The id of the transition that caused the state; null if Shiftkeeper did not cause it.
    transition: Option<TransitionId>,
    /// Who requested that transition: `person:` or `rule:` followed by an id, or `daemon`; null without a transition.
    actor: Option<String>,
}

/// List an agent's past states
///
/// Returns every state that overlaps the time range, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/history",
    tag = "agents",
    operation_id = "agent_history",
    params(("id" = AgentId, Path, description = "The id of the agent."), HistoryQuery),
    responses((status = 200, description = "A page of states.", body = HistoryResponse))
)]
pub(in crate::http) async fn history(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<HistoryResponse>, Problem> {
    find_agent(&state, &caller, Right::Read, &query.tenant, &id).await?;
    let requested = check_span(query.from, query.to, MAX_HISTORY_DAYS)?;
    let limit = page_size(query.limit);
    let rows = state.reader.agent_history(&query.tenant, &id, requested, query.cursor, limit).await?;
    let next = next_cursor(&rows, limit, |stored| stored.row.entered_at);
    let mut history = Vec::with_capacity(rows.len());
    for StoredHistory { id, row, left_at } in rows {
        let actor = match row.transition {
            Some(transition) => state.reader.transition(&query.tenant, transition).await?,
            None => None,
        };
        history.push(Row {
            id,
            state: row.state,
            reason: row.reason,
            queue: row.queue.map(|queue| queue.to_string()),
            entered_at: row.entered_at,
            left_at,
            source: row.source,
            transition: row.transition,
            actor: actor.map(|stored| stored.transition.actor.label()),
        });
    }
    Ok(Json(HistoryResponse { history, next }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TimelineQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The local day, such as `2026-10-25`. Defaults to today if neither `day` nor `from` and `to` are given.
    #[param(value_type = Option<String>, format = Date)]
    day: Option<Date>,
    /// The IANA time zone of the day. Defaults to the agent's time zone, or to UTC if the agent has none.
    zone: Option<String>,
    /// The start of the time range (inclusive), instead of `day`.
    from: Option<UtcMicros>,
    /// The end of the time range (exclusive), at most 8 days after `from`.
    to: Option<UtcMicros>,
}

/// An agent's plan, states and adherence over a day or another time range.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TimelineResponse {
    /// The agent.
    agent: AgentName,
    /// The IANA time zone of the day.
    zone: String,
    /// The start of the time range (inclusive).
    from: UtcMicros,
    /// The end of the time range (exclusive).
    to: UtcMicros,
    /// The length of the time range in seconds. A day on which the clocks change has 23 or 25 hours.
    length_s: u64,
    /// The time of the response.
    now: UtcMicros,
    /// When the platform generated the latest observation of the agent; null if the agent was never observed.
    seen_at: Option<UtcMicros>,
    /// The planned activities, which cover the whole time range without gaps.
    planned: Vec<PlannedSpan>,
    /// The agent's states, cut to the time range. Gaps are times without usable observations.
    actual: Vec<ActualSpan>,
    /// Segments in which neither the planned activity nor the state changes, from the start until now without gaps.
    pieces: Vec<AdherenceSegment>,
    /// The time in each verdict.
    adherence: AdherenceTotals,
    /// The exceptions that apply to the agent in the time range, ordered by start.
    exceptions: Vec<AgentException>,
    /// The changes requested in the time range, oldest first; at most 500.
    changes: Vec<AgentChange>,
}

/// An exception that applies to the agent.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentExcused)]
pub(in crate::http) struct AgentException {
    /// The id of the exception.
    id: ExceptionId,
    /// The start of the exception (inclusive), which may be before the time range.
    from: UtcMicros,
    /// The end of the exception (exclusive), which may be after the time range.
    to: UtcMicros,
    /// The reason for the exception.
    reason: String,
    /// Who created the exception.
    made_by: String,
}

/// A period with one planned activity.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PlannedSpan {
    /// The planned activity, `off` outside shifts, or `uncovered` if no schedule covers the time.
    activity: String,
    /// The start of the period (inclusive).
    start: UtcMicros,
    /// The end of the period (exclusive).
    end: UtcMicros,
    /// Whether this is a mandatory break.
    mandatory: bool,
}

/// A period in one state.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ActualSpan {
    /// The state.
    state: AgentState,
    /// The reason code; null if unknown.
    reason: Option<ReasonCode>,
    /// The queue that the platform named; null if it named none.
    queue: Option<String>,
    /// The start of the period within the time range (inclusive).
    start: UtcMicros,
    /// The end of the period (exclusive).
    end: UtcMicros,
    /// Whether the agent is still in the state.
    ongoing: bool,
    /// Where the state was learned from.
    source: ObservationSource,
    /// The id of the transition that caused the state; null if Shiftkeeper did not cause it.
    transition: Option<TransitionId>,
}

/// A period in which neither the planned activity nor the state changes.
#[derive(Serialize, ToSchema)]
#[schema(as = AdherencePiece)]
pub(in crate::http) struct AdherenceSegment {
    /// The start of the period (inclusive).
    start: UtcMicros,
    /// The end of the period (exclusive).
    end: UtcMicros,
    /// The planned activity, `off` outside shifts, or `uncovered` if no schedule covers the time.
    activity: String,
    /// The state; null if unknown.
    state: Option<AgentState>,
    /// The verdict. A deviation that lasts longer than its tolerance is `out` from its start.
    verdict: Verdict,
    /// Whether an exception applies.
    excused: bool,
}

/// The time in each verdict, in seconds.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AdherenceTotals {
    /// Seconds in adherence.
    in_s: f64,
    /// Seconds out of adherence.
    out_s: f64,
    /// Seconds that are neutral: on a contact while something else was planned, or with an exception.
    neutral_s: f64,
    /// Seconds without a shift.
    unscheduled_s: f64,
    /// Seconds for which the schedule or a usable observation is missing.
    unknown_s: f64,
    /// The adherence, `in_s` / (`in_s` + `out_s`), as a fraction from 0 to 1; null if both are 0.
    share: Option<f64>,
}

/// A requested state change.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentChange)]
pub(in crate::http) struct AgentChange {
    /// The id of the transition.
    id: TransitionId,
    /// The requested state.
    target: AgentState,
    /// The requested reason code.
    reason: ReasonCode,
    /// Who requested the change: `person:` or `rule:` followed by an id, or `daemon`.
    actor: String,
    /// The status of the transition.
    status: String,
    /// When the change was requested.
    requested_at: UtcMicros,
    /// When the transition ended; null while it is open.
    finished_at: Option<UtcMicros>,
}

/// Retrieve an agent's timeline
///
/// Compares plan and states over a day or another time range. The segments change exactly where the plan or the state
/// changes, and each has a verdict. A deviation that lasts longer than its tolerance is `out` from its start; a shorter
/// one is `in`. The whole length of a deviation counts, including the part outside the time range.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/timeline",
    tag = "agents",
    operation_id = "agent_timeline",
    params(("id" = AgentId, Path, description = "The id of the agent."), TimelineQuery),
    responses((status = 200, description = "The timeline.", body = TimelineResponse))
)]
pub(in crate::http) async fn timeline(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<TimelineResponse>, Problem> {
    let (board, card) = find_agent(&state, &caller, Right::Read, &query.tenant, &id).await?;
    let tenant = &query.tenant;
    let (zone, (from, to)) = query.resolve_span(card.zone.as_deref(), board.at)?;
    let rows = history_rows(&state, tenant, &id, (from, to)).await?;
    let plan = state.reader.plan_of_agent(tenant, &id, (from, to)).await?;
    let facts = SpanFacts::load(&state, tenant, &board, (from, to)).await?;
    let Comparison { planned, actual, pieces, adherence } = facts.compare(&card, plan, &rows);
    let exceptions = facts.exceptions;
    Ok(Json(TimelineResponse {
        zone,
        from,
        to,
        length_s: to.since(from).as_secs(),
        now: board.at,
        seen_at: card.seen_at,
        planned,
        actual,
        pieces,
        adherence,
        exceptions: exceptions
            .iter()
            .filter(|one| one.applies_to(&id, card.team.as_ref()))
            .map(AgentException::from)
            .collect(),
        changes: changes_in(&state, tenant, &id, (from, to)).await?,
        agent: AgentName::from(card),
    }))
}

/// What the comparison of plan and states needs of a span, apart from the agent's own.
pub(in crate::http::api) struct SpanFacts<'a> {
    board: &'a AgentList,
    span: Span,
    observed_spans: Vec<Span>,
    exceptions: Vec<Exception>,
}

/// An agent's plan and states in a span, and how they compare.
pub(in crate::http::api) struct Comparison {
    pub(in crate::http::api) planned: Vec<PlannedSpan>,
    pub(in crate::http::api) actual: Vec<ActualSpan>,
    pub(in crate::http::api) pieces: Vec<AdherenceSegment>,
    pub(in crate::http::api) adherence: AdherenceTotals,
}

impl<'a> SpanFacts<'a> {
    pub(in crate::http::api) async fn load(
        state: &ApiState,
        tenant: &TenantId,
        board: &'a AgentList,
        span: Span,
    ) -> Result<Self, Problem> {
        let observed_spans = state.reader.observed_spans(tenant, span).await?;
        let exceptions = state.reader.exceptions_touching(tenant, span).await?;
        Ok(Self { board, span, observed_spans, exceptions })
    }

    /// Returns the states of an agent from the rows of its history that overlap the span, each as far as it is known.
    pub(in crate::http::api) fn known_states(&self, card: &AgentSummary, rows: &[StoredHistory]) -> Vec<StateInterval> {
        let (board, (from, _)) = (self.board, self.span);
        // The last observation holds for as long as an observation is considered current.
        let known_until = card.seen_at.map_or(from, |seen_at| (seen_at + board.stale_after).min(board.at));
        let mut intervals: Vec<StateInterval> = rows.iter().map(state_interval).collect();
        coverage::trim_unobserved(&mut intervals, &self.observed_spans, Some(known_until));
        intervals
    }

    /// Compares the plan of an agent with the rows of its history that overlap the span.
    pub(in crate::http::api) fn compare(
        &self,
        card: &AgentSummary,
        plan: Option<StoredPlan>,
        rows: &[StoredHistory],
    ) -> Comparison {
        let (board, (from, to)) = (self.board, self.span);
        let plan = plan.map_or_else(AgentPlan::default, |plan| AgentPlan::new(plan.shifts, plan.coverage));
        let intervals = self.known_states(card, rows);
        let exceptions = exception_spans(&self.exceptions, &card.id, card.team.as_ref());
        let exceptions: Vec<Span> = exceptions.into_iter().map(|span| (span.start, span.end)).collect();
        let timeline = AdherenceTimeline {
            settings: &board.adherence,
            plan: &plan,
            intervals: &intervals,
            exceptions: &exceptions,
        };
        let segments = timeline.segments((from, to.min(board.at)));
        let totals = VerdictDurations::from_segments(&segments);
        Comparison {
            planned: planned_spans(&plan, (from, to)),
            actual: actual_spans(rows, &intervals, (from, to)),
            pieces: segments.into_iter().map(AdherenceSegment::from).collect(),
            adherence: totals.into(),
        }
    }
}

impl TimelineQuery {
    fn resolve_span(&self, agents_zone: Option<&str>, now: UtcMicros) -> Result<(String, Span), Problem> {
        let name = self.zone.as_deref().or(agents_zone).unwrap_or("UTC");
        let zone = parse_zone(name)?;
        let span = match (self.day, self.from, self.to) {
            (None, Some(from), Some(to)) => check_span(from, to, MAX_TIMELINE_DAYS)?,
            (day, None, None) => {
                let day = day.unwrap_or_else(|| now.timestamp().to_zoned(zone.clone()).date());
                day_span(day, &zone)?
            }
            _ => return Err(Problem::bad_request("give a day, or from and to")),
        };
        Ok((name.to_owned(), span))
    }
}

/// Returns a time zone by its IANA name.
pub(in crate::http::api) fn parse_zone(name: &str) -> Result<TimeZone, Problem> {
    TimeZone::get(name).map_err(|_| {
        Problem::bad_request(format!(
            "zone: {name:?} is not a known time zone; write an IANA name such as Europe/Berlin"
        ))
    })
}

/// Returns the span of a local day, from its first instant to that of the next day, however long that is.
pub(in crate::http::api) fn day_span(day: Date, zone: &TimeZone) -> Result<Span, Problem> {
    let start = |day: Date| day.to_zoned(zone.clone())?.start_of_day().map(|start| UtcMicros::from(start.timestamp()));
    let span = || Ok::<_, jiff::Error>((start(day)?, start(day.tomorrow()?)?));
    span().map_err(|_| Problem::bad_request(format!("day: {day} is outside the supported years")))
}

/// Returns the rows of history that overlap a span, at most one page; no agent has more in a day.
pub(in crate::http::api) async fn history_rows(
    state: &ApiState,
    tenant: &TenantId,
    id: &AgentId,
    span: Span,
) -> Result<Vec<StoredHistory>, Problem> {
    Ok(state.reader.agent_history(tenant, id, span, None, HISTORY_PAGE_LIMIT).await?)
}

/// Returns the state interval of a row. An interval that has not ended is cut later, by [`coverage::trim_unobserved`].
fn state_interval(stored: &StoredHistory) -> StateInterval {
    let row = &stored.row;
    let end = stored.left_at.unwrap_or(UtcMicros::MAX);
    StateInterval { state: row.state.clone(), reason: row.reason.clone(), start: row.entered_at, end }
}

fn planned_spans(plan: &AgentPlan, span: Span) -> Vec<PlannedSpan> {
    let spans = planned_intervals(plan, span).into_iter().map(|stretch| PlannedSpan {
        activity: stretch.activity,
        start: stretch.start,
        end: stretch.end,
        mandatory: stretch.mandatory,
    });
    spans.collect()
}

/// Returns the rows as spans, each as far as the end of its interval is known.
fn actual_spans(rows: &[StoredHistory], intervals: &[StateInterval], (from, to): Span) -> Vec<ActualSpan> {
    let spans = rows.iter().filter_map(|stored| {
        let row = &stored.row;
        let known = intervals.binary_search_by_key(&row.entered_at, |stay| stay.start).ok()?;
        let (start, end) = (row.entered_at.max(from), intervals[known].end.min(to));
        (start < end).then(|| ActualSpan {
            state: row.state.clone(),
            reason: row.reason.clone(),
            queue: row.queue.as_deref().map(str::to_owned),
            start,
            end,
            ongoing: stored.left_at.is_none(),
            source: row.source,
            transition: row.transition,
        })
    });
    spans.collect()
}

async fn changes_in(
    state: &ApiState,
    tenant: &TenantId,
    id: &AgentId,
    (from, to): Span,
) -> Result<Vec<AgentChange>, Problem> {
    let filter =
        TransitionFilter { agent: Some(id.clone()), from: Some(from), to: Some(to), ..TransitionFilter::default() };
    let newest_first = state.reader.transitions(tenant, &filter, PAGE_LIMIT).await?;
    let changes = newest_first.into_iter().rev().map(|stored| AgentChange {
        id: stored.transition.id,
        target: stored.transition.target,
        reason: stored.transition.reason,
        actor: stored.transition.actor.label(),
        status: stored.transition.status.name().to_owned(),
        requested_at: stored.transition.requested_at,
        finished_at: stored.finished_at,
    });
    Ok(changes.collect())
}

impl From<&Exception> for AgentException {
    fn from(exception: &Exception) -> Self {
        Self {
            id: exception.id,
            from: exception.from,
            to: exception.to,
            reason: exception.reason.to_string(),
            made_by: exception.created_by.to_string(),
        }
    }
}

impl From<TimelineSegment> for AdherenceSegment {
    fn from(piece: TimelineSegment) -> Self {
        Self {
            start: piece.start,
            end: piece.end,
            activity: piece.activity_name().to_owned(),
            state: piece.state,
            verdict: piece.verdict,
            excused: piece.under_exception,
        }
    }
}

impl From<VerdictDurations> for AdherenceTotals {
    fn from(tally: VerdictDurations) -> Self {
        Self {
            in_s: tally.r#in.as_secs_f64(),
            out_s: tally.out.as_secs_f64(),
            neutral_s: tally.neutral.as_secs_f64(),
            unscheduled_s: tally.unscheduled.as_secs_f64(),
            unknown_s: tally.unknown.as_secs_f64(),
            share: tally.share(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> TimelineQuery {
        let axum::extract::Query(read) =
            axum::extract::Query::try_from_uri(&format!("/?tenant=acme&{text}").parse().expect("a URI"))
                .expect("sound");
        read
    }

    fn hours(text: &str) -> f64 {
        let now = "2026-10-25T12:00:00Z".parse().expect("an instant");
        let (_, (from, to)) = query(text).resolve_span(Some("Europe/Berlin"), now).expect("sound");
        to.since(from).as_secs_f64() / 3600.0
    }

    #[test]
    fn a_day_is_as_long_as_its_clocks_make_it() {
        for (text, expected) in [
            ("day=2026-10-25", 25.0),
            ("day=2026-03-29", 23.0),
            ("day=2026-06-01", 24.0),
            ("", 25.0),
            ("day=2026-10-25&zone=UTC", 24.0),
            ("day=2026-10-04&zone=Australia/Lord_Howe", 23.5),
            ("from=2026-10-20T00:00:00Z&to=2026-10-27T01:00:00Z", 169.0),
        ] {
            assert!((hours(text) - expected).abs() < 1e-9, "{text}: {}", hours(text));
        }
    }

    #[test]
    fn what_makes_no_span_is_refused() {
        for wrong in [
            "zone=Mars/Olympus",
            "day=2026-10-25&from=2026-10-20T00:00:00Z",
            "from=2026-10-20T00:00:00Z",
            "from=2026-10-20T00:00:00Z&to=2026-10-20T00:00:00Z",
            "from=2026-10-20T00:00:00Z&to=2026-10-29T00:00:00Z",
            "day=9999-12-31",
        ] {
            assert!(query(wrong).resolve_span(None, UtcMicros::EPOCH).is_err(), "{wrong}");
        }
    }
}
