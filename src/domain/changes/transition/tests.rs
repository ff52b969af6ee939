//! Tests of the life cycle: every pair of status and step, and what the store keeps.

use super::*;

fn at(micros: i64) -> UtcMicros {
    UtcMicros::from_micros(micros)
}

fn statuses() -> Vec<TransitionStatus> {
    vec![
        TransitionStatus::Requested,
        TransitionStatus::Waiting { why: WaitReason::Budget, until: None },
        TransitionStatus::Sending { since: at(1) },
        TransitionStatus::InDoubt { sent_at: at(1), readable_after: at(2) },
        TransitionStatus::Accepted { at: at(3) },
        TransitionStatus::Pending { since: at(3) },
        TransitionStatus::Confirmed { at: at(4) },
        TransitionStatus::Unconfirmed { at: at(4) },
        TransitionStatus::Refused { violation: Violation::AgentNotScheduled },
        TransitionStatus::Failed { error: "no such agent".into() },
        TransitionStatus::Cancelled { by: "person:anna".into() },
        TransitionStatus::Superseded { by: TransitionId(uuid::Uuid::nil()) },
        TransitionStatus::Expired { waiting_for: None },
    ]
}

fn steps() -> Vec<TransitionStep> {
    let why = WaitReason::Retry;
    vec![
        TransitionStep::Hold { why, until: None },
        TransitionStep::Send { at: at(9) },
        TransitionStep::NotApplied { why, until: None },
        TransitionStep::Doubt { readable_after: at(9) },
        TransitionStep::Accept { at: at(9) },
        TransitionStep::Defer,
        TransitionStep::Confirm { at: at(9) },
        TransitionStep::GiveUp { at: at(9) },
        TransitionStep::ReadBack { until: None },
        TransitionStep::Refuse(Violation::PlatformConflict),
        TransitionStep::Fail("no".into()),
        TransitionStep::Cancel("person:anna".into()),
        TransitionStep::Supersede(TransitionId(uuid::Uuid::nil())),
        TransitionStep::Expire,
    ]
}

/// Every pair of status and step: `-` is not allowed, else the first letters of the status that follows.
#[test]
fn every_pair_of_status_and_step_is_as_the_table_says() {
    #[rustfmt::skip]
    let table = [
        //                hold send  notap doubt accep defer confi givup readb refus fail  cance super expir
        ("requested",   ["wai","sen","-",  "-",  "-",  "-",  "con",  "-",  "-",  "ref","fai","can","sup","exp"]),
        ("waiting",     ["wai","sen","-",  "-",  "-",  "-",  "con",  "-",  "-",  "ref","fai","can","sup","exp"]),
        ("sending",     ["-",  "-",  "wai","in_","acc","-",  "-",  "-",  "-",  "ref","fai","can","-",  "-"]),
        ("in_doubt",    ["-",  "-",  "-",  "-",  "-",  "-",  "con","unc","wai","-",  "-",  "-",  "-",  "-"]),
        ("accepted",    ["-",  "-",  "-",  "-",  "-",  "pen","con","unc","-",  "-",  "-",  "-",  "-",  "-"]),
        ("pending",     ["-",  "-",  "-",  "-",  "-",  "-",  "con","unc","-",  "-",  "-",  "-",  "sup","-"]),
        ("confirmed",   ["-";14]),
        ("unconfirmed", ["-";14]),
        ("refused",     ["-";14]),
        ("failed",      ["-";14]),
        ("cancelled",   ["-";14]),
        ("superseded",  ["-";14]),
        ("expired",     ["-";14]),
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
        assert_eq!(serde_json::from_str::<TransitionStatus>(&text).expect("own shape"), status, "{text}");
    }
}

fn transition(status: TransitionStatus) -> Transition {
    Transition {
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
    }
}

/// The status stands beside the other members in the row's JSON: no name may be used twice.
#[test]
fn a_transition_survives_json_in_every_status() {
    for status in statuses() {
        let transition = transition(status);
        let text = serde_json::to_string(&transition).expect("plain data");
        assert_eq!(serde_json::from_str::<Transition>(&text).expect("own shape"), transition, "{text}");
        // The API puts these beside them.
        for name in ["accepted_at", "finished_at"] {
            assert!(!text.contains(&format!("{name:?}")), "{text}");
        }
    }
}

