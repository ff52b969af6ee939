//! A snapshot of a tenant's live view at one position of the ring, encoded once for all viewers. Each viewer gets the
//! pieces that match its filter, in parts of limited size.

use std::io::Write as _;
use std::ops::Range;

use serde::Serialize;

use super::filter::{MessageSubject, TenantViewerFilter};
use super::frame::{Frame, Kind};
use super::message::millis;
use crate::clock::Stopwatch;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The most bytes in one part, so that no viewer needs much memory, however many agents there are.
const MAX_PART_BYTES: usize = 12 * 1024;

/// The list that a piece belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// Agents.
    Agents,
    /// Figures of skills.
    Skills,
    /// Figures of queues.
    Queues,
}

/// The lists in the order of a message, with their names.
const LISTS: [(List, &str); 3] = [(List::Agents, "agents"), (List::Skills, "skills"), (List::Queues, "queues")];

#[derive(Debug)]
struct Piece {
    list: List,
    subject: MessageSubject,
    end: usize,
}

/// A snapshot of a tenant's live view.
#[derive(Debug)]
pub struct Snapshot {
    tenant: TenantId,
    at: UtcMicros,
    seen_at: Option<UtcMicros>,
    last_id: u64,
    /// The position in the ring from which changes follow the snapshot.
    position: u64,
    age: Stopwatch,
    /// The JSON of all pieces, concatenated.
    text: Vec<u8>,
    pieces: Vec<Piece>,
}

/// The start of every part, before the lists.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    tenant: &'a TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    at: UtcMicros,
    seen_at: Option<UtcMicros>,
    age_ms: Option<u64>,
    resumed: bool,
    part: usize,
    parts: usize,
}

impl Snapshot {
    /// Creates an empty snapshot of a tenant at the instant `at`: of what was committed up to the row `last_id`, to be
    /// followed by the ring from `position` on.
    pub fn new(tenant: TenantId, (last_id, position): (u64, u64), at: UtcMicros, seen_at: Option<UtcMicros>) -> Self {
        let (text, pieces) = (Vec::new(), Vec::new());
        Self { tenant, at, seen_at, last_id, position, age: Stopwatch::start(), text, pieces }
    }

    /// Adds an agent, or the figures of a skill or a queue.
    pub fn push(&mut self, list: List, subject: MessageSubject, piece: &impl Serialize) {
        let before = self.text.len();
        if let Err(error) = serde_json::to_writer(&mut self.text, piece) {
            // These are our own types and all their map keys are strings.
            tracing::error!(%error, "defect: a part of the live view cannot be encoded");
            self.text.truncate(before);
            return;
        }
        self.pieces.push(Piece { list, subject, end: self.text.len() });
    }

