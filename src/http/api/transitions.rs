//! Transitions: asked for, looked at, called off.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::ids::{AgentId, ReasonCode, TenantId, TransitionId};
use crate::domain::policy::OnContact;
use crate::domain::state::AgentState;
use crate::domain::transition::STATUS_NAMES;
use crate::engine::door::{ChangeRequest, IdempotencyKey, MOST_AGENTS_PER_REQUEST};
use crate::engine::repeats::Answer;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request_key::{RequestKey, answer, once};
use crate::store::{CallWrite, PAGE_LIMIT, StoredTransition, TransitionFilter};

/// Longest accepted note and reason.
const LONGEST_TEXT: usize = 1000;

/// The body of `POST /api/v1/transitions`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewTransitions {
    tenant: TenantId,
    agents: Vec<AgentId>,
    to: String,
    #[serde(default)]
    reason: Option<ReasonCode>,
    #[serde(default)]
    on_contact: Option<OnContact>,
    /// How long the change may wait before it leaves.
    #[serde(default)]
    deadline_s: Option<u64>,
    #[serde(default)]
    note: Option<String>,
}

/// Asks for a change of one agent or many. 202 with one entry per agent, in the order asked; where the change stands is
/// followed by `GET /api/v1/transitions/{id}`.
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: RequestKey,
    body: Result<Json<NewTransitions>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(body) = body?;
    caller.check(&state, Right::Change, &body.tenant)?;
    let key = key.with_json(&body)?;
    let request = request_of(&body, &caller, key.clone())?;
    let (door, tenant) = (state.door.clone(), body.tenant.clone());
    let work = async move { Ok(Answer::taken(&door.request(&tenant, request).await?)) };
    once(&state, &caller, Some(&body.tenant), key, work).await
}

fn request_of(
    body: &NewTransitions,
    caller: &Caller,
    idempotency: Option<IdempotencyKey>,
) -> Result<ChangeRequest, Problem> {
    let target = AgentState::from_name(&body.to).ok_or_else(|| {
        let known: Vec<_> = AgentState::KNOWN.iter().map(AgentState::name).collect();
        Problem::bad_request(format!("to: there is no state {:?}; there are {}", body.to, known.join(", ")))
    })?;
    if body.agents.is_empty() || body.agents.len() > MOST_AGENTS_PER_REQUEST {
        return Err(Problem::bad_request(format!("agents: name 1 to {MOST_AGENTS_PER_REQUEST}")));
    }
    let too_long = |text: Option<&str>| text.is_some_and(|text| text.chars().count() > LONGEST_TEXT);
    if too_long(body.note.as_deref()) || too_long(body.reason.as_ref().map(ReasonCode::as_str)) {
        return Err(Problem::bad_request(format!("note and reason hold at most {LONGEST_TEXT} characters")));
    }
    let mut agents = body.agents.clone();
    let mut seen = std::collections::HashSet::new();
    agents.retain(|agent| seen.insert(agent.clone()));
    Ok(ChangeRequest {
        agents,
        target,
        reason: body.reason.clone(),
        on_contact: body.on_contact,
        deadline: body.deadline_s.map(Duration::from_secs),
        note: body.note.clone(),
        actor: caller.id(),
        idempotency,
    })
}

/// Which tenant a request for one transition is about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTenant {
    tenant: TenantId,
}

/// A request for one transition: who asks, and for which.
pub(in crate::http) struct One {
    caller: Caller,
    tenant: TenantId,
    id: TransitionId,
}

impl FromRequestParts<ApiState> for One {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Query(OfTenant { tenant }) = Query::from_request_parts(parts, state).await?;
        let Path(id) = Path::<String>::from_request_parts(parts, state).await?;
        Ok(Self { caller, tenant, id: parse_id(&id)? })
    }
}

/// One transition with its attempts and the explanation.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    One { caller, tenant, id }: One,
) -> Result<Json<Value>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let stored = state.reader.transition(&tenant, id).await?.ok_or_else(|| unknown(id))?;
    let attempts = state.reader.attempts(&tenant, id).await?;
    let mut body = shape(&stored);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("attempt_log".to_owned(), attempts.iter().map(attempt).collect());
    }
    Ok(Json(body))
}

/// Filters of the list; `cursor` is the `next` of the page before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
    tenant: TenantId,
    agent: Option<AgentId>,
    status: Option<String>,
    rule: Option<crate::domain::ids::RuleId>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Transitions, newest first.
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query?;
    caller.check(&state, Right::Read, &query.tenant)?;
    if let Some(status) = &query.status
        && !STATUS_NAMES.contains(&status.as_str())
    {
        return Err(Problem::bad_request(format!("status: one of {}", STATUS_NAMES.join(", "))));
    }
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE_LIMIT);
    let before = query.cursor.as_deref().map(parse_id).transpose()?;
    let filter = TransitionFilter {
        agent: query.agent,
        status: query.status,
        rule: query.rule,
        before,
        ..TransitionFilter::default()
    };
    let rows = state.reader.transitions(&query.tenant, &filter, limit).await?;
    let full = rows.len() == limit as usize;
    let next = rows.last().filter(|_| full).map(|row| row.transition.id);
    Ok(Json(json!({"transitions": rows.iter().map(shape).collect::<Vec<_>>(), "next": next})))
}

/// Calls a transition off that has not left.
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    One { caller, tenant, id }: One,
    key: RequestKey,
) -> Result<Response, Problem> {
    caller.check(&state, Right::Change, &tenant)?;
    let (door, reader, of, actor) = (state.door.clone(), state.reader.clone(), tenant.clone(), caller.id());
    let work = async move {
        if let Some(transition) = door.cancel(&of, id, actor).await? {
            return Ok(answer(StatusCode::OK, &json!(transition)));
        }
        let stored = reader.transition(&of, id).await?.ok_or_else(|| unknown(id))?;
        let detail = format!("it is {} and cannot be called off any more", stored.transition.status);
        Err(Problem::new(StatusCode::CONFLICT, "too_late", detail))
    };
    once(&state, &caller, Some(&tenant), key.with(&[]), work).await
}

fn parse_id(text: &str) -> Result<TransitionId, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{text:?} is not the id of a transition")))
}

fn unknown(id: TransitionId) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_transition", format!("there is no transition {id}"))
}

fn shape(stored: &StoredTransition) -> Value {
    let mut body = json!(stored.transition);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("accepted_at".to_owned(), json!(stored.accepted_at));
        fields.insert("finished_at".to_owned(), json!(stored.finished_at));
    }
    body
}

fn attempt(call: &CallWrite) -> Value {
    json!({
        "attempt": call.attempt,
        "sent_at": call.sent_at,
        "answered_at": call.answered_at,
        "outcome": call.outcome,
        "latency_ms": call.latency_ms,
        "error": call.error,
    })
}
