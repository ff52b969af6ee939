//! Tests of the life cycle: every pair of standing and step, the schedule, and what answers mean.

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

/// The middle of the jitter: the schedule itself.
fn outcome(answer: Answer) -> Outcome {
    Outcome { answer, retry_after: None, at: at(100), jitter: 0.5 }
}

const BEFORE: UtcMicros = UtcMicros::from_micros(7);

/// Every pair of standing and step: `-` is not allowed, else the status that follows and its tries.
#[test]
fn every_pair_of_standing_and_step_is_as_the_table_says() {
    let steps = [
        Step::Answered(outcome(Answer::Delivered)),
        Step::Answered(outcome(Answer::Gone)),
        Step::Answered(outcome(Answer::Refused)),
        Step::Answered(outcome(Answer::Failed)),
        Step::FallBehind,
        Step::BecomeDue { at: at(200) },
        Step::Revive { at: at(300) },
    ];
    let waiting = |attempts| Standing::Waiting { attempts, next_at: BEFORE };
    let parked = |why| Standing::Parked { attempts: 3, why };
    #[rustfmt::skip]
    let table = [
        //                                    2xx     410      4xx      else     behind   due      revive
        (Standing::New,                      ["del1", "wai1",  "wai1",  "wai1",  "behind", "wai0", "-"]),
        (Standing::Behind,                   ["-",    "-",     "-",     "-",     "-",     "wai0",  "wai0"]),
        (waiting(0),                         ["del1", "wai1",  "wai1",  "wai1",  "-",     "wai0",  "wai0"]),
        (waiting(1),                         ["del2", "wai2",  "wai2",  "wai2",  "-",     "wai1",  "wai0"]),
        (waiting(2),                         ["del3", "wai3",  "par3r", "wai3",  "-",     "wai2",  "wai0"]),
        (waiting(8),                         ["del9", "wai9",  "par9r", "wai9",  "-",     "wai8",  "wai0"]),
        (waiting(9),                         ["del10", "par10e", "par10r", "par10e", "-", "wai9",  "wai0"]),
        (Standing::Delivered { attempts: 2 }, ["-",    "-",     "-",     "-",     "-",     "-",     "wai0"]),
        (parked(ParkedFor::Refused),         ["-",    "-",     "-",     "-",     "-",     "-",     "wai0"]),
        (parked(ParkedFor::Exhausted),       ["-",    "-",     "-",     "-",     "-",     "-",     "wai0"]),
    ];
    for (standing, row) in table {
        for (step, expected) in steps.into_iter().zip(row) {
            let seen = match standing.step(step) {
                Err(_) => "-".to_owned(),
                Ok(Standing::New) => "new".to_owned(),
                Ok(Standing::Behind) => "behind".to_owned(),
                Ok(Standing::Waiting { attempts, .. }) => format!("wai{attempts}"),
                Ok(Standing::Delivered { attempts }) => format!("del{attempts}"),
                Ok(Standing::Parked { attempts, why }) => format!("par{attempts}{}", &why.name()[..1]),
            };
            assert_eq!(seen, expected, "{standing:?} and {step:?}");
        }
    }
}

#[test]
fn tries_follow_the_schedule_and_a_receivers_wish_is_a_floor() {
    let mut standing = Standing::New;
    let mut pauses = Vec::new();
    while !standing.is_settled() {
        standing = standing.step(Step::Answered(outcome(Answer::Failed))).expect("may be tried");
        if let Standing::Waiting { next_at, .. } = standing {
            pauses.push(next_at.since(at(100)).as_secs());
        }
    }
    assert_eq!(standing, Standing::Parked { attempts: 10, why: ParkedFor::Exhausted });
    assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    let after = |retry_after: u64| {
        let outcome = Outcome { retry_after: Some(Duration::from_secs(retry_after)), ..outcome(Answer::Failed) };
        Standing::New.step(Step::Answered(outcome))
    };
    assert_eq!(after(3 * 86_400), Ok(Standing::Waiting { attempts: 1, next_at: at(100 + 3 * 86_400) }));
    assert_eq!(after(1), Ok(Standing::Waiting { attempts: 1, next_at: at(105) }), "and no ceiling");
}

#[test]
fn every_status_code_means_what_the_page_says() {
    for code in 0..=999 {
        let expected = match code {
            200..=299 => Answer::Delivered,
            410 => Answer::Gone,
            408 | 425 | 429 => Answer::Failed,
            400..=499 => Answer::Refused,
            _ => Answer::Failed,
        };
        assert_eq!(Answer::of(Some(code)), expected, "{code}");
    }
    assert_eq!(Answer::of(None), Answer::Failed);
}

#[test]
fn an_endpoint_is_disabled_by_410_at_once_and_by_five_days_of_nothing_but_failure() {
    let day = 86_400;
    let (failing, disabled) = Health::default().after(Answer::Failed, at(0));
    assert_eq!((failing.failing_since, disabled), (Some(at(0)), None));
    assert_eq!(failing.after(Answer::Refused, at(5 * day - 1)).1, None);
    assert_eq!(failing.after(Answer::Failed, at(5 * day)), (failing, Some(DisabledFor::Failing)));
    let (well, disabled) = failing.after(Answer::Delivered, at(4 * day));
    assert_eq!((well, disabled), (Health::default(), None));
    assert_eq!(well.after(Answer::Failed, at(9 * day)).1, None, "a success starts the days anew");
    assert_eq!(Health::default().after(Answer::Gone, at(0)).1, Some(DisabledFor::Gone));
}

#[test]
fn names_are_found_again() {
    for why in ParkedFor::ALL {
        assert_eq!(ParkedFor::from_name(why.name()), Some(why));
    }
    for why in DisabledFor::ALL {
        assert_eq!(DisabledFor::from_name(why.name()), Some(why));
    }
}

proptest! {
    #[test]
    fn jitter_stays_within_a_fifth(attempts in 1_u32..10, jitter in 0.0..1.0_f64) {
        let outcome = Outcome { jitter, ..outcome(Answer::Failed) };
        let standing = Standing::Waiting { attempts: attempts - 1, next_at: BEFORE };
        let Ok(Standing::Waiting { next_at, .. }) = standing.step(Step::Answered(outcome)) else { panic!("waits") };
        let share = next_at.since(at(100)).as_secs_f64() / SCHEDULE[attempts as usize].as_secs_f64();
        prop_assert!((0.799_999..=1.200_001).contains(&share), "{share}");
    }
}
