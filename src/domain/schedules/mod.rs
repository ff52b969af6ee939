//! Schedules: shifts and their activities, breaks, required staff, and the files that they are imported from.

pub mod breaks;
pub mod comparison;
pub mod edit;
pub mod export;
pub mod findings;
pub mod import;
pub mod offer;
pub mod platform_schedule;
pub mod rest;
pub mod schedule;
pub mod staffing;
