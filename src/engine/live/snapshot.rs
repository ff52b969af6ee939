//! A tenant's picture at one place of the ring, encoded once for all viewers: each takes the pieces that it asked for, in parts
//! of a size.

use std::io::Write as _;
use std::ops::Range;

use serde::Serialize;

use super::frame::{Frame, Kind};
use super::message::millis;
use super::narrow::{About, NarrowAt};
use crate::clock::Stopwatch;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The bytes of agents that a part holds, so that no viewer needs much room, however many agents there are.
const PART_BYTES: usize = 12 * 1024;

/// Where a piece of the picture belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// Agents.
    Agents,
    /// Figures of skills.
    Skills,
    /// Figures of queues.
    Queues,
}

/// The lists in the order in which they stand in a message, with their names.
const LISTS: [(List, &str); 3] = [(List::Agents, "agents"), (List::Skills, "skills"), (List::Queues, "queues")];

#[derive(Debug)]
struct Piece {
    list: List,
    about: About,
    end: usize,
}

/// The picture.
#[derive(Debug)]
pub struct Snapshot {
    tenant: TenantId,
    at: UtcMicros,
    seen_at: Option<UtcMicros>,
    last_id: u64,
    /// The place in the ring from which on changes follow it.
    place: u64,
    taken: Stopwatch,
    /// The JSON of the pieces, one behind the other.
    text: Vec<u8>,
    pieces: Vec<Piece>,
}

/// What stands in every part before the agents.
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
    /// The picture of a tenant at `at`: of what was committed up to the row `last_id`, followed by what stands in the ring from
    /// `place` on.
    pub fn new(tenant: TenantId, (last_id, place): (u64, u64), at: UtcMicros, seen_at: Option<UtcMicros>) -> Self {
        let (text, pieces) = (Vec::new(), Vec::new());
        Self { tenant, at, seen_at, last_id, place, taken: Stopwatch::start(), text, pieces }
    }

    /// Adds an agent, or the figures of a skill or a queue.
    pub fn push(&mut self, list: List, about: About, piece: &impl Serialize) {
        let before = self.text.len();
        if let Err(error) = serde_json::to_writer(&mut self.text, piece) {
            // The shapes are ours and have text for keys.
            tracing::error!(%error, "defect: a piece of the picture cannot be encoded");
            self.text.truncate(before);
            return;
        }
        self.pieces.push(Piece { list, about, end: self.text.len() });
    }

    pub(super) const fn last_id(&self) -> u64 {
        self.last_id
    }

    pub(super) const fn place(&self) -> u64 {
        self.place
    }

    pub(super) const fn at(&self) -> UtcMicros {
        self.at
    }

    /// How long ago it was taken.
    pub(super) const fn taken(&self) -> &Stopwatch {
        &self.taken
    }

    /// The pieces of each part for a viewer; at least one part.
    pub(super) fn parts(&self, narrow: &NarrowAt) -> Vec<Range<usize>> {
        let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
        for index in 0..self.pieces.len() {
            let Some(size) = self.wanted(index, narrow).map(<[u8]>::len) else { continue };
            if bytes > 0 && bytes + size > PART_BYTES {
                parts.push(from..index);
                (from, bytes) = (index, 0);
            }
            bytes += size;
        }
        parts.push(from..self.pieces.len());
        parts
    }

    /// A piece that the viewer asked for.
    fn wanted(&self, index: usize, narrow: &NarrowAt) -> Option<&[u8]> {
        let piece = self.pieces.get(index).filter(|piece| narrow.passes(&piece.about))?;
        let start = index.checked_sub(1).map_or(0, |before| self.pieces[before].end);
        self.text.get(start..piece.end)
    }

    /// A part as a message. The last one has the id: who breaks off before has not got the picture. `resumed`: what the viewer
    /// knew before and the rows that it was told lead up to it.
    pub(super) fn part(&self, narrow: &NarrowAt, parts: &[Range<usize>], part: usize, resumed: bool) -> Frame {
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
        // The object goes on with the lists.
        json.pop();
        let pieces = parts.get(part).cloned().unwrap_or_default();
        for (list, name) in LISTS {
            // Writing to a Vec cannot fail.
            let _ = write!(json, ",\"{name}\":[");
            let of_list =
                pieces.clone().filter(|index| self.pieces.get(*index).is_some_and(|piece| piece.list == list));
            for (nth, piece) in of_list.filter_map(|index| self.wanted(index, narrow)).enumerate() {
                if nth > 0 {
                    json.push(b',');
                }
                json.extend_from_slice(piece);
            }
            json.push(b']');
        }
        json.push(b'}');
        Frame::of_json(Kind::Snapshot, id, id.map(|id| id.to_string()).as_deref(), &json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::live::narrow::{Narrow, Place};

    fn snapshot(agents: usize) -> Snapshot {
        let at = UtcMicros::from_micros(2_000_000);
        let mut snapshot = Snapshot::new("acme".into(), (17, 5), at, Some(UtcMicros::from_micros(500_000)));
        for agent in 0..agents {
            let team = if agent % 2 == 0 { "Billing" } else { "Care" };
            let place = Place { team: Some(team.into()), ..Place::default() };
            snapshot.push(List::Agents, About::agent(place), &json!({"id": format!("u_{agent}"), "team": team}));
        }
        for (list, id) in [(List::Skills, "s_1"), (List::Queues, "q_1")] {
            snapshot.push(list, About::Figures { id: id.into(), name: None }, &json!({ "id": id }));
        }
        snapshot
    }

    fn told(snapshot: &Snapshot, narrow: &NarrowAt) -> Vec<Value> {
        let parts = snapshot.parts(narrow);
        let all = 0..parts.len();
        all.map(|part| serde_json::from_slice(&snapshot.part(narrow, &parts, part, false).json()).expect("JSON"))
            .collect()
    }

    #[test]
    fn a_snapshot_comes_in_parts_that_hold_every_agent_once_and_the_id_in_the_last() {
        let parts = told(&snapshot(1000), &NarrowAt::default());
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
    fn a_viewer_gets_the_agents_it_asked_for_and_an_empty_picture_is_one_part() {
        let at = |narrow: Narrow| narrow.at(&"acme".into());
        let care = at(Narrow { teams: vec!["Care".into()], ..Narrow::default() });
        let parts = told(&snapshot(1000), &care);
        let teams: Vec<_> = parts.iter().flat_map(|part| part["agents"].as_array().expect("agents")).collect();
        assert_eq!(teams.len(), 500);
        assert!(teams.iter().all(|agent| agent["team"] == "Care"));
        let nobody = at(Narrow { teams: vec!["Nobody".into()], ..Narrow::default() });
        for (snapshot, narrow) in [(snapshot(1000), nobody), (snapshot(0), NarrowAt::default())] {
            let parts = told(&snapshot, &narrow);
            assert_eq!(parts.len(), 1);
            assert_eq!((&parts[0]["agents"], &parts[0]["id"]), (&json!([]), &json!(17)));
        }
    }
}
