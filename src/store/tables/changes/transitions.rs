//! Writes transitions, and decodes their rows.

use std::collections::HashMap;

use sqlx::any::AnyRow;

use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus};
use crate::domain::ids::{AgentId, ReasonCode, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::error::{CommitError, ReadError};

/// Replaces the columns that change after the request, and keeps the request itself.
pub(in crate::store) const UPSERT: ManyRows = ManyRows {
    head: "INSERT INTO transitions (tenant, id, agent, target, reason, priority, actor, rule, status, standing, \
           requested_at, deadline, accepted_at, finished_at, before, violation, attempts, latency_ms, on_contact, note, \
           explanation, change_set) VALUES",
    width: 22,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET priority = excluded.priority, status = excluded.status, \
           standing = excluded.standing, deadline = excluded.deadline, \
           accepted_at = COALESCE(transitions.accepted_at, excluded.accepted_at), \
           finished_at = COALESCE(transitions.finished_at, excluded.finished_at), violation = excluded.violation, \
           attempts = excluded.attempts, latency_ms = excluded.latency_ms, explanation = excluded.explanation",
};

/// A transition with the times that only the store keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTransition {
    /// The transition.
    pub transition: Transition,
    /// The time when it took effect: accepted, or confirmed by a snapshot if there was no response.
    pub accepted_at: Option<UtcMicros>,
    /// The time when it finished, by the writer's clock.
    pub finished_at: Option<UtcMicros>,
}

/// Returns the time when the change took effect; `None` if no attempt was needed because the agent was already in the
/// state.
const fn took_effect_at(transition: &Transition) -> Option<UtcMicros> {
    match &transition.status {
        TransitionStatus::Confirmed { .. } if transition.attempts == 0 => None,
        TransitionStatus::Accepted { at } | TransitionStatus::Confirmed { at } => Some(*at),
        TransitionStatus::Requested
        | TransitionStatus::Waiting { .. }
        | TransitionStatus::Sending { .. }
        | TransitionStatus::InDoubt { .. }
        | TransitionStatus::Pending { .. }
        | TransitionStatus::Unconfirmed { .. }
        | TransitionStatus::Refused { .. }
        | TransitionStatus::Failed { .. }
        | TransitionStatus::Cancelled { .. }
        | TransitionStatus::Superseded { .. }
        | TransitionStatus::Expired { .. } => None,
    }
}

/// The JSON texts of a transition's columns.
struct EncodedTransition<'a> {
    transition: &'a Transition,
    accepted_at: Option<UtcMicros>,
    actor: String,
    status_json: String,
    on_contact: String,
    explanation: String,
}

impl<'a> EncodedTransition<'a> {
    fn new(transition: &'a Transition, accepted_at: Option<UtcMicros>) -> Result<Self, serde_json::Error> {
        Ok(Self {
            transition,
            accepted_at,
            actor: serde_json::to_string(&transition.actor)?,
            status_json: serde_json::to_string(&transition.status)?,
            on_contact: serde_json::to_string(&transition.on_contact)?,
            explanation: serde_json::to_string(&transition.explanation)?,
        })
    }
}

pub(in crate::store) async fn write<'a>(
    transaction: &mut Transaction<'_>,
    now: UtcMicros,
    transitions: impl Iterator<Item = &'a Transition> + Send,
) -> Result<(), CommitError> {
    let mut places: HashMap<(&TenantId, TransitionId), usize> = HashMap::new();
    let mut last: Vec<(&Transition, Option<UtcMicros>)> = Vec::new();
    for transition in transitions {
        let took_effect = took_effect_at(transition);
        let index = *places.entry((&transition.tenant, transition.id)).or_insert_with(|| {
            last.push((transition, None));
            last.len() - 1
        });
        // An acceptance and its confirmation may be in the same group.
        last[index] = (transition, last[index].1.or(took_effect));
    }
    let rows = last
        .into_iter()
        .map(|(transition, effect)| EncodedTransition::new(transition, effect))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CommitError::Refused(std::sync::Arc::new(error)))?;
    batch::run(transaction, &UPSERT, &rows, |row, values| bind(row, now, values)).await
}

fn bind(row: &EncodedTransition<'_>, now: UtcMicros, values: Values) -> Values {
    let transition = row.transition;
    let rule = match &transition.actor {
        Actor::Rule { id, .. } => Some(id.as_str()),
        Actor::Person { .. } | Actor::Daemon => None,
    };
    values
        .text(transition.tenant.as_str())
        .text(transition.id.to_string())
        .text(transition.agent.as_str())
        .text(transition.target.name())
        .text(transition.reason.as_str())
        .text(transition.priority.name())
        .text(&*row.actor)
        .text_or_null(rule)
        .text(transition.status.name())
        .text(&*row.status_json)
        .instant(transition.requested_at)
        .instant(transition.deadline)
        .instant_or_null(row.accepted_at)
        .int_or_null(transition.status.is_final().then(|| now.as_micros()))
        .text_or_null(transition.before.as_ref().map(AgentState::name))
        .text_or_null(transition.violation.map(Violation::code))
        .int(i64::from(transition.attempts))
        .count_or_null(transition.latency_ms)
        .text(&*row.on_contact)
        .text_or_null(transition.note.as_deref())
        .text(&*row.explanation)
        .text_or_null(transition.change_set.map(|id| id.to_string()))
}

pub(in crate::store) fn decode(row: &AnyRow) -> Result<StoredTransition, ReadError> {
    let cells = Cells::new("transitions", row);
    let violation = cells.known_value_or_null("violation", Violation::from_code)?;
    Ok(StoredTransition {
        accepted_at: cells.instant_or_null("accepted_at")?,
        finished_at: cells.instant_or_null("finished_at")?,
        transition: Transition {
            id: cells.parsed("id")?,
            tenant: TenantId::new(cells.text("tenant")?),
            agent: AgentId::new(cells.text("agent")?),
            target: AgentState::from_stored_name(cells.text("target")?),
            reason: ReasonCode::new(cells.text("reason")?),
            priority: cells.known_value("priority", Priority::from_name)?,
            actor: cells.json("actor")?,
            note: cells.text_or_null("note")?.map(str::to_owned),
            on_contact: cells.json("on_contact")?,
            requested_at: cells.instant("requested_at")?,
            deadline: cells.instant("deadline")?,
            before: cells.text_or_null("before")?.map(AgentState::from_stored_name),
            explanation: cells.json("explanation")?,
            attempts: cells.number("attempts")?,
            violation,
            latency_ms: cells.number_or_null("latency_ms")?,
            change_set: cells.parsed_or_null("change_set")?,
            status: cells.json("standing")?,
        },
    })
}
