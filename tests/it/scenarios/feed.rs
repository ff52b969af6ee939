//! The live feed beside the polls: each change is told once, whichever shows it; without a feed the polls go on; without both
//! nothing is done on old sight.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use shiftkeeper::domain::agents::agent::ObservationSource;
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::ids::AgentId;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{ChangeEntry, FeedEndReason, FeedEvent, LogPage, SimState};
use shiftkeeper::store::HistoryRow;

use crate::harness::ledger::daemon_state;
use crate::harness::{Binary, Scenario, Setup, agent_ids};

const FEED: &str = "/interactions/subscribe";
const SKILLS: &str = "skills = [\"1001\", \"1002\"]";

/// At this speed a message of the feed may be 25 s late, and silence is over two real seconds.
const SPEED: u32 = 50;

/// How late an estimate may be at that speed, and a little more: the platform names whole seconds.
const MAX_DELAY: Duration = Duration::from_secs(27);

fn team(count: usize) -> Setup {
    Setup { speed: SPEED, tenant_keys: SKILLS, ..Setup::team(count) }
}

impl Scenario {
    /// Waits until readiness says that the feed is there.
    async fn wait_until_feed_is_live(&self) {
        self.wait_until("the feed is there", || async {
            let report = self.readiness().await;
            if self.feed_part(&report).is_some_and(|part| part["ready"] == true) {
                Ok(())
            } else {
                Err(report.to_string())
            }
        })
        .await;
    }

    /// What a report of readiness says of the feed.
    fn feed_part<'a>(&self, report: &'a Value) -> Option<&'a Value> {
        let name = format!("tenant {}: feed", self.tenant);
        report["parts"].as_array().and_then(|parts| parts.iter().find(|part| part["name"] == name))
    }

    /// No two feeds of the tenant were ever open at once, by the simulator's account. Gives how many there were.
    fn assert_one_feed_at_a_time(&self) -> usize {
        let (mut open, mut count) = (None, 0);
        for entry in self.log().feed {
            match entry.event {
                FeedEvent::Connected => {
                    assert_eq!(open.replace(entry.feed), None, "feed {} at {}", entry.feed, entry.at);
                    count += 1;
                }
                FeedEvent::Closed { .. } => open = open.filter(|feed| *feed != entry.feed),
                FeedEvent::Subscribed { .. } | FeedEvent::Said { .. } | FeedEvent::Answered => {}
            }
        }
        count
    }

    /// The attempts to open a feed: when, and how each was answered.
    fn feed_attempts(&self) -> Vec<(UtcMicros, Option<u16>)> {
        let log = self.log();
        log.requests.iter().filter(|call| call.path.ends_with(FEED)).map(|call| (call.at, call.status)).collect()
    }
}

/// States and when they were entered.
type StateSequence = Vec<(AgentState, UtcMicros)>;

