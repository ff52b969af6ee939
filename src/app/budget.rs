//! The calls of the last minute count on over a restart, also where the wall clock was set in between.
//!
//! Each call has two instants of its answer: by the wall clock, which may be set, and by the host's steady time, which starts
//! anew with the host. Where the two disagree the call counts as the younger of both: a slot too few for a minute is better than
//! one too many. Only a wall clock that was set forward while the host started anew within the minute is believed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::settings::TenantSettings;
use crate::platform::budget::{Budget, LONGEST_CALL};
use crate::store::{CallWrite, ReadError, Reader};

/// The window of the request budget (platform: the rows' budgets).
const BUDGET_WINDOW: Duration = Duration::from_secs(60);

/// The wall clock was set where it moved against steady time by this much.
const SETTING_US: u64 = 2_000_000;

/// The budget as the process before left it.
pub(super) async fn restored(
    reader: &Reader,
    tenant: &TenantId,
    settings: &TenantSettings,
    clock: &SharedClock,
) -> Result<Budget, ReadError> {
    let limit = settings.budget.requests_per_minute;
    let mut budget = Budget::new(limit, BUDGET_WINDOW, settings.budget.urgent_reserve);
    let (now, steady) = (clock.now(), clock.steady());
    // A call that was sent before the window may have been answered within it.
    let answer_span = clock.span_of_real(settings.budget.request_timeout_real) * 2;
    let mut calls: BTreeMap<_, CallWrite> = BTreeMap::new();
    for call in reader.recent_calls(tenant, now - BUDGET_WINDOW - answer_span).await? {
        calls.insert(call.id, call);
    }
    if let Some(steady) = steady {
        let span = (micros(steady.saturating_sub(BUDGET_WINDOW)), micros(steady));
        // More than the limit need not be known: so many fill the budget.
        for call in reader.steady_calls(tenant, span, limit).await? {
            calls.insert(call.id, call);
        }
    }
    let now = Now { wall: now, steady, settled: is_settled(calls.values(), clock.ahead_of_steady()) };
    budget.restore(clock.monotonic(), calls.values().map(|call| age(call, now)));
    Ok(budget)
}

/// The instant of the restart.
#[derive(Clone, Copy)]
struct Now {
    wall: UtcMicros,
    steady: Option<Duration>,
    /// The newest call was made on this host, by the wall clock as it is set now.
    settled: bool,
}

/// Whether the newest call by steady time has the distance of wall clock and steady time that they have now.
fn is_settled<'a>(calls: impl Iterator<Item = &'a CallWrite>, ahead_us: Option<i64>) -> bool {
    let newest = calls.filter_map(|call| Some((call.steady_us?, call.answered_at.unwrap_or(call.sent_at)))).max();
    newest.zip(ahead_us).is_some_and(|((steady_us, at), ahead_us)| {
        let steady_us = i64::try_from(steady_us).unwrap_or(i64::MAX);
        at.as_micros().saturating_sub(steady_us).abs_diff(ahead_us) < SETTING_US
    })
}

/// The time since a call's answer; none where it has to be taken as answered now.
fn age(call: &CallWrite, now: Now) -> Option<Duration> {
    let answered_at = call.answered_at.unwrap_or(call.sent_at);
    let by_wall = now.wall.since(answered_at);
    let steady_then = call.steady_us.map(Duration::from_micros);
    // A later one is of another start of the host, and says nothing.
    let by_steady = now.steady.zip(steady_then).and_then(|(now, then)| now.checked_sub(then));
    let age = match by_steady {
        // The wall clock was set back since, and calls were made by it as it is now: this host's time alone tells.
        Some(by_steady) if answered_at > now.wall && now.settled => by_steady,
        Some(by_steady) => by_steady.min(by_wall),
        None => by_wall,
    };
    match call.answered_at {
        Some(_) => Some(age),
        None => age.checked_sub(LONGEST_CALL),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcMicros = UtcMicros::from_micros(1_000_000_000_000);
    const UP: Duration = Duration::from_secs(50_000);

    fn call(answered: bool, wall_ago: i64, steady_ago: Option<i64>) -> CallWrite {
        let at = NOW.offset(-wall_ago * 1_000_000);
        CallWrite {
            tenant: "acme".into(),
            id: uuid::Uuid::nil(),
            kind: "state".into(),
            agent: None,
            transition: None,
            attempt: None,
            sent_at: at,
            answered_at: answered.then_some(at),
            outcome: None,
            status_code: None,
            latency_ms: None,
            error: None,
            steady_us: steady_ago.map(|ago| u64::try_from((50_000 - ago) * 1_000_000).expect("after the start")),
        }
    }

    #[test]
    fn a_call_counts_as_the_younger_of_what_two_clocks_say() {
        for (answered, wall_ago, steady_ago, expected, why) in [
            (true, 40, Some(40), Some(40), "nothing was set"),
            (true, 3_640, Some(40), Some(40), "the clock was set forward by an hour"),
            (true, -3_560, Some(40), Some(0), "and back by an hour: who knows whose start of the host that is"),
            (true, 40, Some(-900), Some(40), "the host started anew"),
            (true, 40, Some(9_000), Some(40), "another host, which runs longer"),
            (true, 40, None, Some(40), "nobody knew"),
            (false, 40, Some(40), None, "no answer yet: it may have arrived just now"),
            (false, 40, Some(9_000), None, "nor by what another host says"),
            (false, 9_000, Some(9_000), Some(9_000 - 3_600), "a call without an answer does not count for ever"),
        ] {
            let now = Now { wall: NOW, steady: Some(UP), settled: false };
            let age = age(&call(answered, wall_ago, steady_ago), now);
            assert_eq!(age.map(|age| age.as_secs()), expected, "{why}");
        }
        let unknown = Now { wall: NOW, steady: None, settled: false };
        assert_eq!(age(&call(true, 40, Some(40)), unknown), Some(Duration::from_secs(40)), "no steady time");
    }

    #[test]
    fn once_calls_were_made_by_the_clock_as_it_is_a_call_from_after_now_is_no_riddle() {
        let (before, since) = (call(true, -3_500, Some(100)), call(true, 5, Some(5)));
        let ahead_us = Some(NOW.as_micros() - 50_000_000_000);
        assert!(!is_settled([&before].into_iter(), ahead_us));
        assert!(is_settled([&before, &since].into_iter(), ahead_us));
        assert!(!is_settled([&before, &since].into_iter(), None));
        let now = Now { wall: NOW, steady: Some(UP), settled: true };
        assert_eq!(age(&before, now), Some(Duration::from_secs(100)));
        let elsewhere = call(true, 40, Some(9_000));
        assert_eq!(age(&elsewhere, now), Some(Duration::from_secs(40)), "what the wall clock can explain, it explains");
    }
}
