//! Tests of the request budget.

use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Takes every slot that it can at `now`, answered at once.
fn drain(budget: &mut Budget, now: Duration, urgency: Urgency) -> usize {
    let mut taken = 0;
    while let Ok(slot) = budget.try_take(now, urgency) {
        budget.answered(slot, now);
        taken += 1;
    }
    taken
}

#[test]
fn a_slot_is_free_again_one_window_after_the_answer_not_after_the_sending() {
    let mut budget = Budget::new(1, WINDOW, 0);
    let slot = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    assert_eq!(budget.try_take(seconds(100), Urgency::Urgent), Err(NextAt { at: None }), "still under way");
    budget.answered(slot, seconds(100));
    assert_eq!(budget.try_take(seconds(159), Urgency::Urgent), Err(NextAt { at: Some(seconds(160)) }));
    assert!(budget.try_take(seconds(160), Urgency::Urgent).is_ok());
}

#[test]
fn a_call_that_never_left_gives_its_slot_back() {
    let mut budget = Budget::new(1, WINDOW, 0);
    let slot = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    budget.release(slot);
    assert_eq!(budget.free(seconds(0)), 1);
}

#[test]
fn an_urgent_call_starts_at_once_in_the_middle_of_ordinary_demand() {
    let mut budget = Budget::new(100, WINDOW, 2);
    assert_eq!(drain(&mut budget, seconds(0), Urgency::Ordinary), 98);
    assert_eq!(budget.next_free(seconds(1), Urgency::Ordinary), Some(seconds(58)));
    assert_eq!(drain(&mut budget, seconds(30), Urgency::Urgent), 2);
    assert_eq!(budget.next_free(seconds(30), Urgency::Urgent), Some(seconds(60)));
}

#[test]
fn the_reserve_is_lent_to_ordinary_calls_just_before_other_slots_come_free() {
    let mut budget = Budget::new(100, WINDOW, 2);
    let sent = (0..6000).map(|tenth| drain(&mut budget, Duration::from_millis(tenth * 100), Urgency::Ordinary));
    let per_window: Vec<usize> = sent.collect::<Vec<_>>().chunks(600).map(|window| window.iter().sum()).collect();
    assert_eq!(per_window, [100; 10], "every slot is used in every window");
}

#[test]
fn a_restart_remembers_the_window() {
    let mut budget = Budget::new(4, WINDOW, 0);
    budget.restore(seconds(0), [Some(seconds(59)), Some(seconds(10)), Some(seconds(600)), None]);
    assert_eq!(budget.used(seconds(0)), 3);
    assert_eq!([1, 50, 60].map(|at| budget.free(seconds(at))), [2, 3, 4]);
}

#[test]
fn a_throttling_platform_pauses_every_call() {
    let mut budget = Budget::new(10, WINDOW, 0);
    budget.pause_until(seconds(30));
    assert_eq!(budget.try_take(seconds(1), Urgency::Urgent), Err(NextAt { at: Some(seconds(30)) }));
    assert!(budget.try_take(seconds(30), Urgency::Urgent).is_ok());
}

#[test]
fn a_call_whose_caller_died_holds_its_slot_no_longer_than_an_hour() {
    let mut budget = Budget::new(1, WINDOW, 0);
    let _lost = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    assert!(budget.try_take(seconds(3600), Urgency::Urgent).is_err());
    assert!(budget.try_take(seconds(3660), Urgency::Urgent).is_ok());
}

#[test]
fn a_call_is_given_up_after_exactly_an_hour_and_counts_for_a_window_more() {
    let mut budget = Budget::new(1, WINDOW, 0);
    let _lost = budget.try_take(seconds(5), Urgency::Urgent).expect("free");
    let just_before = seconds(3605).saturating_sub(Duration::from_micros(1));
    assert_eq!(budget.try_take(just_before, Urgency::Urgent), Err(NextAt { at: None }));
    assert_eq!(budget.try_take(seconds(3605), Urgency::Urgent), Err(NextAt { at: Some(seconds(3665)) }));
}

