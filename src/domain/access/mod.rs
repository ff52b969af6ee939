//! Access: accounts, tokens and sessions, the rights of each role, secrets, networks and rate limits.

pub mod account;
pub mod network;
pub mod rights;
pub mod secret;
pub mod throttle;
