//! The life of subscriptions, by the platform's own log: renewed before they die, swapped in one poll, replaced when the roster or the
//! interval changes; never two for the same agents side by side, never a poll faster than the interval.

use std::collections::BTreeMap;
use std::time::Duration;

use shiftkeeper::domain::time::UtcMicros;

use crate::harness::{Scenario, Setup, full_size};

const HOUR: Duration = Duration::from_secs(3600);

/// Long enough for several polls between two steps of a fast clock.
const EVERY_MINUTE: &str = "[tenants.subscription]\ninterval = \"60s\"\nrenew_after = \"1h\"\n\
                            [tenants.automation]\nstale_intervals = 30\n";
const EVERY_TWO_MINUTES: &str = "[tenants.subscription]\ninterval = \"120s\"\nrenew_after = \"1h\"\n\
                                 [tenants.automation]\nstale_intervals = 30\n";

/// When each subscription was polled, by its first poll; a poll that was refused is none.
fn polls(scenario: &Scenario) -> Vec<(String, Vec<UtcMicros>)> {
    let mut polls: BTreeMap<String, Vec<UtcMicros>> = BTreeMap::new();
    for entry in scenario.log().requests {
        let Some((_, id)) = entry.path.split_once("/realtime/subscription/") else { continue };
        assert_eq!(entry.status, Some(200), "a poll of a dead subscription, or one too fast: {entry:?}");
        polls.entry(id.to_owned()).or_default().push(entry.at);
    }
    let mut polls: Vec<_> = polls.into_iter().collect();
    polls.sort_by_key(|(_, at)| at[0]);
    polls
}

/// Each subscription is polled no more once the next one is.
fn assert_one_at_a_time(polls: &[(String, Vec<UtcMicros>)]) {
    for pair in polls.windows(2) {
        let ((before, earlier), (after, later)) = (&pair[0], &pair[1]);
        let (last, first) = (earlier.last().expect("polled"), later.first().expect("polled"));
        assert!(last < first, "{before} was polled at {last}, after the first poll of {after} at {first}");
    }
}

async fn until_polled(scenario: &Scenario, subscriptions: usize) {
    scenario
        .until("a further subscription is polled twice", || async {
            let polls = polls(scenario);
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
    scenario.until_in_sight().await;
    let renewals = if full_size() { 24 } else { 2 };
    scenario.pass(HOUR * renewals + HOUR / 4).await;
    let renewed = polls(&scenario);
    assert!(renewed.len() > renewals as usize, "{} subscriptions in {renewals} lives", renewed.len());

    scenario.setup.unlisted = &["u_0004"];
    scenario.reload();
    until_polled(&scenario, polls(&scenario).len() + 1).await;
    scenario.setup.tenant_tables = EVERY_TWO_MINUTES;
    scenario.reload();
    until_polled(&scenario, polls(&scenario).len() + 1).await;
    let polls = polls(&scenario);
    let slow = &polls.last().expect("polled").1;
    let tolerance = scenario.clock.span_of_real(Duration::from_millis(25));
    assert!(slow.windows(2).all(|two| two[1].since(two[0]) + tolerance >= HOUR / 30), "{slow:?}");
    assert_one_at_a_time(&polls);
    scenario.assert_nothing_left_over().await;
}
