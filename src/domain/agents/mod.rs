//! Agents: who they are, their states and skills, how observations of them are merged, and how one is erased.

pub mod agent;
pub mod erasure;
pub mod merge;
pub mod roster;
pub mod sets;
pub mod skill;
pub mod state;
