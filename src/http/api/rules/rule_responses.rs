//! The responses about rules, and how they are built.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::{AgentId, FindingId, RuleId, TeamName, TenantId};
use crate::domain::rules::planner::{Finding, RuleExplanation, RuleOutcome};
use crate::domain::rules::rule::catalog::{CatalogEntry, StoredRuleVersion};
use crate::domain::rules::rule::rule_text::{LineDiagnostic, parse_rule_text, to_rule_text};
use crate::domain::rules::rule::{Class, Mode, Rule};
use crate::domain::time::UtcMicros;
use crate::engine::rules::{AgentRules, RuleCheck};
use crate::store::{FindingCount, FindingKind, StoredFinding, TransitionCountsByRule};

/// A rule.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleResponse {
    /// The id of the rule.
    id: RuleId,
    /// Where the rule comes from: `configuration`, `store`, or `replaced` if a rule of the store replaces the
    /// configuration's.
    origin: &'static str,
    /// The version of the rule, which increases with each change; 0 for a rule that exists only in the configuration.
    version: u64,
    /// The hash of the rule in force, which transitions, findings and audit entries record; null if the rule is not in
    /// force.
    hash: Option<String>,
    /// The TOML of one `[[rules]]` table.
    text: String,
    /// The TOML of the configuration's rule that this rule replaces; null if it replaces none.
    configuration: Option<String>,
    /// The mode, which says whether the rule changes states.
    mode: Mode,
    /// Whether the rule is enabled.
    enabled: bool,
    /// The position of the rule. A negative number is before the rules of the configuration, any other after them; null
    /// means the position of the configuration's rule.
    order: Option<i32>,
    /// The priority class of the rule.
    class: Class,
    /// The action of the rule, for display.
    wants: String,
    /// Whether the rule is in force.
    in_force: bool,
    /// Why the rule is not in force; null if it is.
    why_not: Option<String>,
    /// The errors that keep the rule from being in force.
    complaints: Vec<LineDiagnostic>,
    /// When the rule was last changed in the store; null if it never was.
    changed_at: Option<UtcMicros>,
    /// Who last changed the rule in the store; null if nobody did.
    changed_by: Option<String>,
    /// The reason given for the last change; null if none was given.
    why: Option<String>,
    /// What the rule did in the time range.
    counts: RuleCounts,
}

/// How often a rule acted or would have acted.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(in crate::http) struct RuleCounts {
    /// How often the rule would have acted while it was in monitoring mode.
    would: u64,
    /// The number of agents on whom it would have acted.
    would_agents: u64,
    /// How often the rule notified people or asked them a question.
    told: u64,
    /// How often an agent reverted a change of the rule.
    reversed: u64,
    /// How often each guard held a change of the rule. Only guards that are of interest to people are listed.
    held: Vec<FindingGuardCount>,
    /// The transitions that the rule requested.
    transitions: TransitionCounts,
}

/// How often a guard held a change of a rule.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::http) struct FindingGuardCount {
    /// The name of the guard.
    guard: String,
    /// The number of times.
    times: u64,
}

/// The number of transitions by status.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(in crate::http) struct TransitionCounts {
    /// The number of all transitions.
    total: u64,
    /// The number of transitions that have not ended.
    open: u64,
    /// The number of transitions for each status.
    by_status: Vec<StatusCount>,
}

/// The number of transitions with one status.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::http) struct StatusCount {
    /// The status.
    status: &'static str,
    /// The number of transitions.
    count: u64,
}

/// The names of the statuses of transitions that have not ended.
const OPEN_STATUSES: [&str; 6] = ["requested", "waiting", "sending", "in_doubt", "accepted", "pending"];

/// Returns the counts of each rule.
pub(super) fn counts_by_rule(
    requested: TransitionCountsByRule,
    found: Vec<FindingCount>,
) -> BTreeMap<RuleId, RuleCounts> {
    let mut counts: BTreeMap<RuleId, RuleCounts> = BTreeMap::new();
    for (rule, by_status) in requested {
        let transitions = &mut counts.entry(rule).or_default().transitions;
        for (status, count) in by_status {
            transitions.total += count;
            transitions.open += if OPEN_STATUSES.contains(&status) { count } else { 0 };
            transitions.by_status.push(StatusCount { status, count });
        }
    }
    for FindingCount { rule, kind, guard, count: times, agents } in found {
        let counts = counts.entry(rule).or_default();
        match kind {
            FindingKind::WouldHaveChanged => (counts.would, counts.would_agents) = (times, agents),
            FindingKind::Notified => counts.told = times,
            FindingKind::RevertedByAgent => counts.reversed = times,
            FindingKind::Held => counts.held.push(FindingGuardCount { guard: guard.unwrap_or_default(), times }),
        }
    }
    counts
}

