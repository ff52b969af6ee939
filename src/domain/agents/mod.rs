//! Agents: their identity, states and skills, how observations are merged, and erasure.

pub mod agent;
pub mod erasure;
pub mod kind_sets;
pub mod merge;
pub mod past_states;
pub mod roster;
pub mod skill;
pub mod staffing;
pub mod state;
pub mod unavailable_codes;
