//! Wording and exit codes.

use clap::Parser;

use super::*;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus, WaitReason};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ChangeArgs,
}

fn parse(options: &[&str]) -> Result<SendArgs, clap::Error> {
    let parsed = Command::try_parse_from(["change"].into_iter().chain(options.iter().copied()));
    parsed.map(|command| command.args.send)
}

#[test]
fn a_subcommand_takes_the_place_of_agents_and_state() {
    let parse = |options: &[&str]| Command::try_parse_from(["change"].iter().chain(options).copied());
    let planned = parse(&["plan", "--team", "Billing", "--to", "NotReady"]).expect("a plan").args;
    assert!(planned.send.to.is_none() && matches!(planned.command, Some(change_sets::ChangeSetCommand::Plan(_))));
    for wrong in [&["u_1"][..], &["--to", "Ready"], &[], &["u_1", "--to", "Ready", "plan"]] {
        // An agent's id may be `plan`: after other ids, it is an agent.
        let is_agent = wrong.contains(&"plan");
        assert_eq!(parse(wrong).is_ok(), is_agent, "{wrong:?}");
    }
}

fn at(text: &str) -> UtcMicros {
    text.parse().expect("an instant")
}

fn transition(status: TransitionStatus, violation: Option<Violation>) -> Transition {
    Transition {
        id: TransitionId(uuid::Uuid::nil()),
        tenant: "acme".into(),
        agent: "u_0300".into(),
        target: AgentState::Ready,
        reason: "WORKING".into(),
        priority: Priority::Person,
        actor: Actor::Person { id: "anna".into() },
        note: None,
        on_contact: OnContact::After,
        requested_at: at("2026-10-26T13:00:00Z"),
        deadline: at("2026-10-26T13:30:00.623813Z"),
        before: None,
        explanation: Value::Null,
        attempts: 0,
        violation,
        latency_ms: None,
        change_set: None,
        status,
    }
}

#[test]
fn an_answer_of_the_daemon_is_said_in_words_with_the_policy_before_them() {
    use Violation::{AgentNotScheduled, MandatoryBreakViolation, PlatformConflict};
    let waiting = |why| TransitionStatus::Waiting { why, until: None };
    let in_break =
        TransitionStatus::Waiting { why: WaitReason::MandatoryBreak, until: Some(at("2026-10-26T13:15:00Z")) };
    for (status, violation, expected) in [
        (
            TransitionStatus::Refused { violation: AgentNotScheduled },
            Some(AgentNotScheduled),
            "AGENT_NOT_SCHEDULED: u_0300 has no shift now",
        ),
        (
            in_break,
            Some(MandatoryBreakViolation),
            "MANDATORY_BREAK_VIOLATION: waits for the mandatory break to end, until 2026-10-26T13:15:00Z (expires at \
             2026-10-26T13:30:00Z)",
        ),
        (
            waiting(WaitReason::Budget),
            Some(MandatoryBreakViolation),
            "waits for a free slot of the request budget (expires at 2026-10-26T13:30:00Z)",
        ),
        (
            waiting(WaitReason::Conflict),
            Some(PlatformConflict),
            "PLATFORM_CONFLICT: waits for the platform to allow what it refused (409) (expires at 2026-10-26T13:30:00Z)",
        ),
        (
            TransitionStatus::Expired { waiting_for: Some(WaitReason::MandatoryBreak) },
            Some(MandatoryBreakViolation),
            "MANDATORY_BREAK_VIOLATION: its deadline 2026-10-26T13:30:00Z passed while it waited for the mandatory break to \
             end",
        ),
        (
            waiting(WaitReason::Retry),
            Some(PlatformConflict),
            "PLATFORM_CONFLICT: waits for the next try after a failed one (expires at 2026-10-26T13:30:00Z)",
        ),
        (TransitionStatus::Failed { error: "no such agent (404)".into() }, None, "no such agent (404)"),
    ] {
        let row = Row::from_transition(&transition(status, violation));
        assert_eq!(row.error.as_deref(), Some(expected));
    }
    let confirmed = Row::from_transition(&transition(TransitionStatus::Confirmed { at: UtcMicros::EPOCH }, None));
    assert_eq!((confirmed.error, confirmed.outcome), (None, RowOutcome::Confirmed));
}

