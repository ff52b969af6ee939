//! The rules in `config/rules.toml`, enforced, as an analyst would expect them.

use super::*;
use AgentState::{AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready};

const SHIPPED: &str = include_str!("../../../../../config/rules.toml");

fn enforced() -> RuleSet {
    let (mut rules, diagnostics) = parse::parse_rules(SHIPPED).expect("TOML");
    assert_eq!(diagnostics, []);
    for rule in &mut rules {
        assert_eq!(rule.mode, Mode::Watch, "{} starts watching", rule.id);
        rule.mode = Mode::Enforce;
    }
    RuleSet::compile(&rules, Capabilities::guide()).expect("the guide dialect can carry them out")
}

/// The rule that wants the agent, and the state it wants.
fn decided_change(state: &AgentState, since: &str, now: &str) -> Option<(String, AgentState)> {
    let roster = roster(state, since, at(now));
    let mut intents = decide(&roster, &enforced(), &DecideSettings::default(), at(now)).intents;
    assert!(intents.len() <= 1, "{intents:?}");
    let intent = intents.pop()?;
    let RuleAction::SetState { state, .. } = intent.action else { panic!("shipped rules set states") };
    Some((intent.rule.to_string(), state))
}

#[test]
fn each_rule_acts_when_it_should_and_not_before() {
    for (rule, target, state, since, acts, not_yet) in [
        ("start-of-break", NotReady, Ready, "09:00", "10:01", "10:00:59"),
        ("back-from-break", Ready, Paused, "10:01", "10:17", "10:16:59"),
        ("back-from-break", Ready, NotReady, "10:12", "10:22", "10:21:59"),
        ("mandatory-break-due", NotReady, Ready, "09:00", "12:00:30", "12:00:29"),
        ("paused-too-long", Ready, Paused, "11:00", "11:15", "11:14:59"),
        ("after-call-work-too-long", Ready, AfterContactWork, "11:00", "11:10", "11:09:59"),
        ("ready-after-shift", NotReady, Ready, "09:00", "17:05", "17:04:59"),
        ("not-ready-at-shift-start", Ready, NotReady, "08:50", "09:03", "09:02:59"),
    ] {
        assert_eq!(
            decided_change(&state, since, acts),
            Some((rule.to_owned(), target)),
            "{state} since {since} at {acts}"
        );
        assert_eq!(decided_change(&state, since, not_yet), None, "{state} since {since} at {not_yet}");
    }
}

#[test]
fn agents_are_left_in_peace_where_a_planner_would_leave_them() {
    for (state, since, now, why) in [
        (OnContact, "09:55", "10:10", "a contact that runs into a break"),
        (OnContact, "11:55", "12:10", "and into a mandatory one"),
        (AfterContactWork, "12:00", "12:25", "wrapping up in a mandatory break"),
        (OnContact, "16:50", "17:10", "a contact that runs over the shift's end"),
        (Ready, "09:00", "10:11", "the last minutes of a break"),
        (Ready, "09:00", "18:01", "overtime"),
        (Ready, "09:00", "23:30", "a time that the schedule does not speak for"),
        (Paused, "11:40", "11:55", "just before lunch"),
        (Paused, "16:40", "16:55", "just before the shift's end"),
        (Idle, "11:00", "11:50", "idle by the platform's measure"),
        (LoggedOut, "08:00", "09:30", "not there at all"),
        (NotReady, "14:00", "14:50", "in the planned project"),
        (Paused, "10:14", "10:20", "gone into the break late"),
    ] {
        assert_eq!(decided_change(&state, since, now), None, "{why}");
    }
}

#[test]
fn an_early_return_from_a_break_is_kept_unless_it_is_mandatory() {
    let early = |left: &str, back: &str, now: &str| {
        let mut roster = roster(&NotReady, left, at(back));
        let a = roster.find("a").expect("there");
        roster.record_observation(a, observed_state(&Ready, back), at(now));
        let intents = decide(&roster, &enforced(), &DecideSettings::default(), at(now)).intents;
        intents.first().map(|intent| intent.rule.to_string())
    };
    assert_eq!(early("10:00", "10:07", "10:09"), None);
    assert_eq!(early("12:00", "12:10", "12:12").as_deref(), Some("mandatory-break-due"));
}

/// What an obedient agent goes through in a day: every change is made at once and the agent never moves.
#[test]
fn the_rules_do_not_work_against_each_other() {
    for start in [Ready, NotReady, Paused, AfterContactWork] {
        let rules = enforced();
        let settings = DecideSettings::default();
        let mut roster = roster(&start, "08:30", at("08:30"));
        let a = roster.find("a").expect("there");
        let mut made = Vec::new();
        let mut now = at("08:30");
        while now < at("19:00") {
            roster.mark_observed(a, now);
            roster.advance(now);
            for intent in decide(&roster, &rules, &settings, now).intents {
                let RuleAction::SetState { state, .. } = &intent.action else { panic!("shipped rules set states") };
                made.push(format!("{} {state}", intent.rule));
                let mut observed = observed_state(state, "00:00");
                observed.entered_at = now;
                record_intent(&mut roster, &intent, now);
                roster.record_observation(a, observed, now);
            }
            now = now.offset(10_000_000);
        }
        let day = [
            "start-of-break NotReady",
            "back-from-break Ready",
            "mandatory-break-due NotReady",
            "back-from-break Ready",
            "ready-after-shift NotReady",
        ];
        let tail = made.len().saturating_sub(day.len());
        assert_eq!(made[tail..], day, "starting in {start}: {made:#?}");
        assert!(tail <= 1, "at most one change to bring {start} into the day: {made:#?}");
    }
}
