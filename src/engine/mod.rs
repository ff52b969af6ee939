//! The daemon's workers, which observe, decide, act and record, and the code that keeps them running.
//!
//! Each tenant has one keeper, which owns the tenant's live view and its open transitions. A pass of the keeper handles
//! the messages that have arrived, decides, and writes all effects in one commit; nothing leaves the process before the
//! commit. If the commit fails, the pass is discarded and the keeper restarts from the store, as it does after a crash.

pub mod access;
pub mod adherence;
pub mod agents;
pub mod analytics;
pub mod audit;
pub mod changes;
pub mod jobs;
pub mod keeper;
pub mod keeper_message;
pub mod live;
pub mod operations;
pub mod platform;
pub mod rules;
pub mod webhooks;
