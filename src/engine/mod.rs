//! The workers: what observes, decides, acts and records, and what keeps them alive.
//!
//! One keeper per tenant owns the tenant's picture and its open transitions. A pass of the keeper takes in what has arrived,
//! decides, and writes down everything that follows in one commit; only after the commit does anything leave the process. A
//! pass whose commit fails is forgotten whole: the keeper starts again from the store, on the path that also follows a crash.

pub mod accounts;
pub mod adherence_days;
pub mod analytics;
pub mod anomalies;
pub mod approvals;
pub mod board;
pub mod calls;
pub mod change_sets;
pub mod crew;
pub mod deliver;
pub mod door;
pub mod erase;
pub mod feed;
pub mod figures;
pub mod heads;
pub mod jobs;
pub mod keeper;
pub mod link;
pub mod live;
pub mod log;
pub mod message;
pub mod meter;
pub mod picture;
pub mod probe;
pub mod readiness;
pub mod repeats;
pub mod rules;
pub mod settings;
pub mod sight;
pub mod skills;
pub mod status;
pub mod store_watch;
pub mod supervisor;
pub mod tenants;
pub mod trials;
