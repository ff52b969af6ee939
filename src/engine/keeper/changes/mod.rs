//! Changes of agent states: requested, sent, confirmed or given up.

pub(super) mod change_sets;
pub(super) mod dispatch;
pub(super) mod doubt;
pub(super) mod obsolete;
pub(super) mod open_transitions;
pub(super) mod requests;
pub(super) mod responses;
pub(super) mod settle;
