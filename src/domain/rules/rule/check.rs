//! Checks a set of rules and reports all errors at once.
//!
//! A rule that passes can match some agent and can be carried out.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::agents::kind_sets::{PlanKind, StateSet};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{ReasonCode, RuleId};
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::offer::MAX_OFFERED_AGENTS;
use crate::domain::time::span;

use super::compiled_rule::{CompiledRule, Limits, MAX_RULES, RuleAction, RuleReferences};
use super::condition::{Condition, ConditionTest, ConditionTime};
use super::condition_parser::{ConditionParser, unknown_state_text};
use super::{ActionDefinition, DiagnosticCollector, Limit, Mode, Rule, RuleDiagnostic};

/// The capabilities of a platform that rules can use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// The states that the platform can set.
    pub settable: StateSet,
    /// Whether the platform can log an agent out.
    pub can_log_out: bool,
}

impl Capabilities {
    /// Returns the capabilities of the guide dialect: four states, and no logging out.
    pub fn guide() -> Self {
        use AgentState::{Idle, NotReady, Paused, Ready};
        Self { settable: StateSet::from_states(&[Ready, NotReady, Paused, Idle]), can_log_out: false }
    }
}

/// The cooldown of a rule that does not set one.
pub const DEFAULT_COOLDOWN: Duration = Duration::from_mins(5);
const MAX_COOLDOWN: Duration = Duration::from_hours(24);
/// How long agents can answer the offer of a rule that does not say it.
const DEFAULT_OPEN_FOR: Duration = Duration::from_mins(30);
const MAX_OPEN_FOR: Duration = Duration::from_hours(24);
const MAX_ID_LENGTH: usize = 64;
const MAX_TEXT_LENGTH: usize = 500;
const MAX_PER_MINUTE: i64 = 10_000;

/// Returns everything that is wrong with the rules; empty if they can be used.
pub fn check(rules: &[Rule], capabilities: Capabilities) -> Vec<RuleDiagnostic> {
    compile_all(rules, capabilities, &mut RuleReferences::default()).1
}

/// Compiles and checks the rules in one go, so that what is checked is what will run.
pub(super) fn compile_all(
    rules: &[Rule],
    capabilities: Capabilities,
    references: &mut RuleReferences,
) -> (Vec<CompiledRule>, Vec<RuleDiagnostic>) {
    let mut compiled = Vec::with_capacity(rules.len());
    let mut diagnostics = Vec::new();
    let mut first_of: HashMap<&RuleId, usize> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let mut rule_diagnostics = DiagnosticCollector { index, rule: Some(rule.id.clone()), diagnostics: Vec::new() };
        if let Some(first) = first_of.get(&rule.id) {
            rule_diagnostics.add("id", format!("rule number {} has this id already", first + 1));
        }
        first_of.entry(&rule.id).or_insert(index);
        if index == MAX_RULES {
            rule_diagnostics.add("", format!("a set holds at most {MAX_RULES} rules"));
        }
        compiled.extend(compile_rule(rule, capabilities, references, &mut rule_diagnostics));
        diagnostics.append(&mut rule_diagnostics.diagnostics);
    }
    (compiled, diagnostics)
}

