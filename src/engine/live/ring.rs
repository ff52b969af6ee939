//! The recently published messages, in order, which each viewer reads at its own pace.
//!
//! The ring is bounded by count and size. A reader behind the oldest entry has fallen behind and is told so; publishers
//! never wait for readers. Older messages are in the store.

use std::collections::VecDeque;

use super::filter::{MessageSubject, TenantViewerFilter};
use super::frame::Frame;

/// The most entries; enough for a burst of ten thousand agents.
const MAX_ENTRIES: usize = 16_384;

/// The most bytes of encoded messages.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The most entries read at once, because publishers wait meanwhile.
const MAX_ENTRIES_PER_READ: usize = 1024;

/// The content of one position.
#[derive(Debug)]
enum EntryContent {
    Message(Frame, MessageSubject),
    /// Something was committed and not published: it is only in the store.
    Gap,
}

#[derive(Debug)]
struct Entry {
    content: EntryContent,
    /// The highest id of a history row up to here.
    last_id: u64,
}

/// The entries of one tenant.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    /// The position of the oldest entry.
    first_position: u64,
    bytes: usize,
    last_id: u64,
    /// Entries before this position are followed by a gap.
    complete_from: u64,
    max_entries: usize,
    max_bytes: usize,
}

/// Why a reader cannot continue from its position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RingReadError {
    /// The next entry has been discarded.
    FellBehind,
    /// The next entry was not published and must be read from the store.
    Gap,
}

impl Default for Ring {
    fn default() -> Self {
        Self::with_limits(MAX_ENTRIES, MAX_BYTES)
    }
}

