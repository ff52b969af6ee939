//! SIGKILL at random moments of a shift change: acknowledged data is kept, and each change is sent to the platform
//! once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shiftkeeper::clock::{RealTime, Stopwatch};
use shiftkeeper::domain::ids::TransitionId;
use shiftkeeper::store::{Reader, Store};

use super::witness::Witness;
use super::{TestRandom, integrity, print_progress};
use crate::harness::ledger::{requested_state, state_posts};
use crate::harness::{Binary, Dialect, Scenario, Setup, agent_ids, full_size, on_both_dialects};

on_both_dialects!(a_kill_at_any_moment_of_a_shift_change_loses_nothing_and_doubles_nothing,);

/// Agents of the shift change.
const AGENTS: usize = 500;

/// How many times faster than real time. A process begins its clock a little after it was told the instant, by another span at
/// each start: between two lives the clock steps by the difference, which is several seconds at times.
const SPEED: u32 = 20;

/// The longest that a daemon lives before it is killed, in real time.
const MAX_LIFE_MS: usize = 2_500;

/// How soon it has to serve again, in real time.
const MAX_START_TIME: Duration = Duration::from_secs(2);

/// Between two looks of the witness, in real time.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// One shift change: everyone is asked for the same state, under a key that makes asking again harmless.
struct Wave {
    number: usize,
    accepted: Option<Vec<TransitionId>>,
}

impl Wave {
    const fn target(&self) -> &'static str {
        if self.number.is_multiple_of(2) { "Ready" } else { "NotReady" }
    }

    /// Asks for it; none where the daemon did not answer.
    async fn request_changes(&self, scenario: &Scenario) -> Option<Vec<TransitionId>> {
        let body = json!({"tenant": scenario.tenant, "agents": agent_ids(AGENTS), "to": self.target()});
        let request = scenario
            .request(reqwest::Method::POST, "/api/v1/transitions")
            .header("idempotency-key", format!("wave {}", self.number))
            .json(&body);
        let response = request.send().await.ok()?;
        assert_eq!(response.status(), 202);
        let answer: Value = response.json().await.ok()?;
        let taken = answer["transitions"].as_array().expect("an entry per agent");
        Some(taken.iter().map(|one| one["id"].as_str().expect("an id").parse().expect("an id")).collect())
    }

    /// Whether every change of it has come to its end.
    async fn is_over(&self, scenario: &Scenario, reader: &Reader) -> bool {
        self.accepted.is_some() && reader.open_transitions(&scenario.tenant).await.expect("readable").is_empty()
    }
}

/// Lets the daemon work for a while, beside a witness who reads all the time.
async fn run_for(scenario: &Scenario, witness: &mut Witness, wave: &mut Wave, life: Duration) {
    let watch = Stopwatch::start();
    let reader = scenario.reader().await;
    while watch.elapsed() < life {
        if wave.is_over(scenario, &reader).await {
            *wave = Wave { number: wave.number + 1, accepted: None };
        }
        if wave.accepted.is_none() {
            let asking = wave.request_changes(scenario);
            let rest = RealTime::sleep(life.saturating_sub(watch.elapsed()));
            tokio::select! {
                taken = asking => {
                    witness.record_accepted(taken.iter().flatten().copied());
                    wave.accepted = taken;
                }
                () = rest => break,
            }
        }
        witness.read_new(&reader, &scenario.tenant).await;
        RealTime::sleep(POLL_INTERVAL).await;
    }
    reader.close().await;
}

/// Looks at what the dead daemon left, on a copy, so that the next one finds it untouched.
async fn inspect_killed_store(scenario: &Scenario, witness: &Witness) {
    let folder = tempfile::tempdir().expect("a folder");
    for end in ["", "-wal"] {
        let name = format!("shiftkeeper.db{end}");
        if scenario.folder.path().join(&name).exists() {
            std::fs::copy(scenario.folder.path().join(&name), folder.path().join(&name)).expect("copied");
        }
    }
    let copy = folder.path().join("shiftkeeper.db");
    let reader = Store::read(&format!("sqlite://{}", copy.display())).await.expect("readable");
    assert_eq!(witness.loss(witness.extent(), &reader, &scenario.tenant).await, None);
    reader.close().await;
    // Last, since it folds the log in: what is left then would be taken for a copy without it.
    assert_eq!(integrity(&copy), "ok");
}

