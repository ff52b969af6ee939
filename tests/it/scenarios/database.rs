//! A database that must not be written is refused by name, and is the same byte for byte afterwards; one that somebody else
//! locks does not hold up a stop.

use std::path::Path;
use std::time::Duration;

use shiftkeeper::app::App;
use shiftkeeper::clock::Stopwatch;
use shiftkeeper::sim::SimState;
use tokio_util::sync::CancellationToken;

use crate::harness::{Scenario, Setup};

async fn refusal(scenario: &Scenario) -> String {
    let config = scenario.configuration().config;
    match App::start(config, scenario.clock.clone(), CancellationToken::new()).await {
        Ok(_) => panic!("the daemon started"),
        Err(error) => format!("{error:#}"),
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("readable")
}

/// A world whose daemon has been and gone.
async fn start_and_stop() -> Scenario {
    let mut scenario = Scenario::start(Setup::default()).await;
    scenario.wait_until_observed().await;
    scenario.stop_daemon().await;
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_held_by_another_daemon_is_refused_by_name() {
    let scenario = Scenario::start(Setup::default()).await;
    scenario.wait_until_observed().await;
    let told = refusal(&scenario).await;
    assert!(told.contains("shiftkeeper.db") && told.contains("is in use by"), "{told}");
    assert!(told.contains(&format!("process {}", std::process::id())), "it names the holder: {told}");
    // The process that holds it continues.
    let taken = scenario.request_change(&["u_0001"], "Paused").await.remove(0);
    scenario.wait_for_status(&taken, "confirmed").await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_refused_by_name_and_left_as_it_is() {
    let scenario = start_and_stop().await;
    let (path, before) = (scenario.database(), bytes(&scenario.database()));
    let mut permissions = std::fs::metadata(&path).expect("there").permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).expect("ours");
    let told = refusal(&scenario).await;
    assert!(told.contains("shiftkeeper.db") && told.contains("is read-only"), "{told}");
    assert!(bytes(&path) == before, "nothing was written");
}

/// A backup, or somebody with a shell.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_another_program_locks_the_database_is_in_time() {
    let mut scenario = Scenario::start_team(Setup::team(4)).await;
    let locking = rusqlite::Connection::open(scenario.database()).expect("opens");
    locking.execute_batch("BEGIN IMMEDIATE").expect("locks");
    // The keeper has something to commit, and waits for it.
    scenario.set_agent_state("u_0001", SimState::Paused);
    scenario.let_time_pass(Duration::from_secs(30)).await;
    let watch = Stopwatch::start();
    scenario.stop_daemon().await;
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    drop(locking);
    scenario.start_daemon().await;
    scenario.wait_for_readiness("ready").await;
    scenario.assert_nothing_left_over().await;
}
