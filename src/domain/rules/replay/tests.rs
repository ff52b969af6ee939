//! One agent on one day: shift 09:00 to 17:00, break 10:00 to 10:15.

use super::*;
use crate::domain::rules::rule::check::Capabilities;
use crate::domain::rules::rule::parse::parse_rules;
use crate::domain::schedules::schedule::{Activity, Shift, ShiftActivity};

const BACK: &str = r#"[[rules]]
id = "back"
mode = "MODE"
when = { planned = "work", break = "over", state = ["NotReady", "Paused"], for = "2m" }
then = { set_state = "Ready" }
"#;
const REST: &str = r#"[[rules]]
id = "rest"
mode = "enforce"
when = { planned = "break" }
unless = { state = ["NotReady", "Paused"] }
then = { set_state = "NotReady", on_contact = "after" }
"#;

fn at(time: &str) -> UtcMicros {
    format!("2026-11-23T{time}:00Z").parse().expect("a time of day")
}

fn rules(text: &str) -> Arc<RuleSet> {
    let (rules, diagnostics) = parse_rules(text).expect("TOML");
    assert_eq!(diagnostics, []);
    Arc::new(RuleSet::compile(&rules, Capabilities::guide()).expect("sound"))
}

fn agent(id: &str) -> Agent {
    Agent { id: id.into(), name: None, team: Some("Blue".into()), zone: None }
}

fn replay(text: &str, subject: Option<&str>) -> Replay {
    let activities =
        vec![ShiftActivity { activity: Activity::Break, start: at("10:00"), end: at("10:15"), mandatory: false }];
    let shift = Shift { start: at("09:00"), end: at("17:00"), activities };
    let plan = Arc::new(AgentPlan::new(vec![shift], vec![Coverage { start: at("00:00"), end: at("23:00") }]));
    let settings = DecideSettings::default();
    let mut replay = Replay::new("acme".into(), [agent("a")], rules(text), &settings, subject.map(RuleId::from));
    replay.set_plans(&HashMap::from([("a".into(), plan)]));
    replay
}

fn observed(state: AgentState, entered_at: UtcMicros) -> ObservedState {
    ObservedState::new(state, entered_at, ObservationSource::Snapshot)
}

fn seconds_after(time: &str, seconds: u64) -> UtcMicros {
    at(time) + Duration::from_secs(seconds)
}

/// Looks every half minute, with what was recorded in between.
fn run(replay: &mut Replay, (from, to): (&str, &str), recorded: &[(&str, AgentState)]) {
    let mut recorded = recorded.iter().peekable();
    let mut now = at(from);
    while now < at(to) {
        while let Some((since, state)) = recorded.next_if(|(since, _)| at(since) <= now) {
            replay.observe(&"a".into(), observed(state.clone(), at(since)));
        }
        replay.evaluate_at(now);
        now = now + Duration::from_secs(30);
    }
}

#[test]
fn a_rule_acts_where_it_would_have_and_its_change_lasts_until_the_next_recorded_one() {
    use AgentState::{Paused, Ready};
    let text = BACK.replace("MODE", "enforce");
    let mut replay = replay(&text, Some("back"));
    // Overran by half an hour, and nothing was done about it then.
    run(&mut replay, ("09:55", "11:00"), &[("09:00", Ready), ("10:01", Paused), ("10:45", Ready)]);
    let tally = replay.finish();
    assert_eq!(tally.action_count, 1, "set Ready once, and it was Ready from then on: {:?}", tally.listed_actions);
    assert_eq!(
        (tally.listed_actions[0].at, tally.listed_actions[0].action.as_str()),
        (at("10:15"), "set Ready (WORKING)")
    );
    assert_eq!(tally.by_hour, BTreeMap::from([(at("10:00"), 1)]));
    assert_eq!(tally.by_agent, BTreeMap::from([("a".into(), 1)]));
    assert_eq!(tally.by_rule, BTreeMap::from([("back".into(), (Mode::Enforce, 1))]));
    assert_eq!(tally.times_by_agent[&AgentId::from("a")], [at("10:15")]);
    assert!(tally.is_complete());
}

