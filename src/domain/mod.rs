//! The words and laws of Shiftkeeper, pure: no clock, no IO, no runtime, nothing else of ours.
//!
//! Everything here is a function of its arguments. Time and randomness come in as values, so that the same code decides
//! live, in a dry run and over last week's history.

pub mod account;
pub mod adherence;
pub mod agent;
pub mod analytics;
pub mod analytics_run;
pub mod anomaly;
pub mod audit;
pub mod breaks;
pub mod change_set;
pub mod cloud_event;
pub mod cron;
pub mod delivery;
pub mod erasure;
pub mod event;
pub mod exception;
pub mod figures;
pub mod ids;
pub mod import;
pub mod job;
pub mod merge;
pub mod network;
pub mod planner;
pub mod policy;
pub mod priority;
pub mod replay;
pub mod report_run;
pub mod rights;
pub mod roster;
pub mod rule;
pub mod schedule;
pub mod secret;
pub mod series;
pub mod sets;
pub mod signature;
pub mod skill;
pub mod span;
pub mod state;
pub mod target;
pub mod thresholds;
pub mod throttle;
pub mod time;
pub mod transition;
pub mod trend;
pub mod words;