    pub(super) const fn last_id(&self) -> u64 {
        self.last_id
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    pub(super) const fn at(&self) -> UtcMicros {
        self.at
    }

    /// Returns the time since the snapshot was taken.
    pub(super) const fn age(&self) -> &Stopwatch {
        &self.age
    }

    /// Returns the range of pieces in each part for a viewer; at least one part.
    pub(super) fn parts(&self, filter: &TenantViewerFilter) -> Vec<Range<usize>> {
        let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
        for index in 0..self.pieces.len() {
            let Some(size) = self.matching_piece(index, filter).map(<[u8]>::len) else { continue };
            if bytes > 0 && bytes + size > MAX_PART_BYTES {
                parts.push(from..index);
                (from, bytes) = (index, 0);
            }
            bytes += size;
        }
        parts.push(from..self.pieces.len());
        parts
    }

    /// Returns the JSON of a piece if it matches the filter.
    fn matching_piece(&self, index: usize, filter: &TenantViewerFilter) -> Option<&[u8]> {
        let piece = self.pieces.get(index).filter(|piece| filter.matches(&piece.subject))?;
        let start = index.checked_sub(1).map_or(0, |before| self.pieces[before].end);
        self.text.get(start..piece.end)
    }

    /// Encodes a part as a message. Only the last one has the id, because a viewer that disconnects earlier has not got
    /// the whole snapshot. `resumed` means that the viewer has received all rows up to the snapshot.
    pub(super) fn part(
        &self,
        filter: &TenantViewerFilter,
        parts: &[Range<usize>],
        part: usize,
        resumed: bool,
    ) -> Frame {
        let id = (part + 1 == parts.len()).then_some(self.last_id);
        let head = Head {
            kind: Kind::Snapshot.name(),
            tenant: &self.tenant,
            id,
            at: self.at,
            seen_at: self.seen_at,
            age_ms: self.seen_at.map(|seen_at| millis(self.at.since(seen_at))),
            resumed,
            part: part + 1,
            parts: parts.len(),
        };
        let mut json = serde_json::to_vec(&head).unwrap_or_else(|_| b"{}".to_vec());
        // Reopen the object to append the lists.
        json.pop();
        let pieces = parts.get(part).cloned().unwrap_or_default();
        for (list, name) in LISTS {
            // Writing to a Vec cannot fail.
            let _ = write!(json, ",\"{name}\":[");
            let of_list =
                pieces.clone().filter(|index| self.pieces.get(*index).is_some_and(|piece| piece.list == list));
            for (nth, piece) in of_list.filter_map(|index| self.matching_piece(index, filter)).enumerate() {
                if nth > 0 {
                    json.push(b',');
                }
                json.extend_from_slice(piece);
            }
            json.push(b']');
        }
        json.push(b'}');
        Frame::from_json(Kind::Snapshot, id, id.map(|id| id.to_string()).as_deref(), &json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::live::filter::{AgentMembership, ViewerFilter};

    fn snapshot(agents: usize) -> Snapshot {
        let at = UtcMicros::from_micros(2_000_000);
        let mut snapshot = Snapshot::new("acme".into(), (17, 5), at, Some(UtcMicros::from_micros(500_000)));
        for agent in 0..agents {
            let team = if agent % 2 == 0 { "Billing" } else { "Care" };
            let place = AgentMembership { team: Some(team.into()), ..AgentMembership::default() };
            snapshot.push(
                List::Agents,
                MessageSubject::agent(place),
                &json!({"id": format!("u_{agent}"), "team": team}),
            );
        }
        for (list, id) in [(List::Skills, "s_1"), (List::Queues, "q_1")] {
            snapshot.push(list, MessageSubject::Figures { id: id.into(), name: None }, &json!({ "id": id }));
        }
        snapshot
    }

    fn read_parts(snapshot: &Snapshot, filter: &TenantViewerFilter) -> Vec<Value> {
        let parts = snapshot.parts(filter);
        let all = 0..parts.len();
        all.map(|part| serde_json::from_slice(&snapshot.part(filter, &parts, part, false).json()).expect("JSON"))
            .collect()
    }

    #[test]
    fn a_snapshot_comes_in_parts_that_hold_every_agent_once_and_the_id_in_the_last() {
        let parts = read_parts(&snapshot(1000), &TenantViewerFilter::default());
        assert!(parts.len() > 1, "{}", parts.len());
        let agents: Vec<_> = parts.iter().flat_map(|part| part["agents"].as_array().expect("agents")).collect();
        let expected: Vec<_> = (0..1000).map(|agent| format!("u_{agent}")).collect();
        assert_eq!(agents.iter().map(|agent| agent["id"].as_str().expect("an id")).collect::<Vec<_>>(), expected);
        for (nth, part) in parts.iter().enumerate() {
            assert_eq!((&part["part"], &part["parts"]), (&json!(nth + 1), &json!(parts.len())));
            assert_eq!(part["id"], if nth + 1 == parts.len() { json!(17) } else { Value::Null });
        }
        assert_eq!(parts[0]["age_ms"], json!(1500));
        let last = parts.last().expect("a part");
        assert_eq!((&last["skills"], &last["queues"]), (&json!([{"id": "s_1"}]), &json!([{"id": "q_1"}])));
    }

    #[test]
    fn a_viewer_gets_the_requested_agents_and_an_empty_snapshot_is_one_part() {
        let at = |narrow: ViewerFilter| narrow.for_tenant(&"acme".into());
        let care = at(ViewerFilter { teams: vec!["Care".into()], ..ViewerFilter::default() });
        let parts = read_parts(&snapshot(1000), &care);
        let teams: Vec<_> = parts.iter().flat_map(|part| part["agents"].as_array().expect("agents")).collect();
        assert_eq!(teams.len(), 500);
        assert!(teams.iter().all(|agent| agent["team"] == "Care"));
        let nobody = at(ViewerFilter { teams: vec!["Nobody".into()], ..ViewerFilter::default() });
        for (snapshot, narrow) in [(snapshot(1000), nobody), (snapshot(0), TenantViewerFilter::default())] {
            let parts = read_parts(&snapshot, &narrow);
            assert_eq!(parts.len(), 1);
            assert_eq!((&parts[0]["agents"], &parts[0]["id"]), (&json!([]), &json!(17)));
        }
    }
}
