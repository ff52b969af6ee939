//! Webhooks: delivery of the outbox.

pub mod deliver;
