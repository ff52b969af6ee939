//! Failures that persist over several agents halt automation; probes resume it.

use std::time::Duration;

use shiftkeeper::domain::webhooks::event::EventKind;

use crate::harness::ledger::state_posts;
use crate::harness::{Dialect, Scenario, Setup, agent_ids, on_both_dialects};

on_both_dialects!(failures_of_three_agents_three_times_halt_automation_and_a_probe_resumes_it,);

async fn failures_of_three_agents_three_times_halt_automation_and_a_probe_resumes_it(dialect: Dialect) {
    let mut setup = Setup::team(10).on(dialect);
    setup.request_timeout = Duration::from_millis(300);
    setup.tenant_tables = "[tenants.policy]\nwait_at_most = \"12h\"\n[tenants.retry]\nattempts = 20\nmax = \"5s\"\n";
    let scenario = Scenario::start_team(setup).await;
    scenario.add_fault("status:on=state,code=503");
    let taken = scenario.request_change(&agent_ids(5), "Ready").await;
    let report = scenario.wait_for_readiness_detail("halted").await;
    assert_eq!(report["status"], "degraded", "a platform in trouble is no reason to restart the daemon: {report}");
    let halted_at = scenario.clock.now();

    // What is asked for meanwhile waits; probes are all that leaves.
    let late = scenario.request_change(&agent_ids(10)[5..], "Ready").await;
    scenario.let_time_pass(Duration::from_secs(300)).await;
    let log = scenario.log();
    let probes: Vec<_> = state_posts(&log).map(|post| post.at).filter(|at| *at > halted_at).collect();
    assert!(!probes.is_empty(), "probes are sent");
    for (first, at) in probes.iter().enumerate() {
        let within = probes[first..].iter().take_while(|later| later.since(*at) < Duration::from_secs(59)).count();
        assert!(within <= 2, "{within} probes within a minute of {at}");
    }

    scenario.sim.clear_faults();
    scenario.wait_for_all(&taken, "confirmed").await;
    scenario.wait_for_all(&late, "confirmed").await;
    scenario.wait_for_readiness("ready").await;
    let reader = scenario.reader().await;
    let events = scenario.events(&reader).await;
    let told = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((told(EventKind::AutomationHalted), told(EventKind::AutomationResumed)), (1, 1));
    let halt = events.iter().find(|event| event.kind == EventKind::AutomationHalted).expect("one");
    assert!(halt.body.contains("AUTOMATION_HALTED"), "{}", halt.body);
    scenario.assert_nothing_left_over().await;
}
