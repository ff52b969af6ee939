//! The numbers of agents and teams in one roster.

/// An agent's index in the roster; valid until the next [`Roster::upsert`](super::Roster::upsert) or [`Roster::remove`](super::Roster::remove).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AgentIndex(pub(super) u32);

impl AgentIndex {
    /// Returns the position in [`Roster::agents`](super::Roster::agents).
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// A team's number in one roster. Agents without a known team share [`TeamIndex::NONE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TeamIndex(pub(super) u16);

impl TeamIndex {
    /// No known team.
    pub const NONE: Self = Self(0);

    /// Returns the position in tables of length [`Roster::team_count`](super::Roster::team_count).
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}
