//! The calls of the last minute count on over a restart, also where the wall clock was set in between.
//!
//! Each call has two instants of its answer: by the wall clock, which may be set, and by the host's steady time, which counts
//! from one start of the host. The same start tells the age exactly; another start, or another host, leaves the wall clock alone.
//! Where nobody knows which start it was, a call counts as the younger of what the two say: a slot too few for a minute is
//! better than one too many.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Moment, SharedClock};
use crate::domain::ids::TenantId;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::calls::Purse;
use crate::platform::budget::{Budget, LONGEST_CALL};
use crate::store::{CallWrite, ReadError, Reader};

/// The window of the request budget (platform: the rows' budgets).
const BUDGET_WINDOW: Duration = Duration::from_secs(60);

/// A tenant's budgets.
pub(super) struct Budgets {
    pub(super) ordinary: Budget,
    pub(super) reporting: Budget,
}

/// The budgets as the process before left them.
pub(super) async fn restored(
    reader: &Reader,
    tenant: &TenantId,
    settings: &TenantSettings,
    clock: &SharedClock,
) -> Result<Budgets, ReadError> {
    let (ordinary, reporting) = (settings.budget.requests_per_minute, settings.figures.requests_per_minute);
    let mut budgets = Budgets {
        ordinary: Budget::new(ordinary, BUDGET_WINDOW, settings.budget.urgent_reserve),
        reporting: Budget::new(reporting, BUDGET_WINDOW, 0),
    };
    let now = Moment::now(&**clock);
    // A call that was sent before the window may have been answered within it.
    let answer_span = clock.span_of_real(settings.budget.request_timeout_real) * 2;
    let mut calls: BTreeMap<_, CallWrite> = BTreeMap::new();
    for call in reader.recent_calls(tenant, now.wall - BUDGET_WINDOW - answer_span).await? {
        calls.insert(call.id, call);
    }
    if let Some(steady) = now.steady {
        let span = (micros(steady.saturating_sub(BUDGET_WINDOW)), micros(steady));
        // More than both limits need not be known: so many fill the budgets.
        for call in reader.steady_calls(tenant, span, ordinary + reporting).await? {
            calls.insert(call.id, call);
        }
    }
    for (purse, budget) in [(Purse::Ordinary, &mut budgets.ordinary), (Purse::Reporting, &mut budgets.reporting)] {
        let its_own = calls.values().filter(|call| Purse::of(&call.kind) == purse);
        budget.restore(clock.monotonic(), its_own.map(|call| age(call, now)));
    }
    Ok(budgets)
}

/// The time since a call's answer; none where it has to be taken as answered now.
fn age(call: &CallWrite, now: Moment) -> Option<Duration> {
    let then = Moment {
        wall: call.answered_at.unwrap_or(call.sent_at),
        steady: call.steady_us.map(Duration::from_micros),
        host_start: call.host_start,
    };
    let age = then.age_at(now).unwrap_or_default();
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
    use crate::domain::time::UtcMicros;

    const NOW: UtcMicros = UtcMicros::from_micros(1_000_000_000_000);
    const UP: Duration = Duration::from_secs(50_000);

    fn call(answered: bool, wall_ago: i64, steady_ago: Option<i64>, host_start: Option<i64>) -> CallWrite {
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
            host_start,
        }
    }

    #[test]
    fn a_call_of_the_same_start_of_the_host_is_as_old_as_its_steady_time_says() {
        let (this, another) = (Some(1), Some(2));
        for (answered, wall_ago, steady_ago, start, expected, why) in [
            (true, 40, Some(40), this, Some(40), "nothing was set"),
            (true, 3_640, Some(40), this, Some(40), "the clock was set forward by an hour"),
            (true, -3_560, Some(40), this, Some(40), "and back by an hour"),
            (true, 40, Some(20), another, Some(40), "the host started anew and has run longer by now"),
            (true, -3_560, Some(40), another, Some(0), "and its clock is an hour behind: taken as answered now"),
            (true, 40, None, None, Some(40), "nobody knew"),
            (true, 3_640, Some(40), None, Some(40), "nobody knew which start it was: the younger of both"),
            (true, 40, Some(-900), None, Some(40), "a steady time of after now is of another start"),
            (false, 40, Some(40), this, None, "no answer yet: it may have arrived just now"),
            (false, 40, Some(9_000), another, None, "nor by what another host says"),
            (false, 9_000, Some(9_000), this, Some(9_000 - 3_600), "a call without an answer does not count for ever"),
        ] {
            let now = Moment { wall: NOW, steady: Some(UP), host_start: this };
            let age = age(&call(answered, wall_ago, steady_ago, start), now);
            assert_eq!(age.map(|age| age.as_secs()), expected, "{why}");
        }
        let unknown = Moment { wall: NOW, steady: None, host_start: None };
        assert_eq!(age(&call(true, 40, Some(40), this), unknown), Some(Duration::from_secs(40)), "no steady time");
    }
}