/// An agent's changes by the simulator's account, from the first row of history on, beside that history.
fn state_sequences(log: &LogPage, agent: &AgentId, rows: &[HistoryRow]) -> (StateSequence, StateSequence) {
    let begins_at = rows.first().map_or(UtcMicros::MAX, |row| row.entered_at);
    let happened = log
        .changes
        .iter()
        .filter(|change: &&ChangeEntry| change.agent == *agent && change.at > begins_at + Duration::from_secs(2))
        .map(|change| (daemon_state(change.to), change.at))
        .collect();
    let kept = rows.iter().skip(1).map(|row| (row.state.clone(), row.entered_at)).collect();
    (happened, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn feed_and_polls_give_each_change_once() {
    let scenario = Scenario::start_team(team(6)).await;
    scenario.wait_until_feed_is_live().await;
    let states = [SimState::Paused, SimState::Idle, SimState::OnContact, SimState::Acw, SimState::Available];
    let mut dice = fastrand::Rng::with_seed(7);
    let mut turn: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..60 {
        let agent = agent_ids(6)[dice.usize(..6)].clone();
        let turn = turn.entry(agent.clone()).or_default();
        scenario.set_agent_state(&agent, states[*turn % states.len()]);
        *turn += 1;
        // Some follow each other within an interval, so that snapshots alone would miss them.
        scenario.let_time_pass(Duration::from_millis(dice.u64(200..6_000))).await;
    }
    // The last of them are in snapshots too.
    scenario.let_time_pass(Duration::from_secs(90)).await;
    let (reader, log) = (scenario.reader().await, scenario.log());
    let (mut estimates, mut rows_in_all) = (0, 0);
    for agent in agent_ids(6) {
        let agent = AgentId::new(&agent);
        let rows: Vec<HistoryRow> =
            scenario.history(&reader, &agent).await.into_iter().map(|stored| stored.row).collect();
        let (happened, kept) = state_sequences(&log, &agent, &rows);
        let states =
            |story: &[(AgentState, UtcMicros)]| story.iter().map(|(state, _)| state.clone()).collect::<Vec<_>>();
        assert_eq!(states(&kept), states(&happened), "{agent}: {rows:#?}\nhappened: {happened:#?}");
        for ((_, told), (_, was)) in kept.iter().zip(&happened) {
            assert!(
                told.since(*was) <= MAX_DELAY && was.since(*told) <= Duration::from_secs(2),
                "{agent}: {told} {was}"
            );
        }
        estimates += rows.iter().filter(|row| row.source == ObservationSource::Feed).count();
        rows_in_all += rows.len();
    }
    assert!(estimates > 0 && estimates < rows_in_all, "{estimates} of {rows_in_all}: both are alive");
    reader.close().await;
    assert_eq!(scenario.assert_one_feed_at_a_time(), 1);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_lost_is_said_and_opened_again_and_the_polls_go_on() {
    let scenario = Scenario::start_team(team(4)).await;
    scenario.wait_until_feed_is_live().await;
    for loss in ["drop_feeds", "close_feeds", "revoke_tokens"] {
        // It is refused for a while, so that the loss can be seen.
        scenario.add_fault("status:on=feed,code=503,count=3");
        let lost_at = scenario.clock.now();
        scenario.add_fault(loss);
        let report = scenario.wait_for_readiness_detail("no live feed").await;
        assert_eq!((&report["status"], &report["ready"]), (&"degraded".into(), &true.into()), "{report}");
        scenario.set_agent_state("u_0001", SimState::Paused);
        scenario.wait_until_feed_is_live().await;
        scenario.set_agent_state("u_0001", SimState::Idle);
        let attempts: Vec<_> = scenario.feed_attempts().into_iter().filter(|(at, _)| *at > lost_at).collect();
        // A second, two, four, eight, half of it or more, and what a busy machine takes.
        let longest = Duration::from_secs(15) + scenario.clock.scale_real(Duration::from_secs(5));
        let open_at = attempts.iter().find(|(_, status)| *status == Some(101)).expect("it is open").0;
        assert!(open_at.since(lost_at) <= longest, "{loss}: {attempts:?} after {lost_at}");
        // A token that is not taken is replaced at once, and after that no attempt is made in haste.
        let refused: Vec<_> = attempts.iter().filter(|(_, status)| *status != Some(401)).map(|(at, _)| *at).collect();
        assert!(refused.len() >= 4, "{loss}: {attempts:?}");
        for (pause, least) in refused.windows(2).zip([900, 1_800, 3_600]) {
            assert!(pause[1].since(pause[0]) >= Duration::from_millis(least), "{loss}: {attempts:?}");
        }
    }
    scenario.wait_for_readiness("ready").await;
    scenario.assert_one_feed_at_a_time();
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_says_nothing_is_lost_after_two_minutes() {
    let scenario = Scenario::start_team(team(4)).await;
    scenario.wait_until_feed_is_live().await;
    let silent_from = scenario.clock.now();
    scenario.add_fault("silent:on=feed_message");
    scenario.wait_for_readiness_detail("it has said nothing for 2m").await;
    // What was not said, a snapshot shows.
    scenario.set_agent_state("u_0001", SimState::Paused);
    let reader = scenario.reader().await;
    scenario
        .wait_until("a snapshot shows it", || async {
            let last = scenario.history(&reader, &"u_0001".into()).await.pop().expect("a row").row;
            if last.state == AgentState::Paused { Ok(()) } else { Err(format!("{last:?}")) }
        })
        .await;
    scenario.sim.clear_faults();
    scenario.wait_until_feed_is_live().await;
    reader.close().await;
    let attempts = scenario.feed_attempts();
    let second = attempts.iter().find(|(at, _)| *at > silent_from).expect("another attempt").0;
    assert!(second.since(silent_from) >= Duration::from_secs(90), "half a minute may have passed since the last word");
    assert!(scenario.assert_one_feed_at_a_time() >= 2);
    scenario.assert_nothing_left_over().await;
}

/// Sets paused agents ready soon, and idle agents later than any observation is fresh.
const BACK: &str = "[[rules]]\nid = \"back\"\nwhen = { state = \"Paused\", for = \"20s\" }\n\
                    then = { set_state = \"Ready\" }\nmode = \"enforce\"\n\
                    [[rules]]\nid = \"wake\"\nwhen = { state = \"Idle\", for = \"90s\" }\n\
                    then = { set_state = \"Ready\" }\nmode = \"enforce\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn without_feed_and_polls_the_live_view_says_how_old_it_is_and_rules_wait() {
    let setup = Setup {
        rules: BACK,
        tenant_tables: "[tenants.policy]\nwait_at_most = \"12h\"\nanswers_kept = \"1m\"\n\
                        [tenants.automation]\nstale_intervals = 6\nmax_changes_per_agent_hour = 60\n",
        ..team(4)
    };
    let scenario = Scenario::start_team(setup).await;
    scenario.wait_until_feed_is_live().await;
    // The polls alone are gone: the feed shows who pauses, and the rule acts on that.
    scenario.add_fault("status:on=snapshot,code=503");
    scenario.wait_for_readiness_detail("what subscription 0 shows is").await;
    scenario.set_agent_state("u_0001", SimState::Paused);
    scenario.wait_until("the rule acts", || async { check_rule_acted(&scenario, "u_0001") }).await;
    // Both are gone, soon after the feed reported another change.
    let reader = scenario.reader().await;
    scenario.set_agent_state("u_0002", SimState::Idle);
    scenario
        .wait_until("the feed tells of it", || async {
            let last = scenario.history(&reader, &"u_0002".into()).await.pop().expect("a row").row;
            if last.state == AgentState::Idle { Ok(()) } else { Err(format!("{last:?}")) }
        })
        .await;
    scenario.add_fault("status:on=feed,code=503");
    scenario.add_fault("drop_feeds");
    scenario.wait_for_readiness_detail("no live feed").await;
    scenario.let_time_pass(Duration::from_secs(200)).await;
    assert!(check_rule_acted(&scenario, "u_0002").is_err(), "the sight is too old");
    let told = scenario.events(&reader).await.iter().filter(|event| event.kind == EventKind::PictureStale).count();
    assert!(told >= 1, "people are told");
    reader.close().await;
    scenario.sim.clear_faults();
    scenario.wait_until("the rule acts again", || async { check_rule_acted(&scenario, "u_0002") }).await;
    scenario.wait_for_readiness("ready").await;
    scenario.assert_one_feed_at_a_time();
    scenario.assert_nothing_left_over().await;
}

fn check_rule_acted(scenario: &Scenario, agent: &str) -> Result<(), String> {
    if scenario.posts_for(agent).is_empty() { Err("no POST yet".to_owned()) } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_the_skills_opens_another_feed_and_without_skills_there_is_none() {
    let mut scenario = Scenario::start_team(team(4)).await;
    scenario.wait_until_feed_is_live().await;
    scenario.setup.tenant_keys = "skills = [\"1003\"]";
    scenario.reload();
    scenario
        .wait_until("the other skill is subscribed to", || async {
            let log = scenario.log();
            let last = log.feed.iter().rev().find_map(|entry| match &entry.event {
                FeedEvent::Subscribed { skills } => Some(skills.clone()),
                _ => None,
            });
            if last == Some([1003].into()) { Ok(()) } else { Err(format!("{last:?}")) }
        })
        .await;
    assert_eq!(scenario.assert_one_feed_at_a_time(), 2);
    scenario.setup.tenant_keys = "";
    scenario.reload();
    scenario
        .wait_until("the feed is closed", || async {
            let log = scenario.log();
            match log.feed.last().map(|entry| entry.event.clone()) {
                Some(FeedEvent::Closed { why: FeedEndReason::Client }) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    let report = scenario.readiness().await;
    assert_eq!(scenario.feed_part(&report), None);
    scenario.assert_nothing_left_over().await;
}

/// Whether a text holds a token as the simulator makes them: the tenant, a point, 32 digits.
fn contains_token(text: &str, tenant: &str) -> bool {
    let begins = format!("{tenant}.");
    text.split(&begins).skip(1).any(|rest| rest.bytes().take_while(u8::is_ascii_hexdigit).count() >= 16)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_that_travels_in_the_query_is_never_shown() {
    let environment = vec![("SHIFTKEEPER__LOG__LEVEL".to_owned(), "trace".to_owned())];
    let path = env!("CARGO_BIN_EXE_shiftkeeper").into();
    let mut scenario = Scenario::start_team(Setup { binary: Some(Binary { path, environment }), ..team(4) }).await;
    scenario.wait_until_feed_is_live().await;
    let mut shown = String::new();
    for fault in ["status:on=feed,code=403", "html:on=feed", "reset_before:on=feed", "lost_answer:on=feed"] {
        scenario.add_fault(fault);
        scenario.add_fault("revoke_tokens");
        shown += &scenario.wait_for_readiness_detail("no live feed").await.to_string();
        scenario.let_time_pass(Duration::from_secs(10)).await;
        shown += &scenario.readiness().await.to_string();
        scenario.sim.clear_faults();
        scenario.wait_until_feed_is_live().await;
    }
    scenario.sim.stop_listening().await;
    shown += &scenario.wait_for_readiness_detail("no live feed").await.to_string();
    let process = scenario.take_process();
    shown += &process.stderr_text();
    drop(process);
    assert!(shown.contains("open the feed (GET /InContactAPI/services/v18.0/interactions/subscribe)"), "{shown}");
    assert!(!contains_token(&shown, scenario.tenant.as_str()) && !shown.contains("access_token"), "{shown}");
    for file in ["shiftkeeper.db", "shiftkeeper.db-wal"] {
        let stored = std::fs::read(scenario.folder.path().join(file)).unwrap_or_default();
        assert!(!contains_token(&String::from_utf8_lossy(&stored), scenario.tenant.as_str()), "{file}");
    }
    scenario.sim.stop().await;
}
