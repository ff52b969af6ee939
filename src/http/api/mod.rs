//! The API, a file per resource. Handlers check rights, ask the engine or read the store, and shape answers.

pub(super) mod accounts;
pub(super) mod agents;
pub(super) mod approvals;
pub(super) mod audit;
pub(super) mod change_sets;
pub(super) mod course;
pub(super) mod erasures;
pub(super) mod exceptions;
pub(super) mod figures;
pub(super) mod health;
pub(super) mod imports;
pub(super) mod jobs;
pub(super) mod me;
pub(super) mod own;
pub(super) mod platform_checks;
pub(super) mod reports;
pub(super) mod rule_findings;
mod rule_shapes;
pub(super) mod rule_trials;
pub(super) mod rules;
pub(super) mod shifts;
pub(super) mod skills;
pub(super) mod status;
pub(super) mod tenants;
pub(super) mod tokens;
pub(super) mod transitions;
pub(super) mod webhooks;
