//! Operations: the server, the store, the log, the clock, and the tenants.

pub(super) mod log;
pub(super) mod server;
pub(super) mod store;
pub(super) mod tenant;
pub(super) mod time;
