//! The decide pass over 100,000 agents and 20 rules on one core, beside a bare scan of the same roster, and the step that moves
//! every agent over an edge of the plan. The limits stand in the design, part 9.

use std::sync::Arc;

use divan::{Bencher, black_box};
use shiftkeeper::domain::agents::agent::{Agent, ObservationSource, ObservedState};
use shiftkeeper::domain::agents::roster::Roster;
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::rules::planner::{DecideSettings, decide, explain};
use shiftkeeper::domain::rules::rule::check::Capabilities;
use shiftkeeper::domain::rules::rule::compile::RuleSet;
use shiftkeeper::domain::rules::rule::parse;
use shiftkeeper::domain::schedules::schedule::{Activity, AgentPlan, Coverage, Shift, ShiftActivity};
use shiftkeeper::domain::time::UtcMicros;

const AGENTS: usize = 100_000;
const MINUTE: i64 = 60_000_000;

/// The shipped rules are seven; these make them twenty and use the conditions that those do not.
const MORE: &str = r#"
[[rules]]
id = "out-long"
when = { verdict = "out", verdict_for = "12m" }
then = { tell = "out of adherence" }
[[rules]]
id = "no-rest"
when = { planned = "work", worked = "6h", state = ["Ready", "OnContact"] }
then = { tell = "six hours without a rest" }
[[rules]]
id = "meeting"
when = { planned = "meeting", state = "Ready", planned_for = "2m" }
then = { set_state = "NotReady" }
[[rules]]
id = "training"
when = { planned = "training", state = "Ready", planned_for = "2m", local_time = { from = "07:00", to = "20:00" } }
then = { set_state = "NotReady" }
[[rules]]
id = "team-watch"
when = { team = ["team 7", "team 9"], state = "Paused", for = "14m" }
then = { tell = "paused" }
[[rules]]
id = "night"
when = { local_time = { from = "23:00", to = "05:00" }, state = "Idle", for = "14m" }
then = { tell = "idle at night" }
[[rules]]
id = "weekend"
when = { weekdays = ["sat", "sun"], state = "Idle", for = "14m" }
then = { tell = "idle at the weekend" }
[[rules]]
id = "long-contact"
when = { state = "OnContact", for = "14m50s", queue = "Sales" }
then = { tell = "a long contact" }
[[rules]]
id = "early"
when = { planned = "off", shift = { starts_within = "5m" }, state = "Ready" }
then = { tell = "early" }
[[rules]]
id = "late-end"
when = { state = "OnContact", shift = { ended_for = "30m" } }
then = { tell = "over the shift's end" }
[[rules]]
id = "last-minutes"
when = { shift = { ends_within = "2m" }, state = "AfterContactWork", for = "14m" }
then = { ask = "may go?" }
[[rules]]
id = "over-break"
when = { break = "over", planned_for = "9m" }
then = { tell = "over the break" }
[[rules]]
id = "lunch-late"
when = { next = "lunch", planned_left = "1m", worked = "5h" }
then = { tell = "lunch is late" }
"#;

fn main() {
    divan::main();
}

