//! Traps of the published services that only the whole daemon can fall into: the stopped clock, agents who have gone home,
//! codes that are refused, a busy platform, two tenants with the same numbers.

use std::time::Duration;

use serde_json::{Value, json};
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::ids::ReasonCode;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{AgentScript, CodeScript, RequestEntry, SimState, Trap};

use super::incontact::setup;
use crate::harness::ledger::state_posts;
use crate::harness::{Scenario, Setup};

/// Sets whoever is paused ready.
const READY_RULE: &str = r#"
[[rules]]
id = "back"
when = { state = "Paused", for = "10s" }
then = { set_state = "Ready" }
mode = "enforce"
"#;

/// The polls of the agents' states that were answered.
fn polls(scenario: &Scenario) -> Vec<RequestEntry> {
    let requests = scenario.log().requests.into_iter();
    requests.filter(|call| call.path.ends_with("/agents/states") && call.status.is_some()).collect()
}

async fn wait_for_state(scenario: &Scenario, agent: &str, state: &str) -> Value {
    scenario
        .wait_until("the state is shown", || async {
            let (_, shown) = scenario.get(&format!("/api/v1/agents/{agent}?tenant={}", scenario.tenant)).await;
            if shown["state"] == state { Ok(shown) } else { Err(shown.to_string()) }
        })
        .await
}

