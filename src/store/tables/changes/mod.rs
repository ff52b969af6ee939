//! Changes of agent states: transitions and bulk changes.

pub(in crate::store) mod change_sets;
pub(in crate::store) mod transition_reading;
pub(in crate::store) mod transitions;