impl RuleResponse {
    pub(super) fn from_listed(listed: &CatalogEntry, counts: RuleCounts) -> Self {
        let (edition, rule) = (listed.stored.as_ref(), listed.rule.as_ref());
        let base_text = || listed.configured.as_ref().and_then(|base| to_rule_text(base).ok());
        let why_not = match (listed.in_force, listed.is_enabled(), listed.diagnostics.first()) {
            (true, _, _) => None,
            (false, false, _) => Some("disabled".to_owned()),
            (false, true, Some(first)) => {
                Some(format!("it no longer passes the check: line {}: {}", first.line, first.message))
            }
            (false, true, None) => Some("it no longer passes the check".to_owned()),
        };
        Self {
            id: listed.id.clone(),
            origin: listed.origin.name(),
            version: listed.version(),
            hash: rule.filter(|_| listed.in_force).and_then(|rule| rule.version().ok()).map(|hash| hash.to_string()),
            text: edition.map(|edition| edition.text.to_string()).or_else(base_text).unwrap_or_default(),
            configuration: edition.and_then(|_| base_text()),
            mode: rule.map(|rule| rule.mode).unwrap_or_default(),
            enabled: listed.is_enabled(),
            order: edition.and_then(|edition| edition.order),
            class: rule.map(|rule| rule.priority).unwrap_or_default(),
            wants: rule.map(describe_action).unwrap_or_default(),
            in_force: listed.in_force,
            why_not,
            complaints: listed.diagnostics.clone(),
            changed_at: edition.map(|edition| edition.changed_at),
            changed_by: edition.map(|edition| edition.changed_by.to_string()),
            why: edition.and_then(|edition| edition.comment.as_deref()).map(str::to_owned),
            counts,
        }
    }
}

/// Describes a rule's action for people, as it was written: a rule that does not pass the check has no other form.
fn describe_action(rule: &Rule) -> String {
    let then = &rule.then;
    match (&then.set_state, &then.tell, &then.ask) {
        (Some(state), _, _) => match &then.reason {
            Some(reason) => format!("set {state} ({reason})"),
            None => format!("set {state}"),
        },
        (None, Some(text), _) => format!("tell \"{text}\""),
        (None, None, Some(text)) => format!("ask \"{text}\""),
        (None, None, None) => "log out".to_owned(),
    }
}

/// A version of a rule in the store.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleVersionResponse {
    /// The number of the version.
    version: u64,
    /// The TOML of one `[[rules]]` table.
    text: String,
    /// The mode in the text.
    mode: Mode,
    /// Whether the rule was enabled.
    enabled: bool,
    /// The position of the rule.
    order: Option<i32>,
    /// Whether this version removed the rule from the store.
    removed: bool,
    /// When the version was created.
    at: UtcMicros,
    /// Who created the version.
    by: String,
    /// The reason given for the change; null if none was given.
    why: Option<String>,
}

impl RuleVersionResponse {
    pub(super) fn from_edition(edition: &StoredRuleVersion) -> Self {
        Self {
            version: edition.version,
            mode: parse_rule_text(&edition.text).map(|rule| rule.mode).unwrap_or_default(),
            text: edition.text.to_string(),
            enabled: edition.enabled,
            order: edition.order,
            removed: edition.removed,
            at: edition.changed_at,
            by: edition.changed_by.to_string(),
            why: edition.comment.as_deref().map(str::to_owned),
        }
    }
}

/// The result of a check of a rule's text.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleCheckResponse {
    /// Whether the rule is valid.
    ok: bool,
    /// The errors, by line.
    complaints: Vec<LineDiagnostic>,
    /// Warnings about a valid rule that may not do what is expected.
    warnings: Vec<String>,
    /// The rule; null if the text cannot be parsed.
    rule: Option<ParsedRule>,
}

/// A rule that was parsed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ParsedRule {
    /// The id of the rule.
    id: RuleId,
    /// The mode, which says whether the rule changes states.
    mode: Mode,
    /// The priority class of the rule.
    class: Class,
    /// The action of the rule, for display.
    wants: String,
}

impl RuleCheckResponse {
    pub(super) fn from_check(checked: RuleCheck) -> Self {
        let rule = checked.rule.map(|rule| ParsedRule {
            mode: rule.mode,
            class: rule.priority,
            wants: describe_action(&rule),
            id: rule.id,
        });
        Self { ok: checked.diagnostics.is_empty(), complaints: checked.diagnostics, warnings: checked.warnings, rule }
    }
}

