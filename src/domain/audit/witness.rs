//! What heads say of a chain: entry by entry, in order, with a memory that does not grow with the chain.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::head::{HeadClaim, MARK_BYTES};
use super::{BadEntry, ChainHead, Hash};

/// Heads that are asked about one entry. Two that were kept in two places are one; where a chain was signed twice, after a
/// database was set back, there are more.
const MOST_ASKED: usize = 4;

/// Heads, in the order of their numbers, that are held against entries, in theirs. Heads must have been found to hold.
#[derive(Debug, Default)]
pub struct Witnesses {
    heads: VecDeque<HeadClaim>,
    /// Up to here the entries were found to be those that heads speak of.
    vouched: u64,
}

impl Witnesses {
    /// Adds a head; the same again is one.
    pub fn add(&mut self, head: HeadClaim) {
        let place = self.heads.partition_point(|other| other.seq < head.seq);
        if !self.heads.range(place..).take_while(|other| other.seq == head.seq).any(|other| *other == head) {
            self.heads.insert(place, head);
        }
    }

    /// The number of the last entry that a head speaks of.
    pub fn last(&self) -> u64 {
        self.heads.back().map_or(0, |head| head.seq)
    }

    /// Asks about the next entry.
    ///
    /// # Errors
    /// A head speaks of another entry with this number.
    pub fn confirm(&mut self, entry: ChainHead) -> Result<(), BadEntry> {
        let ChainHead { seq, hash } = entry;
        while self.heads.front().is_some_and(|head| head.seq < seq) {
            self.heads.pop_front();
        }
        for head in self.heads.iter().take(MOST_ASKED) {
            match says(head, seq, hash) {
                None => {}
                Some(true) => self.vouched = seq,
                Some(false) => return Err(BadEntry { seq, reason: self.not_the_same(head, seq) }),
            }
        }
        Ok(())
    }

    /// Asks whether the chain may end after entry `last`.
    ///
    /// # Errors
    /// A head speaks of later entries.
    pub fn confirm_end(&self, last: u64) -> Result<(), BadEntry> {
        match self.heads.iter().find(|head| head.seq > last) {
            None => Ok(()),
            Some(head) => Err(BadEntry {
                seq: last + 1,
                reason: format!("it is missing: a head of {} says that the chain goes to entry {}", head.at, head.seq),
            }),
        }
    }

    fn not_the_same(&self, head: &HeadClaim, seq: u64) -> String {
        let mut reason = format!("a head of {} (entry {}) speaks of another entry here", head.at, head.seq);
        if self.vouched + 1 < seq {
            let first = self.vouched + 1;
            let _ = write!(reason, "; entries {first} to {} are vouched for by no head at hand", seq - 1);
        }
        reason
    }
}

/// Whether a head speaks of this entry; `None` when it says nothing of it.
fn says(head: &HeadClaim, seq: u64, hash: Hash) -> Option<bool> {
    if head.seq == seq {
        return Some(head.hash == hash);
    }
    head.mark_of(seq).map(|mark| Some(mark) == hash.0.get(..MARK_BYTES))
}
