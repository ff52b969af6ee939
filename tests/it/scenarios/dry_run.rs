//! A tenant in the mode `dry_run`: everything is read and decided, nothing is sent, and nothing is reported that did
//! not happen.

use shiftkeeper::domain::webhooks::event::EventKind;

use crate::harness::ledger::state_posts;
use crate::harness::{Scenario, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sends_no_change_and_records_none_as_made() {
    let setup = Setup { tenant_keys: "mode = \"dry_run\"", ..Setup::default() };
    let scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    let reader = scenario.reader().await;
    let told =
        || async { scenario.events(&reader).await.iter().filter(|e| e.kind == EventKind::AgentStateChanged).count() };
    let before = told().await;
    let taken = scenario.request_change(&["u_0001"], "Paused").await;
    let ended = scenario.wait_for_status(&taken[0], "cancelled").await;
    assert_eq!(ended["by"], "dry run", "{ended}");
    assert_eq!(state_posts(&scenario.log()).count(), 0);
    assert_eq!(told().await, before, "no change is told that was not made");
    scenario.assert_nothing_left_over().await;
}
