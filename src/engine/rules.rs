//! Requests about rules and exceptions. The keeper answers them, because it holds those in force; a change is committed
//! and takes effect in one of its passes.

pub mod approvals;
pub mod backtests;

use std::sync::Arc;

use tokio::sync::oneshot;

use self::backtests::{BacktestInput, BacktestRequest};
use super::changes::keeper_handle::{KeeperError, KeeperHandle};
use super::keeper_message::KeeperMessage;
use crate::domain::access::rights::Requester;
use crate::domain::adherence::exception::{Exception, ExceptionScope};
use crate::domain::ids::{AgentId, ExceptionId, RuleId, TeamName, TenantId};
use crate::domain::rules::planner::Explanation;
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::catalog::CatalogEntry;
use crate::domain::rules::rule::rule_text::LineDiagnostic;
use crate::domain::schedules::schedule::Coverage;
use crate::domain::time::UtcMicros;

/// The most rules that the store keeps for a tenant, including disabled ones.
pub const MAX_STORED_RULES: usize = 200;
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

/// A request to change one rule.
#[derive(Clone, PartialEq, Debug)]
pub struct RuleEdit {
    /// The rule.
    pub rule: RuleId,
    /// The change.
    pub change: RuleChange,
    /// The version that the rule must still have; 0 means that the store must not have the rule. `None` if it does not
    /// matter.
    pub version: Option<u64>,
    /// The reason, in the requester's words.
    pub reason: Option<String>,
    /// Who requests it.
    pub requester: Requester,
}

/// A change of a rule.
#[derive(Clone, PartialEq, Debug)]
pub enum RuleChange {
    /// Replaces or creates the rule.
    Write {
        /// The text of one `[[rules]]` table.
        text: String,
        /// The position among the rules; see `domain::rules::rule::catalog`.
        order: Option<i32>,
        /// Whether the rule is in force.
        enabled: bool,
    },
    /// Changes only the mode.
    Mode(Mode),
    /// Only enables or disables the rule.
    Enable(bool),
    /// Removes the rule from the store; a configured rule with the same id is in force again.
    Remove,
}

impl RuleChange {
    /// Returns the name used in the audit chain.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Write { .. } => "written",
            Self::Mode(_) => "mode",
            Self::Enable(true) => "enabled",
            Self::Enable(false) => "disabled",
            Self::Remove => "removed",
        }
    }
}

/// The result of a change.
#[derive(Clone, PartialEq, Debug)]
pub struct EditResult {
    /// The rule as it is now; `None` if it was removed and is not configured.
    pub rule: Option<CatalogEntry>,
    /// Whether no rule had this id before.
    pub is_new: bool,
}

/// Why a rule was not changed or tested.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuleEditError {
    /// There is no such rule.
    #[error(
        "there is no rule {0}; `shiftkeeper rules list`, the page Rules and GET /api/v1/rules have those that there are"
    )]
    NoRule(RuleId),
    /// The rule is only in the configuration.
    #[error("{0} is a rule of the configuration and not in the store: disable it, or take it out of the configuration")]
    NotStored(RuleId),
    /// Somebody else has changed the rule meanwhile.
    #[error(
        "the rule {rule} has changed meanwhile: it is at version {version}; read it again and put the change on top of that"
    )]
    Changed {
        /// The rule.
        rule: RuleId,
        /// Its present version.
        version: u64,
    },
    /// The text is invalid.
    #[error("the rule is not taken; {}", diagnostics_text(.0))]
    Invalid(Vec<LineDiagnostic>),
    /// The tenant has the maximum number of rules.
    #[error("a tenant has {MAX_STORED_RULES} rules in the store at most: remove one first")]
    TooMany,
}

fn diagnostics_text(diagnostics: &[LineDiagnostic]) -> String {
    let lines: Vec<String> =
        diagnostics.iter().map(|diagnostic| format!("line {}: {}", diagnostic.line, diagnostic.message)).collect();
    lines.join("; ")
}

/// The result of a check.
#[derive(Clone, PartialEq, Debug)]
pub struct RuleCheck {
    /// The errors; empty if the rule can be put in force.
    pub diagnostics: Vec<LineDiagnostic>,
    /// What is valid but may be surprising.
    pub warnings: Vec<String>,
    /// The rule, if the text could be read.
    pub rule: Option<crate::domain::rules::rule::Rule>,
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

impl KeeperHandle {
    /// Returns every rule of a tenant in the order of evaluation, followed by the disabled ones.
    pub async fn rules(&self, tenant: &TenantId) -> Result<Arc<[CatalogEntry]>, KeeperError> {
        self.send_rule_request(tenant, RuleRequest::List).await
    }

    /// Checks the text of one rule against the other rules.
    pub async fn check_rule(&self, tenant: &TenantId, text: String) -> Result<RuleCheck, KeeperError> {
        self.send_rule_request(tenant, |reply| RuleRequest::Check(text, reply)).await
    }

    /// Changes one rule; returns once the change is recorded and in force.
    pub async fn edit_rule(
        &self,
        tenant: &TenantId,
        edit: RuleEdit,
    ) -> Result<Result<EditResult, RuleEditError>, KeeperError> {
        self.check_store()?;
        self.send_rule_request(tenant, |reply| RuleRequest::Edit(edit, reply)).await
    }

    /// Returns what the rules say about an agent now; `None` if the agent is not in the roster.
    pub async fn explain_agent(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<AgentRules>, KeeperError> {
        self.send_rule_request(tenant, |reply| RuleRequest::Explain(agent, reply)).await
    }

    /// Returns what a backtest needs.
    pub async fn prepare_backtest(
        &self,
        tenant: &TenantId,
        request: BacktestRequest,
    ) -> Result<Result<BacktestInput, RuleEditError>, KeeperError> {
        self.send_rule_request(tenant, |reply| RuleRequest::PrepareBacktest(request, reply)).await
    }

    /// Approves an exception; returns once it is recorded.
    pub async fn approve_exception(
        &self,
        tenant: &TenantId,
        request: NewException,
    ) -> Result<Result<Exception, ExceptionError>, KeeperError> {
        self.check_store()?;
        self.send_rule_request(tenant, |reply| RuleRequest::ApproveException(request, reply)).await
    }

    /// Ends an exception now; returns once it is recorded.
    pub async fn end_exception(
        &self,
        tenant: &TenantId,
        request: EndException,
    ) -> Result<Result<Exception, ExceptionError>, KeeperError> {
        self.check_store()?;
        self.send_rule_request(tenant, |reply| RuleRequest::EndException(request, reply)).await
    }

    async fn send_rule_request<T>(
        &self,
        tenant: &TenantId,
        into_request: impl FnOnce(oneshot::Sender<T>) -> RuleRequest,
    ) -> Result<T, KeeperError> {
        let (reply, response) = oneshot::channel();
        self.send(tenant, KeeperMessage::RuleRequest(Box::new(into_request(reply)))).await?;
        response.await.map_err(|_| KeeperError::Unavailable)
    }
}
