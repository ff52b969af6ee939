//! Changes of agent states: single changes and their life cycle, bulk changes, and the policy for all changes.

pub mod change_set;
pub mod policy;
pub mod priority;
pub mod transition;
mod transition_status;
