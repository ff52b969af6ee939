//! A day of a contact centre, seen through a feed that drops and falls silent, polls that fail, tokens and subscriptions that
//! end, clocks that are off, and a daemon that is killed: history is what each agent did, change by change.

use std::time::Duration;

use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{AgentScript, SimOptions, SimState};
use shiftkeeper::store::StoredHistory;

use crate::harness::ledger::{daemon_state, state_posts};
use crate::harness::{Dialect, Scenario, Setup, agent_ids, full_size, on_both_dialects, start};

on_both_dialects!(history_is_what_each_agent_did_through_a_day_of_trouble,);

const RULES: &str = include_str!("../../../config/rules.toml");

/// What goes wrong all the time, in shares of messages and polls.
const CONSTANT_FAULTS: [&str; 12] = [
    "timestamp_jitter:on=snapshot,ms=900",
    "reset_before:on=feed_message,probability=0.006",
    "lost_answer:on=feed_message,probability=0.003",
    "repeat:on=feed_message,probability=0.02",
    "wrong_types:on=feed_message,probability=0.003",
    "truncated:on=feed_message,probability=0.002",
    "status:on=snapshot,code=503,probability=0.05",
    "reset_before:on=snapshot,probability=0.03",
    "reset_mid:on=snapshot,probability=0.02",
    "truncated:on=snapshot,probability=0.02",
    "html:on=snapshot,probability=0.02",
    "status:on=token,code=500,probability=0.1",
];

const AGENTS: usize = 40;
const TOKEN_LIFETIME: Duration = Duration::from_secs(20 * 60);
const MINUTE: Duration = Duration::from_secs(60);

/// A world of living agents in two subscriptions, which are renewed after an hour and die soon after it.
fn setup(speed: u32) -> Setup {
    Setup {
        speed,
        sim: SimOptions {
            agents: AGENTS,
            special_users: false,
            token_lifetime: TOKEN_LIFETIME,
            subscription_lifetime: MINUTE * 65,
            ..SimOptions::default()
        },
        request_timeout: Duration::from_secs(2),
        tenant_keys: "skills = [\"1001\", \"1002\", \"1003\", \"1004\"]",
        tenant_tables: "[tenants.subscription]\nagents_per_subscription = 20\nrenew_after = \"1h\"\n\
                        [tenants.policy]\nwait_at_most = \"12h\"\nanswers_kept = \"1m\"\n\
                        [tenants.automation]\nstale_intervals = 30\n",
        ..Setup::default()
    }
}

/// The trouble of one round, by turns, and what ends it.
async fn inject_round(scenario: &mut Scenario, round: usize, random: &mut fastrand::Rng) {
    let a_while = MINUTE + Duration::from_secs(random.u64(0..120));
    match round % 10 {
        0 => scenario.add_fault("drop_feeds"),
        1 => scenario.add_fault("revoke_tokens"),
        2 => run_with_single_fault(scenario, "silent:on=feed_message", MINUTE * 4).await,
        3 => scenario.add_fault("expire_subscriptions"),
        4 => run_with_single_fault(scenario, "status:on=feed,code=503", a_while).await,
        5 => {
            scenario.add_fault("drop_feeds");
            run_with_single_fault(scenario, "reset_before:on=snapshot", a_while).await;
        }
        6 => {
            scenario.sim.stop_listening().await;
            scenario.let_time_pass(a_while).await;
            scenario.sim.resume_listening().await.expect("the same port");
        }
        7 => {
            scenario.kill_daemon().await;
            scenario.start_daemon().await;
        }
        8 => scenario.add_fault("close_feeds"),
        _ => {
            scenario.add_fault("silent:on=feed_message");
            run_with_single_fault(scenario, "status:on=snapshot,code=500", a_while).await;
        }
    }
}

/// Lets time pass with one fault alone, whose weight the others would take away.
async fn run_with_single_fault(scenario: &Scenario, fault: &str, time: Duration) {
    clear_faults(scenario);
    scenario.add_fault(fault);
    scenario.let_time_pass(time).await;
}

/// Nothing goes wrong but the platform's clock, which is off, and now and then is set. Not in the hour's last part, when the daemon
/// is killed: the instants that the simulator shows all move with its clock, and only a daemon that sees them move can tell.
fn clear_faults(scenario: &Scenario) {
    let minutes = scenario.clock.now().since(start()).as_secs() / 60;
    let skew_ms = [-41_000, 25_000, -130_000][usize::try_from((minutes + 30) / 60 % 3).expect("few")];
    scenario.sim.clear_faults();
    scenario.add_fault(&format!("clock_skew:ms={skew_ms}"));
}

