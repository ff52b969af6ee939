//! Snapshots, one after another, before a reader that remembers the last one and one that does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use shiftkeeper::domain::agents::state::StateNames;
use shiftkeeper::domain::ids::{AgentId, SubscriptionId};
use shiftkeeper::platform::guide::GuideReader;
use shiftkeeper::platform::snapshot::MAX_DIAGNOSTICS;
use shiftkeeper::platform::{AgentObservation, SnapshotBody, SnapshotDelta, SnapshotFault, SnapshotReader};

/// Snapshots are parted by a byte that stands in no JSON.
const PARTING: u8 = 0;

/// Reads the snapshots in order.
///
/// A reader that remembers knows the same of every agent as one that reads the snapshot for the first time, and every row is
/// yielded, complained about, or both.
pub fn read(bytes: &[u8]) {
    let agents = ["u_1", "u_2", "u_3"].map(AgentId::new);
    let (subscription, names) = (SubscriptionId::new("sub_1"), Arc::new(StateNames::default()));
    let new_reader = || GuideReader::new(&agents, Arc::clone(&names));
    let mut remembering = new_reader();
    let mut known: BTreeMap<AgentId, AgentObservation> = BTreeMap::new();
    for bytes in bytes.split(|byte| *byte == PARTING) {
        if bytes.is_empty() {
            // To the reader nothing is "as before"; there may be no before.
            continue;
        }
        let body = || SnapshotBody::new(bytes.to_vec());
        let read = |reader: &mut dyn SnapshotReader| {
            let delta = reader.read(&subscription, body());
            delta.map(|delta| delta.expect("a snapshot of this dialect has one page"))
        };
        let (delta, whole) = (read(&mut remembering), read(&mut new_reader()));
        let (Ok(delta), Ok(whole)) = (&delta, &whole) else {
            assert_eq!(delta.is_ok(), whole.is_ok(), "the last snapshot decides whether this one is read");
            continue;
        };
        every_row_is_accounted_for(whole, agents.len());
        known.extend(delta.changed.iter().map(|sighting| (sighting.agent.clone(), sighting.clone())));
        assert_eq!(
            (delta.generated_at, delta.rows, &delta.absent, &delta.missing),
            (whole.generated_at, whole.rows, &whole.absent, &whole.missing)
        );
        for sighting in &whole.changed {
            assert_eq!(known.get(&sighting.agent), Some(sighting), "what is remembered is not what is there");
        }
    }
}

/// Of a snapshot that nothing came before.
fn every_row_is_accounted_for(whole: &SnapshotDelta, agents: usize) {
    assert_eq!(whole.changed.len() + whole.absent.len(), agents, "each agent is yielded or absent: {whole:?}");
    assert!(whole.diagnostics.len() <= MAX_DIAGNOSTICS);
    if whole.more_diagnostics > 0 {
        return;
    }
    let lost = |fault: &SnapshotFault| {
        matches!(fault, SnapshotFault::Unreadable | SnapshotFault::Duplicate | SnapshotFault::UnknownAgent)
    };
    let refused = whole.diagnostics.iter().filter(|complaint| lost(&complaint.fault)).count();
    assert_eq!(whole.rows, whole.changed.len() + refused, "each row is yielded or complained about: {whole:?}");
}
