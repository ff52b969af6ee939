//! Operations: what the workers must remember over a restart.

pub(in crate::store) mod upkeep;
