//! Every guard, the order of rules, and what their limits count.

use std::time::Duration;

use super::*;
use crate::domain::agents::roster::{BlockingTransition, CachedPlatformPlan};
use crate::domain::changes::policy::{PlatformPlan, Violation};
use crate::domain::changes::priority::Priority;
use AgentState::{LoggedOut, NotReady, OnContact, Paused, Ready};

const BACK: &str = "when = { planned = 'work', state = 'Paused' }\nthen = { set_state = 'Ready' }\n";

fn decide_at(roster: &Roster, rules: &RuleSet, now: UtcMicros) -> Decisions {
    decide(roster, rules, &DecideSettings::default(), now)
}

/// How the only rule came out for `a`, by the explanation; the pass must agree.
fn held_guard(roster: &Roster, rules: &RuleSet, now: UtcMicros) -> Option<Guard> {
    let settings = DecideSettings::default();
    let explanation = explain(roster, "a", rules, &settings, now).expect("there");
    let decisions = decide(roster, rules, &settings, now);
    match &explanation.rules[0].outcome {
        RuleOutcome::Held { guard, why } => {
            assert!(!why.is_empty());
            assert_eq!(decisions.intents, [], "{explanation}");
            let listed = if guard.is_listed() { vec![*guard] } else { vec![] };
            assert_eq!(held_guards(&decisions), listed, "{explanation}");
            Some(*guard)
        }
        RuleOutcome::Decided => {
            assert_eq!(decided_rules(&decisions), [("a", "r")]);
            None
        }
        RuleOutcome::NoMatch | RuleOutcome::Taken { .. } => panic!("{explanation}"),
    }
}

fn record_changes<const N: usize>(roster: &mut Roster, times: [&str; N]) {
    let a = roster.find("a").expect("there");
    for time in times {
        roster.record_rule_action(a, &"another".into(), 0, true, at(time));
    }
}

#[test]
fn an_observation_must_exist_be_fresh_and_have_a_known_state() {
    let rules = rule("when = { planned = 'work' }\nthen = { tell = 'x' }");
    let now = at("09:30");
    let limit = DecideSettings::default().stale_after;
    let mut never = Roster::new(TenantId::new("acme"));
    add(&mut never, "a", "Blue");
    assert_eq!(held_guard(&never, &rules, now), Some(Guard::NeverSeen));
    for (micros, expected) in [(0, None), (1, Some(Guard::StaleSight))] {
        let roster = roster(&Paused, "09:00", now - limit);
        assert_eq!(held_guard(&roster, &rules, now.offset(micros)), expected, "{micros} µs");
    }
    let odd = AgentState::Unknown("coffee".into());
    assert_eq!(held_guard(&roster(&odd, "09:00", now), &rules, now), Some(Guard::UnknownState));
}

#[test]
fn what_is_as_wanted_needs_nothing() {
    let rules = rule("when = { planned = 'work' }\nthen = { set_state = 'Ready' }");
    let now = at("09:30");
    assert_eq!(held_guard(&roster(&Ready, "09:00", now), &rules, now), Some(Guard::AsWanted));
    assert_eq!(held_guard(&roster(&Paused, "09:00", now), &rules, now), None);
}

#[test]
fn nobody_who_is_logged_out_is_changed_even_by_a_rule_that_names_no_state() {
    let now = at("09:30");
    for (body, expected) in [
        ("when = { planned = 'work' }\nthen = { set_state = 'Ready' }", Some(Guard::LoggedOut)),
        ("when = { planned = 'work', state = 'LoggedOut' }\nthen = { set_state = 'Paused' }", Some(Guard::LoggedOut)),
        ("when = { planned = 'work', state = 'LoggedOut' }\nthen = { tell = 'x' }", None),
    ] {
        assert_eq!(held_guard(&roster(&LoggedOut, "09:00", now), &rule(body), now), expected, "{body}");
    }
}

#[test]
fn unless_lets_go() {
    let rules = rule("when = { break = 'due' }\nunless = { on_contact = true }\nthen = { set_state = 'NotReady' }");
    let now = at("10:05");
    assert_eq!(held_guard(&roster(&OnContact, "09:00", now), &rules, now), Some(Guard::Unless));
    assert_eq!(held_guard(&roster(&Ready, "09:00", now), &rules, now), None);
}

