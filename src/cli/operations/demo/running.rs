//! A running demo: what its status lines, its summary and its reports read.

use crate::clock::SharedClock;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::sim::{Receiver, Simulator};

/// A running demo.
pub(super) struct Demo {
    pub(super) clock: SharedClock,
    pub(super) tenants: Vec<TenantId>,
    pub(super) start: UtcMicros,
    pub(super) store_url: String,
    pub(super) simulator: Simulator,
    pub(super) receiver: Receiver,
}
