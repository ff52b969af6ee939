//! One agent `a` in team Blue, in Berlin, on 2026-11-23, a Monday: shift 09:00 to 17:00 UTC, break 10:00 to 10:15, mandatory
//! lunch 12:00 to 12:30, project 14:00 to 15:00.

mod conditions;
mod guards;
mod properties;
mod shipped;

use std::sync::Arc;

use super::*;
use crate::domain::agents::agent::{Agent, ObservationSource, ObservedState};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::TenantId;
use crate::domain::rules::rule::check::Capabilities;
use crate::domain::rules::rule::parse;
use crate::domain::schedules::schedule::{Activity, AgentPlan, Coverage, Shift, ShiftActivity};

/// An instant of the day, as `10:16` or `10:16:30`.
fn at(time: &str) -> UtcMicros {
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2026-11-23T{time}{seconds}Z").parse().expect("a time of day")
}

fn plan() -> Arc<AgentPlan> {
    let activity =
        |activity, start, end, mandatory| ShiftActivity { activity, start: at(start), end: at(end), mandatory };
    let activities = vec![
        activity(Activity::Break, "10:00", "10:15", false),
        activity(Activity::Lunch, "12:00", "12:30", true),
        activity(Activity::Other("project".into()), "14:00", "15:00", false),
    ];
    let shift = Shift { start: at("09:00"), end: at("17:00"), activities };
    Arc::new(AgentPlan::new(vec![shift], vec![Coverage { start: at("00:00"), end: at("23:00") }]))
}

fn observed_state(state: &AgentState, since: &str) -> ObservedState {
    let observed = ObservedState::new(state.clone(), at(since), ObservationSource::Snapshot);
    ObservedState { queue: Some("Support".into()), ..observed }
}

fn add(roster: &mut Roster, id: &str, team: &str) -> AgentIndex {
    let (team, zone) = (Some(team.into()), Some("Europe/Berlin".into()));
    let index = roster.upsert(Agent { id: id.into(), name: None, team, zone });
    roster.set_plan(index, plan());
    index
}

/// A roster of `a`, in `state` since `since` and just seen at `now`.
fn roster(state: &AgentState, since: &str, now: UtcMicros) -> Roster {
    let mut roster = Roster::new(TenantId::new("acme"));
    let a = add(&mut roster, "a", "Blue");
    roster.record_observation(a, observed_state(state, since), now);
    roster
}

fn rules(text: &str) -> RuleSet {
    let (rules, diagnostics) = parse::parse_rules(text).expect("TOML");
    assert_eq!(diagnostics, []);
    let capabilities = Capabilities { can_log_out: true, ..Capabilities::guide() };
    RuleSet::compile(&rules, capabilities).expect("good rules")
}

/// One enforcing rule, `r`.
fn rule(body: &str) -> RuleSet {
    rules(&format!("[[rules]]\nid = \"r\"\nmode = \"enforce\"\n{body}"))
}

fn decided_rules(decisions: &Decisions) -> Vec<(&str, &str)> {
    decisions.intents.iter().map(|intent| (intent.agent.as_str(), intent.rule.as_str())).collect()
}

fn held_guards(decisions: &Decisions) -> Vec<Guard> {
    decisions.held.iter().map(|held| held.guard).collect()
}
