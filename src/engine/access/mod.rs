//! Access: accounts, API tokens and sessions, held in memory.

pub mod accounts;
