//! Laws about webhooks, judged from the receiver's own list: each event arrives, in order, and waits no longer than it should.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use shiftkeeper::clock::Clock as _;

use super::LawResult;
use crate::simulation::World;

/// Every event was taken, each agent's in order, and nothing came that is no event.
pub(super) fn check_events_arrived(world: &World, database: &Connection) -> LawResult {
    let mut statement =
        database.prepare("SELECT number, id, agent, sequence FROM events ORDER BY number").expect("readable");
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, Option<String>>(2)?,
            row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
        ))
    });
    let events: Vec<_> = rows.expect("readable").map(|row| row.expect("readable")).collect();
    let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
    for (place, (number, id, agent, sequence)) in events.iter().enumerate() {
        if *number != i64::try_from(place).expect("few") + 1 {
            return Err(format!("event {id} has the number {number}, and is number {}", place + 1));
        }
        if let (Some(agent), Some(sequence)) = (agent, sequence) {
            let last = sequences.entry(agent.clone()).or_default();
            if *sequence != *last + 1 {
                return Err(format!("event {sequence} of {agent} follows event {last}"));
            }
            *last = *sequence;
        }
    }
    let inbox = world.receiver.lock().expect("a lock");
    let known: BTreeSet<&str> = events.iter().map(|(_, id, ..)| id.as_str()).collect();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for receipt in inbox.deliveries.iter().filter(|receipt| receipt.accepted) {
        if !known.contains(receipt.id.as_str()) {
            return Err(format!("the receiver got {}, which is no event of the store", receipt.id));
        }
        let (Some(agent), Some(sequence)) = (&receipt.agent, receipt.sequence) else {
            taken.insert(&receipt.id);
            continue;
        };
        let before = last.get(agent.as_str()).copied().unwrap_or(0);
        if taken.insert(&receipt.id) {
            if sequence != before + 1 {
                return Err(format!("event {sequence} of {agent} arrived after event {before}"));
            }
            last.insert(agent, sequence);
        } else if sequence != before {
            return Err(format!("event {sequence} of {agent} came again after event {before}"));
        }
    }
    let missing: Vec<i64> =
        events.iter().filter(|(_, id, ..)| !taken.contains(id.as_str())).map(|(number, ..)| *number).collect();
    let open: BTreeSet<i64> = numbers(database, "SELECT event_number FROM deliveries WHERE status <> 'delivered'");
    let read: i64 =
        database.query_row("SELECT MAX(sent_through) FROM endpoints", [], |row| row.get(0)).expect("readable");
    match missing.iter().find(|number| !open.contains(number) && **number <= read) {
        None => Ok(()),
        Some(lost) => Err(format!("event {lost} never arrived, and nothing waits to deliver it")),
    }
}

/// A delivery that failed waits no longer than the documented pause before its next try.
pub(super) fn check_delivery_delays(world: &World, database: &Connection) -> LawResult {
    const PAUSES_S: [i64; 10] = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    let now = world.clock().now().as_micros();
    let mut statement = database
        .prepare("SELECT event_number, attempts, next_at FROM deliveries WHERE next_at IS NOT NULL")
        .expect("readable");
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        .expect("readable");
    for (event, attempts, next_at) in rows.map(|row| row.expect("readable")) {
        let pause = PAUSES_S.get(usize::try_from(attempts).unwrap_or(usize::MAX)).copied().unwrap_or(86_400);
        if next_at < now - 30_000_000 || next_at > now + pause * 1_200_000 + 30_000_000 {
            let in_s = (next_at - now) / 1_000_000;
            return Err(format!("event {event} is to be tried again in {in_s} s after {attempts} tries"));
        }
    }
    Ok(())
}

fn numbers(database: &Connection, statement: &str) -> BTreeSet<i64> {
    let mut statement = database.prepare(statement).expect("a statement");
    let rows = statement.query_map([], |row| row.get(0)).expect("readable");
    rows.map(|row| row.expect("a number")).collect()
}
