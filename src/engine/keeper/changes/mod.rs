//! Changes of agent states: requested, sent, confirmed or given up.

pub(super) mod answers;
pub(super) mod book;
pub(super) mod dispatch;
pub(super) mod doubt;
pub(super) mod moot;
pub(super) mod requests;
pub(super) mod sets;
