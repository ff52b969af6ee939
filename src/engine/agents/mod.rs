//! Agents: their current state for lists, their skills, and their erasure.

pub mod board;
pub mod erase;
pub mod picture;
pub mod skills;
