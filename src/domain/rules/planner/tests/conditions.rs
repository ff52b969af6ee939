//! Every condition of a rule: where it holds, where it does not, and how it reads.

use super::*;
use crate::domain::analytics::anomaly::tests::record as anomaly_record;
use crate::domain::analytics::anomaly::{Anomalies, AnomalyRecord};
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::live::figures::{Figures, SkillFigures};
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::staffing::{AgentCount, RequiredStaffing, TeamQueues};
use AgentState::{AfterContactWork, Idle, NotReady, OnContact, Paused, Ready};

const DAY: std::time::Duration = std::time::Duration::from_hours(24);

/// Whether a rule with this `when` wants the agent, and that the explanation agrees.
fn matches(when: &str, state: &AgentState, since: &str, now: &str) -> bool {
    let now = at(now);
    let roster = roster(state, since, now);
    let rules = rule(&format!("when = {when}\nthen = {{ tell = \"x\" }}"));
    let settings = DecideSettings::default();
    let decided = !decide(&roster, &rules, &settings, now).intents.is_empty();
    let explained = explain(&roster, "a", &rules, &settings, now).expect("there");
    assert_eq!(explained.rules[0].outcome == RuleOutcome::Decided, decided, "{when}: {explained}");
    let all_held = explained.rules[0].facts.conditions.iter().all(|finding| finding.held);
    assert_eq!(all_held, decided, "{when}: {explained}");
    decided
}

