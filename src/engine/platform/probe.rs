//! Makes one call of each kind of question to a platform, for operators who want to know whether it answers. In a
//! running daemon these calls take slots of the budget and are in the call log like all others. They change nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::calls::{CallKind, call_within_budget};
use super::link::Link;
use crate::domain::ids::{AgentId, TenantId};
use crate::engine::operations::tenants::Tenants;
use crate::platform::budget::Urgency;
use crate::platform::{Answer, CallError, ClockOffset, Platform};
use crate::store::CommitError;

/// A call that takes a slot and changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Whether an agent is scheduled.
    Schedule,
    /// Whether an agent must take a break.
    Break,
}

impl Question {
    /// All questions.
    pub const ALL: [Self; 2] = [Self::Schedule, Self::Break];

    /// Returns the name in reports.
    pub const fn name(self) -> &'static str {
        self.kind().name()
    }

    const fn kind(self) -> CallKind {
        match self {
            Self::Schedule => CallKind::Schedule,
            Self::Break => CallKind::Break,
        }
    }

    /// Makes the call once, regardless of the budget.
    pub async fn send(self, platform: &dyn Platform, agent: &AgentId) -> Result<Answer<()>, CallError> {
        let answer = match self {
            Self::Schedule => platform.is_scheduled(agent),
            Self::Break => platform.break_required(agent),
        };
        answer.await.map(|answer| answer.map(|_| ()))
    }
}

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProbeResult {
    /// Which.
    pub question: String,
    /// `ok`, `no_slot` where the budget was used up, or the class of the failure.
    pub outcome: String,
    /// For people.
    pub detail: String,
}

impl ProbeResult {
    /// Returns the result for an answer or failure.
    pub fn of<T>(question: &str, result: &Result<Answer<T>, CallError>) -> Self {
        let (outcome, detail) = match result {
            Ok(answer) => ("ok", format!("answered within {} ms", answer.latency.as_millis())),
            Err(error) => (error.failure.class(), error.to_string()),
        };
        Self { question: question.to_owned(), outcome: outcome.to_owned(), detail }
    }
}

/// What is known of a tenant's platform after it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProbeReport {
    /// Question by question.
    pub questions: Vec<ProbeResult>,
    /// Slots of the budget that are free now, the reserve included.
    pub budget_free: usize,
    /// The platform's clock − ours, in milliseconds; none while nothing is known of it.
    pub clock_offset_ms: Option<i64>,
    /// How far that can be off, in milliseconds.
    pub clock_uncertainty_ms: u64,
}

/// Returns the offset in milliseconds, `None` if unknown, and its uncertainty in milliseconds.
pub fn offset_millis(offset: &ClockOffset) -> (Option<i64>, u64) {
    let Some(uncertain) = offset.uncertainty() else { return (None, 0) };
    (Some(offset.offset_micros() / 1_000), super::calls::real_millis(uncertain))
}

/// Probes the platforms of a running daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Probes(Tenants);

impl Probes {
    /// Creates the service for these tenants.
    pub const fn new(tenants: Tenants) -> Self {
        Self(tenants)
    }

    /// Asks every question about one agent; returns `None` if there is no such tenant. A question for which no slot is
    /// free is not asked.
    ///
    /// # Errors
    ///
    /// Fails if the store did not record a call, which was then not made.
    pub async fn run(&self, tenant: &TenantId, agent: &AgentId) -> Option<Result<ProbeReport, CommitError>> {
        Some(run(&self.0.link(tenant)?, agent).await)
    }
}

async fn run(link: &Arc<Link>, agent: &AgentId) -> Result<ProbeReport, CommitError> {
    let mut questions = Vec::new();
    for question in Question::ALL {
        let now = link.clock.monotonic();
        if link.budget().next_free(now, Urgency::Ordinary).is_none_or(|at| at > now) {
            questions.push(ProbeResult {
                question: question.name().to_owned(),
                outcome: "no_slot".to_owned(),
                detail: "not asked: the budget of this minute is used up".to_owned(),
            });
            continue;
        }
        let call = question.send(&*link.platform, agent);
        let result = call_within_budget(link, question.kind(), Urgency::Ordinary, Some(agent), call).await?;
        questions.push(ProbeResult::of(question.name(), &result));
    }
    let (clock_offset_ms, clock_uncertainty_ms) = offset_millis(&link.offset());
    let budget_free = link.budget().free_slots(link.clock.monotonic());
    Ok(ProbeReport { questions, budget_free, clock_offset_ms, clock_uncertainty_ms })
}