/// A number that looks random and is the same in every run.
fn draw(n: usize, salt: u64) -> i64 {
    let mixed = (n as u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    i64::try_from(mixed >> 33).unwrap_or(0)
}

fn at(minute: i64) -> UtcMicros {
    "2026-11-23T00:00:00Z".parse::<UtcMicros>().unwrap_or_default().offset(minute * MINUTE)
}

/// Two weeks of shifts; starts are spread over the day in quarters of an hour.
fn plan(n: usize) -> Arc<AgentPlan> {
    let first = draw(n, 1) % 40 * 15;
    let shifts = (-7..7).map(|day| {
        let start = day * 1440 + 240 + first;
        let activity = |activity, from, to| ShiftActivity {
            activity,
            start: at(start + from),
            end: at(start + to),
            mandatory: activity_is_lunch(from),
        };
        let activities = vec![
            activity(Activity::Break, 120, 135),
            activity(Activity::Lunch, 240, 270),
            activity(if n.is_multiple_of(2) { Activity::Meeting } else { Activity::Training }, 300, 330),
            activity(Activity::Break, 390, 405),
        ];
        Shift { start: at(start), end: at(start + 510), activities }
    });
    Arc::new(AgentPlan::new(shifts.collect(), vec![Coverage { start: at(-7 * 1440), end: at(9 * 1440) }]))
}

const fn activity_is_lunch(from: i64) -> bool {
    from == 240
}

/// Most agents do what is planned for them; one in fifty does something else.
fn state(n: usize, working: bool) -> AgentState {
    let astray = draw(n, 2) % 50 == 0;
    match (working != astray, draw(n, 3) % 10) {
        (true, 0..=3) => AgentState::Ready,
        (true, 4..=8) => AgentState::OnContact,
        (true, _) => AgentState::AfterContactWork,
        (false, 0..=5) => AgentState::NotReady,
        (false, 6..=8) => AgentState::Paused,
        (false, _) => AgentState::Idle,
    }
}

fn roster(now: UtcMicros) -> Roster {
    let mut roster = Roster::new("acme".into());
    for n in 0..AGENTS {
        let zone = ["Europe/Berlin", "America/New_York", "Asia/Manila"][n % 3];
        let index = roster.upsert(Agent {
            id: format!("u_{n:06}").into(),
            name: None,
            team: Some(format!("team {}", n % 200).into()),
            zone: Some(zone.into()),
        });
        let plan = plan(n);
        let kind = plan.at(now);
        let in_shift = matches!(kind, shiftkeeper::domain::schedules::schedule::PlanAt::In(_));
        let working =
            matches!(kind, shiftkeeper::domain::schedules::schedule::PlanAt::In(s) if s.activity == Activity::Work);
        roster.set_plan(index, plan);
        let state = if in_shift { state(n, working) } else { AgentState::LoggedOut };
        let entered_at = now.offset(-(draw(n, 4) % 900) * 1_000_000);
        let queue = Some("Support".into());
        let (platform_at, row_at, source) = (None, entered_at, ObservationSource::Snapshot);
        let observed = ObservedState {
            state,
            reason: None,
            queue,
            entered_at,
            platform_entered_at: platform_at,
            history_at: row_at,
            source,
            transition: None,
            requested_by_person: false,
        };
        let rested_until = now.offset(-(draw(n, 5) % 240) * MINUTE);
        roster.record_past_rest(index, (rested_until.offset(-15 * MINUTE), rested_until));
        roster.record_observation(index, observed, now.offset(-5_000_000));
    }
    roster.advance(now);
    roster
}

fn rules() -> RuleSet {
    let (rules, complaints) =
        parse::parse_rules(&format!("{}{MORE}", include_str!("../config/rules.toml"))).unwrap_or_default();
    assert!(complaints.is_empty() && rules.len() == 20, "{} rules, {complaints:?}", rules.len());
    RuleSet::compile(&rules, Capabilities::guide()).unwrap_or_else(|complaints| panic!("{complaints:?}"))
}

#[divan::bench(sample_count = 50)]
fn decide_pass(bencher: Bencher<'_, '_>) {
    let now = at(12 * 60 + 7);
    let (roster, rules, settings) = (roster(now), rules(), DecideSettings::default());
    let decisions = decide(&roster, &rules, &settings, now);
    // Some agents in a thousand: a pass that decides nothing, or everything, would measure something else.
    assert!((100..5_000).contains(&decisions.intents.len()), "{} intents", decisions.intents.len());
    bencher.bench_local(|| decide(black_box(&roster), &rules, &settings, now));
}

#[divan::bench(sample_count = 50)]
fn decide_pass_in_which_everybody_is_seen_too_long_ago(bencher: Bencher<'_, '_>) {
    let now = at(12 * 60 + 7);
    let (mut roster, rules, settings) = (roster(now), rules(), DecideSettings::default());
    let later = now.offset(40_000_000);
    roster.advance(later);
    bencher.bench_local(|| decide(black_box(&roster), &rules, &settings, later));
}

#[divan::bench(sample_count = 50)]
fn bare_scan(bencher: Bencher<'_, '_>) {
    let roster = roster(at(12 * 60 + 7));
    bencher.bench_local(|| {
        let slots = black_box(&roster).agents().iter();
        slots.filter(|slot| slot.observed().is_some_and(|observed| observed.state == AgentState::Paused)).count()
    });
}

#[divan::bench(sample_count = 20)]
fn advance_over_an_edge(bencher: Bencher<'_, '_>) {
    let (before, after) = (at(12 * 60 + 14), at(12 * 60 + 15));
    let mut roster = roster(before);
    bencher.bench_local(move || {
        roster.advance(after);
        roster.advance(before);
    });
}

#[divan::bench(sample_count = 20)]
fn explain_one_agent(bencher: Bencher<'_, '_>) {
    let now = at(12 * 60 + 7);
    let (roster, rules, settings) = (roster(now), rules(), DecideSettings::default());
    bencher.bench_local(|| explain(black_box(&roster), "u_000007", &rules, &settings, now));
}
