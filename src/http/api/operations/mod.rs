//! Operations: health, the status of the daemon, and its tenants.

pub(in crate::http) mod health;
pub(in crate::http) mod status;
pub(in crate::http) mod tenants;
