//! What pages show of a tenant as it stands: the board of agents that the API's lists share, and the newest figures. It reads
//! and judges nothing itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::agents::board::{AgentCard, Board};
use crate::http::ApiState;
use crate::http::api::live::figures::Newest;
use crate::http::auth::Caller;
use crate::http::console::shared::ask::Ask;

/// A tenant as it stands.
pub(in crate::http::console) struct Picture {
    board: Arc<Board>,
    tenant: TenantId,
    caller: Caller,
    /// Of skills and queues, with the thresholds.
    pub(in crate::http::console) newest: Newest,
}

impl Picture {
    /// As far as the caller sees it, at most a second old; `None` while the keeper is away.
    pub(in crate::http::console) async fn look(state: &ApiState, ask: &Ask) -> Option<Self> {
        let board = state.boards.look(&ask.tenant).await.ok()?;
        let newest = Newest::of(state, &ask.tenant).ok()?;
        Some(Self { board, tenant: ask.tenant.clone(), caller: ask.caller.clone(), newest })
    }

    /// When.
    pub(in crate::http::console) fn at(&self) -> UtcMicros {
        self.board.at
    }

    /// When the oldest part of what the platform showed was generated; none while a part is missing.
    pub(in crate::http::console) fn seen_at(&self) -> Option<UtcMicros> {
        self.board.seen_at
    }

    /// The agents within the caller's reach.
    pub(in crate::http::console) fn agents(&self) -> impl Iterator<Item = &AgentCard> {
        self.board.agents.iter().filter(|card| self.caller.has_team(&self.tenant, card.team.as_ref()))
    }

    /// Their teams, in order.
    pub(in crate::http::console) fn teams(&self) -> Vec<String> {
        let teams: BTreeSet<String> =
            self.agents().filter_map(|card| card.team.as_ref().map(ToString::to_string)).collect();
        teams.into_iter().collect()
    }
}
