//! API calls to the platform, which the budget counts.

pub(in crate::store) mod calls;
