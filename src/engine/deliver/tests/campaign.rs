//! Many events, a receiver that fails at random, crashes in between: everything arrives, in order, under its own id.

use std::collections::HashMap;

use super::*;
use crate::clock::{Random as _, SystemClock};

const AGENTS: u64 = 100;

/// Simulated time runs so fast that the longest pause is under a second.
const SPEED: u32 = 100_000;

#[expect(clippy::disallowed_methods, reason = "a test's own switch, which the product must not know")]
fn full_size() -> bool {
    std::env::var("SHIFTKEEPER_TEST_FULL").is_ok_and(|value| value == "1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_random_failures_and_restarts_each_event_arrives_in_its_agents_order() {
    let (events, restarts) = if full_size() { (10_000, 20) } else { (1_000, 6) };
    let random = SeededRandom::new(3);
    let receiver = Receiver::answering(move |_, tries| {
        // Never so often that the schedule is exhausted.
        let fails = tries < 7 && random.unit() < 0.3;
        if fails { refused(if tries % 2 == 0 { 503 } else { 429 }) } else { Receiver::ok() }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let clock: SharedClock = Arc::new(SystemClock::scaled(Some(manual().now()), SPEED));
    let mut told = 0;
    for round in 0..=restarts {
        let world = World::start(&folder, clock.clone(), vec![endpoint("wfm", &receiver)]).await;
        let before = receiver.count();
        let goal = events * (round + 1) / (restarts + 1);
        while told < goal {
            let next = (told + 20).min(goal);
            world.tell(told + 1, next, AGENTS).await;
            told = next;
        }
        if round == restarts {
            until("everything is delivered", async || {
                let backlog = world.store.reader().backlog(&acme(), &wfm()).await.expect("reads");
                assert_eq!(backlog.parked, 0);
                backlog.waiting + backlog.unread == 0
            })
            .await;
            world.stop().await;
        } else {
            let some = usize::try_from(events / (restarts + 1) / 2).expect("fits");
            until("some have left", async || receiver.count() > before + some).await;
            if round % 3 == 2 { world.stop().await } else { world.kill().await }
        }
    }
    let mut last: HashMap<u64, u64> = HashMap::new();
    let mut seen = vec![false; usize::try_from(events).expect("fits") + 1];
    for number in receiver.arrivals() {
        seen[usize::try_from(number).expect("fits")] = true;
        let (agent, sequence) = (number % AGENTS, number / AGENTS);
        if agent > 0 {
            let before = last.insert(agent, sequence);
            let allowed = before.map_or(sequence == 0, |before| sequence == before || sequence == before + 1);
            assert!(allowed, "agent {agent}: {sequence} after {before:?}");
        }
    }
    assert!(seen.iter().skip(1).all(|seen| *seen), "each one arrived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_endpoint_does_not_slow_another() {
    let (dead, good) = (Receiver::good(), Receiver::good());
    dead.hold();
    let folder = tempfile::tempdir().expect("a folder");
    let clock: SharedClock = Arc::new(SystemClock::real());
    let world = World::start(&folder, clock, vec![endpoint("dead", &dead), endpoint("wfm", &good)]).await;
    let mut latencies = Vec::new();
    for n in 0..100 {
        let watch = Stopwatch::start();
        world.tell(n * 20 + 1, n * 20 + 20, 7).await;
        let goal = usize::try_from(n * 20 + 20).expect("fits");
        until("they have arrived", async || good.count() == goal).await;
        latencies.push(watch.elapsed());
    }
    latencies.sort();
    assert!(latencies[98] <= Duration::from_secs(2), "{latencies:?}");
    world.kill().await;
}
