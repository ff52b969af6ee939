//! The words and laws of Shiftkeeper, pure: no clock, no IO, no runtime, nothing else of ours.
//!
//! Everything here is a function of its arguments. Time and randomness come in as values, so that the same code decides
//! live, in a dry run and over last week's history.

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
pub mod words;