#[test]
fn an_expired_transition_says_what_it_waited_for() {
    let waiting = TransitionStatus::Waiting { why: WaitReason::MandatoryBreak, until: None };
    assert_eq!(
        waiting.step(TransitionStep::Expire),
        Ok(TransitionStatus::Expired { waiting_for: Some(WaitReason::MandatoryBreak) })
    );
}

#[test]
fn a_setting_of_the_clock_moves_what_is_measured_from_it_and_leaves_the_plan_and_outcomes() {
    let at = |second: i64| UtcMicros::from_micros(second * 1_000_000);
    let waits = |why, until: i64| TransitionStatus::Waiting { why, until: Some(at(until)) };
    for (before, after) in [
        (TransitionStatus::Sending { since: at(10) }, TransitionStatus::Sending { since: at(3610) }),
        (
            TransitionStatus::InDoubt { sent_at: at(10), readable_after: at(35) },
            TransitionStatus::InDoubt { sent_at: at(3610), readable_after: at(3635) },
        ),
        (TransitionStatus::Accepted { at: at(10) }, TransitionStatus::Accepted { at: at(3610) }),
        (waits(WaitReason::Retry, 10), waits(WaitReason::Retry, 3610)),
        (waits(WaitReason::Conflict, 10), waits(WaitReason::Conflict, 3610)),
        (waits(WaitReason::MandatoryBreak, 10), waits(WaitReason::MandatoryBreak, 10)),
        (TransitionStatus::Requested, TransitionStatus::Requested),
        (TransitionStatus::Confirmed { at: at(10) }, TransitionStatus::Confirmed { at: at(10) }),
    ] {
        assert_eq!(before.clone().adjusted_for_clock_change(3_600_000_000), after);
        assert_eq!(after.clone().adjusted_for_clock_change(-3_600_000_000), before);
    }
}

const WAIT_REASONS: [WaitReason; 10] = [
    WaitReason::Budget,
    WaitReason::InFlight,
    WaitReason::MandatoryBreak,
    WaitReason::Contact,
    WaitReason::Retry,
    WaitReason::PlatformAnswer,
    WaitReason::Conflict,
    WaitReason::Halted,
    WaitReason::Approval,
    WaitReason::Sight,
];

#[test]
fn a_status_and_a_reason_to_wait_have_the_same_name_in_messages_and_in_the_store() {
    for why in WAIT_REASONS {
        assert_eq!(serde_json::to_value(why).expect("a name"), why.name());
    }
    for status in statuses() {
        assert_eq!(serde_json::to_value(&status).expect("plain data")["status"], status.to_string());
    }
}

#[test]
fn only_what_waits_has_something_that_it_waits_for() {
    for status in statuses() {
        let waits = matches!(status, TransitionStatus::Waiting { .. });
        assert_eq!(status.wait_reason(), waits.then_some(WaitReason::Budget), "{status}");
    }
}

#[test]
fn what_has_not_left_is_not_in_flight_and_what_is_over_is_neither() {
    for status in statuses() {
        let expected = match &status {
            TransitionStatus::Requested | TransitionStatus::Waiting { .. } => (true, false),
            TransitionStatus::Sending { .. } | TransitionStatus::InDoubt { .. } => (false, true),
            TransitionStatus::Accepted { .. }
            | TransitionStatus::Pending { .. }
            | TransitionStatus::Confirmed { .. }
            | TransitionStatus::Unconfirmed { .. }
            | TransitionStatus::Refused { .. }
            | TransitionStatus::Failed { .. }
            | TransitionStatus::Cancelled { .. }
            | TransitionStatus::Superseded { .. }
            | TransitionStatus::Expired { .. } => (false, false),
        };
        assert_eq!((status.is_unsent(), status.is_in_flight()), expected, "{status}");
    }
}

#[test]
fn a_step_that_is_not_allowed_is_named_in_the_refusal() {
    let refusal = TransitionStatus::Accepted { at: at(3) }
        .step(TransitionStep::ReadBack { until: None })
        .expect_err("not allowed");
    assert_eq!(refusal.to_string(), "a transition that is accepted cannot take the step \"read back\"");
    let names: std::collections::BTreeSet<_> = steps().iter().map(TransitionStep::name).collect();
    assert_eq!(names.len(), steps().len(), "each step has a name of its own");
}

#[test]
fn actors_are_labelled_by_kind_and_id_and_only_persons_are_persons() {
    let rule = Actor::Rule { id: "late".into(), version: "3".into() };
    let person = Actor::Person { id: "anna".into() };
    assert_eq!([&rule, &person, &Actor::Daemon].map(Actor::label), ["rule:late", "person:anna", "daemon"]);
    assert_eq!([&rule, &person, &Actor::Daemon].map(Actor::is_person), [false, true, false]);
}