#[test]
fn policy_and_the_platform_s_own_answers_forbid() {
    let rules = rule("when = { state = 'Paused' }\nthen = { set_state = 'Ready' }");
    for (time, expected) in [
        ("09:30", None),
        ("12:10", Some(Guard::Policy(Violation::MandatoryBreakViolation))),
        ("17:10", Some(Guard::Policy(Violation::AgentNotScheduled))),
        ("23:30", None),
    ] {
        assert_eq!(held_guard(&roster(&Paused, "09:00", at(time)), &rules, at(time)), expected, "{time}");
    }
    let now = at("09:30");
    let mut roster = roster(&Paused, "09:00", now);
    let a = roster.find("a").expect("there");
    let platform_says = PlatformPlan { scheduled: Some(false), break_required: None };
    roster.set_platform_plan(a, Some(CachedPlatformPlan { plan: platform_says, valid_until: now.offset(1) }));
    assert_eq!(held_guard(&roster, &rules, now), Some(Guard::Policy(Violation::AgentNotScheduled)));
    assert_eq!(held_guard(&roster, &rules, now.offset(1)), None, "an old answer no longer counts");
}

#[test]
fn a_contact_is_waited_for_skipped_or_cut_short_as_the_rule_says() {
    let now = at("09:30");
    for (on_contact, expected) in [("after", None), ("now", None), ("skip", Some(Guard::OnContact))] {
        let rules = rule(&format!(
            "when = {{ planned = 'work' }}\nthen = {{ set_state = 'NotReady', on_contact = '{on_contact}' }}"
        ));
        assert_eq!(held_guard(&roster(&OnContact, "09:00", now), &rules, now), expected, "{on_contact}");
    }
}

#[test]
fn an_open_transition_holds_what_is_not_more_urgent() {
    let now = at("12:10");
    let urgent = "priority = 'mandatory_break'\nwhen = { state = 'Ready' }\nthen = { set_state = 'NotReady' }";
    let plain = "when = { state = 'Ready' }\nthen = { set_state = 'NotReady' }";
    let open = Some(Guard::OpenTransition);
    let (on_its_way, for_approval) = (true, false);
    for (body, priority, goes_on, expected) in [
        (plain, Priority::Housekeeping, on_its_way, None),
        (plain, Priority::Schedule, on_its_way, open),
        (plain, Priority::Schedule, for_approval, None),
        (plain, Priority::Person, on_its_way, open),
        (plain, Priority::MandatoryBreak, for_approval, open),
        (urgent, Priority::Person, on_its_way, None),
        (urgent, Priority::MandatoryBreak, on_its_way, open),
        (urgent, Priority::MandatoryBreak, for_approval, None),
    ] {
        let busy = BlockingTransition { priority, blocks_same_priority: goes_on };
        let mut roster = roster(&Ready, "09:00", now);
        let a = roster.find("a").expect("there");
        roster.set_blocking_transition(a, Some(busy));
        assert_eq!(held_guard(&roster, &rule(body), now), expected, "{body} while {busy:?} is open");
    }
}

