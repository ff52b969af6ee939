//! Several tenants in one daemon, with equal agent ids so that a leak shows: they come, change and go by a reload, and one that fails
//! leaves the others alone.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::changes::transition::TransitionStatus;
use shiftkeeper::domain::ids::TenantId;
use shiftkeeper::sim::{AgentScript, RequestEntry, SimState};

use crate::harness::ledger::state_posts;
use crate::harness::viewer::{Transport, Viewer};
use crate::harness::{OPERATOR, Scenario, Setup, VIEWER, agent_ids, send};

const ACME: &str = "acme";
const BRAVO: &str = "bravo";

fn two_tenants() -> Setup {
    let mut setup = Setup::team(8);
    setup.sim.tenants = 2;
    setup
}

/// Looks at another tenant from now on.
fn select_tenant(scenario: &mut Scenario, tenant: &str) {
    scenario.tenant = tenant.into();
}

/// What a tenant asked of the platform with a path that ends so.
fn platform_requests(scenario: &Scenario, tenant: &str, end: &str) -> Vec<RequestEntry> {
    let of = |entry: &RequestEntry| entry.tenant.as_ref().is_some_and(|id| id.as_str() == tenant);
    scenario.whole_log().requests.into_iter().filter(|entry| of(entry) && entry.path.ends_with(end)).collect()
}

async fn actions(scenario: &Scenario) -> Vec<&'static str> {
    let entries = scenario.audit(&scenario.reader().await).await;
    let known = ["tenant.added", "tenant.removed", "configuration.reloaded"];
    entries.iter().filter_map(|entry| known.into_iter().find(|known| entry.action == *known)).collect()
}

async fn wait_for_parts(scenario: &Scenario, tenant: &str, wanted: bool) {
    let begins = [format!("tenant {tenant}: "), format!("task tenant {tenant}: ")];
    let what = format!("readiness names parts of {tenant}: {wanted}");
    scenario
        .wait_until(&what, || async {
            let report = scenario.readiness().await;
            let parts = report["parts"].as_array().expect("parts");
            let named =
                |part: &Value| begins.iter().any(|begin| part["name"].as_str().expect("a name").starts_with(begin));
            if parts.iter().any(named) == wanted { Ok(()) } else { Err(report.to_string()) }
        })
        .await;
}

async fn status_of(scenario: &Scenario) -> StatusCode {
    scenario.get(&format!("/api/v1/transitions?tenant={}", scenario.tenant)).await.0
}

