//! Says everything that is wrong with a set of rules, in one run.
//!
//! A rule that gets past here can match some agent and can be carried out; what is left to chance is only whether it should be.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::agents::sets::{PlanKind, StateSet};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{ReasonCode, RuleId};
use crate::domain::time::span;

use super::compile::{CompiledRule, Limits, MOST_RULES, Named, Wanted};
use super::condition::{Condition, ShiftIs, Test};
use super::translate::{Translation, unknown_state};
use super::{Complaints, Limit, Rule, RuleComplaint, Wish};

/// What a platform can do, as far as rules can ask for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// The states that it can set.
    pub settable: StateSet,
    /// Whether it can log an agent out.
    pub can_log_out: bool,
}

impl Capabilities {
    /// The guide dialect: four states, no logging out.
    pub fn guide() -> Self {
        use AgentState::{Idle, NotReady, Paused, Ready};
        Self { settable: StateSet::of(&[Ready, NotReady, Paused, Idle]), can_log_out: false }
    }
}

/// The time between two acts of a rule on one agent where the rule does not say.
pub const DEFAULT_COOLDOWN: Duration = Duration::from_mins(5);
const LONGEST_COOLDOWN: Duration = Duration::from_hours(24);
const LONGEST_ID: usize = 64;
const LONGEST_TEXT: usize = 500;
const MOST_PER_MINUTE: i64 = 10_000;

/// Everything that is wrong with the rules; empty when they can be used.
pub fn check(rules: &[Rule], capabilities: Capabilities) -> Vec<RuleComplaint> {
    translate_all(rules, capabilities, &mut Named::default()).1
}

/// Translates and checks in one go, so that what is checked is what will run.
pub(super) fn translate_all(
    rules: &[Rule],
    capabilities: Capabilities,
    named: &mut Named,
) -> (Vec<CompiledRule>, Vec<RuleComplaint>) {
    let mut compiled = Vec::with_capacity(rules.len());
    let mut complaints = Vec::new();
    let mut first_of: HashMap<&RuleId, usize> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let mut own = Complaints { index, rule: Some(rule.id.clone()), all: Vec::new() };
        if let Some(first) = first_of.get(&rule.id) {
            own.add("id", format!("rule number {} has this id already", first + 1));
        }
        first_of.entry(&rule.id).or_insert(index);
        if index == MOST_RULES {
            own.add("", format!("a set holds at most {MOST_RULES} rules"));
        }
        compiled.extend(translate_one(rule, capabilities, named, &mut own));
        complaints.append(&mut own.all);
    }
    (compiled, complaints)
}

fn translate_one(
    rule: &Rule,
    capabilities: Capabilities,
    named: &mut Named,
    complaints: &mut Complaints,
) -> Option<CompiledRule> {
    check_id(&rule.id, complaints);
    let mut read = |prefix, conditions: &super::Conditions, complaints: &mut Complaints| {
        let before = complaints.all.len();
        let mut translation = Translation { prefix, named, complaints, found: Vec::new() };
        translation.read(conditions);
        let found = translation.found;
        if found.is_empty() && complaints.all.len() == before {
            complaints.add(prefix, "no condition is named, so it would hold for every agent at every time");
        }
        found
    };
    let when = read("when", &rule.when, complaints);
    let unless = rule.unless.as_ref().map(|unless| read("unless", unless, complaints));
    check_together("when", &when, complaints);
    if let Some(unless) = &unless {
        check_together("unless", unless, complaints);
        check_unless(&when, unless, complaints);
    }
    let action = action(&rule.then, capabilities, complaints);
    if let Some(Wanted::SetState { state, .. }) = &action {
        check_wish(state, &when, complaints);
    }
    let cooldown = cooldown(rule.cooldown.as_deref(), complaints);
    let limits = limits(rule.limit.as_ref(), complaints);
    if !complaints.all.is_empty() {
        return None;
    }
    let version =
        rule.version().map_err(|error| complaints.add("", format!("cannot be written down: {error}"))).ok()?;
    Some(CompiledRule {
        id: rule.id.clone(),
        version,
        class: rule.priority,
        mode: rule.mode,
        action: action?,
        cooldown,
        limits,
        looks_at_plan: when.iter().any(|condition| condition.test.looks_at_plan()),
        when,
        unless,
    })
}

