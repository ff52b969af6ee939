//! Operations: tenants and their settings, supervision of workers, readiness, status and the log.

pub mod log;
pub mod meter;
pub mod readiness;
pub mod settings;
pub mod status;
pub mod store_watch;
pub mod supervisor;
pub mod tenants;
pub mod workers;