fn set_agent_state(scenario: &Scenario, tenant: &str, agent: &str, state: SimState) {
    let script = Scenario::agent_script(agent);
    let tenant = Some(TenantId::from(tenant));
    scenario.apply_script(&AgentScript { tenant, state: Some(state), hold: Some(true), ..script });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_comes_and_changes_by_a_reload_and_the_others_notice_nothing() {
    let mut setup = two_tenants();
    setup.unconfigured_tenants = &[BRAVO];
    let mut scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    let (of_all, of_one) = (
        Viewer::open(&scenario, Transport::Events, OPERATOR, "").await,
        Viewer::open(&scenario, Transport::Socket, VIEWER, "?tenant=acme").await,
    );
    of_all.wait_for_snapshot().await;
    select_tenant(&mut scenario, BRAVO);
    assert_eq!(status_of(&scenario).await, StatusCode::NOT_FOUND);

    scenario.setup.unconfigured_tenants = &[];
    scenario.reload();
    of_all
        .wait_for_message("whoever watches all is told to come back", |said| said["reason"] == "tenants_changed")
        .await;
    let back = Viewer::open(&scenario, Transport::Events, OPERATOR, &format!("?after={}", of_all.last_id())).await;
    back.wait_for_message("and then sees the new one", |said| said["tenant"] == BRAVO).await;
    assert_eq!(of_one.of_kind("end"), Vec::<Value>::new(), "nobody else notices");
    assert_eq!(status_of(&scenario).await, StatusCode::OK, "it is served at once");
    scenario.wait_until_observed().await;
    wait_for_parts(&scenario, BRAVO, true).await;
    assert_eq!(actions(&scenario).await, ["tenant.added"]);
    let taken = scenario.request_change(&["u_0001"], "Paused").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;

    let of = |scenario: &Scenario, tenant| {
        (
            platform_requests(scenario, tenant, "/token").len(),
            platform_requests(scenario, tenant, "/subscription").len(),
        )
    };
    let (tokens, subscribed) = of(&scenario, BRAVO);
    scenario.setup.keys_by_tenant = &[(BRAVO, "requests_per_minute = 50")];
    scenario.reload();
    scenario
        .wait_until("the tenant has a new client", || async {
            let (now, _) = of(&scenario, BRAVO);
            if now == tokens + 1 { Ok(()) } else { Err(format!("{now} token requests after {tokens}")) }
        })
        .await;
    let taken = scenario.request_change(&["u_0001"], "Idle").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;
    assert_eq!(of(&scenario, BRAVO).1, subscribed, "its subscription goes on");
    assert_eq!(actions(&scenario).await, ["tenant.added", "configuration.reloaded"]);

    // The other tenant had one token, one subscription and no word of any of it.
    select_tenant(&mut scenario, ACME);
    assert_eq!(of(&scenario, ACME), (1, 1));
    assert!(actions(&scenario).await.is_empty());
    scenario.wait_until_settled().await;
    scenario.stop_daemon().await;
    check_consistency_of_both(&mut scenario).await;
}

/// A change of an agent with a contact, which waits for its end.
async fn start_waiting_change(scenario: &Scenario, agent: &str) -> Value {
    set_agent_state(scenario, scenario.tenant.as_str(), agent, SimState::OnContact);
    let reader = scenario.reader().await;
    scenario
        .wait_until("the contact is seen", || async {
            let seen = reader.latest_states(&scenario.tenant).await.expect("readable");
            let contacts = seen.iter().filter(|row| row.row.state.is_on_contact()).count();
            if contacts == 1 { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    scenario.request_change(&[agent], "NotReady").await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_removed_by_a_reload_keeps_its_open_changes_until_it_returns() {
    let mut scenario = Scenario::start(two_tenants()).await;
    select_tenant(&mut scenario, BRAVO);
    scenario.wait_until_observed().await;
    let waits = start_waiting_change(&scenario, "u_0002").await;
    scenario.setup.unconfigured_tenants = &[BRAVO];
    scenario.reload();
    assert_eq!(status_of(&scenario).await, StatusCode::NOT_FOUND, "it is gone at once");
    wait_for_parts(&scenario, BRAVO, false).await;
    let (reader, tenant) = (scenario.reader().await, scenario.tenant.clone());
    scenario
        .wait_until("the removal is in the chain, under a signed head", || async {
            let actions = actions(&scenario).await;
            let (chain, head) = (reader.chain_head(&tenant).await, reader.last_audit_head(&tenant).await);
            let (chain, head) = (chain.expect("readable").seq, head.expect("readable").map(|head| head.seq));
            let is_there = actions == ["tenant.removed"] && head == Some(chain);
            if is_there { Ok(()) } else { Err(format!("{actions:?}, head {head:?} of {chain}")) }
        })
        .await;
    let removed = scenario.audit(&reader).await.into_iter().find(|entry| entry.action == "tenant.removed");
    assert_eq!(removed.expect("an entry").why, json!({"open_transitions": 1}));
    let open = reader.open_transitions(&tenant).await.expect("readable");
    assert!(
        matches!(open[..], [ref one] if matches!(one.transition.status, TransitionStatus::Waiting { .. })),
        "{open:?}"
    );
    let asked_before = scenario.log().requests.len();
    scenario.let_time_pass(Duration::from_secs(120)).await;
    let strays = scenario.log().requests.split_off(asked_before);
    assert!(strays.iter().all(|entry| entry.tenant.is_none()), "the platform is left alone: {strays:?}");

    scenario.setup.unconfigured_tenants = &[];
    scenario.reload();
    set_agent_state(&scenario, BRAVO, "u_0002", SimState::Available);
    scenario.wait_for_status(&waits, "confirmed").await;
    assert_eq!(actions(&scenario).await, ["tenant.removed", "tenant.added"]);
    scenario.wait_until_settled().await;
    scenario.stop_daemon().await;
    check_consistency_of_both(&mut scenario).await;
}

/// Compares each tenant's store with what the platform says about that tenant only.
async fn check_consistency_of_both(scenario: &mut Scenario) {
    for tenant in [ACME, BRAVO] {
        select_tenant(scenario, tenant);
        scenario.check_consistency().await;
    }
}

/// Asks for a state of every agent of a tenant.
async fn change_all(scenario: &Scenario, to: &str) -> Vec<Value> {
    scenario.request_change(&agent_ids(8), to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_platform_fails_leaves_the_other_alone_and_nothing_crosses() {
    let mut scenario = Scenario::without_daemon(two_tenants()).await;
    // Before the daemon starts: an agent who moves just before the first attempt is not asked again, and opens no breaker.
    for tenant in [BRAVO, ACME] {
        for agent in agent_ids(8) {
            set_agent_state(&scenario, tenant, &agent, SimState::Unavailable);
        }
    }
    scenario.start_daemon().await;
    for tenant in [BRAVO, ACME] {
        select_tenant(&mut scenario, tenant);
        scenario.wait_until_observed().await;
    }
    scenario.add_fault("status:on=state,tenant=bravo,code=503");
    select_tenant(&mut scenario, BRAVO);
    let stuck = change_all(&scenario, "Idle").await;
    scenario.wait_for_readiness_detail("halted: ").await;
    scenario.add_fault("status:on=any,tenant=bravo,code=503");
    scenario.wait_for_readiness_detail("no snapshot: ").await;
    select_tenant(&mut scenario, ACME);
    let from = scenario.clock.now();
    let well = change_all(&scenario, "Paused").await;
    scenario.wait_for_all(&well, "confirmed").await;
    let took = scenario.clock.now().since(from);
    assert!(took < Duration::from_secs(60), "the other tenant's changes took {took:?}");
    select_tenant(&mut scenario, BRAVO);
    let reader = scenario.reader().await;
    assert!(reader.tenant_status(&scenario.tenant).await.expect("readable").halted_since.is_some());
    assert!(reader.tenant_status(&ACME.into()).await.expect("readable").halted_since.is_none());
    scenario.sim.clear_faults();
    scenario.wait_for_all(&stuck, "confirmed").await;
    scenario.wait_until_settled().await;

    // By the platform: each agent of each tenant was changed once, to what that tenant was asked for.
    for (tenant, state) in [(ACME, "PAUSED"), (BRAVO, "IDLE")] {
        select_tenant(&mut scenario, tenant);
        let log = scenario.log();
        let wanted = |post: &RequestEntry| post.body.as_ref().is_some_and(|body| body.get().contains(state));
        assert!(state_posts(&log).all(wanted), "a change of {tenant} to another state");
        assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 8, "{tenant}");
        // By the store: no row, event, audit entry or call names what only the other was asked for.
        let other = if tenant == ACME { "Idle" } else { "Paused" };
        for event in scenario.events(&reader).await {
            assert!(!event.body.contains(&format!("\"{other}\"")), "an event of {tenant}: {}", event.body);
        }
        let entries = scenario.audit(&reader).await;
        assert!(entries.iter().all(|entry| entry.after.as_deref() != Some(other)), "an audit entry of {tenant}");
        let ids = if tenant == ACME { &well } else { &stuck };
        let ids: BTreeSet<String> = ids.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        let calls = reader.recent_calls(&scenario.tenant, shiftkeeper::domain::time::UtcMicros::EPOCH).await;
        let strange: Vec<_> = calls.expect("readable").into_iter().filter_map(|call| call.transition).collect();
        assert!(strange.iter().all(|id| ids.contains(&id.to_string())), "a call of {tenant} for another's change");
    }
    scenario.stop_daemon().await;
    check_consistency_of_both(&mut scenario).await;
}

/// Writes into the database beside the daemon.
fn write(scenario: &Scenario, sql: &str) {
    let store = rusqlite::Connection::open(scenario.database()).expect("opens");
    store.busy_timeout(Duration::from_secs(10)).expect("set");
    assert!(store.execute(sql, []).expect("runs") > 0, "{sql}");
}

/// A daemon whose rows of a tenant are spoilt while it is down: a part of the tenant says so, the other tenant goes on, and so does
/// this one once the rows are mended.
async fn assert_spoilt_rows_are_reported(spoil: &str, mend: &str, part: &str, words: &str) {
    let mut scenario = Scenario::start(two_tenants()).await;
    select_tenant(&mut scenario, BRAVO);
    scenario.wait_until_observed().await;
    scenario.stop_daemon().await;
    write(&scenario, spoil);
    scenario.start_daemon().await;
    let report = scenario.wait_for_readiness_detail(words).await;
    let broken = |shown: &Value| shown["ready"] == false && shown["name"] == part;
    assert!(report["parts"].as_array().expect("parts").iter().any(broken), "{report}");
    select_tenant(&mut scenario, ACME);
    let taken = scenario.request_change(&["u_0001"], "Paused").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;
    write(&scenario, mend);
    select_tenant(&mut scenario, BRAVO);
    scenario
        .wait_until("the tenant is mended by itself", || async {
            let report = scenario.readiness().await;
            let parts = report["parts"].as_array().expect("parts");
            if parts.iter().any(broken) { Err(report.to_string()) } else { Ok(()) }
        })
        .await;
    let taken = scenario.request_change(&["u_0001"], "Idle").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;
    scenario.wait_until_settled().await;
    scenario.stop_daemon().await;
    check_consistency_of_both(&mut scenario).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_cannot_start_says_so_and_leaves_the_others_alone_until_it_can() {
    let spoil = "UPDATE platform_calls SET attempt = -7 WHERE tenant = 'bravo'";
    let mend = "UPDATE platform_calls SET attempt = NULL WHERE tenant = 'bravo' AND attempt < 0";
    assert_spoilt_rows_are_reported(spoil, mend, "task tenant bravo: workers", "the calls of the last minute").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_fails_again_and_again_leaves_the_others_alone() {
    let spoil = "UPDATE agent_counters SET violations = -1 WHERE tenant = 'bravo'";
    let mend = "UPDATE agent_counters SET violations = 0 WHERE tenant = 'bravo' AND violations < 0";
    assert_spoilt_rows_are_reported(spoil, mend, "task tenant bravo: keeper", "agent_counters").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_mistake_changes_nothing_and_tokens_follow_a_good_one() {
    let mut setup = two_tenants();
    setup.unconfigured_tenants = &[BRAVO];
    let mut scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    scenario.setup.unconfigured_tenants = &[];
    // The daemon's clock is simulated, and a reload does not change that.
    scenario.setup.keys_by_tenant = &[(BRAVO, "")];
    let mut newer = scenario.configuration();
    newer.config.tenants[1].base_url = "https://na1.example".parse().expect("a URL");
    let refused = scenario.try_reload(newer).expect_err("a real platform beside simulated time");
    assert!(refused.to_string().contains("simulated time"), "{refused}");
    select_tenant(&mut scenario, BRAVO);
    assert_eq!(status_of(&scenario).await, StatusCode::NOT_FOUND);

    let mut newer = scenario.configuration();
    newer.config.server.tokens.retain(|token| token.id != "viewer");
    let viewer = |scenario: &Scenario| {
        let request = scenario.request_as(crate::harness::VIEWER, Method::GET, "/api/v1/transitions?tenant=acme");
        async { send(request).await.0 }
    };
    assert_eq!(viewer(&scenario).await, StatusCode::OK);
    scenario.try_reload(newer).expect("sound");
    assert_eq!(viewer(&scenario).await, StatusCode::UNAUTHORIZED, "a token that is gone opens nothing");
    assert_eq!(status_of(&scenario).await, StatusCode::OK);
    scenario.wait_until_observed().await;
    scenario.assert_nothing_left_over().await;
}
