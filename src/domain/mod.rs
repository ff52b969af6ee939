//! The domain model and rules of Shiftkeeper: pure code without a clock, I/O, a runtime or other modules of this crate.
//!
//! Every result depends on the arguments alone. Time and randomness are passed in as values, so that the same code
//! decides live, in a dry run and in a backtest.

pub mod access;
pub mod adherence;
pub mod agents;
pub mod analytics;
pub mod audit;
pub mod changes;
pub mod ids;
pub mod jobs;
pub mod live;
pub mod reports;
pub mod rules;
pub mod schedules;
pub mod time;
pub mod webhooks;
pub mod wording;
