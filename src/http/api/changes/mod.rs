//! Changes of agent states: single changes and bulk changes.

pub(in crate::http) mod change_sets;
pub(in crate::http) mod transitions;
