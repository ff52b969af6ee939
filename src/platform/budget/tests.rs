//! Tests of the request budget.

use proptest::prelude::*;

use super::*;
use crate::clock::{Random as _, SeededRandom};

const WINDOW: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Takes every slot that it can at `now`, answered at once.
fn drain(budget: &mut Budget, now: Duration, urgency: Urgency) -> usize {
    let mut taken = 0;
    while let Ok(slot) = budget.try_take(now, urgency) {
        budget.record_answer(slot, now);
        taken += 1;
    }
    taken
}

#[test]
fn a_slot_is_free_again_one_window_after_the_answer_not_after_the_sending() {
    let mut budget = Budget::new(1, WINDOW, 0);
    let slot = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    assert_eq!(budget.try_take(seconds(100), Urgency::Urgent), Err(NextSlot { at: None }), "still under way");
    budget.record_answer(slot, seconds(100));
    assert_eq!(budget.try_take(seconds(159), Urgency::Urgent), Err(NextSlot { at: Some(seconds(160)) }));
    assert!(budget.try_take(seconds(160), Urgency::Urgent).is_ok());
}

#[test]
fn a_call_that_never_left_gives_its_slot_back() {
    let mut budget = Budget::new(1, WINDOW, 0);
    let slot = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    budget.release(slot);
    assert_eq!(budget.free_slots(seconds(0)), 1);
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
    assert_eq!(budget.used_slots(seconds(0)), 3);
    assert_eq!([1, 50, 60].map(|at| budget.free_slots(seconds(at))), [2, 3, 4]);
}

#[test]
fn a_throttling_platform_pauses_every_call() {
    let mut budget = Budget::new(10, WINDOW, 0);
    budget.pause_until(seconds(30));
    assert_eq!(budget.try_take(seconds(1), Urgency::Urgent), Err(NextSlot { at: Some(seconds(30)) }));
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
    assert_eq!(budget.try_take(just_before, Urgency::Urgent), Err(NextSlot { at: None }));
    assert_eq!(budget.try_take(seconds(3605), Urgency::Urgent), Err(NextSlot { at: Some(seconds(3665)) }));
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
    assert_eq!(budget.try_take(seconds(1_000_000), Urgency::Urgent), Err(NextSlot { at: Some(Duration::MAX) }));
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
    assert_eq!([0, 1, 49, 50].map(|at| budget.used_slots(seconds(at))), [4, 3, 3, 2]);
    assert_eq!([0, 1, 49, 50].map(|at| budget.free_slots(seconds(at))), [1, 2, 2, 3]);
    budget.record_answer(open, seconds(70));
    assert_eq!([70, 129, 130].map(|at| budget.used_slots(seconds(at))), [2, 2, 1]);
}

#[test]
fn each_slot_says_after_which_time_it_is_free() {
    let mut budget = Budget::new(4, WINDOW, 1);
    assert_eq!(budget.window(), WINDOW);
    budget.restore(seconds(0), [Some(seconds(20)), Some(seconds(50))]);
    let _open = budget.try_take(seconds(0), Urgency::Urgent).expect("free");
    assert_eq!(budget.slot_waits(seconds(0)), [0, 10, 40, 60].map(seconds), "one under way as if it were answered now");
    assert_eq!(budget.slot_waits(seconds(10)), [0, 0, 30, 60].map(seconds));
    budget.pause_until(seconds(30));
    assert_eq!(budget.slot_waits(seconds(10)), [20, 20, 30, 60].map(seconds), "none before the pause is over");
    let mut smaller = Budget::new(2, WINDOW, 0);
    smaller.restore(seconds(0), [10, 20, 30].map(|age| Some(seconds(age))));
    assert_eq!(smaller.slot_waits(seconds(0)), [40, 50].map(seconds), "the last to come free are those that count");
    assert_eq!(smaller.free_slots(seconds(0)), 0);
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
                budget.record_answer(slot, answer);
            }
            let urgency = if urgent { Urgency::Urgent } else { Urgency::Ordinary };
            match budget.try_take(now, urgency) {
                Ok(slot) => {
                    let takes = Duration::from_millis(takes);
                    arrivals.push(now + takes.mul_f64(place));
                    under_way.push((now + takes, slot));
                }
                Err(NextSlot { at: Some(at) }) => prop_assert!(at > now),
                Err(NextSlot { at: None }) => prop_assert!(!under_way.is_empty()),
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
            prop_assert!(at <= now + URGENT_MAX_WAIT, "urgent at {at:?}, now {now:?}");
        }
    }
}

/// How a shift change went.
#[derive(Debug, Default)]
struct ShiftChange {
    /// When each ordinary call left, ascending.
    left: Vec<Duration>,
    /// When each call arrived at the platform, the urgent one included.
    arrived: Vec<Duration>,
    /// When the last answer came.
    answered: Duration,
    /// How long the urgent call waited for its slot.
    urgent_waited: Option<Duration>,
}

