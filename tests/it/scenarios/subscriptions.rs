//! The life of subscriptions, by the platform's own log: renewed before they die, swapped in one poll, replaced when the roster or the
//! interval changes; never two for the same agents side by side, never a poll faster than the interval.

use std::time::Duration;

use shiftkeeper::domain::time::UtcMicros;

use crate::harness::{INTERVAL, Scenario, Setup, full_size};

const HOUR: Duration = Duration::from_secs(3600);

/// Long enough for several polls between two steps of a fast clock.
const EVERY_MINUTE: &str = "[tenants.subscription]\ninterval = \"60s\"\nrenew_after = \"1h\"\n\
                            [tenants.automation]\nstale_intervals = 30\n";
const EVERY_TWO_MINUTES: &str = "[tenants.subscription]\ninterval = \"120s\"\nrenew_after = \"1h\"\n\
                                 [tenants.automation]\nstale_intervals = 30\n";

/// Each subscription is polled no more once the next one is.
fn assert_one_at_a_time(polls: &[(String, Vec<UtcMicros>)]) {
    for pair in polls.windows(2) {
        let ((before, earlier), (after, later)) = (&pair[0], &pair[1]);
        let (last, first) = (earlier.last().expect("polled"), later.first().expect("polled"));
        assert!(last < first, "{before} was polled at {last}, after the first poll of {after} at {first}");
    }
}

async fn wait_until_polled(scenario: &Scenario, subscriptions: usize) {
    scenario
        .wait_until("a further subscription is polled twice", || async {
            let polls = scenario.polls();
            let enough = polls.len() >= subscriptions && polls.last().is_some_and(|(_, at)| at.len() >= 2);
            if enough { Ok(()) } else { Err(format!("{} subscriptions", polls.len())) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_renewed_and_replaced_one_at_a_time_and_none_dies() {
    let mut setup = Setup::team(6);
    setup.speed = 600;
    setup.tenant_tables = EVERY_MINUTE;
    setup.sim.subscription_lifetime = HOUR + HOUR / 4;
    let mut scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    let renewals = if full_size() { 24 } else { 2 };
    scenario.let_time_pass(HOUR * renewals + HOUR / 4).await;
    let renewed = scenario.polls();
    assert!(renewed.len() > renewals as usize, "{} subscriptions in {renewals} lives", renewed.len());

    scenario.setup.unlisted = &["u_0004"];
    scenario.reload();
    wait_until_polled(&scenario, scenario.polls().len() + 1).await;
    scenario.setup.tenant_tables = EVERY_TWO_MINUTES;
    scenario.reload();
    wait_until_polled(&scenario, scenario.polls().len() + 1).await;
    let polls = scenario.polls();
    let slow = &polls.last().expect("polled").1;
    let tolerance = scenario.clock.scale_real(Duration::from_millis(25));
    assert!(slow.windows(2).all(|two| two[1].since(two[0]) + tolerance >= HOUR / 30), "{slow:?}");
    assert_one_at_a_time(&polls);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_every_other_second_polls_once_per_interval_and_never_faster() {
    let mut setup = Setup::team(4);
    setup.speed = 4;
    let mut scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    let began = scenario.clock.now();
    let (life, mut longest) = (Duration::from_millis(2600), Duration::ZERO);
    // As long as 45 lives would be if each began at once.
    for _ in 0..45 {
        let born = scenario.clock.now();
        scenario.kill_daemon().await;
        scenario.start_daemon().await;
        scenario.let_time_pass(life).await;
        longest = longest.max(scenario.clock.now().since(born));
    }
    let polls = scenario.polls();
    assert_eq!(polls.len(), 1, "one subscription outlives them all: {polls:?}");
    let polls: Vec<UtcMicros> = polls[0].1.iter().copied().filter(|at| *at >= began).collect();
    let tolerance = scenario.clock.scale_real(Duration::from_millis(25));
    assert!(polls.windows(2).all(|two| two[1].since(two[0]) + tolerance >= INTERVAL), "{polls:?}");
    // A poll that falls due while no daemon runs waits for the next life to read its store and get a token.
    let took = scenario.clock.now().since(began);
    let expected = took.as_millis() / (INTERVAL + INTERVAL / 50 + longest).as_millis();
    assert!(
        polls.len() as u128 >= expected,
        "{} polls in {took:?}, of {expected}; a life lasted {longest:?}",
        polls.len()
    );
    scenario.assert_nothing_left_over().await;
}