#[test]
fn a_state_that_ended_between_two_checks_is_checked_in_its_last_instant() {
    use AgentState::{AfterContactWork, Ready};
    let text = r#"[[rules]]
id = "long"
mode = "enforce"
when = { state = "AfterContactWork", for = "2m" }
then = { set_state = "Ready" }
"#;
    for (duration_s, acts) in [(119, 0), (120, 0), (121, 1), (129, 1)] {
        let mut replay = replay(text, Some("long"));
        replay.observe(&"a".into(), observed(AfterContactWork, seconds_after("09:59", 50)));
        for half_minute in 0..4 {
            replay.evaluate_at(seconds_after("10:00", 30 * half_minute));
        }
        // What the rule itself did then.
        let end = seconds_after("09:59", 50 + duration_s);
        replay.observe(&"a".into(), observed(Ready, end));
        replay.evaluate_at(at("10:02"));
        let tally = replay.finish();
        assert_eq!(tally.action_count, acts, "{duration_s} s: {:?}", tally.listed_actions);
        assert!(
            tally.listed_actions.iter().all(|act| act.at == end.offset(-1)),
            "{duration_s} s: {:?}",
            tally.listed_actions
        );
    }
}

#[test]
fn another_plan_moves_what_rules_do() {
    let text = [REST.to_owned(), BACK.replace("MODE", "watch")].concat();
    let day = |shift: (&str, &str), rest: (&str, &str)| {
        let rest = ShiftActivity { activity: Activity::Break, start: at(rest.0), end: at(rest.1), mandatory: false };
        let shift = Shift { start: at(shift.0), end: at(shift.1), activities: vec![rest] };
        Arc::new(AgentPlan::new(vec![shift], vec![Coverage { start: at("00:00"), end: at("23:00") }]))
    };
    let start = |id: &str, state: Option<AgentState>| ProjectedAgent {
        agent: agent(id),
        observed: state.map(|state| observed(state, at("09:50"))),
        exceptions: Vec::new(),
    };
    let agents = vec![
        start("a", Some(AgentState::OnContact)),
        start("b", Some(AgentState::LoggedOut)),
        start("c", None),
        start("d", Some(AgentState::Ready)),
    ];
    let projection = Projection {
        tenant: "acme".into(),
        agents,
        rules: rules(&text),
        settings: DecideSettings::default(),
        span: (at("09:55"), at("13:00")),
    };
    let usual = day(("09:00", "17:00"), ("10:00", "10:15"));
    let later = day(("09:00", "17:00"), ("10:30", "10:45"));
    let evening = day(("12:00", "17:00"), ("12:30", "12:45"));
    let changed = HashMap::from([
        ("a".into(), [Arc::clone(&usual), later]),
        ("b".into(), [Arc::new(AgentPlan::default()), evening]),
        ("c".into(), [Arc::clone(&usual), day(("09:00", "09:59"), ("09:30", "09:45"))]),
    ]);
    let found = projection.compare(&HashMap::from([("d".into(), usual)]), &changed);
    let text_of = |change: &ChangedAction| {
        let time = |at: Option<UtcMicros>| at.map_or("-".to_owned(), |at| at.to_string()[11..16].to_owned());
        format!("{} {} {} > {}", change.rule, change.agent, time(change.before), time(change.after))
    };
    assert_eq!(
        found.iter().map(text_of).collect::<Vec<_>>(),
        [
            "back a 10:15 > 10:45",
            "back b - > 12:45",
            "back c 10:15 > -",
            "rest a 10:00 > 10:30",
            "rest b - > 12:30",
            "rest c 10:00 > -",
        ],
        "d has the same plan, and is not listed"
    );
    assert_eq!(projection.mode_of(&"back".into()), Some(Mode::Watch));
    assert!(projection.compare(&HashMap::new(), &HashMap::new()).is_empty());
}

