//! A change of one rule by a person, its result, and the reasons why it is refused.

use crate::domain::access::rights::Requester;
use crate::domain::ids::RuleId;
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::catalog::CatalogEntry;
use crate::domain::rules::rule::rule_text::LineDiagnostic;

/// The most rules that the store keeps for a tenant, including disabled ones.
pub const MAX_STORED_RULES: usize = 200;

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
    #[error("there is no rule {0}; `shiftkeeper rules list`, the page Rules and GET /api/v1/rules list the rules")]
    NoRule(RuleId),
    /// The rule is only in the configuration.
    #[error("{0} is a rule of the configuration and not in the store: disable it, or remove it from the configuration")]
    NotStored(RuleId),
    /// Somebody else has changed the rule meanwhile.
    #[error(
        "the rule {rule} was changed in the meantime and is now at version {version}: read it again and repeat the change"
    )]
    Changed {
        /// The rule.
        rule: RuleId,
        /// Its present version.
        version: u64,
    },
    /// The text is invalid.
    #[error("the rule is not valid; {}", diagnostics_text(.0))]
    Invalid(Vec<LineDiagnostic>),
    /// The tenant has the maximum number of rules.
    #[error("the store already has {MAX_STORED_RULES} rules of the tenant, which is the limit: remove one first")]
    TooMany,
}

fn diagnostics_text(diagnostics: &[LineDiagnostic]) -> String {
    let lines: Vec<String> =
        diagnostics.iter().map(|diagnostic| format!("line {}: {}", diagnostic.line, diagnostic.message)).collect();
    lines.join("; ")
}
