//! Requests about rules and exceptions. The keeper answers them, because it holds those in force; a change is committed
//! and takes effect in one of its passes.

pub mod approvals;
pub mod backtests;
mod edit;
mod request;

use std::sync::Arc;

use tokio::sync::oneshot;

use self::backtests::{BacktestInput, BacktestRequest};
pub use self::edit::{EditResult, MAX_STORED_RULES, RuleChange, RuleEdit, RuleEditError};
pub use self::request::{
    AgentRules, EndException, ExceptionError, MAX_OPEN_EXCEPTIONS, NewException, RuleCheck, RuleRequest,
};
use super::changes::keeper_handle::KeeperHandle;
use super::changes::request::KeeperError;
use super::keeper_message::KeeperMessage;
use crate::domain::adherence::exception::Exception;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::rule::catalog::CatalogEntry;

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
        self.ask(tenant, |reply| KeeperMessage::RuleRequest(Box::new(into_request(reply)))).await
    }
}