impl ShiftChange {
    fn left_by(&self, instant: Duration) -> usize {
        self.left.partition_point(|left| *left <= instant)
    }

    fn last_left(&self) -> Duration {
        self.left.last().copied().unwrap_or_default()
    }

    fn fullest_window(&self) -> usize {
        let mut arrived = self.arrived.clone();
        arrived.sort_unstable();
        let inside = |(n, from): (usize, &Duration)| arrived[n..].partition_point(|at| *at < *from + WINDOW);
        arrived.iter().enumerate().map(inside).max().unwrap_or_default()
    }
}

/// Sends `calls` ordinary calls as early as the budget lets them, so many at once, and an urgent one from `urgent_at` on. As in
/// the keeper, no ordinary call leaves while an urgent one waits. `takes` says of each call how long its answer takes, and after
/// which time it arrives.
fn shift_change(
    budget: &mut Budget,
    calls: usize,
    parallel: usize,
    urgent_at: Option<Duration>,
    mut takes: impl FnMut() -> (Duration, Duration),
) -> ShiftChange {
    let mut change = ShiftChange::default();
    let mut under_way: BTreeMap<(Duration, usize), Slot> = BTreeMap::new();
    let mut urgent_at = urgent_at;
    let mut now = Duration::ZERO;
    loop {
        while let Some(first) = under_way.first_entry().filter(|call| call.key().0 <= now) {
            let ((ends, _), slot) = first.remove_entry();
            budget.record_answer(slot, ends);
        }
        if change.left.len() == calls && urgent_at.is_none() && under_way.is_empty() {
            return change;
        }
        let mut next = under_way.first_key_value().map(|((ends, _), _)| *ends);
        let mut wake_at = |at: Duration| next = Some(next.map_or(at, |known: Duration| known.min(at)));
        let urgency = match urgent_at {
            Some(at) if at <= now => Some(Urgency::Urgent),
            _ if change.left.len() < calls && under_way.len() < parallel => Some(Urgency::Ordinary),
            _ => None,
        };
        match urgency.map(|urgency| (urgency, budget.try_take(now, urgency))) {
            Some((urgency, Ok(slot))) => {
                let (answer_in, arrives_in) = takes();
                change.arrived.push(now + arrives_in);
                change.answered = change.answered.max(now + answer_in);
                under_way.insert((now + answer_in, change.arrived.len()), slot);
                match urgency {
                    Urgency::Poll | Urgency::Urgent => {
                        change.urgent_waited = urgent_at.take().map(|at| now.saturating_sub(at));
                    }
                    Urgency::Ordinary => change.left.push(now),
                }
                continue;
            }
            Some((_, Err(NextSlot { at: Some(at) }))) => wake_at(at),
            Some((_, Err(NextSlot { at: None }))) | None => {}
        }
        if let Some(at) = urgent_at.filter(|at| *at > now) {
            wake_at(at);
        }
        now = next.expect("something comes free").max(now);
    }
}

/// Answers that come at once.
fn at_once() -> (Duration, Duration) {
    (Duration::ZERO, Duration::ZERO)
}

/// The earliest that call after call can leave, whoever schedules them: no window holds more than the limit, and at each instant
/// `reserve` slots are free or come free within [`URGENT_MAX_WAIT`]. Each bound says only that one call leaves so long after
/// another, so the earliest instants that keep all bounds are the earliest for every call at the same time.
fn earliest(calls: usize, limit: usize, reserve: usize) -> Vec<Duration> {
    let mut left: Vec<Duration> = Vec::new();
    for n in 0..calls {
        let after =
            |ago: usize, wait: Duration| n.checked_sub(ago).map_or(Duration::ZERO, |before| left[before] + wait);
        let for_window = after(limit, WINDOW);
        let for_urgent = match reserve {
            0 => Duration::ZERO,
            _ => after(limit - reserve, WINDOW.saturating_sub(URGENT_MAX_WAIT)),
        };
        left.push(for_window.max(for_urgent).max(after(1, Duration::ZERO)));
    }
    left
}

#[test]
fn a_shift_change_of_five_hundred_takes_as_long_as_its_promise_demands_and_no_longer() {
    for (reserve, left_by_240, last) in [(0, 500, 240), (1, 495, 298), (2, 490, 298)] {
        let mut budget = Budget::new(100, WINDOW, reserve);
        let change = shift_change(&mut budget, 500, usize::MAX, None, at_once);
        assert_eq!(change.left, earliest(500, 100, reserve), "reserve {reserve}");
        assert_eq!((change.left_by(seconds(240)), change.left_by(seconds(255))), (left_by_240, left_by_240));
        assert_eq!(change.last_left(), seconds(last), "reserve {reserve}");
    }
}

