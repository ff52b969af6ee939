//! Scheduled jobs: what names one, and when it is due.

pub mod cron;
pub mod job;
