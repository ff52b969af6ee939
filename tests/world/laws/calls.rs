//! Laws about the calls that the daemon makes, judged from the platform's account.

use std::time::Duration;

use rusqlite::Connection;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{FaultKind, LogPage, RequestEntry};

use super::delays::was_delayed;
use super::{LawResult, is_poll, is_state_post, requested_state, was_requested_between};
use crate::network::Route;
use crate::people::break_in_minutes;
use crate::plan::PlannedEvent;
use crate::simulation::{REQUEST_TIMEOUT, World};

/// What the faults of the plan say in `Retry-After`.
const RETRY_AFTER: Duration = Duration::from_secs(7);

/// A conflict that nothing explains is not tried again for a minute.
const CONFLICT_PAUSE: Duration = Duration::from_secs(60);

/// Clocks drift and answers travel.
const SLACK: Duration = Duration::from_secs(1);

/// A change that a person asks for leaves within this, though rules want the whole budget.
const MAX_URGENT_DELAY: Duration = Duration::from_millis(3_500);

/// A call counts for the minute after its answer, and a little for the way.
const WINDOW: Duration = Duration::from_secs(62);

fn posts_of<'a>(log: &'a LogPage, agent: &'a str) -> impl Iterator<Item = &'a RequestEntry> {
    log.requests
        .iter()
        .filter(move |post| is_state_post(post) && post.agent.as_ref().is_some_and(|id| id.as_str() == agent))
}

/// Nobody is asked again sooner than the platform, which throttles or refuses, allows.
pub(super) fn check_pauses(world: &World, log: &LogPage) -> LawResult {
    for agent in &world.agents {
        let posts: Vec<&RequestEntry> = posts_of(log, agent.as_str()).collect();
        for pair in posts.windows(2) {
            let [refused, again] = pair else { continue };
            let after = again.at.since(refused.at) + SLACK;
            let injected = refused.fault == Some(FaultKind::Status);
            if injected && refused.status == Some(429) && after < RETRY_AFTER {
                return Err(format!("{agent} was asked again {after:?} after a 429 with Retry-After: 7"));
            }
            let anew = requested_state(refused) != requested_state(again)
                || was_requested_between(world, agent.as_str(), refused.at, again.at);
            if injected && refused.status == Some(409) && !anew && after < CONFLICT_PAUSE {
                return Err(format!("{agent} was asked again {after:?} after a conflict that nothing explains"));
            }
        }
    }
    Ok(())
}

/// Nobody is made ready in a break that must be taken, by every plan that may be in force.
pub(super) fn check_breaks(world: &World, log: &LogPage) -> LawResult {
    if world.clock_was_set {
        return Ok(());
    }
    for (index, agent) in world.agents.iter().enumerate() {
        for post in posts_of(log, agent.as_str()).filter(|post| requested_state(post) == "READY") {
            // An import is in force when it is answered; until then it may be, and a cut-off one may never be.
            let forbids =
                world.plans.iter().filter(|(given, _)| World::true_time(*given) <= post.at).all(|(_, breaks)| {
                    let (from, to) = break_in_minutes(breaks[index]);
                    breaks[index].2 && from + SLACK <= post.at && post.at + SLACK <= to
                });
            if forbids && !was_delayed(world, post.at - REQUEST_TIMEOUT, post.at) {
                return Err(format!("{agent} was made ready at {} in a mandatory break", post.at));
            }
        }
    }
    Ok(())
}

