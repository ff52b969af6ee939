//! What agents did while nobody observed them is read from the platform's state history afterwards.

use std::time::Duration;

use serde_json::Value;
use shiftkeeper::domain::agents::agent::ObservationSource;
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::ids::ReasonCode;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{AgentIds, ChangeEntry, SimOptions, SimState, Trap};
use shiftkeeper::store::{Reader, StoredHistory};

use crate::harness::ledger::daemon_state;
use crate::harness::{Scenario, Setup, start};

const TABLES: &str = "[tenants.incontact]\ncodes = { NotReady = 11, Paused = 12, Idle = 13 }\n\
                      [tenants.subscription]\nagents_per_subscription = 10\n\
                      [tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";

/// How long an agent is in each state.
const STEP: Duration = Duration::from_secs(150);

fn setup(traps: Vec<Trap>) -> Setup {
    Setup {
        sim: SimOptions {
            agents: 25,
            agent_ids: AgentIds::Numbers,
            special_users: false,
            traps,
            ..Setup::default().sim
        },
        tenant_keys: "dialect = \"incontact\"",
        tenant_tables: TABLES,
        ..Setup::default()
    }
}

/// How the daemon is kept from observing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outage {
    OfTheDaemon,
    OfThePlatform,
}

/// The states that the agent 10001 is put into during the outage, and the last one, which is seen after it.
const STATES: [SimState; 5] =
    [SimState::OnContact, SimState::Acw, SimState::Idle, SimState::Unavailable, SimState::Available];

/// A scenario in which agents changed their states during an outage that is over. The first agent was seen in a break
/// before.
async fn after_an_outage(outage: Outage, traps: Vec<Trap>) -> (Scenario, Reader) {
    let mut scenario = Scenario::start(setup(traps)).await;
    scenario.wait_until_observed().await;
    let reader = scenario.reader().await;
    scenario.set_agent_state("10001", SimState::Paused);
    scenario.set_agent_state("10002", SimState::Available);
    wait_for_state(&scenario, &reader, "10001", AgentState::Paused).await;
    wait_for_state(&scenario, &reader, "10002", AgentState::Ready).await;
    match outage {
        Outage::OfTheDaemon => scenario.kill_daemon().await,
        Outage::OfThePlatform => scenario.sim.stop_listening().await,
    }
    for state in STATES {
        scenario.let_time_pass(STEP).await;
        scenario.set_agent_state("10001", state);
        scenario.set_agent_state("10003", state);
    }
    scenario.let_time_pass(STEP).await;
    match outage {
        Outage::OfTheDaemon => scenario.start_daemon().await,
        Outage::OfThePlatform => scenario.sim.resume_listening().await.expect("the same port"),
    }
    (scenario, reader)
}

async fn wait_for_state(scenario: &Scenario, reader: &Reader, agent: &str, state: AgentState) {
    scenario
        .wait_until("the state is in the history", || async {
            let last = scenario.history(reader, &agent.into()).await.pop();
            if last.as_ref().is_some_and(|row| row.row.state == state) { Ok(()) } else { Err(format!("{last:?}")) }
        })
        .await;
}

/// How often times without observation were filled in.
async fn fillings(scenario: &Scenario, reader: &Reader) -> Vec<Value> {
    let entries = scenario.audit(reader).await;
    entries.into_iter().filter(|entry| entry.action == "history.filled").map(|entry| entry.why).collect()
}

async fn wait_until_filled(scenario: &Scenario, reader: &Reader) {
    scenario
        .wait_until("the gap is filled in", || async {
            let fillings = fillings(scenario, reader).await;
            let last = scenario.history(reader, &"10001".into()).await;
            if fillings.iter().any(|filling| filling["rows"].as_u64() > Some(0)) {
                Ok(())
            } else {
                Err(format!("{last:#?}"))
            }
        })
        .await;
}

/// The changes of an agent by the simulator's own record.
fn changes_of(scenario: &Scenario, agent: &str) -> Vec<ChangeEntry> {
    scenario.log().changes.into_iter().filter(|change| change.agent.as_str() == agent).collect()
}

/// The seconds that an agent spent in a state within a span, by the simulator's own record.
fn seconds_by_the_platform(changes: &[ChangeEntry], state: &AgentState, (from, to): (UtcMicros, UtcMicros)) -> u64 {
    let ends = changes.iter().skip(1).map(|change| change.at).chain([UtcMicros::MAX]);
    let spans = changes.iter().zip(ends).filter(|(change, _)| daemon_state(change.to) == *state);
    spans.map(|(change, end)| end.min(to).since(change.at.max(from)).as_secs()).sum()
}

fn shape(rows: &[StoredHistory]) -> Vec<(AgentState, ObservationSource)> {
    rows.iter().map(|row| (row.row.state.clone(), row.row.source)).collect()
}

