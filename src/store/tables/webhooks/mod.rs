//! Webhooks: the events of the outbox, endpoints, deliveries and attempts.

pub(in crate::store) mod deliveries;
pub(in crate::store) mod delivery_reading;
pub(in crate::store) mod events;