/// What a person set stands within one planned activity; what it is worth against a break that must be taken, a rule says itself.
#[test]
fn what_a_person_set_is_left_alone_until_the_next_planned_activity() {
    let away = "when = { state = 'NotReady' }\nthen = { set_state = 'Ready' }";
    let to_lunch = "priority = 'mandatory_break'\nwhen = { state = 'NotReady' }\nthen = { set_state = 'Paused' }";
    let tells = "when = { state = 'NotReady' }\nthen = { tell = 'x' }";
    let held = Some(Guard::SetByPerson);
    for (body, by_person, since, now, expected) in [
        (away, true, "09:10", "09:59:59", held),
        (away, false, "09:10", "09:59:59", None),
        (away, true, "10:15", "11:59", held),
        (away, true, "09:59:59", "10:20", None),
        (to_lunch, true, "12:01", "12:10", None),
        (tells, true, "09:10", "09:30", None),
        (away, true, "17:00", "18:00", Some(Guard::Policy(Violation::AgentNotScheduled))),
    ] {
        let now = at(now);
        let mut roster = Roster::new(TenantId::new("acme"));
        let a = add(&mut roster, "a", "Blue");
        roster.record_observation(
            a,
            ObservedState { requested_by_person: by_person, ..observed_state(&NotReady, since) },
            now,
        );
        assert_eq!(held_guard(&roster, &rule(body), now), expected, "{body}: {by_person} since {since} at {now}");
    }
    let mut unplanned = Roster::new(TenantId::new("acme"));
    let a = unplanned.upsert(Agent { id: "a".into(), name: None, team: Some("Blue".into()), zone: None });
    unplanned.record_observation(
        a,
        ObservedState { requested_by_person: true, ..observed_state(&NotReady, "01:00") },
        at("09:00"),
    );
    let to_idle = "when = { state = 'NotReady' }\nthen = { set_state = 'Paused' }";
    assert_eq!(
        held_guard(&unplanned, &rule(to_idle), at("09:00")),
        held,
        "where nothing is planned, until the agent leaves it"
    );
}

#[test]
fn an_agent_who_reversed_a_change_is_left_alone_until_the_time_is_over() {
    let now = at("09:30");
    let mut roster = roster(&Paused, "09:00", now);
    let a = roster.find("a").expect("there");
    roster.pause_automation(a, now.offset(1));
    assert_eq!(held_guard(&roster, &rule(BACK), now), Some(Guard::LeftAlone));
    assert_eq!(held_guard(&roster, &rule(BACK), now.offset(1)), None);
    let tells = rule("when = { state = 'Paused' }\nthen = { tell = 'x' }");
    assert_eq!(held_guard(&roster, &tells, now), None, "telling is not a change");
}

#[test]
fn four_automatic_changes_in_an_hour_are_enough() {
    let now = at("11:00");
    let mut roster = roster(&Paused, "10:50", now);
    record_changes(&mut roster, ["10:00", "10:20", "10:30"]);
    assert_eq!(held_guard(&roster, &rule(BACK), now), None, "three");
    record_changes(&mut roster, ["10:40"]);
    assert_eq!(held_guard(&roster, &rule(BACK), now.offset(-1)), Some(Guard::Flapping), "four");
    assert_eq!(held_guard(&roster, &rule(BACK), now), None, "the first is an hour ago");
}

#[test]
fn a_rule_rests_between_two_acts_on_one_agent() {
    let rules = rule(&format!("{BACK}cooldown = '10m'"));
    let now = at("09:30");
    let mut roster = roster(&Paused, "09:00", now);
    let intent = decide_at(&roster, &rules, now).intents.remove(0);
    record_intent(&mut roster, &intent, now);
    for (time, expected) in [("09:30:01", Some(Guard::Cooldown)), ("09:39:59", Some(Guard::Cooldown)), ("09:40", None)]
    {
        let a = roster.find("a").expect("there");
        roster.mark_observed(a, at(time));
        assert_eq!(held_guard(&roster, &rules, at(time)), expected, "{time}");
    }
}

