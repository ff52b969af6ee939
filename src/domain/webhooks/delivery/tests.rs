//! Tests of the life cycle: every pair of standing and step, the schedule, and what answers mean.

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

/// The middle of the jitter: the schedule itself.
fn attempt_result(answer: ResponseKind) -> AttemptResult {
    AttemptResult { response: answer, retry_after: None, at: at(100), jitter: 0.5 }
}

const BEFORE: UtcMicros = UtcMicros::from_micros(7);

/// Every pair of standing and step: `-` is not allowed, else the status that follows and its tries.
#[test]
fn every_pair_of_standing_and_step_is_as_the_table_says() {
    let steps = [
        DeliveryStep::AttemptEnded(attempt_result(ResponseKind::Delivered)),
        DeliveryStep::AttemptEnded(attempt_result(ResponseKind::Gone)),
        DeliveryStep::AttemptEnded(attempt_result(ResponseKind::Refused)),
        DeliveryStep::AttemptEnded(attempt_result(ResponseKind::Failed)),
        DeliveryStep::Block,
        DeliveryStep::Schedule { at: at(200) },
        DeliveryStep::Resend { at: at(300) },
    ];
    let waiting = |attempts| DeliveryStatus::Waiting { attempts, next_at: BEFORE };
    let parked = |why| DeliveryStatus::Parked { attempts: 3, reason: why };
    #[rustfmt::skip]
    let table = [
        //                                    2xx     410      4xx      else     behind   due      revive
        (DeliveryStatus::New,                      ["del1", "wai1",  "wai1",  "wai1",  "behind", "wai0", "-"]),
        (DeliveryStatus::Blocked,                   ["-",    "-",     "-",     "-",     "-",     "wai0",  "wai0"]),
        (waiting(0),                         ["del1", "wai1",  "wai1",  "wai1",  "-",     "wai0",  "wai0"]),
        (waiting(1),                         ["del2", "wai2",  "wai2",  "wai2",  "-",     "wai1",  "wai0"]),
        (waiting(2),                         ["del3", "wai3",  "par3r", "wai3",  "-",     "wai2",  "wai0"]),
        (waiting(8),                         ["del9", "wai9",  "par9r", "wai9",  "-",     "wai8",  "wai0"]),
        (waiting(9),                         ["del10", "par10e", "par10r", "par10e", "-", "wai9",  "wai0"]),
        (DeliveryStatus::Delivered { attempts: 2 }, ["-",    "-",     "-",     "-",     "-",     "-",     "wai0"]),
        (parked(ParkReason::Refused),         ["-",    "-",     "-",     "-",     "-",     "-",     "wai0"]),
        (parked(ParkReason::Exhausted),       ["-",    "-",     "-",     "-",     "-",     "-",     "wai0"]),
    ];
    for (status, row) in table {
        for (step, expected) in steps.into_iter().zip(row) {
            let actual = match status.step(step) {
                Err(_) => "-".to_owned(),
                Ok(DeliveryStatus::New) => "new".to_owned(),
                Ok(DeliveryStatus::Blocked) => "behind".to_owned(),
                Ok(DeliveryStatus::Waiting { attempts, .. }) => format!("wai{attempts}"),
                Ok(DeliveryStatus::Delivered { attempts }) => format!("del{attempts}"),
                Ok(DeliveryStatus::Parked { attempts, reason: why }) => format!("par{attempts}{}", &why.name()[..1]),
            };
            assert_eq!(actual, expected, "{status:?} and {step:?}");
        }
    }
}

#[test]
fn attempts_follow_the_schedule_and_retry_after_is_a_minimum() {
    let mut standing = DeliveryStatus::New;
    let mut pauses = Vec::new();
    while !standing.is_settled() {
        standing =
            standing.step(DeliveryStep::AttemptEnded(attempt_result(ResponseKind::Failed))).expect("may be tried");
        if let DeliveryStatus::Waiting { next_at, .. } = standing {
            pauses.push(next_at.since(at(100)).as_secs());
        }
    }
    assert_eq!(standing, DeliveryStatus::Parked { attempts: 10, reason: ParkReason::Exhausted });
    assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    let after = |retry_after: u64| {
        let outcome = AttemptResult {
            retry_after: Some(Duration::from_secs(retry_after)),
            ..attempt_result(ResponseKind::Failed)
        };
        DeliveryStatus::New.step(DeliveryStep::AttemptEnded(outcome))
    };
    assert_eq!(after(3 * 86_400), Ok(DeliveryStatus::Waiting { attempts: 1, next_at: at(100 + 3 * 86_400) }));
    assert_eq!(after(1), Ok(DeliveryStatus::Waiting { attempts: 1, next_at: at(105) }), "and no ceiling");
}

#[test]
fn every_status_code_means_what_the_page_says() {
    for code in 0..=999 {
        let expected = match code {
            200..=299 => ResponseKind::Delivered,
            410 => ResponseKind::Gone,
            408 | 425 | 429 => ResponseKind::Failed,
            400..=499 => ResponseKind::Refused,
            _ => ResponseKind::Failed,
        };
        assert_eq!(ResponseKind::from_status_code(Some(code)), expected, "{code}");
    }
    assert_eq!(ResponseKind::from_status_code(None), ResponseKind::Failed);
}

#[test]
fn an_endpoint_is_disabled_by_410_at_once_and_by_five_days_of_nothing_but_failure() {
    let day = 86_400;
    let (failing, disabled) = EndpointHealth::default().after_attempt(ResponseKind::Failed, at(0));
    assert_eq!((failing.failing_since, disabled), (Some(at(0)), None));
    assert_eq!(failing.after_attempt(ResponseKind::Refused, at(5 * day - 1)).1, None);
    assert_eq!(failing.after_attempt(ResponseKind::Failed, at(5 * day)), (failing, Some(DisableReason::Failing)));
    let (well, disabled) = failing.after_attempt(ResponseKind::Delivered, at(4 * day));
    assert_eq!((well, disabled), (EndpointHealth::default(), None));
    assert_eq!(well.after_attempt(ResponseKind::Failed, at(9 * day)).1, None, "a success starts the days anew");
    assert_eq!(EndpointHealth::default().after_attempt(ResponseKind::Gone, at(0)).1, Some(DisableReason::Gone));
}

#[test]
fn names_are_found_again() {
    for why in ParkReason::ALL {
        assert_eq!(ParkReason::from_name(why.name()), Some(why));
    }
    for why in DisableReason::ALL {
        assert_eq!(DisableReason::from_name(why.name()), Some(why));
    }
}

proptest! {
    #[test]
    fn jitter_stays_within_a_fifth(attempts in 1_u32..10, jitter in 0.0..1.0_f64) {
        let outcome = AttemptResult { jitter, ..attempt_result(ResponseKind::Failed) };
        let standing = DeliveryStatus::Waiting { attempts: attempts - 1, next_at: BEFORE };
        let Ok(DeliveryStatus::Waiting { next_at, .. }) = standing.step(DeliveryStep::AttemptEnded(outcome)) else { panic!("waits") };
        let share = next_at.since(at(100)).as_secs_f64() / RETRY_SCHEDULE[attempts as usize].as_secs_f64();
        prop_assert!((0.799_999..=1.200_001).contains(&share), "{share}");
    }
}
