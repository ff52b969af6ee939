//! The hub of live messages: keepers publish what they committed, and viewers read it at their own pace.
//!
//! A message is encoded once and kept in a bounded ring per tenant; a viewer is a position in it. Publishing never
//! waits: a viewer that falls behind the ring is told so and dropped. The live view itself belongs to the keeper, which
//! is asked for it; messages from before are read from the store. Without viewers of a tenant, nothing is encoded and
//! nothing is kept.

pub mod figures;
pub mod filter;
pub mod frame;
mod hub;
pub mod message;
mod ring;
pub mod snapshot;
mod topic;
mod viewer;

pub use hub::{HEARTBEAT_REAL, Live, ViewerCounts, ViewerRejection};
pub use topic::Topic;
pub use viewer::{Viewer, ViewerOutput, ViewerRequest};
