//! Agents: the page of one agent.

pub(super) mod agent;
pub(super) mod timeline;