/// A finding of a rule about an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FindingResponse {
    /// The id of the finding.
    id: FindingId,
    /// When the finding was made.
    at: UtcMicros,
    /// The id of the rule.
    rule: RuleId,
    /// The hash of the rule that was in force.
    hash: String,
    /// The kind: `would` (would have acted), `told` (notified people), `held` (held by a guard) or `reversed` (the
    /// agent reverted the change).
    kind: &'static str,
    /// The id of the agent.
    agent: AgentId,
    /// The name of the agent; null if unknown.
    name: Option<String>,
    /// The team of the agent; null if unknown.
    team: Option<TeamName>,
    /// The action that the rule wanted to take.
    wants: String,
    /// The facts behind the finding, in words.
    because: String,
    /// The guard that held the change; null if none did.
    guard: Option<String>,
}

impl FindingResponse {
    pub(super) fn from_stored(stored: StoredFinding) -> Self {
        let StoredFinding { finding, name, team } = stored;
        Self {
            id: finding.id,
            at: finding.at,
            rule: finding.rule,
            hash: finding.rule_version.to_string(),
            kind: finding.kind.name(),
            agent: finding.agent,
            name: name.as_deref().map(str::to_owned),
            team,
            wants: finding.intended_action,
            because: finding.facts,
            guard: finding.guard.as_deref().map(str::to_owned),
        }
    }
}

/// What the rules decide about an agent now.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentRulesResponse {
    /// The id of the tenant.
    tenant: TenantId,
    /// The id of the agent.
    agent: AgentId,
    /// When the rules were evaluated.
    at: UtcMicros,
    /// The time until which no rule changes the agent's state, because a change was reverted or denied; null if there
    /// is none.
    left_alone_until: Option<UtcMicros>,
    /// The end of the exception that applies to the agent; null if none applies.
    excused_until: Option<UtcMicros>,
    /// The rules, in the order in which they are evaluated.
    rules: Vec<AgentRuleResponse>,
}

/// What one rule decides about an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentRuleResponse {
    /// The id of the rule.
    rule: RuleId,
    /// The hash of the rule in force.
    hash: String,
    /// The mode, which says whether the rule changes states.
    mode: Mode,
    /// The action of the rule, for display.
    wants: String,
    /// The decision: `no_match`, `held` (by a guard), `taken` (an earlier rule acts on the agent) or `decided` (the
    /// rule acts).
    outcome: &'static str,
    /// The guard that holds the change; null if none does.
    guard: Option<&'static str>,
    /// The explanation of the guard, or the earlier rule that acts on the agent; null if neither applies.
    why: Option<String>,
    /// The facts behind the decision, in words.
    because: String,
    /// The result of each condition in `when`.
    conditions: Vec<ConditionResponse>,
    /// The result of each condition in `unless`; empty if they were not evaluated.
    unless: Vec<ConditionResponse>,
}

/// The result of one condition.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ConditionResponse {
    /// The key of the condition in the rule.
    condition: String,
    /// The value that the condition requires.
    wanted: String,
    /// The actual value.
    actual: String,
    /// Whether the condition holds.
    held: bool,
}

impl ConditionResponse {
    fn from_finding(finding: Finding) -> Self {
        let Finding { condition, wanted, actual, held } = finding;
        Self { condition: condition.into_owned(), wanted, actual, held }
    }
}

impl AgentRulesResponse {
    pub(super) fn from_explanation(tenant: TenantId, explained: AgentRules) -> Self {
        let AgentRules { explanation, paused_until: left_alone_until, exception: excused } = explained;
        Self {
            tenant,
            agent: explanation.agent,
            at: explanation.at,
            left_alone_until,
            excused_until: excused.map(|span| span.end),
            rules: explanation.rules.into_iter().map(agent_rule_response).collect(),
        }
    }
}

fn agent_rule_response(explained: RuleExplanation) -> AgentRuleResponse {
    let (outcome, guard, why) = match explained.outcome {
        RuleOutcome::NoMatch => ("no_match", None, None),
        RuleOutcome::Held { guard, why } => ("held", Some(guard.name()), Some(why)),
        RuleOutcome::Taken { by } => ("taken", None, Some(format!("{by} has the agent"))),
        RuleOutcome::Decided => ("decided", None, None),
    };
    AgentRuleResponse {
        rule: explained.rule,
        hash: explained.version.to_string(),
        mode: explained.mode,
        wants: explained.wish.to_string(),
        outcome,
        guard,
        why,
        because: explained.facts.to_string(),
        conditions: explained.facts.conditions.into_iter().map(ConditionResponse::from_finding).collect(),
        unless: explained.unless.into_iter().map(ConditionResponse::from_finding).collect(),
    }
}