/// A platform whose clock stands still says nothing new, however often it answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_clock_of_the_platform_makes_the_live_view_stale_and_holds_the_rules() {
    let scenario = Scenario::start(Setup { rules: READY_RULE, ..setup() }).await;
    scenario.wait_until_observed().await;
    scenario.sim.set_traps(&[Trap::FrozenPollTime]);
    scenario.wait_for_readiness_detail("s old; automation of its agents waits").await;
    let (polled, posted) = (polls(&scenario).len(), state_posts(&scenario.log()).count());
    scenario.set_agent_state("10001", SimState::Paused);
    scenario.let_time_pass(Duration::from_secs(120)).await;
    assert!(polls(&scenario).len() > polled, "it answers as before");
    assert_eq!(state_posts(&scenario.log()).count(), posted, "nothing is decided by an old observation");
    // When the clock goes on, so does automation.
    scenario.sim.set_traps(&[]);
    scenario.wait_for_readiness("ready").await;
    wait_for_state(&scenario, "10001", "Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_moves_for_a_long_time_and_the_live_view_stays_fresh() {
    for traps in [vec![], vec![Trap::NoContent]] {
        let mut setup = setup();
        setup.sim.traps = traps.clone();
        setup.tenant_tables = "[tenants.incontact]\nfull_read_every = \"1h\"\ncodes = { NotReady = 11, Paused = 12 }\n\
                               [tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";
        let scenario = Scenario::start(setup).await;
        for number in 1..=8 {
            scenario.set_agent_state(&(10_000 + number).to_string(), SimState::Unavailable);
        }
        scenario.wait_until_observed().await;
        // Twice the time after which an observation is stale.
        scenario.let_time_pass(Duration::from_secs(600)).await;
        assert_eq!(scenario.readiness().await["status"], "ready", "{traps:?}");
        let reader = scenario.reader().await;
        let events = scenario.events(&reader).await;
        assert!(events.iter().all(|event| event.kind != EventKind::PictureStale), "{traps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_who_have_gone_home_cost_one_call_each_and_halt_nobody() {
    let mut scenario = Scenario::without_daemon(setup()).await;
    let gone = ["10001", "10002", "10003", "10004"];
    for agent in gone {
        scenario.set_agent_state(agent, SimState::Available);
        scenario.add_fault(&format!("status:on=state,agent={agent},code=404"));
    }
    scenario.start_daemon().await;
    for agent in gone {
        wait_for_state(&scenario, agent, "Ready").await;
    }
    // As often as would halt automation if these were failures of the platform.
    for to in ["Paused", "NotReady", "Paused"] {
        for change in scenario.request_change(&gone, to).await {
            let failed = scenario.wait_for_status(&change, "failed").await;
            assert_eq!(failed["attempts"], json!(1), "{failed}");
            assert!(failed["error"].as_str().is_some_and(|text| text.contains("404")), "{failed}");
        }
    }
    for agent in ["10005", "10006"] {
        scenario.set_agent_state(agent, SimState::Available);
        wait_for_state(&scenario, agent, "Ready").await;
    }
    let in_bulk = ["10001", "10005", "10002", "10006"];
    let changes = scenario.request_change(&in_bulk, "NotReady").await;
    for (change, expected) in changes.iter().zip(["failed", "confirmed", "failed", "confirmed"]) {
        scenario.wait_for_status(change, expected).await;
    }
    for (agent, calls) in [("10001", 4), ("10003", 3)] {
        assert_eq!(scenario.posts_for(agent).len(), calls, "{agent}");
    }
    let reader = scenario.reader().await;
    let halted = |kind| kind == EventKind::AutomationHalted;
    assert_eq!(scenario.events(&reader).await.iter().filter(|event| halted(event.kind)).count(), 0);
    assert_eq!(scenario.readiness().await["status"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_for_wrap_up_that_the_platform_refuses_ends_the_change_and_says_why() {
    let mut setup = setup();
    setup.tenant_tables = "[tenants.incontact]\ncodes = { NotReady = 11, Paused = 12, Idle = 19 }\n\
                           [tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";
    for traps in [vec![], vec![Trap::StatusHeader]] {
        setup.sim.traps = traps.clone();
        let mut scenario = Scenario::without_daemon(setup.clone()).await;
        // With the lists of codes the change would be refused without a call.
        scenario.add_fault("status:on=codes,code=403");
        scenario.set_agent_state("10001", SimState::Available);
        scenario.start_daemon().await;
        wait_for_state(&scenario, "10001", "Ready").await;
        let change = scenario.request_change(&["10001"], "Idle").await.remove(0);
        let failed = scenario.wait_for_status(&change, "failed").await;
        let text = failed["error"].as_str().unwrap_or_default();
        assert!(text.contains("(409); it is not repeated") && text.contains("Invalid state"), "{traps:?}: {failed}");
        // Longer than a conflict would be held.
        scenario.let_time_pass(Duration::from_secs(180)).await;
        assert_eq!(scenario.posts_for("10001").len(), 1, "{traps:?}");
        assert_eq!(scenario.state_of("10001"), SimState::Available);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_platform_is_asked_again_after_the_wait_that_it_names_or_after_our_own() {
    let scenario = Scenario::start(setup()).await;
    scenario.wait_until_observed().await;
    for (fault, wait) in [("code=429", 0), ("code=503,retry_after=90", 90), ("code=529", 0)] {
        let seen = polls(&scenario).len();
        scenario.add_fault(&format!("status:on=snapshot,{fault},count=1"));
        let after = scenario
            .wait_until("the next poll is answered", || async {
                let polls = polls(&scenario);
                let busy = polls.iter().skip(seen).position(|call| call.status != Some(200));
                let next = busy.and_then(|busy| polls.get(seen + busy..=seen + busy + 1).map(<[_]>::to_vec));
                next.ok_or_else(|| format!("{} polls", polls.len()))
            })
            .await;
        assert_eq!(after[1].status, Some(200), "{fault}: {after:?}");
        assert!(after[1].at.since(after[0].at) >= Duration::from_secs(wait), "{fault}: {after:?}");
    }
    scenario.wait_for_readiness("ready").await;
    // A throttled change was not made. What became of one that a busy platform answered is read first.
    for (agent, fault) in [("10001", "code=429,count=2"), ("10002", "code=529,count=1,applied=true")] {
        scenario.add_fault(&format!("status:on=state,agent={agent},{fault}"));
        let change = scenario.request_change(&[agent], "Paused").await.remove(0);
        scenario.wait_for_status(&change, "confirmed").await;
        assert_eq!(scenario.state_of(agent), SimState::Paused);
    }
    assert_eq!((scenario.posts_for("10001").len(), scenario.posts_for("10002").len()), (3, 1));
}

fn set_state_at(scenario: &Scenario, tenant: &str, agent: &str, state: SimState) {
    let script = Scenario::agent_script(agent);
    scenario.apply_script(&AgentScript { tenant: Some(tenant.into()), state: Some(state), hold: Some(true), ..script });
}

/// The states and reasons in an agent's history, from the first that the test made.
async fn history(scenario: &Scenario, from: UtcMicros) -> Vec<(AgentState, Option<String>)> {
    let rows = scenario.history(&scenario.reader().await, &"10001".into()).await;
    let rows = rows.into_iter().filter(|row| row.row.entered_at >= from);
    rows.map(|row| (row.row.state, row.row.reason.as_ref().map(ReasonCode::to_string))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_number_at_two_tenants_is_two_agents_and_the_same_code_two_reasons() {
    let mut setup = setup();
    setup.sim.tenants = 2;
    setup.keys_by_tenant = &[
        ("acme", "incontact = { codes = { NotReady = 11, Paused = 12 } }"),
        ("bravo", "incontact = { codes = { NotReady = 12, Paused = 15 } }"),
    ];
    setup.tenant_tables = "[tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";
    let mut scenario = Scenario::without_daemon(setup).await;
    let code = |id, name: &str, state| CodeScript {
        tenant: Some("bravo".into()),
        id,
        name: Some(name.to_owned()),
        state: Some(state),
        ..CodeScript::default()
    };
    for script in [
        CodeScript { remove: true, ..code(11, "Meeting", SimState::Unavailable) },
        code(12, "Training", SimState::Unavailable),
        code(15, "Pause", SimState::Paused),
    ] {
        scenario.sim.apply_code_script(&script).expect("a code");
    }
    for tenant in ["acme", "bravo"] {
        set_state_at(&scenario, tenant, "10001", SimState::Available);
    }
    scenario.start_daemon().await;
    for tenant in ["acme", "bravo"] {
        scenario.tenant = tenant.into();
        scenario.wait_until_observed().await;
    }
    let from = scenario.clock.now();
    // So that no rounding of the platform's instants makes a row older than this.
    scenario.let_time_pass(Duration::from_secs(2)).await;
    // Code 12: a break at the one, training at the other.
    set_state_at(&scenario, "acme", "10001", SimState::Paused);
    set_state_at(&scenario, "bravo", "10001", SimState::Unavailable);
    for (tenant, state, reason) in [("acme", "Paused", "Break"), ("bravo", "NotReady", "Training")] {
        scenario.tenant = tenant.into();
        let shown = wait_for_state(&scenario, "10001", state).await;
        assert_eq!(shown["reason"], reason, "{tenant}: {shown}");
    }
    let change = scenario.request_change(&["10001"], "Paused").await.remove(0);
    scenario.wait_for_status(&change, "confirmed").await;
    let posts = scenario.posts_for("10001");
    assert_eq!(
        posts.iter().map(|post| post.query.as_deref()).collect::<Vec<_>>(),
        [Some("state=Unavailable&outStateId=15")]
    );
    let of_bravo: Vec<_> = history(&scenario, from).await.into_iter().map(|(state, _)| state).collect();
    assert_eq!(of_bravo, [AgentState::NotReady, AgentState::Paused]);
    scenario.tenant = "acme".into();
    assert_eq!(scenario.posts_for("10001").len(), 0);
    assert_eq!(history(&scenario, from).await, [(AgentState::Paused, Some("Break".to_owned()))]);
    let (_, other) =
        scenario.get(&format!("/api/v1/transitions/{}?tenant=acme", change["id"].as_str().unwrap_or_default())).await;
    assert_ne!(other["id"], change["id"], "a change of the other tenant: {other}");
}