fn compile_rule(
    rule: &Rule,
    capabilities: Capabilities,
    references: &mut RuleReferences,
    diagnostics: &mut DiagnosticCollector,
) -> Option<CompiledRule> {
    check_id(&rule.id, diagnostics);
    let mut read = |prefix, conditions: &super::Conditions, complaints: &mut DiagnosticCollector| {
        let previous_count = complaints.diagnostics.len();
        let mut parser = ConditionParser { prefix, references, diagnostics: complaints, conditions: Vec::new() };
        parser.parse(conditions);
        let parsed_conditions = parser.conditions;
        if parsed_conditions.is_empty() && complaints.diagnostics.len() == previous_count {
            complaints.add(prefix, "no condition is named, so it would hold for every agent at every time");
        }
        parsed_conditions
    };
    let when = read("when", &rule.when, diagnostics);
    let unless = rule.unless.as_ref().map(|unless| read("unless", unless, diagnostics));
    check_contradictions("when", &when, diagnostics);
    if let Some(unless) = &unless {
        check_contradictions("unless", unless, diagnostics);
        check_unless(&when, unless, diagnostics);
    }
    let action = compile_action(&rule.then, capabilities, diagnostics);
    if let Some(RuleAction::SetState { state, .. }) = &action {
        check_target_state(state, &when, diagnostics);
    }
    if rule.mode == Mode::Enforce && matches!(action, Some(RuleAction::Offer { .. })) {
        diagnostics
            .add("mode", "an offer needs the approval of a person: write approve, or watch to see whom it finds");
    }
    let cooldown = parse_cooldown(rule.cooldown.as_deref(), diagnostics);
    let limits = compile_limits(rule.limit.as_ref(), diagnostics);
    if !diagnostics.diagnostics.is_empty() {
        return None;
    }
    let version =
        rule.version().map_err(|error| diagnostics.add("", format!("cannot be written down: {error}"))).ok()?;
    Some(CompiledRule {
        id: rule.id.clone(),
        version,
        class: rule.priority,
        mode: rule.mode,
        action: action?,
        cooldown,
        limits,
        depends_on_plan: when.iter().any(|condition| condition.test.depends_on_plan()),
        when,
        unless,
    })
}

fn check_id(id: &RuleId, diagnostics: &mut DiagnosticCollector) {
    let text = id.as_str();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > MAX_ID_LENGTH || !text.chars().all(is_allowed) {
        diagnostics.add("id", format!("an id is 1 to {MAX_ID_LENGTH} letters, digits, `-`, `_` or `.`"));
    }
}

fn compile_action(
    action: &ActionDefinition,
    capabilities: Capabilities,
    diagnostics: &mut DiagnosticCollector,
) -> Option<RuleAction> {
    let present = [
        action.set_state.is_some(),
        action.log_out.is_some(),
        action.tell.is_some(),
        action.ask.is_some(),
        action.offer.is_some(),
    ];
    if present.iter().filter(|named| **named).count() != 1 {
        diagnostics.add("then", "name exactly one of set_state, log_out, tell, ask and offer");
        return None;
    }
    for (field, is_set) in [("then.places", action.places.is_some()), ("then.open_for", action.open_for.is_some())] {
        if is_set && action.offer.is_none() {
            diagnostics.add(field, "goes with offer alone");
        }
    }
    if action.set_state.is_none() && action.reason.is_some() {
        diagnostics.add("then.reason", "a reason goes with set_state alone");
    }
    if action.set_state.is_none() && action.log_out.is_none() && action.on_contact.is_some() {
        diagnostics.add("then.on_contact", "goes with set_state or log_out alone");
    }
    if let Some(edit) = &action.offer {
        return compile_offer(edit, action, diagnostics);
    }
    let on_contact = action.on_contact.unwrap_or_default();
    if let Some(name) = &action.set_state {
        return compile_set_state(name, action.reason.as_deref(), on_contact, capabilities, diagnostics);
    }
    if let Some(log_out) = action.log_out {
        if !log_out {
            diagnostics.add("then.log_out", "false has no effect; leave it out");
        } else if !capabilities.can_log_out {
            diagnostics.add("then.log_out", "this platform cannot log an agent out, or the tenant's configuration does not allow it; use set_state = \"NotReady\"");
        }
        return Some(RuleAction::LogOut { on_contact });
    }
    let (field, text) =
        action.tell.as_ref().map(|text| ("then.tell", text)).or(action.ask.as_ref().map(|t| ("then.ask", t)))?;
    if text.trim().is_empty() || text.chars().count() > MAX_TEXT_LENGTH {
        diagnostics.add(field, format!("the text must have 1 to {MAX_TEXT_LENGTH} characters"));
    }
    let text = text.as_str().into();
    Some(if action.tell.is_some() { RuleAction::Tell(text) } else { RuleAction::Ask(text) })
}

