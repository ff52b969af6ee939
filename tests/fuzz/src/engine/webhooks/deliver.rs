//! The sender.

#[path = "../../../../../src/engine/webhooks/deliver/connection.rs"]
mod connection;
#[path = "../../../../../src/engine/webhooks/deliver/guard.rs"]
pub mod guard;
#[path = "../../../../../src/engine/webhooks/deliver/send.rs"]
pub mod send;