#[test]
fn what_is_only_said_is_said_once_until_the_facts_change() {
    for (mode, then) in [
        ("enforce", "then = { tell = 'x' }"),
        ("enforce", "then = { ask = 'x' }"),
        ("watch", "then = { set_state = 'Ready' }"),
        ("approve", "then = { set_state = 'Ready' }"),
    ] {
        let body = format!("mode = '{mode}'\nwhen = {{ state = 'Paused' }}\n{then}\ncooldown = '0s'");
        let rules = rules(&format!("[[rules]]\nid = 'r'\n{body}"));
        let now = at("09:30");
        let mut roster = roster(&Paused, "09:00", now);
        let intent = decide_at(&roster, &rules, now).intents.remove(0);
        record_intent(&mut roster, &intent, now);
        assert_eq!(held_guard(&roster, &rules, now), Some(Guard::SaidAlready), "{body}");
        let a = roster.find("a").expect("there");
        assert_eq!(roster.get(a).and_then(|slot| slot.memory()).map(|m| m.changes_within(HOUR, now)), Some(0));
        roster.record_observation(a, observed_state(&Paused, "09:29"), now);
        assert_eq!(held_guard(&roster, &rules, now), None, "paused again: {body}");
    }
}

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn a_rule_s_limits_count_over_agents_passes_and_a_minute() {
    let rules = rule(&format!("{BACK}limit = {{ per_minute = 3, share_of_team = 0.5 }}"));
    let now = at("09:30");
    let mut roster = Roster::new(TenantId::new("acme"));
    for (id, team) in [("a", "Blue"), ("b", "Blue"), ("c", "Blue"), ("d", "Red"), ("e", "Green"), ("f", "Green")] {
        let index = add(&mut roster, id, team);
        roster.record_observation(index, observed_state(&Paused, "09:00"), now);
    }
    let decisions = decide_at(&roster, &rules, now);
    assert_eq!(
        decided_rules(&decisions),
        [("a", "r"), ("d", "r"), ("e", "r")],
        "half of three is one; half of one is still one"
    );
    assert_eq!(held_guards(&decisions), [Guard::ShareOfTeam, Guard::ShareOfTeam, Guard::PerMinute]);
    for intent in &decisions.intents {
        record_intent(&mut roster, intent, now);
        roster.set_blocking_transition(
            intent.index,
            Some(BlockingTransition { priority: intent.priority, blocks_same_priority: true }),
        );
    }
    let soon = now.offset(59_999_999);
    let (settings, again) = (DecideSettings { stale_after: HOUR, ..DecideSettings::default() }, now.offset(60_000_000));
    assert_eq!(decided_rules(&decide(&roster, &rules, &settings, soon)), [], "within the minute");
    assert_eq!(decided_rules(&decide(&roster, &rules, &settings, again)), [("b", "r"), ("f", "r")], "a minute later");
}

#[test]
fn the_first_rule_that_wants_an_agent_has_the_agent() {
    let rule = |id: &str, extra: &str| {
        format!("[[rules]]\nid = '{id}'\nwhen = {{ planned = 'work', state = 'Paused' }}\n{extra}\n")
    };
    let (to_ready, to_idle) = ("then = { set_state = 'Ready' }", "then = { set_state = 'Idle' }");
    let enforce = |then: &str| format!("mode = 'enforce'\n{then}");
    let now = at("09:30");
    let wins = |text: &str, expected: &[&str]| {
        let roster = roster(&Paused, "09:00", now);
        let decisions = decide_at(&roster, &rules(text), now);
        let rules: Vec<_> = decided_rules(&decisions).into_iter().map(|(_, rule)| rule.to_owned()).collect();
        assert_eq!(rules, expected, "{text}");
    };
    wins(&(rule("one", &enforce(to_ready)) + &rule("two", &enforce(to_idle))), &["one"]);
    let urgent = enforce(to_idle) + "\npriority = 'mandatory_break'";
    let late = enforce(to_idle) + "\npriority = 'housekeeping'";
    wins(&(rule("late", &late) + &rule("one", &enforce(to_ready)) + &rule("urgent", &urgent)), &["urgent"]);
    wins(&(rule("watch", to_ready) + &rule("two", &enforce(to_idle))), &["watch", "two"]);
    wins(&(rule("watch", to_ready) + &rule("watch-2", to_idle)), &["watch"]);
    wins(&(rule("one", &enforce(to_ready)) + &rule("watch", to_idle)), &["one"]);
    wins(&(rule("tell", &enforce("then = { tell = 'x' }")) + &rule("two", &enforce(to_idle))), &["tell", "two"]);
    wins(&(rule("asks", &format!("mode = 'approve'\n{to_ready}")) + &rule("two", &enforce(to_idle))), &["asks"]);
}