async fn assert_filled(scenario: &Scenario, reader: &Reader) {
    use ObservationSource::{History, Snapshot};
    let history = scenario.history(reader, &"10001".into()).await;
    let paused = history.iter().position(|row| row.row.state == AgentState::Paused).expect("seen in a break");
    let expected = [
        (AgentState::Paused, Snapshot),
        (AgentState::OnContact, History),
        (AgentState::AfterContactWork, History),
        (AgentState::Idle, History),
        (AgentState::NotReady, History),
        (AgentState::Ready, Snapshot),
    ];
    assert_eq!(shape(&history[paused..]), expected);
    // The names of the team's codes.
    let reasons: Vec<_> = history[paused..].iter().map(|row| row.row.reason.as_ref().map(ReasonCode::as_str)).collect();
    assert_eq!(reasons, [Some("Break"), None, None, Some("Away"), Some("Meeting"), None]);
    // Each begins at the platform's own instant.
    let changes = changes_of(scenario, "10001");
    let last = &changes[changes.len() - STATES.len()..];
    for (row, change) in history[paused + 1..].iter().zip(last) {
        let platform_at = row.row.platform_at.expect("the platform's instant");
        assert_eq!(platform_at.as_micros() / 1000, change.at.as_micros() / 1000, "{row:?}");
    }
    // The time in each state is what the simulator says, up to the uncertainty of the platform's clock.
    let span = (history[paused].row.entered_at, last[STATES.len() - 1].at + STEP);
    let times = reader.time_in_state(&scenario.tenant, span.0, span.1).await.expect("readable");
    let times = times.iter().find(|times| times.agent.as_str() == "10001").expect("has a history");
    for state in [AgentState::NotReady, AgentState::Idle, AgentState::Paused, AgentState::AfterContactWork] {
        let (found, expected) = (times.micros_in(&state) / 1_000_000, seconds_by_the_platform(&changes, &state, span));
        assert!(expected > 100 && found.abs_diff(expected) <= 20, "{state}: {found} s, by the platform {expected} s");
    }
    // An agent whose state lasted has no further row, and nobody has a time without usable observations.
    let lasted = scenario.history(reader, &"10002".into()).await;
    assert_eq!(lasted.last().map(|row| (row.row.state.clone(), row.row.source)), Some((AgentState::Ready, Snapshot)));
    for agent in ["10001", "10002", "10003"] {
        let (_, timeline) = scenario.get(&format!("/api/v1/agents/{agent}/timeline?tenant={}", scenario.tenant)).await;
        let actual = timeline["actual"].as_array().expect("a list");
        assert!(actual.windows(2).all(|pair| pair[0]["end"] == pair[1]["start"]), "{agent}: {actual:#?}");
        let sources: Vec<&Value> = actual.iter().map(|span| &span["source"]).collect();
        assert_eq!(sources.contains(&&Value::from("history")), agent != "10002", "{sources:?}");
    }
    // Nobody is told of the past as if it were news.
    let events = scenario.events(reader).await;
    let told =
        events.iter().filter(|event| event.body.contains("OnContact") || event.body.contains("AfterContactWork"));
    assert_eq!(told.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_did_while_the_daemon_was_down_is_read_later_and_only_once() {
    let (mut scenario, reader) = after_an_outage(Outage::OfTheDaemon, Vec::new()).await;
    wait_until_filled(&scenario, &reader).await;
    assert_filled(&scenario, &reader).await;
    let reads = |scenario: &Scenario| {
        let log = scenario.log();
        log.requests.iter().filter(|call| call.path.ends_with("/agents/state-history")).count()
    };
    assert!(reads(&scenario) >= 1);
    let before = scenario.history(&reader, &"10001".into()).await;
    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    scenario.wait_until_observed().await;
    // Time enough for several looks at gaps.
    scenario.let_time_pass(STEP).await;
    assert_eq!(scenario.history(&reader, &"10001".into()).await, before);
    scenario.assert_within_budget(100);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_did_while_the_platform_did_not_answer_is_read_later() {
    for traps in [vec![Trap::SmallPages, Trap::ResultSet], vec![Trap::OtherCases, Trap::NumbersAsText]] {
        let (scenario, reader) = after_an_outage(Outage::OfThePlatform, traps).await;
        wait_until_filled(&scenario, &reader).await;
        assert_filled(&scenario, &reader).await;
        scenario.assert_nothing_left_over().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_cannot_be_read_is_tried_again_also_after_a_restart() {
    let mut scenario = Scenario::start(setup(Vec::new())).await;
    scenario.wait_until_observed().await;
    let reader = scenario.reader().await;
    scenario.set_agent_state("10001", SimState::Paused);
    wait_for_state(&scenario, &reader, "10001", AgentState::Paused).await;
    scenario.kill_daemon().await;
    scenario.add_fault("status:on=history,code=503");
    for state in STATES {
        scenario.let_time_pass(STEP).await;
        scenario.set_agent_state("10001", state);
    }
    scenario.start_daemon().await;
    scenario.wait_for_readiness_detail("is not filled in").await;
    let seen = scenario.history(&reader, &"10001".into()).await;
    assert!(
        seen.iter().all(|row| row.row.source == ObservationSource::Snapshot && row.row.entered_at > start() - STEP)
    );
    scenario.kill_daemon().await;
    scenario.sim.clear_faults();
    scenario.start_daemon().await;
    wait_until_filled(&scenario, &reader).await;
    let history = scenario.history(&reader, &"10001".into()).await;
    let later = history.iter().filter(|row| row.row.source == ObservationSource::History).count();
    assert_eq!(later, STATES.len() - 1, "{history:#?}");
    scenario.wait_for_readiness("ready").await;
    scenario.assert_nothing_left_over().await;
}
