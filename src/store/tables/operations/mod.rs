//! Operations: the state that the workers keep across restarts.

pub(in crate::store) mod upkeep;
