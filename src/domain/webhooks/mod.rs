//! Webhooks: events, how they are signed and delivered, and where they may be sent.

pub mod cloud_event;
pub mod delivery;
pub mod event;
pub mod signature;
pub mod target;
