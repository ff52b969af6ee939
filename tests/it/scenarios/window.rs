//! The window law: at saturation, over restarts and whatever the wall clock is set to, no minute of the platform's clock holds
//! more calls than the budget, and hardly a slot lies idle.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use shiftkeeper::clock::{RealTime, Stopwatch};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::store::Reader;

use super::clock::around_the_clock;
use crate::faults::print_progress;
use crate::harness::ledger::is_budgeted;
use crate::harness::{Dialect, Scenario, Setup, WAIT_TIMEOUT, agent_ids, full_size, on_both_dialects};

on_both_dialects!(no_minute_holds_more_than_the_budget_over_restarts_and_settings_of_the_clock,);

/// Calls that the platform takes in a minute.
const BUDGET: usize = 100;

/// Agents of one order.
const GROUP: usize = 100;

/// Each group keeps its state until the others have had their turn: longer than a confirmation takes.
const GROUPS: usize = 5;

/// How often the test checks whether there are enough requests, in real time.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Keeps more requests waiting than a minute can grant: slots become free in bursts, and each should find a request.
#[derive(Default)]
struct Demand {
    rounds: usize,
}

impl Demand {
    async fn keep_up(&mut self, scenario: &Scenario, reader: &Reader) {
        let open = reader.open_transitions(&scenario.tenant).await.expect("readable");
        if open.iter().filter(|stored| stored.transition.status.is_unsent()).count() >= GROUP + GROUP / 2 {
            return;
        }
        let everyone = agent_ids(GROUP * GROUPS);
        let group = &everyone[self.rounds % GROUPS * GROUP..][..GROUP];
        let to = if (self.rounds / GROUPS).is_multiple_of(2) { "Ready" } else { "NotReady" };
        let body = json!({"tenant": scenario.tenant, "agents": group, "to": to});
        let request = scenario.request(reqwest::Method::POST, "/api/v1/transitions").json(&body);
        let watch = Stopwatch::start();
        // Who gets no answer asks again under the same key.
        match request.header("idempotency-key", format!("turn {}", self.rounds)).send().await {
            Ok(answer) => {
                assert_eq!(answer.status(), StatusCode::ACCEPTED);
                self.rounds += 1;
            }
            Err(error) => print_progress(format!("asked in vain: {error}")),
        }
        if watch.elapsed() > Duration::from_secs(2) {
            print_progress(format!("the answer took {:?} of real time", watch.elapsed()));
        }
    }

    /// A minute in which the budget's calls are spread evenly, as their slots come free from then on: what is used of a span does
    /// not hang on where in a burst it begins and ends.
    async fn start(&mut self, scenario: &Scenario) {
        let (from, apart) = (scenario.clock.now(), Duration::from_secs(60) / 100);
        for (agent, due) in agent_ids(GROUP).iter().zip((0..).map(|n| from + apart * n)) {
            scenario.clock.sleep_until(due).await;
            scenario.request_change(&[agent], "Ready").await;
        }
        self.rounds = 1;
    }

    /// Lets simulated time pass with the demand kept up.
    async fn let_time_pass(&mut self, scenario: &Scenario, span: Duration) {
        let from = scenario.clock.now();
        let (until, reader) = (from + span, scenario.reader().await);
        while scenario.clock.now() < until {
            self.keep_up(scenario, &reader).await;
            RealTime::sleep(POLL_INTERVAL).await;
        }
        reader.close().await;
        // The simulator keeps the latest of a day's requests alone: they are read as they come.
        print_progress(format!(
            "{:.2} % of the budget used from {from}",
            used_percent(scenario, from, scenario.clock.now())
        ));
    }
}

/// The share of the budget that was used, in percent: the mean, over every minute that ends between two instants, of the calls
/// within it. A count of calls by the span would hang on where in a burst the span begins and ends.
fn used_percent(scenario: &Scenario, from: UtcMicros, to: UtcMicros) -> f64 {
    const WINDOW: Duration = Duration::from_secs(60);
    let log = scenario.log();
    let within = |at: UtcMicros| (at + WINDOW).min(to).since(at.max(from)).as_secs_f64();
    let taken: f64 = log.requests.iter().filter(|call| is_budgeted(call)).map(|call| within(call.at)).sum();
    // A hundred calls are a hundred percent.
    taken / to.since(from).as_secs_f64()
}

async fn no_minute_holds_more_than_the_budget_over_restarts_and_settings_of_the_clock(dialect: Dialect) {
    // Each round: a restart in order with the clock set while nothing runs, a crash, the clock set under way, and set right. A
    // slot is free again a minute after the answer: a real millisecond between its end and the next answer idles it for as many
    // as the speed says.
    let (speed, rounds, quarter) =
        if full_size() { (40, 10, Duration::from_mins(36)) } else { (20, 1, Duration::from_secs(90)) };
    let count = GROUP * GROUPS;
    let setup = Setup { speed, schedule: Some(around_the_clock(count)), ..Setup::team(count).on(dialect) };
    let mut scenario = Scenario::start_team(setup).await;
    let mut demand = Demand::default();
    demand.start(&scenario).await;
    let from = scenario.clock.now();
    for round in 0..rounds {
        let hour = if round % 2 == 0 { 3600 } else { -3600 };
        demand.let_time_pass(&scenario, quarter).await;
        scenario.stop_daemon().await;
        scenario.clocks.set_by(hour);
        scenario.start_daemon().await;
        demand.let_time_pass(&scenario, quarter).await;
        scenario.kill_daemon().await;
        scenario.start_daemon().await;
        demand.let_time_pass(&scenario, quarter).await;
        scenario.clocks.set_by(-2 * hour);
        demand.let_time_pass(&scenario, quarter).await;
        scenario.clocks.set_by(hour);
    }
    let to = scenario.clock.now();
    let (used, hours) = (used_percent(&scenario, from, to), to.since(from).as_secs_f64() / 3600.0);
    print_progress(format!("{used:.2} % of the budget used over {hours:.2} h with {} restarts", rounds * 2));
    scenario.assert_within_budget(BUDGET);
    assert!(used >= 95.0, "{used:.1} % of the budget was used");
    let reader = scenario.reader().await;
    scenario
        .wait_until_within("nothing waits", WAIT_TIMEOUT, || async {
            let open = reader.open_transitions(&scenario.tenant).await.expect("readable").len();
            if open == 0 { Ok(()) } else { Err(open.to_string()) }
        })
        .await;
    reader.close().await;
    scenario.assert_nothing_left_over().await;
}
