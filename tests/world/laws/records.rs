//! Laws about what the daemon records: history, events and answers agree.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{FaultKind, LogPage};

use super::delays::may_arrive_together;
use super::{LawResult, is_poll, name_of};
use crate::plan::PlannedEvent;
use crate::simulation::World;

/// The tolerance for a platform whose clock was set long ago.
const MAX_INSTANT_ERROR: Duration = Duration::from_secs(12);

/// The offset of the platform's clock is known so long after it was set.
const OFFSET_KNOWN_AFTER: Duration = Duration::from_secs(60);

/// After this number of snapshots without an agent in a row, the agent counts as unobserved.
const MISSED: usize = 3;

/// Each row of history was reported as an event.
pub(super) fn check_history_events(database: &Connection) -> LawResult {
    let mut told: BTreeMap<(String, String), u64> = BTreeMap::new();
    for body in super::texts(database, "SELECT body FROM events WHERE kind = 'agent.state_changed'") {
        let event: Value = serde_json::from_str(&body).map_err(|_| format!("an event is no JSON: {body}"))?;
        let text = |name: &str| event["data"][name].as_str().unwrap_or_default().to_owned();
        *told.entry((text("userId"), text("newState"))).or_default() += 1;
    }
    let mut statement =
        database.prepare("SELECT agent, state, COUNT(*) FROM state_history GROUP BY agent, state").expect("readable");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?))).expect("readable");
    for row in rows {
        let (agent, state, rows): (String, String, i64) = row.expect("readable");
        let events = told.get(&(agent.clone(), state.clone())).copied().unwrap_or(0);
        if events < rows.unsigned_abs() {
            return Err(format!("history has {agent} in {state} {rows} times, and {events} events told of it"));
        }
    }
    Ok(())
}

/// A request that is repeated under its key is answered as the first was.
pub(super) fn check_idempotency(world: &World) -> LawResult {
    let mut first: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for answer in world.people.history.keyed().iter().filter(|answer| answer.response.status == 202) {
        let ids: Vec<String> = crate::people::transitions(&answer.response).into_iter().map(str::to_owned).collect();
        let known = first.entry(answer.key).or_insert_with(|| ids.clone());
        if *known != ids {
            return Err(format!("the key {} was answered with {known:?} and then with {ids:?}", answer.key));
        }
    }
    Ok(())
}

/// An agent is unobserved only after several snapshots without the agent.
pub(super) fn check_unknown_after_misses(database: &Connection, log: &LogPage) -> LawResult {
    let polls: Vec<_> = log.requests.iter().filter(|request| is_poll(request) && request.status == Some(200)).collect();
    let most = polls
        .chunk_by(|one, next| one.fault == next.fault)
        .filter(|run| run[0].fault == Some(FaultKind::MissingRows))
        .map(<[_]>::len)
        .max()
        .unwrap_or(0);
    let lost = super::texts(database, "SELECT agent FROM state_history WHERE state LIKE '%nseen'");
    match lost.first() {
        Some(agent) if most < MISSED => Err(format!("{agent} counts as out of sight after {most} snapshots")),
        Some(_) | None => Ok(()),
    }
}

/// Instants of the platform are converted to our clock.
pub(super) fn check_instants_converted(world: &World, database: &Connection, log: &LogPage) -> LawResult {
    let skew = |what: &PlannedEvent| matches!(what, PlannedEvent::Platform(text) if text.starts_with("clock_skew"));
    let ends = |what: &PlannedEvent| matches!(what, PlannedEvent::ClearPlatformFaults);
    let blurs = |what: &PlannedEvent| match what {
        PlannedEvent::Platform(text) => {
            ["timestamp_jitter", "old_times", "nonsense", "wrong_types", "late", "missing_rows"]
                .iter()
                .any(|fault| text.starts_with(fault))
        }
        PlannedEvent::PauseHost(..) | PlannedEvent::Drift(..) => true,
        _ => false,
    };
    let happenings = &world.plan.events;
    let set: Vec<Duration> =
        happenings.iter().filter(|(_, what)| skew(what) || ends(what)).map(|(at, _)| *at).collect();
    let skewed = happenings.iter().any(|(_, what)| skew(what));
    let blurred = happenings.iter().any(|(_, what)| blurs(what));
    if !skewed || blurred || world.clock_was_set || may_arrive_together(world) {
        return Ok(());
    }
    let known = |at: UtcMicros| {
        at < World::true_time(crate::plan::CALM_AFTER)
            && set.iter().all(|set| {
                let set = World::true_time(*set);
                at + OFFSET_KNOWN_AFTER < set || set + OFFSET_KNOWN_AFTER < at
            })
    };
    let mut statement = database
        .prepare(
            "SELECT agent, state, entered_at FROM state_history WHERE source = 'snapshot' AND platform_at IS NOT NULL",
        )
        .expect("readable");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("readable");
    for row in rows {
        let (agent, state, entered): (String, String, i64) = row.expect("readable");
        let entered = UtcMicros::from_micros(entered);
        let is_near = |at: UtcMicros| at.since(entered).max(entered.since(at)) <= MAX_INSTANT_ERROR;
        let changes = log.changes.iter().filter(|change| change.agent.as_str() == agent);
        let right = changes.clone().any(|change| name_of(change.to) == state && is_near(change.at));
        // What an agent was in from the beginning on has no change.
        let later = changes.clone().next().is_some_and(|first| entered > first.at);
        if known(entered) && later && !right {
            return Err(format!("history has {agent} enter {state} at {entered}, when nothing of the kind happened"));
        }
    }
    Ok(())
}
