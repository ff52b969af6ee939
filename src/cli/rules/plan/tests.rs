//! What `plan` says over a store that was filled as the daemon fills it.

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::app::identity;
use crate::cli::schedules::import::import_into_store;
use crate::clock::{ManualClock, SharedClock};
use crate::config::{ConfigText, Environment};
use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::state::AgentState;
use crate::http::ImportRequest;
use crate::store::{Commit, HistoryRow, HistoryWrite, ProcessRole, Store};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: PlanArgs,
}

const RULES: &str = "[[rules]]\nid = \"back\"\nmode = \"enforce\"\n\
                     when = { planned = \"work\", state = \"Paused\", for = \"2m\" }\nthen = { set_state = \"Ready\" }\n\
                     [[rules]]\nid = \"off\"\nmode = \"enforce\"\n\
                     when = { planned = \"off\", state = \"Paused\" }\nthen = { set_state = \"Ready\" }\n\
                     [[rules]]\nid = \"long\"\nmode = \"enforce\"\n\
                     when = { planned = \"work\", worked = \"30m\", state = \"Ready\" }\nthen = { set_state = \"Paused\" }\n";

const SHIFTS: &str = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n\
                      u_1,Ida,blue,UTC,shift,2026-10-26T09:00,2026-10-26T17:00,false\n\
                      u_2,Bo,blue,UTC,shift,2026-10-26T18:00,2026-10-26T20:00,false\n";

fn at(text: &str) -> UtcMicros {
    text.parse().expect("an instant")
}

fn history_entry(agent: &str, time: &str, state: AgentState) -> HistoryWrite {
    HistoryWrite::Enter(HistoryRow {
        tenant: "acme".into(),
        agent: agent.into(),
        entered_at: at(&format!("2026-10-26T{time}:00Z")),
        platform_at: None,
        state,
        reason: None,
        queue: None,
        source: ObservationSource::Snapshot,
        transition: None,
        by_person: false,
    })
}

/// The plan at 10:05, when both agents have been paused for five minutes, one of them in a shift.
async fn plan_with(options: &[&str]) -> TenantPlan {
    let paused = |agent| history_entry(agent, "10:00", AgentState::Paused);
    plan_after(vec![paused("u_1"), paused("u_2")], options).await
}

/// The plan at 10:05 after such a history.
async fn plan_after(history: Vec<HistoryWrite>, options: &[&str]) -> TenantPlan {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("keeper.db").display());
    let text = format!(
        "[store]\nurl = \"{url}\"\n[[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:9\"\nclient_id = \"x\"\n\
         client_secret = {{ env = \"SOME_SECRET\" }}\n{RULES}"
    );
    let environment: Environment = [("SOME_SECRET".to_owned(), "hunter2".to_owned())].into_iter().collect();
    let texts = [ConfigText { file: "c.toml".into(), text }];
    let config = Config::load_texts(&texts, &environment, &[]).expect("sound").config;
    let import_request = ImportRequest {
        tenant: "acme".into(),
        name: "week.csv".into(),
        bytes: SHIFTS.as_bytes().into(),
        profile: None,
        move_weeks: 0,
        is_complete: false,
        hash: None,
        actor: "test".into(),
    };
    import_into_store(&config, import_request, false).await.expect("imported");
    let now = at("2026-10-26T10:05:00Z");
    let clock: SharedClock = std::sync::Arc::new(ManualClock::at(now));
    let store = Store::open(&url, ProcessRole::Daemon, clock, &identity()).await.expect("opens");
    store.writer().commit(Commit { history, ..Commit::default() }).await.expect("commits");
    let words = ["plan"].into_iter().chain(options.iter().copied());
    let args = Command::try_parse_from(words).expect("known options").args;
    let settings = tenant_settings(&config, &config.tenants[0]).expect("rules that compile");
    let mut live_view = read_live_view(store.reader(), &settings.tenant, now, &[]).await.expect("reads");
    mark_as_observed(&mut live_view.roster, now);
    let plan = build_plan(&live_view, &settings, &args, now, false);
    store.close().await;
    plan
}

#[tokio::test]
async fn an_intent_is_one_line_with_its_reasons() {
    let plan = plan_with(&[]).await;
    insta::assert_snapshot!(plan.text(), @r"
    acme at 2026-10-26T10:05:00Z: 2 agents, 1 intent
    u_1: back will set Ready (WORKING): planned work since 09:00 UTC, state Paused for 5m (at least 2m)
    ");
    assert_eq!(
        plan.warning_note().as_deref(),
        Some("note: no daemon runs; the newest state of acme is 5m old and counts as observed now")
    );
}

#[tokio::test]
async fn all_shows_also_what_is_held_and_by_what() {
    let plan = plan_with(&["--all"]).await;
    let line =
        plan.held.as_ref().expect("asked for").iter().map(HeldIntentRow::summary_line).collect::<Vec<_>>().join("\n");
    assert!(
        line.starts_with("u_2: off wants to set Ready (WORKING) and is held, policy forbids it: AGENT_NOT_SCHEDULED: "),
        "{line}"
    );
    let json = json!(plan);
    assert_eq!(json["held"][0]["guard"], json!({"policy": "AGENT_NOT_SCHEDULED"}));
    assert_eq!(json["held"][0]["wish"]["set_state"]["state"], "Ready");
}

#[tokio::test]
async fn one_agent_is_explained_rule_by_rule() {
    let plan = plan_with(&["--agent", "u_2"]).await;
    assert_eq!(plan.intents, []);
    let text = plan.text();
    assert!(text.contains("u_2: back does not match: planned is off (wanted work)"), "{text}");
    assert!(text.contains("u_2: off wants to set Ready (WORKING) and is held"), "{text}");
    let json: Value = json!(plan);
    assert_eq!(json["explanation"]["rules"].as_array().map(Vec::len), Some(3));
    assert!(plan_with(&["--agent", "nobody"]).await.explanation.is_none());
}

#[tokio::test]
async fn continuous_work_counts_from_rests_that_only_the_store_remembers() {
    use AgentState::{Paused, Ready};
    let wants_a_rest = |rest_until: &'static str| async move {
        let history = [("09:00", Ready), ("09:20", Paused), (rest_until, Ready)];
        let history = history.map(|(time, state)| history_entry("u_1", time, state)).to_vec();
        plan_after(history, &[]).await.intents.iter().any(|intent| intent.rule.as_str() == "long")
    };
    assert!(!wants_a_rest("09:40").await, "25 minutes of work since");
    assert!(wants_a_rest("09:30").await, "35 minutes of work since");
    assert!(wants_a_rest("09:24").await, "no rest: an hour and five minutes of work");
}

#[tokio::test]
async fn a_plan_without_shifts_says_why_it_is_empty() {
    let mut plan = plan_with(&[]).await;
    assert_eq!(plan.planned_agents, 2);
    plan.planned_agents = 0;
    assert!(plan.warning_note().expect("a note").contains("no agent of acme has a shift in this period"));
}
