//! Verifies a chain against signed heads, entry by entry, in memory that does not grow with the chain.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::head::{HeadClaim, MARK_BYTES};
use super::{ChainHead, Hash, InvalidEntry};

/// The largest number of heads compared with one entry. Copies of the same head count once; there is more than one
/// where a chain was signed twice after the database was reset.
const MAX_HEADS_PER_ENTRY: usize = 4;

/// Heads, ordered by entry number, to compare with entries in the same order. The heads must already be verified.
#[derive(Debug, Default)]
pub struct HeadVerifier {
    heads: VecDeque<HeadClaim>,
    /// The number of the last entry that was found to match the heads.
    verified_through: u64,
}

impl HeadVerifier {
    /// Adds a head; duplicates are ignored.
    pub fn add(&mut self, head: HeadClaim) {
        let index = self.heads.partition_point(|other| other.seq < head.seq);
        if !self.heads.range(index..).take_while(|other| other.seq == head.seq).any(|other| *other == head) {
            self.heads.insert(index, head);
        }
    }

    /// Verifies the next entry.
    ///
    /// # Errors
    /// Returns an error if a head covers a different entry with this number.
    pub fn verify_entry(&mut self, entry: ChainHead) -> Result<(), InvalidEntry> {
        let ChainHead { seq, hash } = entry;
        while self.heads.front().is_some_and(|head| head.seq < seq) {
            self.heads.pop_front();
        }
        for head in self.heads.iter().take(MAX_HEADS_PER_ENTRY) {
            match head_matches(head, seq, hash) {
                None => {}
                Some(true) => self.verified_through = seq,
                Some(false) => return Err(InvalidEntry { seq, reason: self.mismatch_text(head, seq) }),
            }
        }
        Ok(())
    }

    /// Verifies that the chain may end after entry `last`.
    ///
    /// # Errors
    /// Returns an error if a head covers later entries.
    pub fn verify_end(&self, last: u64) -> Result<(), InvalidEntry> {
        match self.heads.iter().find(|head| head.seq > last) {
            None => Ok(()),
            Some(head) => Err(InvalidEntry {
                seq: last + 1,
                reason: format!("it is missing: a head of {} says that the chain goes to entry {}", head.at, head.seq),
            }),
        }
    }

    fn mismatch_text(&self, head: &HeadClaim, seq: u64) -> String {
        let mut reason = format!("a head of {} (entry {}) has a different hash for this entry", head.at, head.seq);
        if self.verified_through + 1 < seq {
            let first = self.verified_through + 1;
            let _ = write!(reason, "; entries {first} to {} are not covered by an available head", seq - 1);
        }
        reason
    }
}

/// Returns whether the head matches this entry; `None` if the head does not cover it.
fn head_matches(head: &HeadClaim, seq: u64, hash: Hash) -> Option<bool> {
    if head.seq == seq {
        return Some(head.hash == hash);
    }
    head.mark_of(seq).map(|mark| Some(mark) == hash.0.get(..MARK_BYTES))
}
