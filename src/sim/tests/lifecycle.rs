//! Starting, stopping, coming back; what the seed decides and what is refused.

use super::*;

fn secrets(simulator: &Simulator) -> Vec<(String, String)> {
    let tenants = simulator.description().tenants;
    tenants.into_iter().map(|tenant| (tenant.client_id, tenant.client_secret)).collect()
}

#[tokio::test]
async fn the_seed_decides_ids_and_secrets() {
    let begin = |seed| Bench::new(SimOptions { tenants: 3, seed, ..quiet_options() });
    let (first, second, third) = (begin(5).await, begin(5).await, begin(6).await);
    assert_eq!(secrets(&first.simulator), secrets(&second.simulator));
    assert_ne!(secrets(&first.simulator), secrets(&third.simulator));
    let ids: Vec<_> = first.tenants.iter().map(|tenant| tenant.id.to_string()).collect();
    assert_eq!(ids, ["acme", "bravo", "charlie"]);
    assert_eq!(first.tenants[0].agents, first.tenants[2].agents);
    let distinct: std::collections::BTreeSet<_> = secrets(&first.simulator).into_iter().collect();
    assert_eq!(distinct.len(), 3);
}

#[tokio::test]
async fn a_restart_keeps_port_ids_and_secrets_and_forgets_sessions() {
    let mut bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    assert_eq!(bench.set_state(&token, "u_0001", "READY").await.0, 200);
    let before = secrets(&bench.simulator);

    bench.simulator.stop_listening().await;
    assert!(bench.get("/api/v2/schedules/users/u_0001", &token).send().await.is_err_and(|error| error.is_connect()));
    bench.simulator.resume_listening().await.expect("the port is free");
    assert_eq!(bench.set_state(&token, "u_0001", "PAUSED").await.0, 200, "an outage of the network keeps the session");

    bench.simulator.restart(Restart::SameWorld).await.expect("comes back");
    assert_eq!(bench.set_state(&token, "u_0001", "READY").await.0, 401);
    assert_eq!(bench.simulator.world_views()[0].agents[0].state, SimState::Paused);
    assert_eq!(bench.simulator.counts(&"acme".into()).applied_changes, 2);

    bench.simulator.restart(Restart::FreshWorld).await.expect("comes back");
    assert_eq!(secrets(&bench.simulator), before);
    assert_eq!(bench.simulator.counts(&"acme".into()), TenantCounts::default());
    let token = bench.token(0, "").await;
    assert_eq!(bench.set_state(&token, "u_0001", "READY").await.0, 200);
}

#[tokio::test]
async fn a_stop_waits_for_nothing_that_hangs() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.simulator.add_fault("stop_answering:on=state".parse().expect("a fault")).expect("sound");
    let body = json!({ "state": "READY", "reasonCode": "WORKING" });
    let hanging = bench.post("/api/v2/users/u_0001/state", &token, &body).send();
    let watch = crate::clock::Stopwatch::start();
    let stop = async {
        while bench.simulator.counts(&"acme".into()).state_posts == 0 {
            tokio::task::yield_now().await;
        }
        bench.simulator.stop().await;
    };
    let (answer, ()) = tokio::join!(hanging, stop);
    assert!(answer.is_err());
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
}

#[tokio::test]
async fn options_that_cannot_be_are_refused_with_the_reason() {
    let refused = async |options: SimOptions| {
        let clock = Arc::new(ManualClock::at(start()));
        Simulator::start(options, clock).await.err().map(|error| error.to_string()).expect("refused")
    };
    let remote = SimOptions { listen: "0.0.0.0:0".parse().expect("an address"), ..quiet_options() };
    assert!(refused(remote).await.contains("loopback"));
    assert!(refused(SimOptions { agents: 3, ..quiet_options() }).await.contains("3 agents"));
    assert!(refused(SimOptions { tenants: 0, ..quiet_options() }).await.contains("0 tenants"));
    assert!(refused(SimOptions { tenants: 99, ..quiet_options() }).await.contains("99 tenants"));
    assert!(refused(SimOptions { skills: 1, ..quiet_options() }).await.contains("1 skills"));
    let schedule = ScheduleFile { name: "shifts.csv".to_owned(), bytes: b"agent_id\n".to_vec() };
    assert!(refused(SimOptions { schedule: Some(schedule), ..quiet_options() }).await.contains("shifts.csv"));
    let faults = vec!["late".parse().expect("readable")];
    assert!(refused(SimOptions { faults, ..quiet_options() }).await.contains("fault"));
    let bench = Bench::new(quiet_options()).await;
    assert!(
        refused(SimOptions { listen: bench.simulator.address(), ..quiet_options() }).await.contains("cannot listen")
    );
}

#[tokio::test]
async fn a_schedule_file_gives_agents_their_shifts_and_the_special_users_stay_special() {
    let schedule = ScheduleFile {
        name: "schedule-300.csv".to_owned(),
        bytes: include_bytes!("../../../config/samples/schedule-300.csv").to_vec(),
    };
    let bench = Bench::new(SimOptions { agents: 300, schedule: Some(schedule), ..quiet_options() }).await;
    assert_eq!(bench.simulator.moved_weeks(), Some(0));
    let tenant = &bench.tenants[0];
    assert_eq!((&tenant.agents[0], tenant.agents.len()), (&"u_0001".into(), 300));
    assert_eq!((&tenant.break_user, &tenant.off_user), (&Some("u_0299".into()), &Some("u_0300".into())));
    let world = bench.simulator.world_views();
    let scheduled = world[0].agents.iter().filter(|agent| agent.scheduled).count();
    assert!((60..200).contains(&scheduled), "{scheduled}");
    for agent in &world[0].agents {
        let special = [&tenant.break_user, &tenant.off_user].contains(&&Some(agent.id.clone()));
        assert_eq!(agent.state == SimState::LoggedOut, !agent.scheduled && !special, "{}", agent.id);
    }
}

#[tokio::test]
async fn a_break_user_can_be_let_out_after_a_while() {
    let bench = Bench::new(SimOptions { break_duration: Some(Duration::from_secs(600)), ..quiet_options() }).await;
    let token = bench.token(0, "").await;
    let on_break = bench.tenants[0].break_user.clone().expect("one");
    assert_eq!(bench.set_state(&token, on_break.as_str(), "READY").await.0, 409);
    bench.clock.advance(Duration::from_secs(600));
    assert_eq!(bench.set_state(&token, on_break.as_str(), "READY").await.0, 200);
}
