//! Access: the account of the person who is signed in.

pub(super) mod account;