#[test]
fn every_condition_holds_where_it_should_and_nowhere_else() {
    // (when, holds for (state, since, now), does not hold for)
    for (when, (state, since, now), (not_state, not_since, not_now)) in [
        ("{ planned = 'work' }", (Ready, "09:00", "09:30"), (Ready, "09:00", "10:00")),
        ("{ planned = ['break', 'lunch'] }", (Ready, "09:00", "12:29"), (Ready, "09:00", "12:30")),
        ("{ planned = 'Project' }", (Ready, "09:00", "14:00"), (Ready, "09:00", "13:59")),
        ("{ planned = 'off' }", (Ready, "09:00", "17:00"), (Ready, "09:00", "16:59")),
        ("{ planned = 'uncovered' }", (Ready, "09:00", "23:00"), (Ready, "09:00", "22:59")),
        ("{ next = 'lunch' }", (Ready, "09:00", "11:00"), (Ready, "09:00", "09:30")),
        ("{ next = 'project' }", (Ready, "09:00", "13:00"), (Ready, "09:00", "11:00")),
        ("{ after = 'break' }", (Ready, "09:00", "11:00"), (Ready, "09:00", "13:00")),
        ("{ after = 'off' }", (Ready, "09:00", "09:10"), (Ready, "09:00", "10:10")),
        ("{ state = ['Paused', 'NotReady'] }", (Paused, "09:00", "09:30"), (Idle, "09:00", "09:30")),
        ("{ state = 'Paused', for = '2m' }", (Paused, "09:28", "09:30"), (Paused, "09:28:01", "09:30")),
        ("{ planned_for = '2m' }", (Ready, "09:00", "10:02"), (Ready, "09:00", "10:01:59")),
        ("{ planned_left = '2m' }", (Ready, "09:00", "10:13"), (Ready, "09:00", "10:13:01")),
        ("{ mandatory = true }", (Ready, "09:00", "12:00"), (Ready, "09:00", "10:00")),
        ("{ mandatory = false }", (Ready, "09:00", "10:00"), (Ready, "09:00", "12:00")),
        ("{ break = 'due' }", (OnContact, "09:00", "10:05"), (Paused, "09:00", "10:05")),
        ("{ break = 'running' }", (Paused, "09:00", "10:05"), (Paused, "09:00", "10:15")),
        ("{ break = 'over' }", (Paused, "10:10", "10:20"), (Paused, "10:16", "10:20")),
        ("{ worked = '2h' }", (Ready, "08:00", "11:00"), (Ready, "08:00", "10:59")),
        ("{ shift = { started_for = '5m' } }", (Ready, "09:00", "09:05"), (Ready, "09:00", "09:04:59")),
        ("{ shift = { started_within = '5m' } }", (Ready, "09:00", "09:05"), (Ready, "09:00", "09:05:01")),
        ("{ shift = { ends_within = '5m' } }", (Ready, "09:00", "16:55"), (Ready, "09:00", "16:54:59")),
        ("{ shift = { starts_within = '5m' } }", (Ready, "08:00", "08:55"), (Ready, "08:00", "08:54:59")),
        ("{ shift = { ended_for = '5m' } }", (Ready, "09:00", "17:05"), (Ready, "09:00", "17:04:59")),
        ("{ shift = { ended_within = '5m' } }", (Ready, "09:00", "17:05"), (Ready, "09:00", "17:05:01")),
        ("{ verdict = 'out' }", (Paused, "09:00", "09:02:01"), (Paused, "09:00", "09:02")),
        ("{ verdict = 'unscheduled' }", (Ready, "09:00", "17:00"), (Ready, "09:00", "16:00")),
        ("{ verdict = 'out', verdict_for = '5m' }", (Paused, "09:00", "09:05"), (Paused, "09:00", "09:04")),
        ("{ team = ['Red', 'Blue'] }", (Ready, "09:00", "09:30"), (Ready, "09:00", "09:30")),
        ("{ queue = 'Support' }", (Ready, "09:00", "09:30"), (Ready, "09:00", "09:30")),
        ("{ local_time = { from = '10:30', to = '11:00' } }", (Ready, "09:00", "09:30"), (Ready, "09:00", "10:00")),
        ("{ local_time = { from = '22:00', to = '00:30' } }", (Ready, "09:00", "21:00"), (Ready, "09:00", "20:59")),
        ("{ local_time = { from = '22:00', to = '24:00' } }", (Ready, "09:00", "22:59"), (Ready, "09:00", "23:00")),
        ("{ weekdays = ['mon', 'wednesday'] }", (Ready, "09:00", "22:59"), (Ready, "09:00", "23:00")),
        ("{ on_contact = true }", (AfterContactWork, "09:00", "09:30"), (Ready, "09:00", "09:30")),
        ("{ on_contact = false }", (NotReady, "09:00", "09:30"), (OnContact, "09:00", "09:30")),
    ] {
        assert!(matches(when, &state, since, now), "{when} holds for {state} since {since} at {now}");
        let other = when.replace("['Red', 'Blue']", "'Red'").replace("'Support'", "'Sales'");
        let held = matches(&other, &not_state, not_since, not_now);
        assert!(!held, "{other} does not hold for {not_state} since {not_since} at {not_now}");
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let when = "{ planned = 'work', state = 'Paused', for = '2m', after = 'break' }";
    assert!(matches(when, &Paused, "10:14", "10:16"));
    for (state, since, now) in [(Paused, "10:15", "10:16"), (NotReady, "10:10", "10:16"), (Paused, "12:00", "12:40")] {
        assert!(!matches(when, &state, since, now), "{state} since {since} at {now}");
    }
}

#[test]
fn an_agent_without_a_zone_has_no_local_time() {
    let now = at("09:30");
    let mut roster = roster(&Ready, "09:00", now);
    roster.upsert(Agent { id: "a".into(), name: None, team: None, zone: None });
    for when in ["{ local_time = { from = '00:00', to = '24:00' } }", "{ weekdays = 'mon' }"] {
        let rules = rule(&format!("when = {when}\nthen = {{ tell = \"x\" }}"));
        assert_eq!(decide(&roster, &rules, &DecideSettings::default(), now), Decisions::default(), "{when}");
    }
}

#[test]
fn decisions_read_as_sentences_and_as_json() {
    let now = at("10:19");
    let roster = roster(&Paused, "10:14", now);
    let rules = rules(
        "[[rules]]\nid = 'back-from-break'\nwhen = { planned = 'work', state = 'Paused', for = '2m', after = 'break' }\n\
         then = { set_state = 'Ready', reason = 'WORKING' }\n\
         [[rules]]\nid = 'lunch'\nwhen = { planned = 'lunch', state = 'Ready' }\nthen = { log_out = true }",
    );
    let settings = DecideSettings::default();
    let intent = decide(&roster, &rules, &settings, now).intents.remove(0);
    let sentence = "a: back-from-break would set Ready (WORKING): planned work since 11:15 UTC+1, state Paused for 5m (at least 2m), \
                    came after break";
    assert_eq!(intent.to_string(), sentence);
    let explanation = explain(&roster, "a", &rules, &settings, now).expect("there");
    assert_eq!(
        explanation.to_string(),
        format!("{sentence}\na: lunch does not match: planned is work (wanted lunch), state is Paused (wanted Ready)")
    );
    let json = serde_json::to_value(&intent).expect("JSON");
    assert_eq!(json["action"]["set_state"]["state"], "Ready");
    assert_eq!(json["facts"]["planned_since"], "2026-11-23T10:15:00Z");
    let facts: Facts = serde_json::from_value(json["facts"].clone()).expect("read back");
    assert_eq!(facts, intent.facts);
    assert_eq!(serde_json::to_value(&explanation).expect("JSON")["rules"][1]["outcome"]["outcome"], "no_match");
}

#[test]
fn figures_count_for_everyone_while_they_are_fresh_and_say_so_when_they_are_not() {
    let now = at("10:30");
    let mut roster = roster(&Paused, "10:14", now);
    let rules = rule(
        "when = { planned = 'work', skill_figures = { id = 12, contacts_queued = { at_least = 5 }, service_level = { below = 0.8 } } }\n\
         then = { set_state = 'Ready' }",
    );
    let settings = DecideSettings::default();
    let explained = |roster: &Roster, now| explain(roster, "a", &rules, &settings, now).expect("there").to_string();
    assert_eq!(decide(&roster, &rules, &settings, now).intents, [], "no figures are known");
    assert!(explained(&roster, now).contains("is unknown: no figures of skill 12 were read (wanted at least 5)"));

    let mut figures = Figures { fresh_for: std::time::Duration::from_secs(90), ..Figures::default() };
    let busy =
        SkillFigures { contacts_queued: Some(7), service_level_ppm: Some(650_000), ..SkillFigures::idle("12".into()) };
    figures.put_skill(at("10:29"), busy);
    roster.set_figures(std::sync::Arc::new(figures.clone()));
    let intents = decide(&roster, &rules, &settings, now).intents;
    assert_eq!(intents.len(), 1);
    let facts = intents[0].facts.to_string();
    assert!(facts.contains("skill_figures.contacts_queued 7 for skill 12 (at least 5)"), "{facts}");
    assert!(facts.contains("skill_figures.service_level 65 % for skill 12 (below 80 %)"), "{facts}");

    let later = at("10:30:31");
    roster.record_observation(roster.find("a").expect("there"), observed_state(&Paused, "10:14"), later);
    assert_eq!(decide(&roster, &rules, &settings, later), Decisions::default(), "a minute and a half old");
    assert!(explained(&roster, later).contains("are 1m31s old, at most 1m30s counts (wanted at least 5)"));

    figures.put_skill(later, SkillFigures::idle("12".into()));
    roster.set_figures(std::sync::Arc::new(figures));
    let idle = explained(&roster, later);
    assert!(idle.contains("contacts_queued is 0 for skill 12"), "{idle}");
    assert!(idle.contains("service_level is unknown: the platform gave none for skill 12"), "{idle}");
}

#[test]
fn an_anomaly_counts_for_everyone_from_when_it_was_found_and_is_explained() {
    let found = at("10:31");
    let mut roster = roster(&Paused, "10:14", found);
    let rules = rule(
        "when = { planned = 'work', anomaly = { series = 'voice', kind = 'spike', within = '30m' } }\n\
         then = { set_state = 'Ready' }",
    );
    let settings = DecideSettings { stale_after: std::time::Duration::MAX, ..DecideSettings::default() };
    let explained = |roster: &Roster, now| explain(roster, "a", &rules, &settings, now).expect("there").to_string();
    let acts = |roster: &Roster, now| !decide(roster, &rules, &settings, now).intents.is_empty();
    assert!(!acts(&roster, found), "nobody watches it");
    assert!(explained(&roster, found).contains("anomaly is unknown: no series voice is watched"));
    let record = AnomalyRecord {
        first_bucket_at: at("10:15"),
        last_bucket_at: at("10:15"),
        detected_at: found,
        last_observed_at: found,
        ended_at: Some(at("10:46")),
        ..anomaly_record("voice", AnomalyKind::Spike, 1, 1, None)
    };
    roster.set_anomalies(Arc::new(Anomalies { monitored: vec!["voice".into()], recent: vec![record] }));
    for (now, held) in [("10:30", false), ("10:31", true), ("10:45", true), ("11:01", true), ("11:01:01", false)] {
        assert_eq!(acts(&roster, at(now)), held, "{now}");
    }
    let line = explained(&roster, at("10:50"));
    let expected = "anomaly spike since 2026-11-23T10:15:00Z (57 where 12.2 was expected), last seen 19m ago (a spike of voice within 30m)";
    assert!(line.contains(expected), "{line}");
}

#[test]
fn staffing_counts_for_the_agents_of_a_team_quarter_hour_by_quarter_hour() {
    // Two agents of Blue work until lunch at 12:00, and one of them is required in the queue of Blue.
    let now = at("11:05");
    let mut roster = roster(&Ready, "10:16", now);
    add(&mut roster, "b", "Blue");
    add(&mut roster, "c", "Red");
    let required = |queue: &str, agents| RequiredStaffing {
        start: at("11:00"),
        minutes: 60,
        queue: queue.into(),
        agents: AgentCount::from_thousandths(agents),
    };
    let rules = rule("when = { staffing = { net = { at_least = 1 }, ahead = '45m' } }\nthen = { tell = 'x' }");
    let settings = DecideSettings { stale_after: std::time::Duration::MAX, ..DecideSettings::default() };
    let explained = |roster: &Roster| explain(roster, "a", &rules, &settings, now).expect("there").to_string();
    let acts = |roster: &Roster| !decide(roster, &rules, &settings, now).intents.is_empty();
    assert!(!acts(&roster), "nothing is required");
    assert!(explained(&roster).contains("staffing.net is unknown: no staff is required at 2026-11-23T11:00:00Z"));

    roster.set_required_staffing([required("voice", 1000), required("chat", 1500)].into());
    assert!(!acts(&roster), "all agents are compared with all queues");
    assert!(
        explained(&roster).contains("staffing.net is 0.5 (wanted at least 1 for the next 45m)"),
        "{}",
        explained(&roster)
    );
    let queues = [("Blue".into(), [Arc::from("voice")].into())].into();
    roster.set_team_queues(Arc::new(TeamQueues(queues)));
    assert!(acts(&roster), "{}", explained(&roster));
    let later = explain(&roster, "a", &rules, &settings, at("11:20")).expect("there").to_string();
    assert!(later.contains("staffing.net is unknown: no staff is required at 2026-11-23T12:00:00Z"), "{later}");
}

#[test]
fn an_offer_is_decided_once_for_each_shift() {
    let now = at("11:05");
    let mut roster = roster(&Ready, "10:16", now);
    let rules = rules(
        "[[rules]]\nid = \"r\"\nmode = \"approve\"\nwhen = { planned = 'work' }\n\
         then = { offer = { move_end = { by_minutes = -60 } }, places = 2, open_for = '45m' }\ncooldown = '1s'",
    );
    let settings = DecideSettings { stale_after: std::time::Duration::MAX, ..DecideSettings::default() };
    let decisions = decide(&roster, &rules, &settings, now);
    let [intent] = decisions.intents.as_slice() else { panic!("{decisions:?}") };
    let edit = ShiftEdit::MoveEnd { by_minutes: -60 };
    assert_eq!(intent.action, RuleAction::Offer { edit, places: 2, open_minutes: 45 });
    assert!(
        intent.to_string().starts_with("a: r asks to offer \"shift ends 60 min earlier\": planned work"),
        "{intent}"
    );
    record_intent(&mut roster, intent, now);
    // Another state, and another piece of work, of the same shift.
    let a = roster.find("a").expect("there");
    roster.record_observation(a, observed_state(&OnContact, "13:00"), at("13:00"));
    assert_eq!(decide(&roster, &rules, &settings, at("13:00")).intents, []);
    let explained = explain(&roster, "a", &rules, &settings, at("13:00")).expect("there").to_string();
    assert!(explained.contains("it was proposed already for this shift"), "{explained}");
    let next_day = Shift { start: at("09:00") + DAY, end: at("17:00") + DAY, activities: Vec::new() };
    roster.set_plan(a, Arc::new(AgentPlan::new(vec![next_day], Vec::new())));
    let tomorrow = at("10:00") + DAY;
    roster.record_observation(a, observed_state(&Ready, "13:00"), tomorrow);
    roster.advance(tomorrow);
    assert_eq!(decide(&roster, &rules, &settings, tomorrow).intents.len(), 1);
}
