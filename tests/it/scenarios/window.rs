//! The window law: at saturation, over restarts and whatever the wall clock is set to, no minute of the platform's clock holds
//! more calls than the budget, and hardly a slot lies idle.

use std::time::Duration;

use shiftkeeper::clock::RealTime;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::store::Reader;

use crate::harness::ledger::state_posts;
use crate::harness::{Scenario, Setup, agents, full_size};

/// Calls that the platform takes in a minute.
const BUDGET: usize = 100;

/// Agents of one order.
const GROUP: usize = 100;

/// Each group stays as it was made until the others have had their turn: longer than a confirmation takes.
const GROUPS: usize = 5;

/// Shifts all around the clock, for days on both sides.
pub fn around_the_clock(count: usize) -> String {
    let mut lines = vec!["agent_id,agent_name,team,time_zone,activity,start,end,mandatory".to_owned()];
    for agent in agents(count) {
        lines.extend(
            (24..30).map(|day| format!("{agent},,Team,UTC,shift,2026-10-{day}T00:00,2026-10-{}T00:00,false", day + 1)),
        );
    }
    lines.join("\n") + "\n"
}

/// Keeps more wishes waiting than a minute can grant.
#[derive(Default)]
struct Demand {
    turns: usize,
}

impl Demand {
    async fn keep_up(&mut self, scenario: &Scenario, reader: &Reader) {
        let open = reader.open_transitions(&scenario.tenant).await.expect("readable");
        let waiting = open.iter().filter(|stored| stored.transition.status.has_not_left()).count();
        if waiting >= GROUP + GROUP / 2 {
            return;
        }
        let everyone = agents(GROUP * GROUPS);
        let group = &everyone[self.turns % GROUPS * GROUP..][..GROUP];
        scenario.change(group, if (self.turns / GROUPS).is_multiple_of(2) { "Ready" } else { "NotReady" }).await;
        self.turns += 1;
    }

    /// Lets simulated time pass with the demand kept up.
    async fn pass(&mut self, scenario: &Scenario, span: Duration) {
        let (until, reader) = (scenario.clock.now() + span, scenario.reader().await);
        while scenario.clock.now() < until {
            self.keep_up(scenario, &reader).await;
            RealTime::sleep(Duration::from_millis(50)).await;
        }
        reader.close().await;
    }
}

/// The share of the budget that was used between two instants, in percent.
fn used_percent(scenario: &Scenario, from: UtcMicros, to: UtcMicros) -> f64 {
    let log = scenario.log();
    let calls = state_posts(&log).filter(|post| post.at >= from && post.at < to).count();
    let most = to.since(from).as_secs_f64() / 60.0 * 100.0;
    f64::from(u32::try_from(calls).expect("few")) / most * 100.0
}

#[tokio::test(flavor = "multi_thread")]
async fn no_minute_holds_more_than_the_budget_over_restarts_and_settings_of_the_clock() {
    // Each round: a restart in order, the clock set while nothing runs, a crash, the clock set under way.
    let (rounds, quarter) =
        if full_size() { (10, Duration::from_secs(36 * 60)) } else { (1, Duration::from_secs(12 * 60)) };
    let count = GROUP * GROUPS;
    let mut setup = Setup::team(count);
    setup.speed = 60;
    setup.schedule = Some(around_the_clock(count));
    let mut scenario = Scenario::start_team(setup).await;
    let mut demand = Demand::default();
    demand.pass(&scenario, Duration::from_secs(60)).await;
    let from = scenario.clock.now();
    for round in 0..rounds {
        let hour = if round % 2 == 0 { 3600 } else { -3600 };
        demand.pass(&scenario, quarter).await;
        scenario.stop_daemon().await;
        scenario.times.set_unseen_by(hour);
        scenario.start_daemon().await;
        demand.pass(&scenario, quarter).await;
        scenario.kill_daemon().await;
        scenario.start_daemon().await;
        demand.pass(&scenario, quarter).await;
        scenario.times.set_by(-2 * hour);
        demand.pass(&scenario, quarter).await;
        scenario.times.set_by(hour);
    }
    let (to, used) = (scenario.clock.now(), used_percent(&scenario, from, scenario.clock.now()));
    tracing::warn!(
        hours = to.since(from).as_secs_f64() / 3600.0,
        restarts = rounds * 2,
        used,
        "percent of the budget used"
    );
    scenario.assert_within_budget(BUDGET);
    assert!(used >= 95.0, "{used:.1} % of the budget was used");
    scenario.until_line_is_empty().await;
    scenario.assert_nothing_left_over().await;
}
