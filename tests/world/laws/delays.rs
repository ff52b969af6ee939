//! What was held up on its way, or by a host that stood still, as far as the laws have to allow for it.

use std::time::Duration;

use shiftkeeper::domain::time::UtcMicros;

use crate::network::Route;
use crate::plan::PlannedEvent;
use crate::simulation::{REQUEST_TIMEOUT, World};

/// A feed has sent two heartbeats by then, and its client knows when the next one is late.
const TWO_HEARTBEATS: Duration = Duration::from_secs(65);

/// What is read at the end of a stall is recorded within this time.
const MAX_RECORD_DELAY: Duration = Duration::from_secs(20);

/// Requests that were held up on the way arrive together with later ones, which no sender can prevent.
pub(super) fn may_arrive_together(world: &World) -> bool {
    world.plan.events.iter().any(|(_, what)| {
        matches!(what, PlannedEvent::Stall(Route::Platform, _) | PlannedEvent::Slow(Route::Platform, ..))
    })
}

/// Whether the way to the platform was held up at some time between two instants.
pub(super) fn was_delayed(world: &World, from: UtcMicros, to: UtcMicros) -> bool {
    world.plan.events.iter().any(|(at, what)| {
        let (PlannedEvent::Stall(Route::Platform, span) | PlannedEvent::Slow(Route::Platform, _, span)) = what else {
            return false;
        };
        World::true_time(*at) <= to && from <= World::true_time(*at + *span) + REQUEST_TIMEOUT
    })
}

/// Whether something may have kept an answer of the platform from the daemon or its store at some time between two
/// instants.
pub(super) fn may_have_lost_answer(world: &World, from: UtcMicros, to: UtcMicros) -> bool {
    world.plan.events.iter().any(|(at, what)| {
        let span = match what {
            PlannedEvent::Stall(Route::Platform, span)
            | PlannedEvent::Slow(Route::Platform, _, span)
            | PlannedEvent::Refuse(Route::Platform, span)
            | PlannedEvent::PauseHost(_, span)
            | PlannedEvent::Disk(_, span)
            | PlannedEvent::Kill(span)
            | PlannedEvent::Restart(span) => *span,
            PlannedEvent::BreakConnections(None | Some(Route::Platform)) => Duration::ZERO,
            _ => return false,
        };
        World::true_time(*at) <= to && from <= World::true_time(*at + span) + REQUEST_TIMEOUT
    })
}

/// When the daemon heard a request made at an instant: while its host stood still it heard none.
pub(super) fn received_at(world: &World, asked_at: Duration) -> Duration {
    let stood_still = world.plan.events.iter().filter_map(|(at, what)| match what {
        PlannedEvent::PauseHost(_, span) => Some((*at, *at + *span)),
        _ => None,
    });
    stood_still.filter(|(from, to)| (*from..*to).contains(&asked_at)).map(|(_, to)| to).max().unwrap_or(asked_at)
}

/// How long the way to the platform had been held up when something was recorded, where that began before the daemon could have heard
/// two heartbeats since its start: it cannot know then that what it reads has waited. Zero elsewhere.
pub(super) fn first_stall_before(world: &World, recorded_at: UtcMicros) -> Duration {
    let starts = world.plan.events.iter().filter_map(|(at, what)| match what {
        PlannedEvent::Kill(down) | PlannedEvent::Restart(down) => Some(*at + *down),
        _ => None,
    });
    let starts: Vec<Duration> = starts.chain([Duration::ZERO]).collect();
    let stalls = world.plan.events.iter().filter_map(|(at, what)| match what {
        PlannedEvent::Stall(Route::Platform, span) => Some((*at, *span)),
        _ => None,
    });
    let unnoticed = stalls.filter(|(at, span)| {
        let recorded = World::true_time(*at)..=World::true_time(*at + *span) + MAX_RECORD_DELAY;
        recorded.contains(&recorded_at) && starts.iter().any(|start| (*start..*start + TWO_HEARTBEATS).contains(at))
    });
    unnoticed.map(|(_, span)| span).max().unwrap_or_default()
}
