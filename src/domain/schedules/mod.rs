//! Schedules: shifts and their activities, breaks, and the files that shifts are imported from.

pub mod breaks;
pub mod comparison;
pub mod edit;
pub mod findings;
pub mod import;
pub mod platform_schedule;
pub mod rest;
pub mod schedule;
