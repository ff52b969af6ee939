//! Access: accounts, API tokens, and the caller's own account.

pub(in crate::http) mod accounts;
pub(in crate::http) mod me;
pub(in crate::http) mod own_account;
pub(in crate::http) mod tokens;
