//! The report over a store, as it is printed.

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::app::identity;
use crate::clock::{ManualClock, SharedClock};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, Violation};
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus};
use crate::domain::ids::TransitionId;
use crate::store::{Commit, PAGE_LIMIT, ProcessRole, Store};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ComplianceArgs,
}

fn args(options: &[&str]) -> ComplianceArgs {
    let words = ["compliance"].into_iter().chain(options.iter().copied());
    Command::try_parse_from(words).expect("known options").args
}

fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

/// The n-th is requested at n seconds; every third is refused.
fn transition(n: u32) -> Transition {
    let refused = n.is_multiple_of(3).then_some(Violation::AgentNotScheduled);
    Transition {
        id: TransitionId(uuid::Uuid::from_u128(u128::from(n))),
        tenant: "acme".into(),
        agent: "=u_0001".into(),
        target: AgentState::Ready,
        reason: "WORKING".into(),
        priority: Priority::Schedule,
        actor: Actor::Rule { id: "back-from-break".into(), version: "1".into() },
        note: None,
        on_contact: OnContact::After,
        requested_at: at(i64::from(n)),
        deadline: at(10_000),
        before: None,
        explanation: Value::Null,
        attempts: 1,
        violation: refused,
        latency_ms: refused.is_none().then_some(40),
        change_set: None,
        status: match refused {
            Some(violation) => TransitionStatus::Refused { violation },
            None => TransitionStatus::Confirmed { at: at(9) },
        },
    }
}

/// What is printed of `count` transitions.
async fn print_transitions(count: u32, options: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("keeper.db").display());
    let clock: SharedClock = std::sync::Arc::new(ManualClock::at(at(1)));
    let store = Store::open(&url, ProcessRole::Daemon, clock, &identity()).await.expect("opens");
    let transitions = (0..count).map(transition).collect();
    store.writer().commit(Commit { transitions, ..Commit::default() }).await.expect("commits");
    let args = args(options);
    let span = args.span().expect("a zone");
    let mut out = Vec::new();
    write_report(store.reader(), &"acme".into(), span, &args, &mut out).await.expect("written");
    store.close().await;
    String::from_utf8(out).expect("text")
}

#[tokio::test]
async fn the_json_is_one_document_whose_figures_follow_from_its_log_however_long() {
    let count = PAGE_LIMIT + 1;
    let report: Value = serde_json::from_str(&print_transitions(count, &["--output", "json"]).await).expect("JSON");
    let logs = report["logs"].as_array().expect("a log");
    assert_eq!(report["totalTransitions"], count);
    assert_eq!(logs.len(), count as usize);
    let violations = logs.iter().filter(|line| !line["policyViolation"].is_null()).count();
    let frequency = report["violationFrequency"].as_f64().expect("a number");
    assert!((frequency * f64::from(count) - f64::from(u32::try_from(violations).expect("few"))).abs() < 1e-6);
    assert_eq!(report["averageLatencyMs"], 40);
    assert_eq!(report["rules"]["back-from-break"]["refused"], violations);
    assert_eq!(report["tenant"], "acme");
}

#[tokio::test]
async fn nothing_requested_is_a_whole_report_too() {
    let report: Value = serde_json::from_str(&print_transitions(0, &["--output", "json"]).await).expect("JSON");
    assert_eq!((&report["totalTransitions"], &report["violationFrequency"]), (&0.into(), &0.0.into()));
    assert_eq!(report["logs"], Value::Array(Vec::new()));
    assert_eq!(print_transitions(0, &["--output", "csv"]).await, LOG_COLUMNS.join(",") + "\r\n");
}

#[tokio::test]
async fn the_csv_is_the_log_with_cells_that_no_spreadsheet_runs() {
    let csv = print_transitions(2, &["--output", "csv"]).await;
    let lines: Vec<_> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines[0], LOG_COLUMNS.join(","));
    assert_eq!(lines[1], "00000000-0000-0000-0000-000000000001,1970-01-01T00:00:01Z,'=u_0001,Ready,true,40,,");
    assert!(lines[2].ends_with("Ready,false,,AGENT_NOT_SCHEDULED,AGENT_NOT_SCHEDULED"), "{}", lines[2]);
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn the_span_holds_its_start_and_not_its_end() {
    let span = ["--output", "json", "--from", "1970-01-01T00:00:02Z", "--to", "1970-01-01T00:00:05Z"];
    let report: Value = serde_json::from_str(&print_transitions(9, &span).await).expect("JSON");
    assert_eq!(report["totalTransitions"], 3);
    assert_eq!(report["logs"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn the_table_defines_its_figures() {
    let table = print_transitions(3, &["--logs"]).await;
    for part in
        ["totalTransitions    ", "violationFrequency  ", "0.3333", "violationFrequency: those that policy", "'=u_0001"]
    {
        assert_eq!(table.contains(part), part != "'=u_0001", "{part}\n{table}");
    }
    assert!(table.contains("=u_0001"), "{table}");
}

#[test]
fn a_date_is_its_midnight_in_the_zone() {
    for (options, wanted) in [
        (&["--from", "2026-10-26"][..], "2026-10-26T00:00:00Z"),
        (&["--from", "2026-10-26", "--zone", "Europe/Berlin"], "2026-10-25T23:00:00Z"),
        (&["--from", "2026-10-26T08:00:00+01:00", "--zone", "Europe/Berlin"], "2026-10-26T07:00:00Z"),
    ] {
        assert_eq!(args(options).span().expect("a zone").from, wanted.parse().ok(), "{options:?}");
    }
    let error = Command::try_parse_from(["compliance", "--from", "yesterday"]).err().expect("refused").to_string();
    assert!(error.contains("such as 2026-10-26"), "{error}");
}
