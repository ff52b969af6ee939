//! Figures of skills and queues, read off the simulator and judged by its log.

use std::time::Duration;

use serde_json::{Value, json};
use shiftkeeper::domain::ids::{QueueId, SkillId};
use shiftkeeper::domain::live::figures::SkillFigures;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{RequestEntry, SimOptions, SimState};
use shiftkeeper::store::Reader;

use crate::harness::viewer::{Transport, Viewer};
use crate::harness::{Scenario, Setup, VIEWER};

const SKILL_DATA: &str = "/InContactAPI/services/v18.0/real-time-data/skill-data";
const QUEUE_FIGURES: &str = "/api/v2/reporting/queues/realtime";
const QUEUES: &str = "/api/v2/queues";

/// The platform wants no more than one read in this time.
const MIN_READ_INTERVAL: Duration = Duration::from_secs(15);

/// Every skill of the simulator, of which the last is idle, and two queues.
const ALL: &str = "skills = [\"1001\", \"1002\", \"1003\", \"1004\", \"1005\"]\nqueues = [\"q_1001\", \"q_1005\"]";

fn setup(keys: &'static str) -> Setup {
    Setup { tenant_keys: keys, ..Setup::team(8) }
}

fn reads(scenario: &Scenario) -> Vec<RequestEntry> {
    let is_read = |call: &RequestEntry| [SKILL_DATA, QUEUE_FIGURES, QUEUES].contains(&call.path.as_str());
    scenario.log().requests.into_iter().filter(is_read).collect()
}

fn of(calls: &[RequestEntry], path: &str) -> Vec<UtcMicros> {
    calls.iter().filter(|call| call.path == path).map(|call| call.at).collect()
}

/// No two reads of the same were closer than the platform wants, no minute held more than the budget, and none was refused.
fn assert_within_read_limits(scenario: &Scenario, budget: usize) {
    let calls = reads(scenario);
    for path in [SKILL_DATA, QUEUE_FIGURES] {
        let at = of(&calls, path);
        for pair in at.windows(2) {
            assert!(pair[1].since(pair[0]) >= MIN_READ_INTERVAL, "{path}: {pair:?}");
        }
    }
    for (first, call) in calls.iter().enumerate() {
        let minute =
            calls[first..].iter().take_while(|later| later.at.since(call.at) < Duration::from_secs(60)).count();
        assert!(minute <= budget, "{minute} reads within a minute of {}", call.at);
        assert_ne!(call.status, Some(429), "{call:?}");
    }
}

/// The reads of a skill that are stored, oldest first: when, and how many agents there were for it.
async fn stored_reads(reader: &Reader, scenario: &Scenario, skill: &str) -> Vec<(UtcMicros, Option<u64>)> {
    let span = (UtcMicros::EPOCH, UtcMicros::MAX);
    let points = reader.skill_series(&scenario.tenant, &SkillId::new(skill), span, 1000).await.expect("readable");
    points.into_iter().map(|point| (point.starts_at, point.stats[5].max)).collect()
}

