//! What people ask about rules and exceptions, and what they change of them. The keeper answers: it has them in force, and a change
//! is committed and takes effect in one of its passes.

pub mod approvals;
pub mod trials;

use std::sync::Arc;

use tokio::sync::oneshot;

use self::trials::{TrialKit, TrialWish};
use super::changes::door::{Door, DoorError};
use super::message::Message;
use crate::domain::access::rights::Asker;
use crate::domain::adherence::exception::{Exception, Whom};
use crate::domain::ids::{AgentId, ExceptionId, RuleId, TeamName, TenantId};
use crate::domain::rules::planner::Explanation;
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::shelf::Listed;
use crate::domain::rules::rule::written::LineComplaint;
use crate::domain::schedules::schedule::Coverage;
use crate::domain::time::UtcMicros;

/// The most rules that the store keeps for a tenant, those out of force included.
pub const MOST_STORED_RULES: usize = 200;
/// The most exceptions of a tenant that are running or to come.
pub const MOST_OPEN_EXCEPTIONS: usize = 1000;

/// One thing that is asked of a keeper.
#[derive(Debug)]
pub enum RulesAsk {
    /// Every rule that there is.
    List(oneshot::Sender<Arc<[Listed]>>),
    /// What is wrong with a text.
    Check(String, oneshot::Sender<Checked>),
    /// A change of one rule.
    Edit(RuleEdit, oneshot::Sender<Result<Edited, EditRefused>>),
    /// What every rule says of one agent.
    Explain(AgentId, oneshot::Sender<Option<AgentRules>>),
    /// What a trial needs.
    Prepare(TrialWish, oneshot::Sender<Result<TrialKit, EditRefused>>),
    /// Somebody is to be excused.
    Excuse(NewException, oneshot::Sender<Result<Exception, ExceptionRefused>>),
    /// An exception is to end now.
    EndException(EndException, oneshot::Sender<Result<Exception, ExceptionRefused>>),
}

/// A wish to change one rule.
#[derive(Clone, PartialEq, Debug)]
pub struct RuleEdit {
    /// Which.
    pub rule: RuleId,
    /// How.
    pub change: RuleChange,
    /// Only where this is its version still; 0 is a rule that the store knows nothing of.
    pub version: Option<u64>,
    /// Why, in the words of who asks.
    pub why: Option<String>,
    /// Who asks.
    pub asker: Asker,
}

/// What is to become of a rule.
#[derive(Clone, PartialEq, Debug)]
pub enum RuleChange {
    /// This text.
    Write {
        /// The text of one `[[rules]]` table.
        text: String,
        /// Where it is tried; see `domain::rules::rule::shelf`.
        order: Option<i32>,
        /// Whether it is in force.
        enabled: bool,
    },
    /// The same with another mode.
    Mode(Mode),
    /// The same, in force or not.
    Enable(bool),
    /// It goes; the configuration's, where there is one, is back.
    Remove,
}

impl RuleChange {
    /// The word of the audit chain.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Write { .. } => "written",
            Self::Mode(_) => "mode",
            Self::Enable(true) => "enabled",
            Self::Enable(false) => "disabled",
            Self::Remove => "removed",
        }
    }
}

/// What came of a change.
#[derive(Clone, PartialEq, Debug)]
pub struct Edited {
    /// The rule as it is now; none where it was removed and the configuration has none of its id.
    pub rule: Option<Listed>,
    /// There was no rule of this id before.
    pub is_new: bool,
}

/// Why a rule was not changed or tried.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditRefused {
    /// There is none.
    #[error(
        "there is no rule {0}; `shiftkeeper rules list`, the page Rules and GET /api/v1/rules have those that there are"
    )]
    NoRule(RuleId),
    /// It is the configuration's alone.
    #[error("{0} is a rule of the configuration and not in the store: disable it, or take it out of the configuration")]
    NotInStore(RuleId),
    /// Somebody else was faster.
    #[error(
        "the rule {rule} has changed meanwhile: it is at version {version}; read it again and put the change on top of that"
    )]
    Changed {
        /// Which.
        rule: RuleId,
        /// As it is now.
        version: u64,
    },
    /// The text is wrong.
    #[error("the rule is not taken; {}", complaints_text(.0))]
    Wrong(Vec<LineComplaint>),
    /// There are too many.
    #[error("a tenant has {MOST_STORED_RULES} rules in the store at most: remove one first")]
    TooMany,
}

fn complaints_text(complaints: &[LineComplaint]) -> String {
    let lines: Vec<String> =
        complaints.iter().map(|complaint| format!("line {}: {}", complaint.line, complaint.message)).collect();
    lines.join("; ")
}

