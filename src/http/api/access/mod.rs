//! Access: accounts, API tokens, and what callers may know and change of their own account.

pub(in crate::http) mod accounts;
pub(in crate::http) mod me;
pub(in crate::http) mod own;
pub(in crate::http) mod tokens;
