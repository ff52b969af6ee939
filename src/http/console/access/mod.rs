//! Access: the account of the signed-in user.

pub(super) mod account;