fn check_id(id: &RuleId, complaints: &mut Complaints) {
    let text = id.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > LONGEST_ID || !text.chars().all(plain) {
        complaints.add("id", format!("an id is 1 to {LONGEST_ID} letters, digits, `-`, `_` or `.`"));
    }
}

fn action(wish: &Wish, capabilities: Capabilities, complaints: &mut Complaints) -> Option<Wanted> {
    let named = [wish.set_state.is_some(), wish.log_out.is_some(), wish.tell.is_some(), wish.ask.is_some()];
    if named.iter().filter(|named| **named).count() != 1 {
        complaints.add("then", "name exactly one of set_state, log_out, tell and ask");
        return None;
    }
    if wish.set_state.is_none() && wish.reason.is_some() {
        complaints.add("then.reason", "a reason goes with set_state alone");
    }
    if wish.set_state.is_none() && wish.log_out.is_none() && wish.on_contact.is_some() {
        complaints.add("then.on_contact", "goes with set_state or log_out alone");
    }
    let on_contact = wish.on_contact.unwrap_or_default();
    if let Some(name) = &wish.set_state {
        return set_state(name, wish.reason.as_deref(), on_contact, capabilities, complaints);
    }
    if let Some(log_out) = wish.log_out {
        if !log_out {
            complaints.add("then.log_out", "false asks for nothing; leave it out");
        } else if !capabilities.can_log_out {
            complaints.add("then.log_out", "this platform cannot log an agent out; use set_state = \"NotReady\"");
        }
        return Some(Wanted::LogOut { on_contact });
    }
    let (field, text) =
        wish.tell.as_ref().map(|text| ("then.tell", text)).or(wish.ask.as_ref().map(|t| ("then.ask", t)))?;
    if text.trim().is_empty() || text.chars().count() > LONGEST_TEXT {
        complaints.add(field, format!("the text must have 1 to {LONGEST_TEXT} characters"));
    }
    let text = text.as_str().into();
    Some(if wish.tell.is_some() { Wanted::Tell(text) } else { Wanted::Ask(text) })
}

fn set_state(
    name: &str,
    reason: Option<&str>,
    on_contact: OnContact,
    capabilities: Capabilities,
    complaints: &mut Complaints,
) -> Option<Wanted> {
    let Some(state) = AgentState::from_name(name) else {
        complaints.add("then.set_state", unknown_state(name));
        return None;
    };
    if !capabilities.settable.contains(&state) {
        let settable: Vec<_> = capabilities.settable.known().map(|state| state.name().to_owned()).collect();
        complaints
            .add("then.set_state", format!("this platform cannot set {state}; it can set {}", settable.join(", ")));
    }
    if reason.is_some_and(|reason| reason.trim().is_empty()) {
        complaints.add("then.reason", "an empty reason code; leave it out for the state's default");
    }
    let reason = reason.map_or_else(|| state.default_reason(), ReasonCode::new);
    Some(Wanted::SetState { state, reason, on_contact })
}

fn cooldown(text: Option<&str>, complaints: &mut Complaints) -> Duration {
    match text.map(span::parse) {
        None => return DEFAULT_COOLDOWN,
        Some(Ok(cooldown)) if cooldown <= LONGEST_COOLDOWN => return cooldown,
        Some(Ok(_)) => complaints.add("cooldown", "may be 24h at most"),
        Some(Err(reason)) => complaints.add("cooldown", reason),
    }
    DEFAULT_COOLDOWN
}

