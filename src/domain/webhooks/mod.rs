//! Webhooks: events, their signatures and deliveries, and the addresses they may be sent to.

pub mod cloud_event;
pub mod delivery;
pub mod event;
pub mod signature;
pub mod target;