/// What a check found.
#[derive(Clone, PartialEq, Debug)]
pub struct Checked {
    /// What is wrong; empty when it can be in force.
    pub complaints: Vec<LineComplaint>,
    /// What is right and may surprise.
    pub warnings: Vec<String>,
    /// The rule, where it can be read.
    pub rule: Option<crate::domain::rules::rule::Rule>,
}

/// What the rules make of one agent.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentRules {
    /// What each says.
    pub explanation: Explanation,
    /// Until when every rule leaves the agent alone, where that is not over.
    pub left_alone_until: Option<UtcMicros>,
    /// The span in which the agent is excused now.
    pub excused: Option<Coverage>,
}

/// Somebody is to be excused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewException {
    /// Who.
    pub whom: Whom,
    /// First instant.
    pub from: UtcMicros,
    /// First instant after it.
    pub to: UtcMicros,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub asker: Asker,
}

/// An exception is to end now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndException {
    /// Which, as stored when it was asked for.
    pub exception: Exception,
    /// It is taken back: what it excused before now counts again too.
    pub whole: bool,
    /// Why.
    pub why: Option<String>,
    /// Who asks.
    pub asker: Asker,
}

/// Why nobody is excused, or an exception goes on as it was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExceptionRefused {
    /// The roster has no such agent.
    #[error("there is no agent {0}: neither an imported schedule nor the tenant's `agents` names it")]
    NoAgent(AgentId),
    /// Nobody is in this team.
    #[error("no agent is in a team {0}; teams are spelled as in the schedule")]
    NoTeam(TeamName),
    /// There are too many.
    #[error(
        "{MOST_OPEN_EXCEPTIONS} exceptions are active or upcoming, which is the limit: end one, or approve one for a whole team"
    )]
    TooMany,
    /// It is over.
    #[error("the exception {0} has ended or was revoked; `whole` revokes one that has ended")]
    Over(ExceptionId),
}

impl Door {
    /// Every rule of a tenant, in the order in which they are tried; those out of force at the end.
    pub async fn rules(&self, tenant: &TenantId) -> Result<Arc<[Listed]>, DoorError> {
        self.ask_rules(tenant, RulesAsk::List).await
    }

    /// What is wrong with the text of one rule, beside the rules that there are.
    pub async fn check_rule(&self, tenant: &TenantId, text: String) -> Result<Checked, DoorError> {
        self.ask_rules(tenant, |reply| RulesAsk::Check(text, reply)).await
    }

    /// Changes one rule; answers once it is recorded and in force.
    pub async fn edit_rule(&self, tenant: &TenantId, edit: RuleEdit) -> Result<Result<Edited, EditRefused>, DoorError> {
        self.check_open()?;
        self.ask_rules(tenant, |reply| RulesAsk::Edit(edit, reply)).await
    }

    /// What the rules make of an agent now; none of an agent that the roster does not have.
    pub async fn explain_agent(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<AgentRules>, DoorError> {
        self.ask_rules(tenant, |reply| RulesAsk::Explain(agent, reply)).await
    }

    /// What a trial needs.
    pub async fn prepare_trial(
        &self,
        tenant: &TenantId,
        wish: TrialWish,
    ) -> Result<Result<TrialKit, EditRefused>, DoorError> {
        self.ask_rules(tenant, |reply| RulesAsk::Prepare(wish, reply)).await
    }

    /// Excuses somebody; answers once it is recorded.
    pub async fn excuse(
        &self,
        tenant: &TenantId,
        new: NewException,
    ) -> Result<Result<Exception, ExceptionRefused>, DoorError> {
        self.check_open()?;
        self.ask_rules(tenant, |reply| RulesAsk::Excuse(new, reply)).await
    }

    /// Ends an exception now.
    pub async fn end_exception(
        &self,
        tenant: &TenantId,
        end: EndException,
    ) -> Result<Result<Exception, ExceptionRefused>, DoorError> {
        self.check_open()?;
        self.ask_rules(tenant, |reply| RulesAsk::EndException(end, reply)).await
    }

    async fn ask_rules<T>(
        &self,
        tenant: &TenantId,
        ask: impl FnOnce(oneshot::Sender<T>) -> RulesAsk,
    ) -> Result<T, DoorError> {
        let (reply, answer) = oneshot::channel();
        self.send(tenant, Message::Rules(Box::new(ask(reply)))).await?;
        answer.await.map_err(|_| DoorError::Unavailable)
    }
}