fn compile_offer(
    edit: &ShiftEdit,
    action: &ActionDefinition,
    diagnostics: &mut DiagnosticCollector,
) -> Option<RuleAction> {
    if !edit.is_relative() {
        let reason = "contains times of one day; an offer of a rule moves or removes activities by name, or moves the \
                      end of the shift";
        diagnostics.add("then.offer", reason);
    }
    let places = action.places.unwrap_or(1);
    if places == 0 || usize::try_from(places).is_ok_and(|places| places > MAX_OFFERED_AGENTS) {
        diagnostics.add("then.places", format!("must be 1 to {MAX_OFFERED_AGENTS}"));
    }
    let open_for = match action.open_for.as_deref().map(span::parse) {
        None => DEFAULT_OPEN_FOR,
        Some(Ok(open_for)) => open_for,
        Some(Err(reason)) => {
            diagnostics.add("then.open_for", reason);
            return None;
        }
    };
    if open_for.is_zero() || open_for > MAX_OPEN_FOR || open_for.as_secs() % 60 != 0 || open_for.subsec_nanos() != 0 {
        diagnostics.add("then.open_for", "must be whole minutes, 1m to 24h");
    }
    let open_minutes = u32::try_from(open_for.as_secs() / 60).ok()?;
    Some(RuleAction::Offer { edit: edit.clone(), places, open_minutes })
}

fn compile_set_state(
    name: &str,
    reason: Option<&str>,
    on_contact: OnContact,
    capabilities: Capabilities,
    diagnostics: &mut DiagnosticCollector,
) -> Option<RuleAction> {
    let Some(state) = AgentState::from_name(name) else {
        diagnostics.add("then.set_state", unknown_state_text(name));
        return None;
    };
    if !capabilities.settable.contains(&state) {
        let settable: Vec<_> = capabilities.settable.known_states().map(|state| state.name().to_owned()).collect();
        diagnostics
            .add("then.set_state", format!("this platform cannot set {state}; it can set {}", settable.join(", ")));
    }
    if reason.is_some_and(|reason| reason.trim().is_empty()) {
        diagnostics.add("then.reason", "an empty reason code; leave it out for the state's default");
    }
    let reason = reason.map_or_else(|| state.default_reason(), ReasonCode::new);
    Some(RuleAction::SetState { state, reason, on_contact })
}

fn parse_cooldown(text: Option<&str>, diagnostics: &mut DiagnosticCollector) -> Duration {
    match text.map(span::parse) {
        None => return DEFAULT_COOLDOWN,
        Some(Ok(cooldown)) if cooldown <= MAX_COOLDOWN => return cooldown,
        Some(Ok(_)) => diagnostics.add("cooldown", "may be 24h at most"),
        Some(Err(reason)) => diagnostics.add("cooldown", reason),
    }
    DEFAULT_COOLDOWN
}

fn compile_limits(limit: Option<&Limit>, diagnostics: &mut DiagnosticCollector) -> Limits {
    let Some(limit) = limit else { return Limits::default() };
    if limit.per_minute.is_none() && limit.share_of_team.is_none() {
        diagnostics.add("limit", "names no limit; name per_minute or share_of_team, or leave it out");
    }
    if limit.per_minute.is_some_and(|most| !(1..=MAX_PER_MINUTE).contains(&most)) {
        diagnostics
            .add("limit.per_minute", format!("must be 1 to {MAX_PER_MINUTE}; to stop a rule, set its mode to watch"));
    }
    if limit.share_of_team.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        diagnostics.add("limit.share_of_team", "must be above 0 and at most 1, as in 0.3 for three in ten");
    }
    Limits {
        per_minute: limit.per_minute.and_then(|most| usize::try_from(most).ok()),
        share_of_team: limit.share_of_team,
    }
}

