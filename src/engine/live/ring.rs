//! What was told lately, in order, for every viewer to read at its own pace.
//!
//! It is bounded by count and by size. Whoever falls behind its oldest entry has fallen off and is told so; nobody waits for
//! anybody here. What is before the oldest entry stands in the store.

use std::collections::VecDeque;

use super::frame::Frame;
use super::narrow::{About, NarrowAt};

/// The most entries, so that a burst of ten thousand agents fits.
const MOST_ENTRIES: usize = 16_384;

/// The most bytes of encoded messages.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Entries that one look goes over at most, since a publisher waits for it.
const MOST_LOOKED_AT: usize = 1024;

/// What viewers find at a place.
#[derive(Debug)]
enum What {
    Message(Frame, About),
    /// Something happened that nobody was told of: it stands in the store alone.
    Gap,
}

#[derive(Debug)]
struct Entry {
    what: What,
    /// The highest id of a history row up to here.
    upto: u64,
}

/// The entries of one tenant.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    /// The number of the oldest entry.
    first: u64,
    bytes: usize,
    last_id: u64,
    /// What leads up to this place does not lead on.
    broken_at: u64,
    most_entries: usize,
    most_bytes: usize,
}

/// Why a reader cannot go on from where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    /// What comes next is forgotten.
    FellOff,
    /// What comes next went untold and is to be read from the store.
    Gap,
}

impl Default for Ring {
    fn default() -> Self {
        Self::holding(MOST_ENTRIES, MOST_BYTES)
    }
}

impl Ring {
    fn holding(most_entries: usize, most_bytes: usize) -> Self {
        Self { entries: VecDeque::new(), first: 0, bytes: 0, last_id: 0, broken_at: 0, most_entries, most_bytes }
    }

    /// The place that the next entry gets.
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The highest id of a history row that was committed.
    pub(super) const fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Whether everything that happened from this place on is here.
    pub(super) const fn leads_on_from(&self, place: u64) -> bool {
        self.first <= place && self.broken_at <= place
    }

    /// Adds a message.
    pub(super) fn push(&mut self, frame: Frame, about: About) {
        self.last_id = self.last_id.max(frame.id().unwrap_or(0));
        self.bytes += frame.size();
        self.add(What::Message(frame, about));
    }

    /// Something happened that nobody was told of, with history up to this id. Readers are sent to the store.
    pub(super) fn gap(&mut self, last_id: Option<u64>) {
        self.last_id = last_id.unwrap_or(self.last_id);
        self.add(What::Gap);
        self.broken_at = self.next();
    }