#[test]
fn a_rule_that_is_held_or_satisfied_still_keeps_the_agent_from_later_rules() {
    let now = at("09:30");
    let text = "[[rules]]\nid = 'stay'\nmode = 'enforce'\nwhen = { planned = 'work' }\nthen = { set_state = 'NotReady' }\n\
                [[rules]]\nid = 'go'\nmode = 'enforce'\nwhen = { planned = 'work' }\nthen = { set_state = 'Ready' }";
    let roster = roster(&NotReady, "09:00", now);
    let explanation = explain(&roster, "a", &rules(text), &DecideSettings::default(), now).expect("there");
    assert_eq!(explanation.rules[1].outcome, RuleOutcome::Taken { by: "stay".into() });
    assert_eq!(decide_at(&roster, &rules(text), now), Decisions::default());
}

#[test]
fn the_key_of_a_held_intent_changes_only_with_its_facts() {
    let rules = rule(BACK);
    let mut now = at("09:30");
    let mut roster = roster(&Paused, "09:00", now);
    let a = roster.find("a").expect("there");
    roster.pause_automation(a, at("11:00"));
    let key = |roster: &Roster, now| decide_at(roster, &rules, now).held[0].fact_key;
    let first = key(&roster, now);
    now = now.offset(5_000_000);
    assert_eq!(key(&roster, now), first, "time passes");
    roster.record_observation(a, observed_state(&Paused, "09:10"), now);
    let second = key(&roster, now);
    assert_ne!(second, first, "paused anew");
    roster.mark_observed(a, at("10:15"));
    assert_ne!(key(&roster, at("10:15")), second, "another activity");
    let listed = decide_at(&roster, &rules, at("10:15")).held.remove(0);
    let facts = listed.facts(&roster, &rules, &DecideSettings::default(), at("10:15")).expect("the same roster");
    assert_eq!((facts.planned.as_str(), facts.state), ("work", Some(Paused)));
}

#[test]
fn an_agent_with_an_exception_is_neutral_and_left_alone_by_rules_about_the_plan() {
    use crate::domain::adherence::Verdict;
    let by_plan = rule(BACK);
    let by_state = rule("when = { state = 'Paused', for = '5m' }\nthen = { set_state = 'Ready' }");
    let mut roster = roster(&Paused, "09:00", at("09:30"));
    let a = roster.find("a").expect("there");
    roster.set_exceptions(a, vec![Coverage { start: at("09:20"), end: at("09:31") }]);
    let judged =
        |roster: &Roster, time| live_verdict(roster.get(a).expect("there"), &DecideSettings::default(), at(time));
    let now = at("09:30");
    assert_eq!(held_guard(&roster, &by_plan, now), Some(Guard::Excused));
    assert_eq!(held_guard(&roster, &by_state, now), None, "it does not look at the plan");
    let neutral = judged(&roster, "09:30");
    assert_eq!((neutral.verdict, neutral.since), (Verdict::Neutral, Some(at("09:20"))));
    let explained = explain(&roster, "a", &by_plan, &DecideSettings::default(), now).expect("there").to_string();
    assert!(explained.contains("the agent has an approved exception until 2026-11-23T09:31:00Z"), "{explained}");
    roster.mark_observed(a, at("09:32"));
    assert_eq!(held_guard(&roster, &by_plan, at("09:31")), None, "the span's end is outside");
    assert_eq!(judged(&roster, "09:32").verdict, Verdict::In, "the tolerance begins anew");
    roster.mark_observed(a, at("09:34"));
    assert_eq!(judged(&roster, "09:34").verdict, Verdict::Out);
}

#[test]
fn a_rule_held_by_an_exception_does_not_claim_the_agent() {
    let both = "[[rules]]\nid = 'plan'\nmode = 'enforce'\nwhen = { planned = 'work', state = 'Paused' }\n\
                then = { set_state = 'Ready' }\n[[rules]]\nid = 'state'\nmode = 'enforce'\n\
                when = { state = 'Paused' }\nthen = { set_state = 'NotReady' }\n";
    let (rules, now) = (rules(both), at("09:30"));
    let mut roster = roster(&Paused, "09:00", now);
    assert_eq!(decided_rules(&decide_at(&roster, &rules, now)), [("a", "plan")]);
    let a = roster.find("a").expect("there");
    roster.set_exceptions(a, vec![Coverage { start: at("09:00"), end: at("10:00") }]);
    assert_eq!(decided_rules(&decide_at(&roster, &rules, now)), [("a", "state")]);
}