#[test]
fn there_is_always_a_slot_that_ordinary_calls_may_take() {
    for (limit, reserve, ordinary) in [(0, 0, 1), (1, 5, 1), (3, 9, 1), (3, 1, 2)] {
        let mut budget = Budget::new(limit, WINDOW, reserve);
        assert_eq!(budget.limit(), limit.max(1));
        assert_eq!(drain(&mut budget, seconds(0), Urgency::Ordinary), ordinary, "{limit} with {reserve} in reserve");
    }
}

#[test]
fn a_closed_budget_lets_nothing_out_however_long_one_waits() {
    let mut budget = Budget::closed();
    assert_eq!(budget.try_take(seconds(1_000_000), Urgency::Urgent), Err(NextAt { at: Some(Duration::MAX) }));
}

#[test]
fn a_shorter_pause_does_not_end_a_longer_one() {
    let mut budget = Budget::new(10, WINDOW, 0);
    budget.pause_until(seconds(30));
    budget.pause_until(seconds(10));
    assert_eq!(budget.next_free(seconds(0), Urgency::Ordinary), Some(seconds(30)));
}

#[test]
fn calls_under_way_and_answered_ones_are_used_slots_until_a_window_has_passed() {
    let mut budget = Budget::new(5, WINDOW, 0);
    budget.restore(seconds(0), [Some(seconds(59)), Some(seconds(10))]);
    let open = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    let _other = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    assert_eq!([0, 1, 49, 50].map(|at| budget.used(seconds(at))), [4, 3, 3, 2]);
    assert_eq!([0, 1, 49, 50].map(|at| budget.free(seconds(at))), [1, 2, 2, 3]);
    budget.answered(open, seconds(70));
    assert_eq!([70, 129, 130].map(|at| budget.used(seconds(at))), [2, 2, 1]);
}

#[test]
fn each_slot_says_after_which_time_it_is_free() {
    let mut budget = Budget::new(4, WINDOW, 1);
    assert_eq!(budget.window(), WINDOW);
    budget.restore(seconds(0), [Some(seconds(20)), Some(seconds(50))]);
    let _open = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    assert_eq!(budget.free_in(seconds(0)), [0, 10, 40, 60].map(seconds), "one under way as if it were answered now");
    assert_eq!(budget.free_in(seconds(10)), [0, 0, 30, 60].map(seconds));
    budget.pause_until(seconds(30));
    assert_eq!(budget.free_in(seconds(10)), [20, 20, 30, 60].map(seconds), "none before the pause is over");
    let mut smaller = Budget::new(2, WINDOW, 0);
    smaller.restore(seconds(0), [10, 20, 30].map(|age| Some(seconds(age))));
    assert_eq!(smaller.free_in(seconds(0)), [40, 50].map(seconds), "the last to come free are those that count");
    assert_eq!(smaller.free(seconds(0)), 0);
}

/// A step of a random history: how long after the last one, how long the call takes, where on the way it arrives, urgency.
fn steps() -> impl Strategy<Value = Vec<(u64, u64, f64, bool)>> {
    prop::collection::vec((0_u64..4_000, 0_u64..30_000, 0.0..=1.0, any::<bool>()), 1..300)
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_than_the_limit(limit in 1_usize..12, reserve in 0_usize..4, steps in steps()) {
        let mut budget = Budget::new(limit, WINDOW, reserve);
        let mut now = Duration::ZERO;
        let mut arrivals = Vec::new();
        let mut under_way: Vec<(Duration, Slot)> = Vec::new();
        for (gap, takes, place, urgent) in steps {
            now += Duration::from_millis(gap);
            let (done, left): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(answer, _)| *answer <= now);
            under_way = left;
            for (answer, slot) in done {
                budget.answered(slot, answer);
            }
            let urgency = if urgent { Urgency::Urgent } else { Urgency::Ordinary };
            match budget.try_take(now, urgency) {
                Ok(slot) => {
                    let takes = Duration::from_millis(takes);
                    arrivals.push(now + takes.mul_f64(place));
                    under_way.push((now + takes, slot));
                }
                Err(NextAt { at: Some(at) }) => prop_assert!(at > now),
                Err(NextAt { at: None }) => prop_assert!(!under_way.is_empty()),
            }
        }
        arrivals.sort();
        for (n, start) in arrivals.iter().enumerate() {
            let inside = arrivals[n..].partition_point(|at| *at < *start + WINDOW);
            prop_assert!(inside <= limit, "{inside} calls in the window from {start:?}");
        }
    }

    #[test]
    fn next_free_is_the_first_instant_at_which_a_call_goes(
        limit in 1_usize..8, reserve in 0_usize..3, ages in prop::collection::vec(0_u64..60, 0..8), urgent in any::<bool>(),
    ) {
        let urgency = if urgent { Urgency::Urgent } else { Urgency::Ordinary };
        let fresh = || {
            let mut budget = Budget::new(limit, WINDOW, reserve);
            budget.restore(seconds(0), ages.iter().map(|age| Some(seconds(*age))));
            budget
        };
        let at = fresh().next_free(seconds(0), urgency).expect("nothing is under way");
        prop_assert!(fresh().try_take(at, urgency).is_ok());
        if at > seconds(0) {
            prop_assert!(fresh().try_take(at.saturating_sub(Duration::from_millis(1)), urgency).is_err());
        }
    }

    #[test]
    fn an_urgent_call_never_waits_longer_than_its_patience_behind_ordinary_ones(
        limit in 2_usize..10, gaps in prop::collection::vec(0_u64..10_000, 1..200),
    ) {
        let mut budget = Budget::new(limit, WINDOW, 1);
        let mut now = Duration::ZERO;
        for gap in gaps {
            now += Duration::from_millis(gap);
            drain(&mut budget, now, Urgency::Ordinary);
            let at = budget.next_free(now, Urgency::Urgent).expect("nothing is under way");
            prop_assert!(at <= now + URGENT_PATIENCE, "urgent at {at:?}, now {now:?}");
        }
    }
}