fn limits(limit: Option<&Limit>, complaints: &mut Complaints) -> Limits {
    let Some(limit) = limit else { return Limits::default() };
    if limit.per_minute.is_none() && limit.share_of_team.is_none() {
        complaints.add("limit", "names no limit; name per_minute or share_of_team, or leave it out");
    }
    if limit.per_minute.is_some_and(|most| !(1..=MOST_PER_MINUTE).contains(&most)) {
        complaints
            .add("limit.per_minute", format!("must be 1 to {MOST_PER_MINUTE}; to stop a rule, set its mode to watch"));
    }
    if limit.share_of_team.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        complaints.add("limit.share_of_team", "must be above 0 and at most 1, as in 0.3 for three in ten");
    }
    Limits {
        per_minute: limit.per_minute.and_then(|most| usize::try_from(most).ok()),
        share_of_team: limit.share_of_team,
    }
}

/// The states that all conditions allow; `None` where none looks at the state.
fn states(conditions: &[Condition]) -> Option<StateSet> {
    conditions.iter().filter_map(|condition| condition.test.states()).reduce(StateSet::and)
}

fn names(conditions: &[Condition], restricts: impl Fn(&Test) -> bool) -> String {
    let names: Vec<_> = conditions.iter().filter(|c| restricts(&c.test)).map(|c| c.name).collect();
    names.join(", ")
}

fn check_together(prefix: &str, conditions: &[Condition], complaints: &mut Complaints) {
    let all_hold_for = |kind| conditions.iter().all(|condition| condition.test.can_hold_for(kind));
    if !PlanKind::ALL.into_iter().any(all_hold_for) {
        let names = names(conditions, |test| !PlanKind::ALL.into_iter().all(|kind| test.can_hold_for(kind)));
        complaints.add(prefix, format!("no plan lets all of these hold together: {names}; it would never hold"));
    }
    if states(conditions).is_some_and(StateSet::is_empty) {
        let names = names(conditions, |test| test.states().is_some());
        complaints.add(prefix, format!("no state lets all of these hold together: {names}; it would never hold"));
    }
    check_times(prefix, conditions, complaints);
}

fn check_times(prefix: &str, conditions: &[Condition], complaints: &mut Complaints) {
    let shift = |wanted| {
        conditions.iter().find_map(|c| match c.test {
            Test::Shift(is, time) if is == wanted => Some(time),
            _ => None,
        })
    };
    for (at_least, at_most, names) in [
        (ShiftIs::StartedFor, ShiftIs::StartedWithin, "started_for and started_within"),
        (ShiftIs::EndedFor, ShiftIs::EndedWithin, "ended_for and ended_within"),
    ] {
        if let (Some(least), Some(most)) = (shift(at_least), shift(at_most))
            && least > most
        {
            complaints.add(format!("{prefix}.shift"), format!("{names} leave no time between them"));
        }
    }
    let has = |wanted: fn(&Test) -> bool| conditions.iter().any(|c| wanted(&c.test));
    if has(|t| matches!(t, Test::VerdictFor(_))) && !has(|t| matches!(t, Test::Verdict(_))) {
        complaints.add(format!("{prefix}.verdict_for"), "says how long a verdict holds; name the `verdict` too");
    }
}

fn check_unless(when: &[Condition], unless: &[Condition], complaints: &mut Complaints) {
    let [only] = unless else { return };
    let planned = when.iter().find_map(|c| if let Test::Planned(set) = &c.test { Some(set) } else { None });
    let always = match &only.test {
        Test::State(_) | Test::OnContact(_) => {
            let let_go = only.test.states().unwrap_or_default();
            states(when).is_some_and(|wanted| let_go.covers(wanted))
        }
        Test::Planned(set) => planned.is_some_and(|wanted| set.covers(wanted)),
        test => when.iter().any(|condition| condition.test == *test),
    };
    if always {
        complaints.add(format!("unless.{}", only.name), "holds whenever `when` does, so the rule would never act");
    }
}

fn check_wish(target: &AgentState, when: &[Condition], complaints: &mut Complaints) {
    if states(when).is_some_and(|wanted| StateSet::of([target]).covers(wanted) && !wanted.is_empty()) {
        complaints.add("then.set_state", format!("the agent is in {target} already whenever `when` holds"));
    }
}

#[cfg(test)]
mod tests;