#[test]
fn what_was_refused_at_once_is_said_in_the_same_words() {
    let taken = |id, status: &str, error: Option<&str>| {
        Row::from_accepted(RequestedChange {
            id,
            agent: "u_0300".into(),
            status: status.into(),
            error: error.map(str::to_owned),
            refused_by: None,
            note: None,
        })
    };
    let id = Some(TransitionId(uuid::Uuid::nil()));
    let refused = taken(id, "refused", Some("AGENT_NOT_SCHEDULED"));
    assert_eq!(refused.error.as_deref(), Some("AGENT_NOT_SCHEDULED: u_0300 has no shift now"));
    assert_eq!(refused.outcome, RowOutcome::Unsuccessful);
    assert_eq!(taken(id, "waiting", None).outcome, RowOutcome::Open);
    let unknown = taken(None, "refused", Some("acme has no agent u_0300"));
    assert_eq!(
        (unknown.outcome, unknown.error.as_deref()),
        (RowOutcome::Unsuccessful, Some("acme has no agent u_0300"))
    );
}

#[test]
fn a_refusal_without_a_shift_names_the_platform_if_the_platform_refused() {
    for (by, expected) in [
        ("plan", "AGENT_NOT_SCHEDULED: u_0300 has no shift now"),
        ("platform", "AGENT_NOT_SCHEDULED: the platform says that u_0300 has no shift now"),
        (
            "platform_against_plan",
            "AGENT_NOT_SCHEDULED: the platform says that u_0300 has no shift now, although the imported plan has one",
        ),
    ] {
        let status = TransitionStatus::Refused { violation: Violation::AgentNotScheduled };
        let explanation = json!({"asked_by": "anna", "refused_by": by});
        let later = Row::from_transition(&Transition { explanation, ..transition(status, None) });
        let id = uuid::Uuid::nil();
        let error = "AGENT_NOT_SCHEDULED";
        let taken = json!({"id": id, "agent": "u_0300", "status": "refused", "error": error, "refused_by": by});
        let at_once = Row::from_accepted(serde_json::from_value(taken).expect("the API's shape"));
        assert_eq!((later.error.as_deref(), at_once.error.as_deref()), (Some(expected), Some(expected)));
    }
}

#[test]
fn the_exit_code_says_whether_all_some_or_none_went_well() {
    use RowOutcome::{Confirmed, Open, Unsuccessful};
    let rows = |standings: &[RowOutcome]| -> Vec<Row> {
        let row = |standing: &RowOutcome| Row {
            id: None,
            agent: "u_1".into(),
            status: String::new(),
            error: None,
            outcome: *standing,
        };
        standings.iter().map(row).collect()
    };
    for (standings, taken, followed) in [
        (&[Confirmed, Confirmed][..], Exit::Done, Exit::Done),
        (&[Confirmed, Unsuccessful], Exit::Partial, Exit::Partial),
        (&[Confirmed, Open], Exit::Done, Exit::Partial),
        (&[Open, Open], Exit::Done, Exit::TryLater),
        (&[Open, Unsuccessful], Exit::Partial, Exit::Failed),
        (&[Unsuccessful], Exit::Failed, Exit::Failed),
    ] {
        let rows = rows(standings);
        assert_eq!((exit_without_wait(&rows), exit_after_wait(&rows)), (taken, followed), "{standings:?}");
    }
}

#[test]
fn a_row_is_printed_as_id_agent_status_and_error() {
    let row = Row::from_transition(&transition(TransitionStatus::Confirmed { at: UtcMicros::EPOCH }, None));
    let expected = json!({ "id": uuid::Uuid::nil(), "agent": "u_0300", "status": "confirmed", "error": null });
    assert_eq!(json!(row), expected);
}