/// A subscription is made again only if there is no usable one.
pub(super) fn check_subscriptions_needed(world: &World, log: &LogPage) -> LawResult {
    // What a lost answer brought is not known to the daemon, and a disk that fails does not keep what it brought.
    let uncertain = world.plan.events.iter().any(|(_, what)| {
        matches!(
            what,
            PlannedEvent::BreakConnections(_)
                | PlannedEvent::Stall(Route::Platform, _)
                | PlannedEvent::Slow(Route::Platform, ..)
                | PlannedEvent::Disk(..)
                | PlannedEvent::Kill(_)
                | PlannedEvent::PauseHost(..)
        )
    });
    if uncertain {
        return Ok(());
    }
    let mut good: Option<&RequestEntry> = None;
    for request in &log.requests {
        if is_poll(request) {
            good = (request.status == Some(200) && request.fault != Some(FaultKind::Bulky)).then_some(request);
        } else if request.method == "POST" && request.path.ends_with("/subscription") {
            if let Some(poll) = good.filter(|poll| request.at.since(poll.at) < Duration::from_secs(60)) {
                return Err(format!(
                    "a subscription was made at {} though the one before gave a snapshot at {}",
                    request.at, poll.at
                ));
            }
            good = None;
        }
    }
    Ok(())
}

/// What a person asks for does not wait behind the rules.
pub(super) fn check_people_do_not_wait(world: &World, database: &Connection, log: &LogPage) -> LawResult {
    let trouble = world.plan.events.iter().find(|(_, what)| !what.is_work()).map_or(Duration::MAX, |(at, _)| *at);
    for wish in &world.requests {
        if wish.requested_at + MAX_URGENT_DELAY + SLACK >= trouble || has_other_activity(world, wish.requested_at) {
            continue;
        }
        let Some(said) = super::take_response(&wish.response).filter(|said| said.status == 202) else { continue };
        let Some(id) = crate::people::transitions(&said).first().copied().map(str::to_owned) else { continue };
        if was_held(database, &id) {
            continue;
        }
        let asked = World::true_time(wish.requested_at);
        let urgent_before = urgent_calls(world, log, asked - WINDOW, asked + MAX_URGENT_DELAY);
        let Some(sent) = super::scalar(database, "SELECT MIN(sent_at) FROM platform_calls WHERE transition = ?1", &id)
        else {
            continue;
        };
        let waited = UtcMicros::from_micros(sent).since(asked);
        if waited > MAX_URGENT_DELAY && urgent_before == 0 {
            return Err(format!("{}: {} asked for by a person left after {waited:?}", wish.agent, wish.to));
        }
    }
    Ok(())
}

fn has_other_activity(world: &World, at: Duration) -> bool {
    let near = |other: Duration| other + WINDOW > at && other < at + MAX_URGENT_DELAY;
    world.plan.events.iter().any(|(other, what)| {
        *other != at && near(*other) && !matches!(what, PlannedEvent::EditRule | PlannedEvent::Receiver(..))
    })
}

/// Calls that may take the last slots: subscriptions, and what people asked for.
fn urgent_calls(world: &World, log: &LogPage, from: UtcMicros, to: UtcMicros) -> usize {
    let urgent = |request: &&RequestEntry| {
        let subscribes = request.method == "POST" && request.path.ends_with("/subscription");
        let by_person = is_state_post(request)
            && request.agent.as_ref().is_some_and(|agent| {
                world.requests.iter().any(|wish| {
                    wish.agent == agent.as_str()
                        && wish.to.eq_ignore_ascii_case(&requested_state(request).replace('_', ""))
                })
            });
        request.at >= from && request.at < to && (subscribes || by_person)
    };
    // The call of the request itself does not count.
    log.requests.iter().filter(urgent).count().saturating_sub(1)
}

/// Whether policy, the state that the agent was in, or another change of the same agent stood in its way.
fn was_held(database: &Connection, id: &str) -> bool {
    let held = super::scalar(
        database,
        "SELECT COUNT(*) FROM audit_entries WHERE transition = ?1 AND action = 'transition.held'",
        id,
    );
    let there = super::scalar(database, "SELECT COUNT(*) FROM transitions WHERE id = ?1 AND before = target", id);
    let behind = super::scalar(
        database,
        "SELECT COUNT(*) FROM transitions t JOIN platform_calls c ON c.agent = t.agent AND c.transition <> t.id
         WHERE t.id = ?1 AND c.kind = 'state' AND c.sent_at < t.requested_at + 4000000
           AND (c.answered_at IS NULL OR c.answered_at > t.requested_at - 20000000)",
        id,
    );
    [held, there, behind].into_iter().any(|count| count != Some(0))
}