async fn a_kill_at_any_moment_of_a_shift_change_loses_nothing_and_doubles_nothing(dialect: Dialect) {
    let kills = if full_size() { 200 } else { 10 };
    let draws = TestRandom::of_this_run();
    let path = env!("CARGO_BIN_EXE_shiftkeeper").into();
    let setup = Setup {
        speed: SPEED,
        binary: Some(Binary { path, environment: Vec::new() }),
        ..Setup::team(AGENTS).on(dialect)
    };
    let mut scenario = Scenario::start_team(setup).await;
    let (mut witness, mut wave) = (Witness::default(), Wave { number: 0, accepted: None });
    let mut starts = Vec::new();
    for _ in 0..kills {
        let life = Duration::from_millis(draws.below(MAX_LIFE_MS) as u64);
        run_for(&scenario, &mut witness, &mut wave, life).await;
        scenario.kill_daemon().await;
        inspect_killed_store(&scenario, &witness).await;
        let watch = Stopwatch::start();
        scenario.start_daemon().await;
        starts.push(watch.elapsed());
    }
    starts.sort();
    let (middle, longest) = (starts[kills / 2], starts[kills - 1]);
    print_progress(format!(
        "{kills} kills in {} shift changes; served again after {middle:?}, at most {longest:?}",
        wave.number + 1
    ));
    print_progress(format!("acknowledged: {:?}", witness.extent()));
    // The request that a kill left unanswered is repeated under its key, and what is under way comes to its end.
    let reader = scenario.reader().await;
    if wave.accepted.is_none() {
        wave.accepted = wave.request_changes(&scenario).await;
    }
    scenario
        .wait_until_within("the shift change is over", Duration::from_secs(180), || async {
            if wave.is_over(&scenario, &reader).await { Ok(()) } else { Err(scenario.readiness().await.to_string()) }
        })
        .await;
    witness.read_new(&reader, &scenario.tenant).await;
    assert_eq!(witness.loss(witness.extent(), &reader, &scenario.tenant).await, None);
    reader.close().await;
    scenario.stop_daemon().await;
    let reader = scenario.reader().await;
    let audit = scenario.audit(&reader).await;
    reader.close().await;
    let doubts = audit.iter().filter(|entry| entry.action == "transition.in_doubt").count();
    print_progress(format!("{doubts} changes were in doubt after a kill"));
    assert!(doubts > 0 || !full_size(), "no kill met a POST under way");
    scenario.check_consistency().await;
    assert_requested_once(&scenario, wave.number + 1);
    assert!(longest <= MAX_START_TIME, "served again only after {longest:?}");
}

/// The platform applied every change that it was asked for, and the shift changes alternate: two POSTs of one agent for the
/// same state, one after the other, would be one that was repeated although it had been applied.
fn assert_requested_once(scenario: &Scenario, waves: usize) {
    let log = scenario.log();
    let mut posts: BTreeMap<_, Vec<Option<String>>> = BTreeMap::new();
    for post in state_posts(&log).filter(|post| post.status.is_some_and(|status| status < 300)) {
        posts.entry(post.agent.clone().expect("an agent")).or_default().push(requested_state(post));
    }
    assert_eq!(posts.len(), AGENTS);
    for (agent, wanted) in posts {
        assert_eq!(wanted.len(), waves, "{agent} was asked once in each shift change: {wanted:?}");
        assert!(wanted.windows(2).all(|pair| pair[0] != pair[1]), "{agent} was asked twice: {wanted:?}");
    }
}
