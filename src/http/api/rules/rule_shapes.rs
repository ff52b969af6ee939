//! The shapes in which rules are shown, and how they are made.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::{AgentId, FindingId, RuleId, TeamName, TenantId};
use crate::domain::rules::planner::{Finding, Outcome, RuleExplanation};
use crate::domain::rules::rule::shelf::{Edition, Listed};
use crate::domain::rules::rule::written::{LineComplaint, read_one, written};
use crate::domain::rules::rule::{Class, Mode, Rule};
use crate::domain::time::UtcMicros;
use crate::engine::rules::{AgentRules, Checked};
use crate::store::{AskedByRule, FindingCount, FindingKind, StoredFinding};

/// A rule, in force or not.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleView {
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
    complaints: Vec<LineComplaint>,
    /// When the store's was changed last.
    changed_at: Option<UtcMicros>,
    /// By whom.
    changed_by: Option<String>,
    /// Why, in that person's words.
    why: Option<String>,
    /// What it did and would have done in the span.
    counts: Counts,
}

/// What a rule did and would have done.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(in crate::http) struct Counts {
    /// How often it would have acted while it watched.
    would: u64,
    /// On how many agents.
    would_agents: u64,
    /// How often it told or asked people something.
    told: u64,
    /// How often an agent took back a change of it.
    reversed: u64,
    /// How often which guard held it back, of those that people should know of.
    held: Vec<HeldCount>,
    /// What it asked for.
    transitions: TransitionCounts,
}

/// How often a guard held a rule back.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::http) struct HeldCount {
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

/// What is under way by its name.
const OPEN: [&str; 5] = ["requested", "waiting", "sending", "in_doubt", "accepted"];

/// By rule.
pub(super) fn counts_by_rule(asked: AskedByRule, found: Vec<FindingCount>) -> BTreeMap<RuleId, Counts> {
    let mut counts: BTreeMap<RuleId, Counts> = BTreeMap::new();
    for (rule, by_status) in asked {
        let transitions = &mut counts.entry(rule).or_default().transitions;
        for (status, count) in by_status {
            transitions.total += count;
            transitions.open += if OPEN.contains(&status) { count } else { 0 };
            transitions.by_status.push(StatusCount { status, count });
        }
    }
    for FindingCount { rule, kind, guard, times, agents } in found {
        let counts = counts.entry(rule).or_default();
        match kind {
            FindingKind::Would => (counts.would, counts.would_agents) = (times, agents),
            FindingKind::Told => counts.told = times,
            FindingKind::Reversed => counts.reversed = times,
            FindingKind::Held => counts.held.push(HeldCount { guard: guard.unwrap_or_default(), times }),
        }
    }
    counts
}

impl RuleView {
    pub(super) fn of(listed: &Listed, counts: Counts) -> Self {
        let (edition, rule) = (listed.edition.as_ref(), listed.rule.as_ref());
        let of_base = || listed.base.as_ref().and_then(|base| written(base).ok());
        let why_not = match (listed.in_force, listed.is_enabled(), listed.complaints.first()) {
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
            text: edition.map(|edition| edition.text.to_string()).or_else(of_base).unwrap_or_default(),
            configuration: edition.and_then(|_| of_base()),
            mode: rule.map(|rule| rule.mode).unwrap_or_default(),
            enabled: listed.is_enabled(),
            order: edition.and_then(|edition| edition.order),
            class: rule.map(|rule| rule.priority).unwrap_or_default(),
            wants: rule.map(wants).unwrap_or_default(),
            in_force: listed.in_force,
            why_not,
            complaints: listed.complaints.clone(),
            changed_at: edition.map(|edition| edition.at),
            changed_by: edition.map(|edition| edition.by.to_string()),
            why: edition.and_then(|edition| edition.why.as_deref()).map(str::to_owned),
            counts,
        }
    }
}

/// What a rule wants, for people: as it was written, since one that does not pass the check has no other form.
fn wants(rule: &Rule) -> String {
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
pub(in crate::http) struct RuleVersionView {
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

impl RuleVersionView {
    pub(super) fn of(edition: &Edition) -> Self {
        Self {
            version: edition.version,
            mode: read_one(&edition.text).map(|rule| rule.mode).unwrap_or_default(),
            text: edition.text.to_string(),
            enabled: edition.enabled,
            order: edition.order,
            removed: edition.removed,
            at: edition.at,
            by: edition.by.to_string(),
            why: edition.why.as_deref().map(str::to_owned),
        }
    }
}

/// What a check found.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CheckedView {
    /// It can be in force.
    ok: bool,
    /// What is wrong, by line.
    complaints: Vec<LineComplaint>,
    /// What is right and may surprise.
    warnings: Vec<String>,
    /// The rule, where it can be read.
    rule: Option<ReadRule>,
}

/// A rule that could be read.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ReadRule {
    /// Its id.
    id: RuleId,
    /// Whether it acts.
    mode: Mode,
    /// Its class of priority.
    class: Class,
    /// What it wants, for people.
    wants: String,
}

impl CheckedView {
    pub(super) fn of(checked: Checked) -> Self {
        let rule = checked.rule.map(|rule| ReadRule {
            mode: rule.mode,
            class: rule.priority,
            wants: wants(&rule),
            id: rule.id,
        });
        Self { ok: checked.complaints.is_empty(), complaints: checked.complaints, warnings: checked.warnings, rule }
    }
}

/// What a rule found of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FindingView {
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

impl FindingView {
    pub(super) fn of(stored: StoredFinding) -> Self {
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
            wants: finding.wants,
            because: finding.because,
            guard: finding.guard.as_deref().map(str::to_owned),
        }
    }
}

/// What the rules make of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentRulesView {
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
    rules: Vec<AgentRuleView>,
}

/// What one rule makes of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentRuleView {
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
    conditions: Vec<ConditionView>,
    /// The same of `unless`; empty where it was not looked at.
    unless: Vec<ConditionView>,
}

/// One condition.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ConditionView {
    /// The key in the rule.
    condition: String,
    /// What it asks for.
    wanted: String,
    /// What was found.
    actual: String,
    /// Whether it holds.
    held: bool,
}

impl ConditionView {
    fn of(finding: Finding) -> Self {
        let Finding { condition, wanted, actual, held } = finding;
        Self { condition: condition.into_owned(), wanted, actual, held }
    }
}

impl AgentRulesView {
    pub(super) fn of(tenant: TenantId, explained: AgentRules) -> Self {
        let AgentRules { explanation, left_alone_until, excused } = explained;
        Self {
            tenant,
            agent: explanation.agent,
            at: explanation.at,
            left_alone_until,
            excused_until: excused.map(|span| span.end),
            rules: explanation.rules.into_iter().map(rule_of_agent).collect(),
        }
    }
}

fn rule_of_agent(explained: RuleExplanation) -> AgentRuleView {
    let (outcome, guard, why) = match explained.outcome {
        Outcome::NoMatch => ("no_match", None, None),
        Outcome::Held { guard, why } => ("held", Some(guard.name()), Some(why)),
        Outcome::Taken { by } => ("taken", None, Some(format!("{by} has the agent"))),
        Outcome::Decided => ("decided", None, None),
    };
    AgentRuleView {
        rule: explained.rule,
        hash: explained.version.to_string(),
        mode: explained.mode,
        wants: explained.wish.to_string(),
        outcome,
        guard,
        why,
        because: explained.facts.to_string(),
        conditions: explained.facts.conditions.into_iter().map(ConditionView::of).collect(),
        unless: explained.unless.into_iter().map(ConditionView::of).collect(),
    }
}