/// Waits until a skill was read this number of times.
async fn wait_for_reads(scenario: &Scenario, reader: &Reader, skill: &str, times: usize) {
    scenario
        .wait_until(&format!("skill {skill} is read {times} times"), || async {
            let read = stored_reads(reader, scenario, skill).await.len();
            if read >= times { Ok(()) } else { Err(format!("{read}; {}", scenario.readiness().await)) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_skill_is_zero_whether_or_not_the_platform_leaves_it_out() {
    let mut setup = setup(ALL);
    setup.sim = SimOptions { agents: 20, autonomous_agents: true, ..setup.sim };
    let scenario = Scenario::start(setup).await;
    let reader = scenario.reader().await;
    wait_for_reads(&scenario, &reader, "1005", 10).await;
    let (busy, idle) = (stored_reads(&reader, &scenario, "1001").await, stored_reads(&reader, &scenario, "1005").await);
    assert!(
        busy.len().abs_diff(idle.len()) <= 1,
        "a row of each skill for each read: {} and {}",
        busy.len(),
        idle.len()
    );
    assert!(idle.iter().all(|(_, staffed)| *staffed == Some(0)), "{idle:?}");
    let newest = reader.latest_figures(&scenario.tenant, Duration::from_secs(3600)).await.expect("readable");
    let idle = newest.skill("1005").expect("read");
    let expected = SkillFigures {
        name: idle.figures.name.clone(),
        service_level_ppm: idle.figures.service_level_ppm,
        ..SkillFigures::idle("1005".into())
    };
    assert_eq!(idle.figures, expected);
    let queue = &newest.queue("q_1001").expect("read").figures;
    assert!(queue.name.is_some() && queue.agents_logged_on.is_some(), "{queue:?}");
    assert!(queue.service_level_ppm.is_some_and(|level| level > 10_000), "percent became a share: {queue:?}");
    assert_within_read_limits(&scenario, 10);
    assert_eq!(of(&reads(&scenario), QUEUES).len(), 1, "the list of queues is read once an hour");
    scenario.wait_for_readiness("ready").await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_fail_leave_old_figures_and_are_said() {
    let scenario = Scenario::start(setup(ALL)).await;
    let reader = scenario.reader().await;
    wait_for_reads(&scenario, &reader, "1001", 2).await;
    for fault in [
        "status:on=skill_data,code=503",
        "html:on=skill_data",
        "truncated:on=skill_data",
        "status:on=skill_data,code=401",
        "reset_mid:on=skill_data",
    ] {
        let before = stored_reads(&reader, &scenario, "1001").await;
        scenario.add_fault(fault);
        scenario.wait_for_readiness_detail("figures of 5 skills, last read at").await;
        let since = of(&reads(&scenario), SKILL_DATA).len();
        scenario
            .wait_until("two more reads fail", || async {
                let now = of(&reads(&scenario), SKILL_DATA).len();
                if now >= since + 2 { Ok(()) } else { Err(format!("{now} of {}", since + 2)) }
            })
            .await;
        // A read that was under way when the fault came may still have been good.
        let after = stored_reads(&reader, &scenario, "1001").await;
        assert!(after.len() <= before.len() + 1, "{fault}: nothing was made up");
        assert!(after.iter().all(|(_, staffed)| *staffed == after[0].1), "{fault}: {after:?}");
        scenario.sim.clear_faults();
        scenario.wait_for_readiness("ready").await;
        wait_for_reads(&scenario, &reader, "1001", after.len() + 1).await;
    }
    assert!(!of(&reads(&scenario), QUEUE_FIGURES).is_empty(), "queues are read all the while");
    assert_within_read_limits(&scenario, 10);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_are_no_figures_and_spoil_no_others() {
    let scenario = Scenario::start(setup(ALL)).await;
    let reader = scenario.reader().await;
    wait_for_reads(&scenario, &reader, "1001", 1).await;
    let first = stored_reads(&reader, &scenario, "1001").await[0].1;
    for fault in [
        "wrong_types:on=skill_data",
        "nonsense:on=skill_data",
        "wrong_types:on=queue_figures",
        "nonsense:on=queue_figures",
    ] {
        scenario.add_fault(fault);
    }
    let polls = of(&reads(&scenario), SKILL_DATA).len();
    scenario
        .wait_until("some reads meet them", || async {
            let now = of(&reads(&scenario), SKILL_DATA).len();
            if now >= polls + 6 { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    scenario.sim.clear_faults();
    for skill in ["1001", "1002", "1003", "1004"] {
        let rows = stored_reads(&reader, &scenario, skill).await;
        // Agents stand still here: every figure that was given is the first one again.
        let given: Vec<u64> = rows.iter().filter_map(|(_, staffed)| *staffed).collect();
        assert!(given.windows(2).all(|pair| pair[0] == pair[1]), "{skill}: {rows:?}");
    }
    assert!(first.is_some());
    scenario.wait_for_readiness("ready").await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_neither_hurries_nor_forgets_what_was_read() {
    let keys = "skills = [\"1001\"]\nqueues = [\"q_1001\"]\nfigures = { requests_per_minute = 3, interval = \"15s\" }";
    let mut setup = setup(keys);
    setup.sim.reporting_per_minute = 3;
    let mut scenario = Scenario::start(setup).await;
    let reader = scenario.reader().await;
    for round in 0..4 {
        let read = stored_reads(&reader, &scenario, "1001").await.len();
        wait_for_reads(&scenario, &reader, "1001", read + 1).await;
        if round % 2 == 0 {
            scenario.kill_daemon().await;
        } else {
            scenario.stop_daemon().await;
        }
        scenario.start_daemon().await;
    }
    scenario.let_time_pass(Duration::from_secs(180)).await;
    assert_within_read_limits(&scenario, 3);
    let calls = reads(&scenario);
    assert!(of(&calls, SKILL_DATA).len() >= 5 && !of(&calls, QUEUE_FIGURES).is_empty(), "{calls:?}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_the_platform_does_not_know_is_named() {
    let scenario = Scenario::start(setup("queues = [\"q_1001\", \"q_9999\"]")).await;
    scenario.wait_for_readiness_detail("the platform knows no queue q_9999").await;
    let reader = scenario.reader().await;
    let newest = reader.latest_figures(&scenario.tenant, Duration::from_secs(3600)).await.expect("readable");
    let read: Vec<&QueueId> = newest.queues.iter().map(|taken| &taken.figures.id).collect();
    assert_eq!(read, [&QueueId::new("q_1001")], "the others are read all the same");
    scenario.assert_nothing_left_over().await;
}

/// Nobody has the last skill, so nobody is there for it.
const UNSTAFFED_RULE: &str = r#"
[[rules]]
id = "all-hands"
when = { planned = "work", state = "Paused", skill_figures = { id = 1005, agents_staffed = { below = 1 } } }
then = { set_state = "Ready" }
mode = "enforce"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_acts_on_figures_while_they_are_fresh_and_not_on_old_ones() {
    let mut setup = setup(ALL);
    setup.speed = 60;
    setup.rules = UNSTAFFED_RULE;
    let scenario = Scenario::start_team(setup).await;
    scenario.set_agent_state("u_0001", SimState::Paused);
    let made_ready = |agent: &'static str| {
        let scenario = &scenario;
        move || async move {
            let state = scenario.state_of(agent);
            if state == SimState::Available {
                Ok(())
            } else {
                Err(format!("{state:?}; {}", scenario.readiness().await))
            }
        }
    };
    scenario.wait_until("the rule acts", made_ready("u_0001")).await;
    scenario.add_fault("status:on=skill_data,code=503");
    scenario.wait_for_readiness_detail("figures of 5 skills").await;
    scenario.let_time_pass(Duration::from_secs(100)).await;
    scenario.set_agent_state("u_0002", SimState::Paused);
    scenario.let_time_pass(Duration::from_secs(120)).await;
    assert!(scenario.posts_for("u_0002").is_empty(), "nothing is known of now");
    scenario.sim.clear_faults();
    scenario.wait_until("the rule acts again", made_ready("u_0002")).await;
    let reader = scenario.reader().await;
    let why: Vec<String> = scenario.audit(&reader).await.into_iter().map(|entry| entry.why.to_string()).collect();
    let told = "skill_figures.agents_staffed 0 for skill 1005";
    assert!(why.iter().any(|why| why.contains(told)), "the audit trail says what was found");
    scenario.wait_until_settled().await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_get_each_read_as_stored_and_only_of_their_skill() {
    let mut setup = setup(ALL);
    setup.sim = SimOptions { agents: 20, autonomous_agents: true, ..setup.sim };
    let scenario = Scenario::start(setup).await;
    let reader = scenario.reader().await;
    let over_both = [
        Viewer::open(&scenario, Transport::Events, VIEWER, "").await,
        Viewer::open(&scenario, Transport::Socket, VIEWER, "").await,
    ];
    let of_one = Viewer::open(&scenario, Transport::Events, VIEWER, "?skill=1001").await;
    wait_for_reads(&scenario, &reader, "1001", 8).await;
    for watcher in &over_both {
        for (kind, id) in [("skill", "1001"), ("skill", "1005"), ("queue", "q_1001"), ("queue", "q_1005")] {
            watcher.wait_for_message(id, |message| message["type"] == kind && message[kind]["id"] == id).await;
        }
    }
    of_one.wait_for_message("its skill", |message| message["type"] == "skill").await;
    for watcher in over_both.iter().chain([&of_one]) {
        let told = watcher.of_kind("skill");
        let kept: Vec<Value> = stored_reads(&reader, &scenario, "1001")
            .await
            .into_iter()
            .map(|(at, staffed)| json!([at, staffed]))
            .collect();
        for skill in told.iter().map(|message| &message["skill"]).filter(|skill| skill["id"] == "1001") {
            let said = json!([skill["taken_at"], skill["agents_staffed"]]);
            assert!(kept.contains(&said), "{said} is none of {kept:?}");
        }
    }
    let others = [of_one.of_kind("skill"), of_one.of_kind("queue")].concat();
    let strangers: Vec<_> = others.iter().filter(|message| message["skill"]["id"] != "1001").collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    scenario.assert_nothing_left_over().await;
}