/// A history that lacks a row, or has one too many, is found out.
async fn assert_check_finds_errors(scenario: &Scenario) {
    let long = |rows: &Vec<StoredHistory>| rows.len() > 6;
    let lacks = |rows: &mut Vec<StoredHistory>| {
        if long(rows) {
            rows.remove(rows.len() / 2);
        }
    };
    let invents = |rows: &mut Vec<StoredHistory>| {
        if long(rows) {
            let middle = rows.len() / 2;
            let again = rows[middle].clone();
            rows.insert(middle, again);
        }
    };
    let sound = AGENTS / 4;
    let (lacking, inventing) =
        (scenario.reconcile_observations(lacks).await, scenario.reconcile_observations(invents).await);
    assert!(lacking.wrong.len() > sound && inventing.wrong.len() > sound, "{lacking}\n{inventing}");
}

async fn history_is_what_each_agent_did_through_a_day_of_trouble(dialect: Dialect) {
    let (rounds, speed) = if full_size() { (240, 60) } else { (13, 100) };
    let mut scenario = Scenario::without_daemon(setup(speed).on(dialect)).await;
    clear_faults(&scenario);
    scenario.start_daemon().await;
    scenario.wait_until_observed().await;
    let mut dice = fastrand::Rng::with_seed(11);
    for round in 0..rounds {
        let until = scenario.clock.now() + MINUTE * 6;
        for fault in CONSTANT_FAULTS {
            scenario.add_fault(fault);
        }
        scenario.let_time_pass(MINUTE).await;
        // People ask for changes too, all through it.
        let asked: Vec<String> =
            agent_ids(AGENTS).into_iter().skip(dice.usize(..AGENTS / 2)).step_by(7).take(3).collect();
        scenario.request_change(&asked, "Paused").await;
        inject_round(&mut scenario, round, &mut dice).await;
        clear_faults(&scenario);
        scenario.let_time_pass(until.since(scenario.clock.now())).await;
        let _ = scenario.log();
    }
    // Agents who do nothing more are observed.
    for agent in agent_ids(AGENTS) {
        scenario.apply_script(&AgentScript { hold: Some(true), ..Scenario::agent_script(&agent) });
    }
    scenario.let_time_pass(MINUTE * 2).await;
    scenario.wait_until_settled().await;
    scenario.stop_daemon().await;
    let calls = scenario.assert_calls_are_justified(TOKEN_LIFETIME);
    let reckoned = scenario.reconcile_observations(|_| ()).await;
    assert!(reckoned.wrong.is_empty(), "{reckoned}\n{calls}\nwrong:\n{}", reckoned.wrong.join("\n"));
    assert!(reckoned.matched > reckoned.changes * 3 / 4, "{reckoned}");
    match dialect {
        Dialect::Guide => assert!(reckoned.by_feed_alone > 0, "{reckoned}"),
        Dialect::Incontact => assert!(reckoned.by_snapshot_alone == reckoned.matched, "{reckoned}"),
    }
    assert_check_finds_errors(&scenario).await;
    scenario.check_consistency().await;
}

/// Every way in which a snapshot can be hostile, while every shipped rule acts on what it sees.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_snapshots_make_no_change_no_violation_and_no_crash() {
    let setup = Setup {
        rules: RULES,
        tenant_tables: "[tenants.automation]\nenforce = [\"all\"]\nstale_intervals = 30\n",
        ..Setup::team(12)
    };
    let scenario = Scenario::start_team(setup).await;
    // Those in after-call work must not seem to have been in it for too long.
    let in_work = |at: usize| if at < 8 { SimState::Available } else { SimState::Acw };
    for (at, agent) in agent_ids(12).iter().enumerate() {
        scenario.set_agent_state(agent, in_work(at));
    }
    scenario.let_time_pass(Duration::from_secs(30)).await;
    for kind in [
        "wrong_types",
        "old_times",
        "missing_rows",
        "repeat",
        "other_zones",
        "truncated",
        "html",
        "bulky",
        "nonsense",
        "timestamp_jitter",
    ] {
        scenario.add_fault(&format!("{kind}:on=snapshot,ms=4000,count=2"));
        scenario.let_time_pass(Duration::from_secs(50)).await;
    }
    let posts = state_posts(&scenario.log()).count();
    assert_eq!(posts, 0, "no rule found anything to do");
    let reader = scenario.reader().await;
    for (at, agent) in agent_ids(12).iter().enumerate() {
        let rows = scenario.history(&reader, &agent.as_str().into()).await;
        let states: Vec<String> = rows.iter().map(|row| row.row.state.to_string()).collect();
        let state = daemon_state(in_work(at)).to_string();
        // Every fourth row named a state that nobody knows: it is kept and shown, and over when it is over.
        let kept: Vec<&str> =
            if at % 4 == 0 { vec!["NotReady", &state, "hovering", &state] } else { vec!["NotReady", &state] };
        assert_eq!(states, kept, "{agent}");
    }
    let events = scenario.events(&reader).await;
    let told = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((told(EventKind::PolicyViolated), told(EventKind::SnapshotOversize)), (0, 1));
    let figures = reader.compliance_figures(&scenario.tenant, start(), scenario.clock.now()).await.expect("readable");
    assert_eq!(figures.total, 0, "no transition was asked for");
    reader.close().await;
    scenario.wait_for_readiness("ready").await;
    scenario.sim.stop().await;
}
