//! The sender.

#[path = "../../../../src/engine/deliver/connection.rs"]
mod connection;
#[path = "../../../../src/engine/deliver/guard.rs"]
pub mod guard;
#[path = "../../../../src/engine/deliver/send.rs"]
pub mod send;
