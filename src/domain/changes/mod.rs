//! Changes of agent states: one change and its life cycle, bulk changes, and the policy that every change must obey.

pub mod change_set;
pub mod policy;
pub mod priority;
pub mod transition;
