//! Where two things meet: a change in doubt and a newer one, a stop and a request.

use std::time::Duration;

use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::engine::changes::request::{ChangeRequest, KeeperError};
use shiftkeeper::sim::SimState;

use crate::harness::{Scenario, Setup};

fn change_request(agent: &str) -> ChangeRequest {
    ChangeRequest {
        even_if_in_state: false,
        agents: vec![agent.into()],
        target: AgentState::Ready,
        reason: None,
        on_contact: None,
        deadline: None,
        note: None,
        actor: "operator".into(),
        idempotency: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_comes_back_from_doubt_gives_way_to_a_newer_one() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    scenario.add_fault("reset_before:on=state,agent=u_0001,count=1");
    let first = scenario.request_change(&["u_0001"], "Ready").await.remove(0);
    scenario.wait_for_status(&first, "in_doubt").await;
    let second = scenario.request_change(&["u_0001"], "Paused").await.remove(0);
    let superseded = scenario.wait_for_status(&first, "superseded").await;
    assert_eq!(superseded["by"], second["id"]);
    scenario.wait_for_status(&second, "confirmed").await;
    assert_eq!(scenario.posts_for("u_0001").len(), 2, "what was superseded is not sent again");
    assert_eq!(scenario.state_of("u_0001"), SimState::Paused);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_never_takes_effect_fails_after_its_attempts() {
    let mut setup = Setup::team(4);
    setup.tenant_tables = "[tenants.policy]\nwait_at_most = \"12h\"\n[tenants.retry]\nattempts = 3\n";
    let scenario = Scenario::start_team(setup).await;
    scenario.add_fault("reset_before:on=state,agent=u_0001");
    let taken = scenario.request_change(&["u_0001"], "Ready").await.remove(0);
    let failed = scenario.wait_for_status(&taken, "failed").await;
    assert_eq!(failed["attempts"], 3, "{failed}");
    assert_eq!(scenario.posts_for("u_0001").len(), 3);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_turned_away_at_once_while_a_stop_waits_for_answers() {
    let mut setup = Setup::team(4);
    setup.request_timeout = Duration::from_secs(8);
    let mut scenario = Scenario::start_team(setup).await;
    scenario.add_fault("stop_answering:on=state,agent=u_0001,count=1");
    scenario.request_change(&["u_0001"], "Ready").await;
    scenario
        .wait_until("it left", || async {
            let posts = scenario.posts_for("u_0001").len();
            if posts == 1 { Ok(()) } else { Err(format!("{posts}")) }
        })
        .await;
    let (door, tenant, reader) = (scenario.keeper_client(), scenario.tenant.clone(), scenario.reader().await);
    let turned_away = async {
        // Whatever is asked from the stop on; before it the daemon takes requests in.
        loop {
            if let Err(error) = door.request_changes(&tenant, change_request("u_0002")).await {
                return error;
            }
        }
    };
    {
        let mut stop = std::pin::pin!(scenario.stop_daemon());
        tokio::select! {
            biased;
            () = &mut stop => panic!("the request hung until the daemon had stopped"),
            error = turned_away => assert_eq!(error, KeeperError::Unavailable),
        }
        let open = reader.open_transitions(&tenant).await.expect("readable");
        assert!(
            open.iter().any(|stored| stored.transition.status.name() == "sending"),
            "the stop still waits: {open:?}"
        );
        stop.await;
        reader.close().await;
    }
    scenario.start_daemon().await;
    scenario.wait_until_settled().await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_doubt_is_settled_also_after_a_long_stop() {
    let mut scenario = Scenario::start_team(Setup::team(4)).await;
    scenario.add_fault("lost_answer:on=state,agent=u_0001,count=1");
    let taken = scenario.request_change(&["u_0001"], "Ready").await;
    scenario
        .wait_until("it left", || async {
            let posts = scenario.posts_for("u_0001").len();
            if posts == 1 { Ok(()) } else { Err(format!("{posts}")) }
        })
        .await;
    scenario.stop_daemon().await;
    scenario.let_time_pass(Duration::from_mins(20)).await;
    scenario.start_daemon().await;
    scenario.wait_for_all(&taken, "confirmed").await;
    assert_eq!(scenario.posts_for("u_0001").len(), 1);
    scenario.assert_nothing_left_over().await;
}
