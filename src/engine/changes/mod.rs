//! Changes of agent states: how people and systems request them, one at a time or in bulk.

pub mod change_sets;
pub mod idempotency;
pub mod keeper_handle;
pub mod request;