#[test]
fn limits_count_all_agents_when_only_one_is_checked() {
    use AgentState::{Paused, Ready};
    let text =
        format!("{}limit = {{ per_minute = 1 }}\n", BACK.replace("MODE", "enforce").replace("break = \"over\", ", ""));
    let mut replay = replay(&text, None);
    replay.roster.upsert(agent("b"));
    let plan = replay.roster.agent("a").expect("there").plan();
    let plan = Arc::clone(plan);
    replay.set_plans(&HashMap::from([("a".into(), Arc::clone(&plan)), ("b".into(), plan)]));
    for agent in ["a", "b"] {
        replay.observe(&agent.into(), observed(Paused, seconds_after("11:00", 5)));
    }
    replay.evaluate_at(at("11:02"));
    for agent in ["a", "b"] {
        replay.observe(&agent.into(), observed(Ready, seconds_after("11:02", 6)));
    }
    replay.evaluate_at(seconds_after("11:02", 30));
    let tally = replay.finish();
    assert_eq!((tally.action_count, tally.held.get("per_minute")), (1, Some(&1)), "{tally:?}");
}

#[test]
fn a_watching_rule_is_counted_and_changes_nothing() {
    use AgentState::{Paused, Ready};
    let mut replay = replay(&BACK.replace("MODE", "watch"), None);
    run(&mut replay, ("09:55", "11:00"), &[("09:00", Ready), ("10:01", Paused)]);
    assert_eq!(replay.roster.agent("a").and_then(|slot| slot.observed()).map(|o| o.state.clone()), Some(Paused));
    assert_eq!(replay.finish().action_count, 1, "once for each change of its facts");
}

#[test]
fn a_change_during_a_contact_waits_for_its_end() {
    use AgentState::{AfterContactWork, NotReady, OnContact, Ready};
    let mut deferred = replay(REST, None);
    run(&mut deferred, ("09:55", "10:04"), &[("09:00", Ready), ("09:59", OnContact)]);
    let state = |replay: &Replay| replay.roster.agent("a").and_then(|slot| slot.observed()).map(|o| o.state.clone());
    assert_eq!(state(&deferred), Some(OnContact));
    run(&mut deferred, ("10:04", "10:12"), &[("10:05", AfterContactWork), ("10:06", Ready)]);
    assert_eq!(state(&deferred), Some(NotReady), "the contact is over");
    assert_eq!(deferred.finish().action_count, 1, "asked for once");
    let mut too_late = replay(REST, None);
    run(&mut too_late, ("09:55", "10:20"), &[("09:00", Ready), ("09:59", OnContact), ("10:16", Ready)]);
    assert_eq!(state(&too_late), Some(Ready), "the break is over before the contact is");
}

#[test]
fn guards_hold_in_a_replay_as_they_do_live() {
    use AgentState::{Paused, Ready};
    let text = BACK.replace("MODE", "enforce");
    let mut replay = replay(&text, Some("back"));
    replay.set_exceptions(|_| vec![Coverage { start: at("10:00"), end: at("10:30") }]);
    run(&mut replay, ("09:55", "10:31"), &[("09:00", Ready), ("10:01", Paused)]);
    let tally = replay.finish();
    assert_eq!(tally.held, BTreeMap::from([("excused", 1)]), "counted once for its facts");
    assert_eq!(tally.listed_actions.iter().map(|act| act.at).collect::<Vec<_>>(), [at("10:30")], "excused until then");
}

#[test]
fn what_was_done_and_what_would_have_been_are_paired_each_once() {
    let times = |all: &[(&str, &[&str])]| -> BTreeMap<AgentId, Vec<UtcMicros>> {
        all.iter().map(|(agent, times)| ((*agent).into(), times.iter().map(|time| at(time)).collect())).collect()
    };
    let replayed = times(&[("a", &["10:00", "11:00", "12:00"]), ("b", &["10:00"])]);
    let really = times(&[("a", &["10:04", "10:05", "12:06"]), ("c", &["09:00", "10:00"])]);
    let expected = ComparisonResult { matched: 1, only_replayed: 3, only_actual: 4 };
    assert_eq!(compare_with_actual(&replayed, &really), expected);
    let reversed = compare_with_actual(&really, &replayed);
    assert_eq!((reversed.matched, reversed.only_replayed, reversed.only_actual), (1, 4, 3));
}

#[test]
fn a_large_roster_is_checked_less_often_and_a_small_one_every_half_minute() {
    let week = Duration::from_hours(7 * 24);
    for (agents, seconds) in [(300, 30), (9_000, 30), (10_000, 60), (100_000, 600), (1_000_000, 600)] {
        assert_eq!(step_for_roster(agents, week), Duration::from_secs(seconds), "{agents}");
    }
}