#[test]
fn people_read_how_a_transition_ended_or_what_it_waits_for() {
    let outcome = |status| transition(status).outcome_text();
    for status in [
        TransitionStatus::Requested,
        TransitionStatus::Sending { since: at(1) },
        TransitionStatus::InDoubt { sent_at: at(1), readable_after: at(2) },
        TransitionStatus::Accepted { at: at(3) },
    ] {
        assert_eq!(outcome(status.clone()), None, "{status} is under way");
    }
    for (status, expected_text) in [
        (TransitionStatus::Confirmed { at: at(4) }, "the platform shows the new state"),
        (TransitionStatus::Unconfirmed { at: at(4) }, "the platform never showed the new state"),
        (TransitionStatus::Refused { violation: Violation::AgentNotScheduled }, "AGENT_NOT_SCHEDULED"),
        (TransitionStatus::Failed { error: "no such agent".into() }, "no such agent"),
        (TransitionStatus::Cancelled { by: "person:anna".into() }, "called off: person:anna"),
        (
            TransitionStatus::Superseded { by: TransitionId(uuid::Uuid::nil()) },
            "superseded by 00000000-0000-0000-0000-000000000000",
        ),
        (TransitionStatus::Expired { waiting_for: None }, "its deadline passed"),
    ] {
        assert_eq!(outcome(status).as_deref(), Some(expected_text));
    }
    for (why, wait_text) in WAIT_REASONS.into_iter().zip([
        "a free slot of the request budget",
        "another change of the agent in progress",
        "the mandatory break to end",
        "the contact to end",
        "the next try after a failed one",
        "the platform to say whether the agent is scheduled",
        "the platform to allow what it refused (409)",
        "automation, which is halted, to resume",
        "a person to approve it",
        "a fresh observation of the agent",
    ]) {
        let until = Some(at(1_000_000));
        assert_eq!(outcome(TransitionStatus::Waiting { why, until: None }), Some(format!("waits for {wait_text}")));
        let waits = format!("waits for {wait_text}, until 1970-01-01T00:00:01Z");
        assert_eq!(outcome(TransitionStatus::Waiting { why, until }), Some(waits));
        let expired = format!("its deadline passed while it waited for {wait_text}");
        assert_eq!(outcome(TransitionStatus::Expired { waiting_for: Some(why) }), Some(expired));
    }
    let nothing_sent = Transition { attempts: 0, ..transition(TransitionStatus::Confirmed { at: at(4) }) };
    assert_eq!(nothing_sent.outcome_text().as_deref(), Some("the agent was in that state already; nothing was sent"));
}

#[test]
fn only_what_a_person_asked_for_as_part_of_a_set_is_bulk() {
    let set = Some(ChangeSetId(uuid::Uuid::nil()));
    for (change_set, priority, bulk) in [
        (set, Priority::Person, true),
        (set, Priority::MandatoryBreak, false),
        (None, Priority::Person, false),
        (None, Priority::Housekeeping, false),
    ] {
        let transition = Transition { priority, change_set, ..transition(TransitionStatus::Requested) };
        assert_eq!(transition.is_bulk(), bulk, "{change_set:?} {priority:?}");
    }
}

#[test]
fn a_change_to_the_state_that_the_agent_was_in_is_one_of_the_reason_alone() {
    for (before, expected) in [(None, false), (Some(AgentState::Paused), false), (Some(AgentState::Ready), true)] {
        let transition = Transition { before, ..transition(TransitionStatus::Requested) };
        assert_eq!(transition.is_reason_only(), expected, "{:?}", transition.before);
    }
}

#[test]
fn only_refusals_have_a_source() {
    let explanation = serde_json::json!({ RefusedBy::FIELD: "platform_against_plan" });
    let refused_by = |status, explanation| Transition { explanation, ..transition(status) }.refused_by();
    let refused = || TransitionStatus::Refused { violation: Violation::AgentNotScheduled };
    assert_eq!(refused_by(refused(), explanation.clone()), Some(RefusedBy::PlatformAgainstPlan));
    assert_eq!(refused_by(refused(), Value::Null), None, "an old refusal does not say it");
    assert_eq!(refused_by(TransitionStatus::Requested, explanation), None);
}