    /// Forgets what is here: nobody reads.
    pub(super) fn clear(&mut self) {
        self.first = self.next();
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    fn add(&mut self, what: What) {
        self.entries.push_back(Entry { what, upto: self.last_id });
        while self.entries.len() > self.most_entries || self.bytes > self.most_bytes {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.first += 1;
            if let What::Message(frame, _) = oldest.what {
                self.bytes -= frame.size();
            }
        }
    }

    /// The place behind the message with this id; `None` when it is not here, or when something went untold right behind it.
    pub(super) fn behind_id(&self, id: u64) -> Option<u64> {
        let index = self.entries.partition_point(|entry| entry.upto < id);
        let What::Message(frame, _) = &self.entries.get(index)?.what else { return None };
        (frame.id() == Some(id)).then_some(self.first + index as u64 + 1)
    }

    /// Takes what is at `place` and behind it for a viewer, up to `most_bytes` of it and at least one message; gives the place to
    /// go on from.
    pub(super) fn read(
        &self,
        place: u64,
        narrow: &NarrowAt,
        most_bytes: usize,
        into: &mut Vec<Frame>,
    ) -> Result<u64, Broken> {
        let index = place.checked_sub(self.first).ok_or(Broken::FellOff)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let (mut place, mut bytes) = (place, 0);
        for entry in self.entries.range(index.min(self.entries.len())..).take(MOST_LOOKED_AT) {
            match &entry.what {
                // What was taken before it goes out first.
                What::Gap if into.is_empty() => return Err(Broken::Gap),
                What::Gap => break,
                What::Message(frame, about) if narrow.passes(about) => {
                    if bytes > 0 && bytes + frame.size() > most_bytes {
                        break;
                    }
                    bytes += frame.size();
                    into.push(frame.clone());
                }
                What::Message(..) => {}
            }
            place += 1;
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::live::frame::Kind;

    fn message(id: Option<u64>) -> Frame {
        Frame::new(Kind::Agent, id, &json!({"id": id}))
    }

    fn ids(frames: &[Frame]) -> Vec<Option<u64>> {
        frames.iter().map(Frame::id).collect()
    }

    fn all(ring: &Ring, mut place: u64) -> Result<Vec<Option<u64>>, Broken> {
        let mut frames = Vec::new();
        while place < ring.next() {
            place = ring.read(place, &NarrowAt::default(), 50, &mut frames)?;
        }
        Ok(ids(&frames))
    }

    #[test]
    fn a_reader_goes_on_from_any_place_in_pieces_of_a_size() {
        let mut ring = Ring::holding(100, 10_000);
        for id in [Some(7), None, Some(9), None, None] {
            ring.push(message(id), About::All);
        }
        assert_eq!(all(&ring, 0), Ok(vec![Some(7), None, Some(9), None, None]));
        let mut some = Vec::new();
        let size = message(Some(7)).size() + message(None).size();
        let place = ring.read(0, &NarrowAt::default(), size, &mut some).expect("here");
        assert_eq!((place, ids(&some)), (2, vec![Some(7), None]));
        let mut one = Vec::new();
        assert_eq!(ring.read(0, &NarrowAt::default(), 1, &mut one), Ok(1), "at least one, however large");
        assert_eq!(ring.read(5, &NarrowAt::default(), 50, &mut Vec::new()), Ok(5), "nothing more");
    }

    #[test]
    fn a_reader_that_knows_an_id_goes_on_behind_it() {
        let mut ring = Ring::holding(100, 10_000);
        for id in [Some(7), None, Some(9), None] {
            ring.push(message(id), About::All);
        }
        assert_eq!(all(&ring, ring.behind_id(7).expect("here")), Ok(vec![None, Some(9), None]));
        assert_eq!(all(&ring, ring.behind_id(9).expect("here")), Ok(vec![None]));
        for unknown in [0, 6, 8, 10] {
            assert_eq!(ring.behind_id(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten_and_who_stood_there_has_fallen_off() {
        let mut ring = Ring::holding(3, 10_000);
        for id in 1..=5 {
            ring.push(message(Some(id)), About::All);
        }
        assert_eq!(all(&ring, 1), Err(Broken::FellOff));
        assert_eq!(all(&ring, 2), Ok(vec![Some(3), Some(4), Some(5)]));
        assert_eq!((ring.behind_id(2), ring.behind_id(3)), (None, Some(3)));
        let size = message(Some(5)).size();
        let mut small = Ring::holding(100, 2 * size);
        for id in 1..=5 {
            small.push(message(Some(id)), About::All);
        }
        assert_eq!(all(&small, 3), Ok(vec![Some(4), Some(5)]));
        assert_eq!((all(&small, 2), small.bytes), (Err(Broken::FellOff), 2 * size));
    }

    #[test]
    fn a_gap_sends_readers_to_the_store_once_they_have_what_came_before() {
        let mut ring = Ring::default();
        ring.push(message(Some(1)), About::All);
        ring.gap(Some(3));
        ring.push(message(Some(4)), About::All);
        let mut before = Vec::new();
        assert_eq!(ring.read(0, &NarrowAt::default(), 1000, &mut before), Ok(1));
        assert_eq!(ids(&before), [Some(1)]);
        assert_eq!(ring.read(1, &NarrowAt::default(), 1000, &mut Vec::new()), Err(Broken::Gap));
        assert_eq!(all(&ring, 2), Ok(vec![Some(4)]));
        assert_eq!((ring.behind_id(3), ring.last_id()), (None, 4));
        assert!(!ring.leads_on_from(1) && ring.leads_on_from(2));
    }

    #[test]
    fn who_comes_while_something_goes_untold_is_sent_to_the_store_and_not_away() {
        let mut ring = Ring::default();
        ring.push(message(Some(1)), About::All);
        let place = ring.behind_id(1).expect("here");
        ring.clear();
        ring.gap(None);
        assert_eq!(ring.read(place, &NarrowAt::default(), 1000, &mut Vec::new()), Err(Broken::Gap));
        assert_eq!((ring.behind_id(1), ring.last_id(), ring.bytes), (None, 1, 0));
        assert!(!ring.leads_on_from(place) && ring.leads_on_from(ring.next()));
    }
}
