//! Agents: their current state for lists, their skills, and their erasure.

pub mod agent_list;
pub mod agent_list_cache;
pub mod erasure;
pub mod skills;
pub mod stored_live_view;
