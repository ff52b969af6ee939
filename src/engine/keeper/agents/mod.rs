//! Agents: what snapshots and the feed show of them, gaps in between, their skills, and their erasure.

pub(super) mod erasure;
pub(super) mod feed;
pub(super) mod observation_gap;
pub(super) mod observe;
pub(super) mod observed_span;
pub(super) mod skills;
pub(super) mod tracking;