#[test]
fn an_urgent_call_leaves_within_its_patience_at_a_thousand_random_moments_of_a_shift_change() {
    let random = SeededRandom::new(7);
    for reserve in [0, 1, 2] {
        // Answers take 5 to 300 ms.
        let takes = || {
            let answer_in = Duration::from_millis(5).mul_f64(1.0 + 59.0 * random.unit());
            (answer_in, answer_in.mul_f64(random.unit()))
        };
        let quiet = shift_change(&mut Budget::new(100, WINDOW, reserve), 500, 24, None, takes);
        let mut waits: Vec<Duration> = (0..1000)
            .map(|_| {
                let at = quiet.last_left().mul_f64(random.unit());
                let change = shift_change(&mut Budget::new(100, WINDOW, reserve), 500, 24, Some(at), takes);
                assert!(change.fullest_window() <= 100);
                change.urgent_waited.expect("it left")
            })
            .collect();
        waits.sort_unstable();
        let within = waits.partition_point(|wait| *wait <= URGENT_MAX_WAIT);
        println!(
            "reserve {reserve}: {} of 500 left by 255 s, the last at {:.1} s; an urgent call at a thousand random moments: \
             p50 {:.2} s, p99 {:.2} s, longest {:.2} s, {within} within 2 s",
            quiet.left_by(seconds(255)),
            quiet.last_left().as_secs_f64(),
            waits[500].as_secs_f64(),
            waits[990].as_secs_f64(),
            waits[999].as_secs_f64(),
        );
        assert_eq!(within == 1000, reserve > 0, "{within} within 2 s with a reserve of {reserve}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn ordinary_calls_leave_as_early_as_the_promise_to_urgent_ones_allows(
        limit in 2_usize..120, reserve in 0_usize..4, calls in 1_usize..600,
    ) {
        let reserve = reserve.min(limit - 1);
        let change = shift_change(&mut Budget::new(limit, WINDOW, reserve), calls, usize::MAX, None, at_once);
        prop_assert_eq!(change.left, earliest(calls, limit, reserve));
    }

    #[test]
    fn an_urgent_call_leaves_within_its_patience_at_any_moment_however_long_answers_take(
        limit in 2_usize..60,
        reserve in 1_usize..4,
        parallel in 1_usize..40,
        calls in 1_usize..300,
        urgent_ms in 0_u64..400_000,
        takes in prop::collection::vec((0_u64..30_000, 0.0..=1.0), 1..50),
    ) {
        let mut budget = Budget::new(limit, WINDOW, reserve);
        let mut takes = takes.iter().cycle().map(|(answer_ms, place)| {
            let answer_in = Duration::from_millis(*answer_ms);
            (answer_in, answer_in.mul_f64(*place))
        });
        let urgent_at = Some(Duration::from_millis(urgent_ms));
        let change = shift_change(&mut budget, calls, parallel, urgent_at, || takes.next().expect("endless"));
        prop_assert_eq!(change.left.len(), calls);
        prop_assert!(change.urgent_waited.expect("it left") <= URGENT_MAX_WAIT, "{:?}", change.urgent_waited);
        prop_assert!(change.fullest_window() <= limit);
    }

    #[test]
    fn the_finish_that_a_preview_shows_is_the_one_that_the_budget_grants(
        limit in 5_usize..120,
        reserve in 0_usize..3,
        parallel in 1_usize..40,
        answer_ms in 1_u64..2_000,
        before in prop::collection::vec(0_u64..60, 0..120),
        calls in 1_usize..600,
    ) {
        use crate::domain::changes::change_set::cost_estimate::BudgetSlots;
        let answer_in = Duration::from_millis(answer_ms);
        let mut budget = Budget::new(limit, WINDOW, reserve);
        budget.restore(Duration::ZERO, before.iter().take(limit).map(|age| Some(seconds(*age))));
        let slots = BudgetSlots {
            free_after: budget.slot_waits(Duration::ZERO),
            window: budget.window(),
            reserve,
            reserve_free_within: URGENT_MAX_WAIT,
            response_time: answer_in,
            max_parallel: parallel,
            poll_every: None,
        };
        prop_assert_eq!(slots.free_after.len(), limit);
        let shown = slots.last_answer_after(calls).expect("some calls");
        let took = shift_change(&mut budget, calls, parallel, None, || (answer_in, answer_in)).answered;
        let off = shown.abs_diff(took).as_secs_f64();
        // Calls under way hold their slots for sure in the budget, and for as long as an answer takes in the preview.
        prop_assert!(off <= took.as_secs_f64() * 0.03 + 2.0 * answer_in.as_secs_f64() + 0.1, "shown {shown:?}, took {took:?}");
    }
}
