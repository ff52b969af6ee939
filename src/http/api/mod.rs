//! The API, one file per resource. Handlers check rights, ask the engine or read the store, and build responses.

pub(super) mod access;
pub(super) mod adherence;
pub(super) mod agents;
pub(super) mod analytics;
pub(super) mod audit;
pub(super) mod changes;
pub(super) mod jobs;
pub(super) mod live;
pub(super) mod operations;
pub(super) mod platform;
pub(super) mod reports;
pub(super) mod rules;
pub(super) mod schedules;
pub(super) mod webhooks;
