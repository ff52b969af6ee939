//! Publishing: what the outbox holds is sent to the endpoints that want it.
//!
//! `send` makes one attempt and says what came of it; whether and when another follows is decided elsewhere.

mod connection;
pub mod guard;
pub mod send;