/// Returns the states that all conditions allow; `None` if no condition restricts the state.
fn allowed_states(conditions: &[Condition]) -> Option<StateSet> {
    conditions.iter().filter_map(|condition| condition.test.states()).reduce(StateSet::intersection)
}

fn condition_names(conditions: &[Condition], restricts: impl Fn(&ConditionTest) -> bool) -> String {
    let names: Vec<_> = conditions.iter().filter(|c| restricts(&c.test)).map(|c| c.name).collect();
    names.join(", ")
}

fn check_contradictions(prefix: &str, conditions: &[Condition], diagnostics: &mut DiagnosticCollector) {
    let all_hold_for = |kind| conditions.iter().all(|condition| condition.test.can_hold_in(kind));
    if !PlanKind::ALL.into_iter().any(all_hold_for) {
        let names = condition_names(conditions, |test| !PlanKind::ALL.into_iter().all(|kind| test.can_hold_in(kind)));
        diagnostics.add(prefix, format!("no plan lets all of these hold together: {names}; it would never hold"));
    }
    if allowed_states(conditions).is_some_and(StateSet::is_empty) {
        let names = condition_names(conditions, |test| test.states().is_some());
        diagnostics.add(prefix, format!("no state lets all of these hold together: {names}; it would never hold"));
    }
    check_times(prefix, conditions, diagnostics);
}

fn check_times(prefix: &str, conditions: &[Condition], diagnostics: &mut DiagnosticCollector) {
    let least = |wanted| {
        conditions.iter().find_map(|condition| match condition.test {
            ConditionTest::AtLeast(time, least) if time == wanted => Some(least),
            _ => None,
        })
    };
    let most = |wanted| {
        conditions.iter().find_map(|condition| match condition.test {
            ConditionTest::AtMost(time, most) if time == wanted => Some(most),
            _ => None,
        })
    };
    for (time, names) in [
        (ConditionTime::SinceShiftStart, "started_for and started_within"),
        (ConditionTime::SinceShiftEnd, "ended_for and ended_within"),
    ] {
        if let (Some(least), Some(most)) = (least(time), most(time))
            && least > most
        {
            diagnostics.add(format!("{prefix}.shift"), format!("{names} leave no time between them"));
        }
    }
    let has_verdict = conditions.iter().any(|condition| matches!(condition.test, ConditionTest::Verdict(_)));
    if least(ConditionTime::InVerdict).is_some() && !has_verdict {
        diagnostics.add(format!("{prefix}.verdict_for"), "says how long a verdict holds; name the `verdict` too");
    }
}

fn check_unless(when: &[Condition], unless: &[Condition], diagnostics: &mut DiagnosticCollector) {
    let [only] = unless else { return };
    let planned = when.iter().find_map(|c| if let ConditionTest::Planned(set) = &c.test { Some(set) } else { None });
    let always = match &only.test {
        ConditionTest::State(_) | ConditionTest::OnContact(_) => {
            let excluded_states = only.test.states().unwrap_or_default();
            allowed_states(when).is_some_and(|wanted| excluded_states.covers(wanted))
        }
        ConditionTest::Planned(set) => planned.is_some_and(|wanted| set.covers(wanted)),
        test => when.iter().any(|condition| condition.test == *test),
    };
    if always {
        diagnostics.add(format!("unless.{}", only.name), "holds whenever `when` does, so the rule would never act");
    }
}

fn check_target_state(target: &AgentState, when: &[Condition], diagnostics: &mut DiagnosticCollector) {
    if allowed_states(when).is_some_and(|wanted| StateSet::from_states([target]).covers(wanted) && !wanted.is_empty()) {
        diagnostics.add("then.set_state", format!("the agent is in {target} already whenever `when` holds"));
    }
}

#[cfg(test)]
mod tests;
