//! Requests to the keeper about rules and exceptions, and the replies.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::backtests::{BacktestInput, BacktestRequest};
use super::edit::{EditResult, RuleEdit, RuleEditError};
use crate::domain::access::rights::Requester;
use crate::domain::adherence::exception::{Exception, ExceptionScope};
use crate::domain::ids::{AgentId, ExceptionId, TeamName};
use crate::domain::rules::planner::Explanation;
use crate::domain::rules::rule::Rule;
use crate::domain::rules::rule::catalog::CatalogEntry;
use crate::domain::rules::rule::rule_text::LineDiagnostic;
use crate::domain::schedules::schedule::Coverage;
use crate::domain::time::UtcMicros;

/// The most exceptions of a tenant that are active or upcoming.
pub const MAX_OPEN_EXCEPTIONS: usize = 1000;

/// A request to a keeper about rules or exceptions.
#[derive(Debug)]
pub enum RuleRequest {
    /// Lists all rules.
    List(oneshot::Sender<Arc<[CatalogEntry]>>),
    /// Checks the text of a rule.
    Check(String, oneshot::Sender<RuleCheck>),
    /// Changes one rule.
    Edit(RuleEdit, oneshot::Sender<Result<EditResult, RuleEditError>>),
    /// Explains what every rule says about one agent.
    Explain(AgentId, oneshot::Sender<Option<AgentRules>>),
    /// Prepares a backtest.
    PrepareBacktest(BacktestRequest, oneshot::Sender<Result<BacktestInput, RuleEditError>>),
    /// Approves an exception.
    ApproveException(NewException, oneshot::Sender<Result<Exception, ExceptionError>>),
    /// Ends an exception now.
    EndException(EndException, oneshot::Sender<Result<Exception, ExceptionError>>),
}

/// The result of a check.
#[derive(Clone, PartialEq, Debug)]
pub struct RuleCheck {
    /// The errors; empty if the rule can be put in force.
    pub diagnostics: Vec<LineDiagnostic>,
    /// What is valid but may be surprising.
    pub warnings: Vec<String>,
    /// The rule, if the text could be read.
    pub rule: Option<Rule>,
}

/// What the rules say about one agent.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentRules {
    /// The result of each rule.
    pub explanation: Explanation,
    /// Until when all rules leave the agent alone, if they do.
    pub paused_until: Option<UtcMicros>,
    /// The span of the agent's current exception, if any.
    pub exception: Option<Coverage>,
}

/// A request to approve an exception.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewException {
    /// The agent or team.
    pub scope: ExceptionScope,
    /// The first instant.
    pub from: UtcMicros,
    /// The first instant after the exception.
    pub to: UtcMicros,
    /// The reason.
    pub reason: String,
    /// Who requests it.
    pub requester: Requester,
}

/// A request to end an exception now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndException {
    /// The exception, as stored when the request was made.
    pub exception: Exception,
    /// Whether to revoke it: time that it has already made neutral counts again too.
    pub revoke: bool,
    /// The reason.
    pub reason: Option<String>,
    /// Who requests it.
    pub requester: Requester,
}

/// Why an exception was not approved or not ended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExceptionError {
    /// The roster has no such agent.
    #[error("there is no agent {0}: neither an imported schedule nor the tenant's `agents` names it")]
    NoAgent(AgentId),
    /// No agent is in this team.
    #[error("no agent is in a team {0}; teams are spelled as in the schedule")]
    NoTeam(TeamName),
    /// The tenant has the maximum number of exceptions.
    #[error(
        "{MAX_OPEN_EXCEPTIONS} exceptions are active or upcoming, which is the limit: end one, or approve one for a whole team"
    )]
    TooMany,
    /// The exception has already ended.
    #[error("the exception {0} has ended or was revoked; `whole` revokes one that has ended")]
    Ended(ExceptionId),
}
