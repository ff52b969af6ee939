//! Tests of the life cycle: every pair of status and step, and what the store keeps.

use super::*;

fn at(micros: i64) -> UtcMicros {
    UtcMicros::from_micros(micros)
}

fn statuses() -> Vec<Status> {
    vec![
        Status::Requested,
        Status::Waiting { why: WaitReason::Budget, until: None },
        Status::Sending { since: at(1) },
        Status::InDoubt { sent_at: at(1), readable_after: at(2) },
        Status::Accepted { at: at(3) },
        Status::Confirmed { at: at(4) },
        Status::Unconfirmed { at: at(4) },
        Status::Refused { violation: Violation::AgentNotScheduled },
        Status::Failed { error: "no such agent".into() },
        Status::Cancelled { by: "person:anna".into() },
        Status::Superseded { by: TransitionId(uuid::Uuid::nil()) },
        Status::Expired { waiting_for: None },
    ]
}

fn steps() -> Vec<Step> {
    let why = WaitReason::Retry;
    vec![
        Step::Hold { why, until: None },
        Step::Send { at: at(9) },
        Step::NotApplied { why, until: None },
        Step::Doubt { readable_after: at(9) },
        Step::Accept { at: at(9) },
        Step::Confirm { at: at(9) },
        Step::GiveUp { at: at(9) },
        Step::ReadBack { until: None },
        Step::Refuse(Violation::PlatformConflict),
        Step::Fail("no".into()),
        Step::Cancel("person:anna".into()),
        Step::Supersede(TransitionId(uuid::Uuid::nil())),
        Step::Expire,
    ]
}

/// Every pair of status and step: `-` is not allowed, else the first letters of the status that follows.
#[test]
fn every_pair_of_status_and_step_is_as_the_table_says() {
    #[rustfmt::skip]
    let table = [
        //                hold send  notap doubt accep confi givup readb refus fail  cance super expir
        ("requested",   ["wai","sen","-",  "-",  "-",  "con",  "-",  "-",  "ref","fai","can","sup","exp"]),
        ("waiting",     ["wai","sen","-",  "-",  "-",  "con",  "-",  "-",  "ref","fai","can","sup","exp"]),
        ("sending",     ["-",  "-",  "wai","in_","acc","-",  "-",  "-",  "ref","fai","can","-",  "-"]),
        ("in_doubt",    ["-",  "-",  "-",  "-",  "-",  "con","unc","wai","-",  "-",  "-",  "-",  "-"]),
        ("accepted",    ["-",  "-",  "-",  "-",  "-",  "con","unc","-",  "-",  "-",  "-",  "-",  "-"]),
        ("confirmed",   ["-";13]),
        ("unconfirmed", ["-";13]),
        ("refused",     ["-";13]),
        ("failed",      ["-";13]),
        ("cancelled",   ["-";13]),
        ("superseded",  ["-";13]),
        ("expired",     ["-";13]),
    ];
    assert_eq!(table.map(|(name, _)| name), STATUS_NAMES);
    for (status, (name, row)) in statuses().into_iter().zip(table) {
        assert_eq!(status.name(), name);
        assert_eq!(status.is_final(), row.iter().all(|cell| *cell == "-"), "{name}");
        for (step, cell) in steps().into_iter().zip(row) {
            let label = step.name();
            match status.clone().step(step) {
                Ok(next) => assert!(cell != "-" && next.name().starts_with(cell), "{name} + {label} gave {next}"),
                Err(refusal) => assert_eq!(cell, "-", "{name} + {label}: {refusal}"),
            }
        }
    }
}

#[test]
fn a_status_survives_the_store() {
    for status in statuses() {
        let text = serde_json::to_string(&status).expect("plain data");
        assert_eq!(serde_json::from_str::<Status>(&text).expect("own shape"), status, "{text}");
    }
}

/// The status stands beside the other members in the row's JSON: no name may be used twice.
#[test]
fn a_transition_survives_json_in_every_status() {
    for status in statuses() {
        let transition = Transition {
            id: TransitionId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            agent: "u_0001".into(),
            target: AgentState::Ready,
            reason: "WORKING".into(),
            priority: Priority::Person,
            actor: Actor::Daemon,
            note: None,
            on_contact: OnContact::After,
            requested_at: at(1),
            deadline: at(2),
            before: None,
            explanation: Value::Null,
            attempts: 1,
            violation: Some(Violation::AgentNotScheduled),
            latency_ms: None,
            change_set: None,
            status,
        };
        let text = serde_json::to_string(&transition).expect("plain data");
        assert_eq!(serde_json::from_str::<Transition>(&text).expect("own shape"), transition, "{text}");
    }
}

#[test]
fn an_expired_transition_says_what_it_waited_for() {
    let waiting = Status::Waiting { why: WaitReason::MandatoryBreak, until: None };
    assert_eq!(waiting.step(Step::Expire), Ok(Status::Expired { waiting_for: Some(WaitReason::MandatoryBreak) }));
}

#[test]
fn a_setting_of_the_clock_moves_what_is_measured_from_it_and_leaves_the_plan_and_outcomes() {
    let at = |second: i64| UtcMicros::from_micros(second * 1_000_000);
    let waits = |why, until: i64| Status::Waiting { why, until: Some(at(until)) };
    for (before, after) in [
        (Status::Sending { since: at(10) }, Status::Sending { since: at(3610) }),
        (
            Status::InDoubt { sent_at: at(10), readable_after: at(35) },
            Status::InDoubt { sent_at: at(3610), readable_after: at(3635) },
        ),
        (Status::Accepted { at: at(10) }, Status::Accepted { at: at(3610) }),
        (waits(WaitReason::Retry, 10), waits(WaitReason::Retry, 3610)),
        (waits(WaitReason::Conflict, 10), waits(WaitReason::Conflict, 3610)),
        (waits(WaitReason::MandatoryBreak, 10), waits(WaitReason::MandatoryBreak, 10)),
        (Status::Requested, Status::Requested),
        (Status::Confirmed { at: at(10) }, Status::Confirmed { at: at(10) }),
    ] {
        assert_eq!(before.clone().after_clock_set(3_600_000_000), after);
        assert_eq!(after.clone().after_clock_set(-3_600_000_000), before);
    }
}