impl Ring {
    fn with_limits(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first_position: 0,
            bytes: 0,
            last_id: 0,
            complete_from: 0,
            max_entries,
            max_bytes,
        }
    }

    /// Returns the position of the next entry to be added.
    pub(super) fn next_position(&self) -> u64 {
        self.first_position + self.entries.len() as u64
    }

    /// Returns the highest id of a committed history row.
    pub(super) const fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Returns whether the ring has everything since this position.
    pub(super) const fn is_complete_from(&self, position: u64) -> bool {
        self.first_position <= position && self.complete_from <= position
    }

    /// Adds a message.
    pub(super) fn push(&mut self, frame: Frame, about: MessageSubject) {
        self.last_id = self.last_id.max(frame.id().unwrap_or(0));
        self.bytes += frame.size();
        self.add(EntryContent::Message(frame, about));
    }

    /// Records that something was committed and not published, with history up to this id. Readers must use the store.
    pub(super) fn push_gap(&mut self, last_id: Option<u64>) {
        self.last_id = last_id.unwrap_or(self.last_id);
        self.add(EntryContent::Gap);
        self.complete_from = self.next_position();
    }

    /// Discards all entries, because nobody reads them.
    pub(super) fn clear(&mut self) {
        self.first_position = self.next_position();
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    fn add(&mut self, content: EntryContent) {
        self.entries.push_back(Entry { content, last_id: self.last_id });
        while self.entries.len() > self.max_entries || self.bytes > self.max_bytes {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.first_position += 1;
            if let EntryContent::Message(frame, _) = oldest.content {
                self.bytes -= frame.size();
            }
        }
    }

    /// Returns the position after the message with this id; `None` if it is not in the ring or a gap follows it.
    pub(super) fn position_after_id(&self, id: u64) -> Option<u64> {
        let index = self.entries.partition_point(|entry| entry.last_id < id);
        let EntryContent::Message(frame, _) = &self.entries.get(index)?.content else { return None };
        (frame.id() == Some(id)).then_some(self.first_position + index as u64 + 1)
    }

    /// Reads messages for a viewer from `position` on: up to `max_bytes`, but at least one message. Returns the
    /// position to continue from.
    pub(super) fn read(
        &self,
        position: u64,
        filter: &TenantViewerFilter,
        max_bytes: usize,
        into: &mut Vec<Frame>,
    ) -> Result<u64, RingReadError> {
        let index = position.checked_sub(self.first_position).ok_or(RingReadError::FellBehind)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let (mut position, mut bytes) = (position, 0);
        for entry in self.entries.range(index.min(self.entries.len())..).take(MAX_ENTRIES_PER_READ) {
            match &entry.content {
                // What was read before the gap is sent first.
                EntryContent::Gap if into.is_empty() => return Err(RingReadError::Gap),
                EntryContent::Gap => break,
                EntryContent::Message(frame, about) if filter.matches(about) => {
                    if bytes > 0 && bytes + frame.size() > max_bytes {
                        break;
                    }
                    bytes += frame.size();
                    into.push(frame.clone());
                }
                EntryContent::Message(..) => {}
            }
            position += 1;
        }
        Ok(position)
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

    fn read_all(ring: &Ring, mut position: u64) -> Result<Vec<Option<u64>>, RingReadError> {
        let mut frames = Vec::new();
        while position < ring.next_position() {
            position = ring.read(position, &TenantViewerFilter::default(), 50, &mut frames)?;
        }
        Ok(ids(&frames))
    }

    #[test]
    fn a_reader_continues_from_any_position_in_chunks() {
        let mut ring = Ring::with_limits(100, 10_000);
        for id in [Some(7), None, Some(9), None, None] {
            ring.push(message(id), MessageSubject::All);
        }
        assert_eq!(read_all(&ring, 0), Ok(vec![Some(7), None, Some(9), None, None]));
        let mut some = Vec::new();
        let size = message(Some(7)).size() + message(None).size();
        let place = ring.read(0, &TenantViewerFilter::default(), size, &mut some).expect("here");
        assert_eq!((place, ids(&some)), (2, vec![Some(7), None]));
        let mut one = Vec::new();
        assert_eq!(ring.read(0, &TenantViewerFilter::default(), 1, &mut one), Ok(1), "at least one, however large");
        assert_eq!(ring.read(5, &TenantViewerFilter::default(), 50, &mut Vec::new()), Ok(5), "nothing more");
    }

    #[test]
    fn a_reader_with_an_id_continues_after_it() {
        let mut ring = Ring::with_limits(100, 10_000);
        for id in [Some(7), None, Some(9), None] {
            ring.push(message(id), MessageSubject::All);
        }
        assert_eq!(read_all(&ring, ring.position_after_id(7).expect("here")), Ok(vec![None, Some(9), None]));
        assert_eq!(read_all(&ring, ring.position_after_id(9).expect("here")), Ok(vec![None]));
        for unknown in [0, 6, 8, 10] {
            assert_eq!(ring.position_after_id(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_oldest_entries_are_dropped_and_their_readers_fall_behind() {
        let mut ring = Ring::with_limits(3, 10_000);
        for id in 1..=5 {
            ring.push(message(Some(id)), MessageSubject::All);
        }
        assert_eq!(read_all(&ring, 1), Err(RingReadError::FellBehind));
        assert_eq!(read_all(&ring, 2), Ok(vec![Some(3), Some(4), Some(5)]));
        assert_eq!((ring.position_after_id(2), ring.position_after_id(3)), (None, Some(3)));
        let size = message(Some(5)).size();
        let mut small = Ring::with_limits(100, 2 * size);
        for id in 1..=5 {
            small.push(message(Some(id)), MessageSubject::All);
        }
        assert_eq!(read_all(&small, 3), Ok(vec![Some(4), Some(5)]));
        assert_eq!((read_all(&small, 2), small.bytes), (Err(RingReadError::FellBehind), 2 * size));
    }

    #[test]
    fn a_gap_sends_readers_to_the_store_once_they_have_what_came_before() {
        let mut ring = Ring::default();
        ring.push(message(Some(1)), MessageSubject::All);
        ring.push_gap(Some(3));
        ring.push(message(Some(4)), MessageSubject::All);
        let mut before = Vec::new();
        assert_eq!(ring.read(0, &TenantViewerFilter::default(), 1000, &mut before), Ok(1));
        assert_eq!(ids(&before), [Some(1)]);
        assert_eq!(ring.read(1, &TenantViewerFilter::default(), 1000, &mut Vec::new()), Err(RingReadError::Gap));
        assert_eq!(read_all(&ring, 2), Ok(vec![Some(4)]));
        assert_eq!((ring.position_after_id(3), ring.last_id()), (None, 4));
        assert!(!ring.is_complete_from(1) && ring.is_complete_from(2));
    }

    #[test]
    fn a_reader_after_unpublished_changes_is_sent_to_the_store() {
        let mut ring = Ring::default();
        ring.push(message(Some(1)), MessageSubject::All);
        let place = ring.position_after_id(1).expect("here");
        ring.clear();
        ring.push_gap(None);
        assert_eq!(ring.read(place, &TenantViewerFilter::default(), 1000, &mut Vec::new()), Err(RingReadError::Gap));
        assert_eq!((ring.position_after_id(1), ring.last_id(), ring.bytes), (None, 1, 0));
        assert!(!ring.is_complete_from(place) && ring.is_complete_from(ring.next_position()));
    }
}
