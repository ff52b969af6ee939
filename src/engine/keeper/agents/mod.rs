//! Agents: what snapshots and the feed show of them, their skills, and their erasure.

pub(super) mod erase;
pub(super) mod fed;
pub(super) mod files;
pub(super) mod in_sight;
pub(super) mod observe;
pub(super) mod skills;