#[test]
fn options_become_the_body_that_the_daemon_takes() {
    let options = ["u_1", "u_2", "--to", "not_ready", "--deadline", "1500ms", "--on-contact", "skip", "--note", "x"];
    let args = parse(&options).expect("known options");
    let expected = json!({
        "agents": ["u_1", "u_2"], "to": "not_ready", "reason": null, "on_contact": "skip",
        "deadline_s": 2, "note": "x",
    });
    assert_eq!(request_body(&args), expected);
}

#[test]
fn reasons_of_agents_already_in_the_state_change_only_if_requested_with_a_reason() {
    let args = parse(&["u_1", "--to", "Ready", "--reason", "WORKING", "--even-if-in-state"]).expect("known options");
    assert_eq!(
        (&request_body(&args)["even_if_in_state"], &request_body(&args)["reason"]),
        (&json!(true), &json!("WORKING"))
    );
    let refused = parse(&["u_1", "--to", "Ready", "--even-if-in-state"]).expect_err("no reason").to_string();
    assert!(refused.contains("--reason"), "{refused}");
}

#[test]
fn agents_already_in_the_state_are_listed_with_the_option_that_changes_their_reason() {
    let taken = |agent: &str, note: Option<&str>| RequestedChange {
        id: None,
        agent: agent.into(),
        status: "waiting".into(),
        error: None,
        refused_by: None,
        note: note.map(str::to_owned),
    };
    let note = "already Ready: only the reason would change; even_if_in_state asks for that";
    let said = unchanged_agent_notes(&[taken("u_1", Some(note)), taken("u_2", None), taken("u_3", Some(note))]);
    assert_eq!(said, ["u_1 and u_3: already Ready: only the reason would change; --even-if-in-state asks for that"]);
}

#[test]
fn a_plan_says_how_many_change_only_their_reason_and_what_that_costs() {
    let lines = |even_if_in_state: bool| {
        let (all, reasons) = if even_if_in_state { (12, 6) } else { (6, 0) };
        let set = json!({
            "id": uuid::Uuid::nil(), "tenant": "acme", "status": "previewed", "hash": "5f", "made_by": "anna",
            "made_at": "2026-10-26T13:30:00Z", "expires_at": "2026-10-26T13:40:00Z", "can_undo": false, "to": "Ready",
            "reason": "WORKING", "on_contact": "after", "urgent": false, "even_if_in_state": even_if_in_state,
            "deadline_s": 1800, "calls": all, "questions": 0, "reason_calls": reasons, "ahead": 0,
            "slots": {"per_minute": 100, "free": 60}, "halted": false,
            "counts": {"agents": 12, "will_change": all, "reason_only": reasons, "left_out": 12 - all,
                "left_out_at_start": 0, "outcomes": {}, "statuses": {}, "open": 0, "confirmed": 0, "failed": 0},
            "floors": [], "agents": [],
        });
        table::set_summary(&serde_json::from_value(set).expect("the API's shape"))
    };
    let of_reason = "6 agents already in this state: only the reason changes, for 6 calls";
    let chosen = lines(true);
    assert!(chosen.contains("12 of 12 agents to be changed, 0 left out; 12 calls") && chosen.contains(of_reason));
    let plain = lines(false);
    assert!(plain.contains("6 of 12 agents to be changed, 6 left out; 6 calls") && !plain.contains("reason"));
}

#[test]
fn a_span_that_cannot_be_read_is_refused_with_what_can() {
    let refusal = |options: &[&str]| parse(options).expect_err("refused").to_string();
    assert!(refusal(&["u_1", "--to", "Ready", "--wait", "soon"]).contains("such as 90s"));
    assert!(refusal(&["u_1", "--to", "Ready", "--wait=-5s"]).contains("such as 90s"));
    assert_eq!(parse(&["u_1", "--to", "READY", "--wait", "1m30s"]).expect("fits").wait, Some(Duration::from_secs(90)));
}
