//! The workers: what observes, decides, acts and records, and what keeps them alive.
//!
//! One keeper per tenant owns the tenant's picture and its open transitions. A pass of the keeper takes in what has arrived,
//! decides, and writes down everything that follows in one commit; only after the commit does anything leave the process. A
//! pass whose commit fails is forgotten whole: the keeper starts again from the store, on the path that also follows a crash.

pub mod access;
pub mod adherence;
pub mod agents;
pub mod analytics;
pub mod audit;
pub mod changes;
pub mod jobs;
pub mod keeper;
pub mod live;
pub mod message;
pub mod operations;
pub mod platform;
pub mod rules;
pub mod webhooks;
