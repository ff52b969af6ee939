//! Transitions as they are written, and how a row becomes one again.

use std::collections::HashMap;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Status, Transition};
use crate::domain::ids::{AgentId, ReasonCode, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script};
use crate::store::cells::Cells;
use crate::store::error::{CommitError, ReadError};

/// What the life cycle adds after the request is replaced; what was asked for stays.
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

/// A transition with the instants that only the store keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTransition {
    /// The transition.
    pub transition: Transition,
    /// When it took effect: accepted, or seen in a snapshot where no answer had come.
    pub accepted_at: Option<UtcMicros>,
    /// When it ended, by the clock of the writer.
    pub finished_at: Option<UtcMicros>,
}

/// When a transition says that the change took effect; never for one that needed no attempt, since the agent was there.
const fn took_effect_at(transition: &Transition) -> Option<UtcMicros> {
    match &transition.status {
        Status::Confirmed { .. } if transition.attempts == 0 => None,
        Status::Accepted { at } | Status::Confirmed { at } => Some(*at),
        Status::Requested
        | Status::Waiting { .. }
        | Status::Sending { .. }
        | Status::InDoubt { .. }
        | Status::Unconfirmed { .. }
        | Status::Refused { .. }
        | Status::Failed { .. }
        | Status::Cancelled { .. }
        | Status::Superseded { .. }
        | Status::Expired { .. } => None,
    }
}

/// Texts of the columns that hold JSON.
struct Texted<'a> {
    transition: &'a Transition,
    accepted_at: Option<UtcMicros>,
    actor: String,
    standing: String,
    on_contact: String,
    explanation: String,
}

impl<'a> Texted<'a> {
    fn new(transition: &'a Transition, accepted_at: Option<UtcMicros>) -> Result<Self, serde_json::Error> {
        Ok(Self {
            transition,
            accepted_at,
            actor: serde_json::to_string(&transition.actor)?,
            standing: serde_json::to_string(&transition.status)?,
            on_contact: serde_json::to_string(&transition.on_contact)?,
            explanation: serde_json::to_string(&transition.explanation)?,
        })
    }
}

pub(in crate::store) async fn write<'a>(
    connection: &mut AnyConnection,
    script: &mut Script,
    now: UtcMicros,
    transitions: impl Iterator<Item = &'a Transition> + Send,
) -> Result<(), CommitError> {
    let mut places: HashMap<(&TenantId, TransitionId), usize> = HashMap::new();
    let mut last: Vec<(&Transition, Option<UtcMicros>)> = Vec::new();
    for transition in transitions {
        let effect = took_effect_at(transition);
        let place = *places.entry((&transition.tenant, transition.id)).or_insert_with(|| {
            last.push((transition, None));
            last.len() - 1
        });
        // An acceptance and its confirmation may come in one group.
        last[place] = (transition, last[place].1.or(effect));
    }
    let rows = last
        .into_iter()
        .map(|(transition, effect)| Texted::new(transition, effect))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CommitError::Refused(std::sync::Arc::new(error)))?;
    batch::run(connection, script, &UPSERT, &rows, |row, values| bind(row, now, values)).await
}

fn bind(row: &Texted<'_>, now: UtcMicros, values: &mut batch::Values) {
    let it = row.transition;
    let rule = match &it.actor {
        Actor::Rule { id, .. } => Some(id.as_str()),
        Actor::Person { .. } | Actor::Daemon => None,
    };
    values
        .text(it.tenant.as_str())
        .text(it.id.to_string())
        .text(it.agent.as_str())
        .text(it.target.name())
        .text(it.reason.as_str())
        .text(it.priority.name())
        .text(&*row.actor)
        .text_or_null(rule)
        .text(it.status.name())
        .text(&*row.standing)
        .int(it.requested_at.as_micros())
        .int(it.deadline.as_micros())
        .int_or_null(row.accepted_at.map(UtcMicros::as_micros))
        .int_or_null(it.status.is_final().then(|| now.as_micros()))
        .text_or_null(it.before.as_ref().map(AgentState::name))
        .text_or_null(it.violation.map(Violation::code))
        .int(i64::from(it.attempts))
        .int_or_null(it.latency_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))
        .text(&*row.on_contact)
        .text_or_null(it.note.as_deref())
        .text(&*row.explanation)
        .text_or_null(it.change_set.map(|id| id.to_string()));
}

pub(in crate::store) fn decode(row: &AnyRow) -> Result<StoredTransition, ReadError> {
    let cells = Cells::of("transitions", row);
    let violation = match cells.text_or_null("violation")? {
        None => None,
        Some(_) => Some(cells.word("violation", Violation::from_code)?),
    };
    Ok(StoredTransition {
        accepted_at: cells.instant_or_null("accepted_at")?,
        finished_at: cells.instant_or_null("finished_at")?,
        transition: Transition {
            id: cells.parsed("id")?,
            tenant: TenantId::new(cells.text("tenant")?),
            agent: AgentId::new(cells.text("agent")?),
            target: AgentState::stored(cells.text("target")?),
            reason: ReasonCode::new(cells.text("reason")?),
            priority: cells.word("priority", Priority::from_name)?,
            actor: cells.json("actor")?,
            note: cells.text_or_null("note")?.map(str::to_owned),
            on_contact: cells.json("on_contact")?,
            requested_at: cells.instant("requested_at")?,
            deadline: cells.instant("deadline")?,
            before: cells.text_or_null("before")?.map(AgentState::stored),
            explanation: cells.json("explanation")?,
            attempts: cells.number("attempts")?,
            violation,
            latency_ms: cells.number_or_null("latency_ms")?,
            change_set: cells.parsed_or_null("change_set")?,
            status: cells.json("standing")?,
        },
    })
}
