//! The live view of a tenant for pages: the list of agents that the API uses too, and the newest figures. It only reads
//! and judges nothing itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::{AgentList, AgentSummary};
use crate::http::api::live::figures::CurrentFigures;
use crate::http::auth::Caller;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::state::ApiState;

/// The live view of a tenant.
pub(in crate::http::console) struct LiveView {
    board: Arc<AgentList>,
    tenant: TenantId,
    caller: Caller,
    /// The figures of skills and queues, with the thresholds.
    pub(in crate::http::console) current: CurrentFigures,
}

impl LiveView {
    /// Loads what the caller can access, at most a second old. Returns `None` while the keeper is unavailable.
    pub(in crate::http::console) async fn load(state: &ApiState, request: &PageRequest) -> Option<Self> {
        let board = state.boards.get(&request.tenant).await.ok()?;
        let current = CurrentFigures::load(state, &request.tenant).ok()?;
        Some(Self { board, tenant: request.tenant.clone(), caller: request.caller.clone(), current })
    }

    /// Returns the time of the live view.
    pub(in crate::http::console) fn at(&self) -> UtcMicros {
        self.board.at
    }

    /// Returns when the platform generated the oldest part of the live view, or `None` while a part is missing.
    pub(in crate::http::console) fn observed_at(&self) -> Option<UtcMicros> {
        self.board.observed_at
    }

    /// Returns the agents that the caller can access.
    pub(in crate::http::console) fn agents(&self) -> impl Iterator<Item = &AgentSummary> {
        self.board.agents.iter().filter(|card| self.caller.has_team(&self.tenant, card.team.as_ref()))
    }

    /// Returns the teams of these agents, in order.
    pub(in crate::http::console) fn teams(&self) -> Vec<String> {
        let teams: BTreeSet<String> =
            self.agents().filter_map(|card| card.team.as_ref().map(ToString::to_string)).collect();
        teams.into_iter().collect()
    }
}
