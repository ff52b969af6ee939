//! The whole way of an event over trouble, by the real binary: from a change on the platform to a receiver that believes only
//! what is signed. Failures at random, orderly stops, SIGKILL, and a dead endpoint beside; the receiver's log is held against
//! the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{Receiver, ReceiverMode, ReceiverOptions, SimOptions, SimState};
use shiftkeeper::store::{Reader, StoredEvent};

use super::webhooks::{endpoint_config, post, receiver, wait_until_delivered};
use crate::faults::{TestRandom, print_progress};
use crate::harness::{Binary, Scenario, Setup, agent_ids, full_size};

/// Changes of each agent in one life of the daemon.
const WAVES: usize = 3;

/// How long everything may take to arrive once nothing more fails for good, in real time.
const MAX_ARRIVAL_TIME: Duration = Duration::from_secs(180);

/// Agents who do as they are told, the daemon as a process, and a clock so fast that the longest pause before a try that the
/// receiver's dice ask for (two hours) is two seconds.
pub fn centre_setup(agents: usize, speed: u32, interval: &'static str, webhooks: String) -> Setup {
    let path = env!("CARGO_BIN_EXE_shiftkeeper").into();
    let usual = Setup::default();
    Setup {
        speed,
        sim: SimOptions {
            agents,
            special_users: false,
            token_lifetime: Duration::from_secs(30 * 86_400),
            subscription_lifetime: Duration::from_secs(30 * 86_400),
            ..usual.sim
        },
        tenant_tables: interval,
        binary: Some(Binary { path, environment: Vec::new() }),
        webhooks,
        ..usual
    }
}

/// The world of such a setup, with every agent observed.
pub async fn start_observed(setup: Setup) -> Scenario {
    let mut scenario = Scenario::without_daemon(setup).await;
    for agent in agent_ids(scenario.setup.sim.agents) {
        scenario.set_agent_state(&agent, SimState::Unavailable);
    }
    scenario.start_daemon().await;
    scenario.wait_until_observed().await;
    scenario
}

/// Changes everyone's state, and waits until each change is an event of the store.
pub async fn change_everyone(scenario: &Scenario, reader: &Reader, number: usize) {
    let told = || async {
        let counts = reader.event_counts(&scenario.tenant).await.expect("readable");
        counts.iter().find(|(kind, _)| *kind == EventKind::AgentStateChanged).map_or(0, |(_, count)| *count)
    };
    let team = agent_ids(scenario.setup.sim.agents);
    let goal = told().await + team.len() as u64;
    for agent in &team {
        scenario.set_agent_state(agent, [SimState::Available, SimState::Paused, SimState::Unavailable][number % 3]);
    }
    scenario
        .wait_until("each change is an event", || async {
            let told = told().await;
            if told >= goal { Ok(()) } else { Err(format!("{told} of {goal}; {}", scenario.readiness().await)) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_in_its_agents_order_over_failures_stops_and_kills_beside_a_dead_endpoint() {
    let (team, restarts) = if full_size() { (160, 20) } else { (50, 6) };
    let draws = TestRandom::of_this_run();
    let flaky = receiver(ReceiverOptions { fail_share: 0.3, seed: 3, ..ReceiverOptions::default() }).await;
    let dead = receiver(ReceiverOptions::default()).await;
    dead.set_mode(ReceiverMode::Silent);
    let webhooks = endpoint_config("flaky", flaky.address(), "") + &endpoint_config("dead", dead.address(), "");
    let mut scenario =
        start_observed(centre_setup(team, 3600, "[tenants.subscription]\ninterval = \"600s\"\n", webhooks)).await;
    let reader = scenario.reader().await;
    for life in 0..=restarts {
        let before = flaky.counts().received;
        for number in 0..WAVES {
            change_everyone(&scenario, &reader, number).await;
        }
        let goal = before + draws.below(team) as u64;
        scenario
            .wait_until("some of it has left", || async {
                let counts = flaky.counts();
                if counts.received >= goal { Ok(()) } else { Err(format!("{counts:?}, to be {goal}")) }
            })
            .await;
        if life == restarts {
            break;
        }
        if life + 1 == restarts {
            dead.set_mode(ReceiverMode::Accept);
        }
        if life % 3 == 2 {
            scenario.stop_daemon().await;
        } else {
            scenario.kill_daemon().await;
        }
        scenario.start_daemon().await;
    }
    let recover = json!({"tenant": scenario.tenant, "since": "2026-10-26T00:00:00Z"});
    let (status, answer) = post(&scenario, "/api/v1/webhooks/dead/recover", recover).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let arrived = wait_until_all_arrived(&scenario, &reader, [&flaky, &dead]).await;
    for id in ["flaky", "dead"] {
        wait_until_delivered(&scenario, id).await;
    }
    // Events go on being made (heads of the chain, reports of the platform): what the receivers took is judged by the store at rest.
    scenario.stop_daemon().await;
    let events = scenario.events(&reader).await;
    assert!(events.len() >= team * WAVES * (restarts + 1), "{}", events.len());
    for (id, receiver) in [("flaky", &flaky), ("dead", &dead)] {
        assert_in_order(&events, receiver, arrived);
        let counts = receiver.counts();
        print_progress(format!("{id}: {} events over {restarts} restarts: {counts:?}", events.len()));
    }
    let counts = flaky.counts();
    assert!(counts.duplicates > 0 && counts.failed * 4 > counts.received, "30 % fail: {counts:?}");
    scenario.audit(&reader).await;
    reader.close().await;
    scenario.sim.stop().await;
}

/// Waits until these receivers have taken everything that there is; gives how many events that were.
async fn wait_until_all_arrived(scenario: &Scenario, reader: &Reader, receivers: [&Receiver; 2]) -> usize {
    let look = || async {
        let counts = reader.event_counts(&scenario.tenant).await.expect("readable");
        let stored: u64 = counts.iter().map(|(_, count)| count).sum();
        let taken = receivers.map(|receiver| receiver.counts().distinct);
        if taken == [stored; 2] {
            Ok(usize::try_from(stored).expect("few"))
        } else {
            Err(format!("{taken:?} of {stored}"))
        }
    };
    scenario.wait_until_within("everything has arrived", MAX_ARRIVAL_TIME, look).await
}

/// The receiver took what the store has, each agent's events 1, 2, 3, …, and at least the `arrived` that there were when it had them
/// all; what came to it again was the latest of its agent, under its own id.
fn assert_in_order(events: &[StoredEvent], receiver: &Receiver, arrived: usize) {
    let stored: BTreeMap<_, _> = events
        .iter()
        .map(|event| (event.id.to_string(), (event.agent.as_ref().map(ToString::to_string), event.sequence)))
        .collect();
    let mut taken = BTreeSet::new();
    let mut latest: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for receipt in receiver.log(0, usize::MAX) {
        assert!(receipt.verified, "{receipt:?}");
        let facts = (receipt.agent.clone(), receipt.sequence);
        assert_eq!(stored.get(&receipt.id), Some(&facts), "it is what was committed: {receipt:?}");
        if receipt.taken {
            assert!(taken.insert(receipt.id.clone()), "{receipt:?}");
        }
        let (Some(agent), Some(sequence)) = facts else { continue };
        let (last, id) = latest.get(&agent).map_or((0, ""), |(last, id)| (*last, id.as_str()));
        let again = sequence == last && receipt.id == id;
        assert!(again || sequence == last + 1, "{agent}: after {last} came {receipt:?}");
        if receipt.taken {
            latest.insert(agent, (sequence, receipt.id));
        }
    }
    assert!(taken.len() >= arrived, "{} of {arrived} were taken", taken.len());
}
