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

/// A rule, in force or not.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleResponse {
    /// Its id.
    id: RuleId,
    /// `configuration`, `store`, or `replaced`: the store's stands in for the configuration's.
    origin: &'static str,
    /// Goes up with every change; 0 for what the store knows nothing of.
    version: u64,
    /// Names the rule as it is in force: transitions, findings and audit entries have it.
    hash: Option<String>,
    /// TOML of one `[[rules]]` table.
    text: String,
    /// The same of the configuration's rule that it stands in for.
    configuration: Option<String>,
    /// Whether it acts.
    mode: Mode,
    /// Whether it is switched on.
    enabled: bool,
    /// Where it is tried; null: in its place.
    order: Option<i32>,
    /// Its class of priority.
    class: Class,
    /// What it wants, for people.
    wants: String,
    /// Whether it is one of the rules that are tried.
    in_force: bool,
    /// Why it is not.
    why_not: Option<String>,
    /// What is wrong with it, where the check does not let it in force.
    complaints: Vec<LineDiagnostic>,
    /// When the store's was changed last.
    changed_at: Option<UtcMicros>,
    /// By whom.
    changed_by: Option<String>,
    /// Why, in that person's words.
    why: Option<String>,
    /// What it did and would have done in the span.
    counts: RuleCounts,
}

/// What a rule did and would have done.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(in crate::http) struct RuleCounts {
    /// How often it would have acted while it watched.
    would: u64,
    /// On how many agents.
    would_agents: u64,
    /// How often it told or asked people something.
    told: u64,
    /// How often an agent took back a change of it.
    reversed: u64,
    /// How often which guard held it back, of those that people should know of.
    held: Vec<FindingGuardCount>,
    /// What it asked for.
    transitions: TransitionCounts,
}

/// How often a guard held a rule back.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::http) struct FindingGuardCount {
    /// Which.
    guard: String,
    /// How often.
    times: u64,
}

/// Transitions by status.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(in crate::http) struct TransitionCounts {
    /// All.
    total: u64,
    /// Those that have not ended.
    open: u64,
    /// By status.
    by_status: Vec<StatusCount>,
}

/// Transitions of one status.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::http) struct StatusCount {
    /// Which.
    status: &'static str,
    /// How many.
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

/// One version of a rule of the store.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleVersionResponse {
    /// Its number.
    version: u64,
    /// Its text.
    text: String,
    /// The mode in the text.
    mode: Mode,
    /// Whether it was switched on.
    enabled: bool,
    /// Where it was tried.
    order: Option<i32>,
    /// It was taken out of the store with this version.
    removed: bool,
    /// When.
    at: UtcMicros,
    /// By whom.
    by: String,
    /// Why.
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

/// What a check found.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleCheckResponse {
    /// It can be in force.
    ok: bool,
    /// What is wrong, by line.
    complaints: Vec<LineDiagnostic>,
    /// What is right and may surprise.
    warnings: Vec<String>,
    /// The rule, where it can be read.
    rule: Option<ParsedRule>,
}

/// A rule that could be read.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ParsedRule {
    /// Its id.
    id: RuleId,
    /// Whether it acts.
    mode: Mode,
    /// Its class of priority.
    class: Class,
    /// What it wants, for people.
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

/// What a rule found of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FindingResponse {
    /// Its id.
    id: FindingId,
    /// When.
    at: UtcMicros,
    /// Which rule.
    rule: RuleId,
    /// The rule as it was in force.
    hash: String,
    /// `would`, `told`, `held` or `reversed`.
    kind: &'static str,
    /// Of whom.
    agent: AgentId,
    /// The name, where one is known.
    name: Option<String>,
    /// The team, where it is known.
    team: Option<TeamName>,
    /// What the rule wanted.
    wants: String,
    /// The facts.
    because: String,
    /// What held it back.
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

/// What the rules make of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentRulesResponse {
    /// Whose.
    tenant: TenantId,
    /// Who.
    agent: AgentId,
    /// When.
    at: UtcMicros,
    /// Every rule leaves the agent alone until then, since a change was taken back.
    left_alone_until: Option<UtcMicros>,
    /// The agent is excused until then.
    excused_until: Option<UtcMicros>,
    /// In the order in which they are tried.
    rules: Vec<AgentRuleResponse>,
}

/// What one rule makes of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentRuleResponse {
    /// Which.
    rule: RuleId,
    /// As it is in force.
    hash: String,
    /// Whether it acts.
    mode: Mode,
    /// What it wants.
    wants: String,
    /// `no_match`, `held`, `taken` (an earlier rule has the agent) or `decided`.
    outcome: &'static str,
    /// What holds it back.
    guard: Option<&'static str>,
    /// The same in words, or the rule that has the agent.
    why: Option<String>,
    /// The facts in a line.
    because: String,
    /// What each condition of `when` found.
    conditions: Vec<ConditionResponse>,
    /// The same of `unless`; empty where it was not looked at.
    unless: Vec<ConditionResponse>,
}

/// One condition.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ConditionResponse {
    /// The key in the rule.
    condition: String,
    /// What it asks for.
    wanted: String,
    /// What was found.
    actual: String,
    /// Whether it holds.
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
