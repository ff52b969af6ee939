//! Restores the budget after a restart, so that the calls of the last minute still count even if the wall clock was set
//! in between.
//!
//! Each call has two instants of its answer: by the wall clock, which may be set, and by the host's steady time, which
//! counts from boot. Within the same boot, steady time gives the exact age. After another boot, or on another host,
//! only the wall clock counts. If the boots are unknown, the smaller of the two ages counts: a slot too few for a
//! minute is better than one too many.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{ClockReading, SharedClock};
use crate::domain::ids::TenantId;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::BudgetKind;
use crate::platform::budget::{Budget, MAX_CALL};
use crate::store::{CallWrite, ReadError, Reader};

/// The window of the request budget (source: the budget rows in the platform document).
const BUDGET_WINDOW: Duration = Duration::from_secs(60);

/// The budgets of one tenant.
pub(super) struct Budgets {
    pub(super) ordinary: Budget,
    pub(super) reporting: Budget,
}

/// Restores the budgets as the previous process left them.
pub(super) async fn restore_budgets(
    reader: &Reader,
    tenant: &TenantId,
    settings: &TenantSettings,
    clock: &SharedClock,
) -> Result<Budgets, ReadError> {
    let (ordinary, reporting) = (settings.budget.requests_per_minute, settings.figures.requests_per_minute);
    let mut budgets = Budgets {
        ordinary: Budget::new(ordinary, BUDGET_WINDOW, settings.budget.urgent_reserve)
            .with_poll_reserve(settings.budget.poll_reserve),
        reporting: Budget::new(reporting, BUDGET_WINDOW, 0),
    };
    let now = ClockReading::now(&**clock);
    // A call that was sent before the window may have been answered within it.
    let answer_span = clock.scale_real(settings.budget.request_timeout_real) * 2;
    let mut calls: BTreeMap<_, CallWrite> = BTreeMap::new();
    for call in reader.recent_calls(tenant, now.wall - BUDGET_WINDOW - answer_span).await? {
        calls.insert(call.id, call);
    }
    if let Some(steady) = now.steady {
        let span = (micros(steady.saturating_sub(BUDGET_WINDOW)), micros(steady));
        // No more calls than both limits are needed, since these fill the budgets.
        for call in reader.steady_calls(tenant, span, ordinary + reporting).await? {
            calls.insert(call.id, call);
        }
    }
    for (budget_kind, budget) in
        [(BudgetKind::Ordinary, &mut budgets.ordinary), (BudgetKind::Reporting, &mut budgets.reporting)]
    {
        let calls_of_kind = calls.values().filter(|call| BudgetKind::of(&call.kind) == budget_kind);
        budget.restore(clock.monotonic(), calls_of_kind.map(|call| call_age(call, now)));
    }
    Ok(budgets)
}

/// Returns the time since a call's answer. `None` if the call has to count as answered now.
fn call_age(call: &CallWrite, now: ClockReading) -> Option<Duration> {
    let then = ClockReading {
        wall: call.answered_at.unwrap_or(call.sent_at),
        steady: call.steady_us.map(Duration::from_micros),
        host_start: call.host_start,
    };
    let age = then.age_at(now).unwrap_or_default();
    match call.answered_at {
        Some(_) => Some(age),
        None => age.checked_sub(MAX_CALL),
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
            let now = ClockReading { wall: NOW, steady: Some(UP), host_start: this };
            let age = call_age(&call(answered, wall_ago, steady_ago, start), now);
            assert_eq!(age.map(|age| age.as_secs()), expected, "{why}");
        }
        let unknown = ClockReading { wall: NOW, steady: None, host_start: None };
        assert_eq!(call_age(&call(true, 40, Some(40), this), unknown), Some(Duration::from_secs(40)), "no steady time");
    }
}
