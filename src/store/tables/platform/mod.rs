//! The platform: calls to it, which the budget counts.

pub(in crate::store) mod calls;