/// Sends `calls` ordinary calls as early as the budget lets them, so many at once, each answered after `answer_in`; gives when
/// the last is answered.
fn sent_as_early_as_may_be(budget: &mut Budget, calls: usize, parallel: usize, answer_in: Duration) -> Duration {
    let (mut now, mut sent) = (Duration::ZERO, 0);
    let mut under_way: VecDeque<(Duration, Slot)> = VecDeque::new();
    loop {
        while under_way.front().is_some_and(|(ends, _)| *ends <= now)
            && let Some((ends, slot)) = under_way.pop_front()
        {
            budget.answered(slot, ends);
        }
        let mut next = under_way.front().map(|(ends, _)| *ends);
        if sent == calls {
            match under_way.back() {
                Some((ends, _)) => return *ends,
                None => return now,
            }
        }
        if under_way.len() < parallel {
            match budget.try_take(now, Urgency::Ordinary) {
                Ok(slot) => {
                    sent += 1;
                    under_way.push_back((now + answer_in, slot));
                    continue;
                }
                Err(NextAt { at: Some(at) }) => next = Some(next.map_or(at, |ends| ends.min(at))),
                Err(NextAt { at: None }) => {}
            }
        }
        now = next.expect("something comes free").max(now + Duration::from_micros(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_finish_that_a_preview_shows_is_the_one_that_the_budget_grants(
        limit in 5_usize..120,
        reserve in 0_usize..3,
        parallel in 1_usize..40,
        answer_ms in 1_u64..2_000,
        before in prop::collection::vec(0_u64..60, 0..120),
        calls in 1_usize..600,
    ) {
        use crate::domain::change_set::finish::Slots;
        let answer_in = Duration::from_millis(answer_ms);
        let mut budget = Budget::new(limit, WINDOW, reserve);
        budget.restore(Duration::ZERO, before.iter().take(limit).map(|age| Some(seconds(*age))));
        let slots = Slots {
            free_in: budget.free_in(Duration::ZERO),
            window: budget.window(),
            reserve,
            patience: URGENT_PATIENCE,
            answer_in,
            parallel,
        };
        prop_assert_eq!(slots.free_in.len(), limit);
        let shown = slots.last_answer(calls).expect("some calls");
        let took = sent_as_early_as_may_be(&mut budget, calls, parallel, answer_in);
        let off = shown.abs_diff(took).as_secs_f64();
        // Calls under way hold their slots for sure in the budget, and for as long as an answer takes in the preview.
        prop_assert!(off <= took.as_secs_f64() * 0.03 + 2.0 * answer_in.as_secs_f64() + 0.1, "shown {shown:?}, took {took:?}");
    }
}
