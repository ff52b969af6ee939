//! Bulk changes by people: preview, start, progress, cancellation and undo. This service sits between the API and the
//! keepers.
//!
//! The keeper computes a preview from its live view and checks each agent again at the start; nothing is changed that
//! the preview did not show. The set's row and its transitions are one commit. The progress of a set is read from its
//! transitions and not stored separately.

pub mod body;
mod request;
mod undo;
pub mod view;

use tokio::sync::oneshot;

pub use self::request::{
    ChangeSetCommand, ChangeSetError, ChangeSetSelection, MAX_PREVIEWS, NewChangeSet, PREVIEW_LIFETIME,
    ScopedRequester, StartChangeSet, UNDO_WINDOW, UnchangedAgent,
};
pub use self::undo::UndoOptions;
use self::view::ChangeSetView;
use crate::domain::access::rights::TeamScope;
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::PreviewedAgent;
use crate::domain::ids::{ChangeSetId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::changes::request::KeeperError;
use crate::engine::keeper_message::KeeperMessage;
use crate::store::{ChangeSetRow, Reader};

/// A service for bulk changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChangeSetService {
    keeper: KeeperHandle,
    reader: Reader,
}

impl ChangeSetService {
    /// Creates a service for these keepers and this store.
    pub const fn new(keeper: KeeperHandle, reader: Reader) -> Self {
        Self { keeper, reader }
    }

    /// Returns the current time by the clock of the tenant's workers.
    fn now(&self, tenant: &TenantId) -> Result<UtcMicros, KeeperError> {
        let link = self.keeper.tenants().link(tenant).ok_or_else(|| KeeperError::NoTenant(tenant.clone()))?;
        Ok(link.clock.now())
    }

    /// Computes and stores a preview.
    pub async fn preview(&self, tenant: &TenantId, request: NewChangeSet) -> Result<ChangeSetView, ChangeSetError> {
        let requester = ScopedRequester { requester: request.requester.clone(), teams: request.teams.clone() };
        let id = self.send(tenant, |reply| ChangeSetCommand::Preview { request: Box::new(request), reply }).await?;
        self.get(tenant, id, &requester, true).await
    }

    /// Starts a previewed set. Repeating the request returns the set as it is now.
    pub async fn start(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
        hash: Hash,
        requester: ScopedRequester,
    ) -> Result<ChangeSetView, ChangeSetError> {
        let set = self.find_visible(tenant, id, &requester).await?;
        if set.started.as_ref().is_some_and(|(_, by)| *by == requester.requester.id && set.hash == hash) {
            return self.get(tenant, id, &requester, true).await;
        }
        let previewed: Vec<PreviewedAgent> =
            self.reader.change_set_agents(tenant, id).await?.into_iter().map(|agent| agent.previewed).collect();
        let is_unchanged = !previewed.iter().any(|agent| agent.outcome.is_change());
        let unchanged = if is_unchanged { previewed.iter().map(UnchangedAgent::from).collect() } else { Vec::new() };
        let agents = previewed.into_iter().enumerate().filter(|(_, shown)| shown.outcome.is_change()).collect();
        let ScopedRequester { requester: starter, teams } = requester.clone();
        let start = StartChangeSet { id, hash, agents, unchanged, requester: starter, teams };
        self.send(tenant, |reply| ChangeSetCommand::Start { start: Box::new(start), reply }).await?;
        self.get(tenant, id, &requester, true).await
    }

    /// Discards a preview, or cancels what has not been sent.
    pub async fn cancel(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
        note: Option<String>,
        requester: ScopedRequester,
    ) -> Result<ChangeSetView, ChangeSetError> {
        self.find_visible(tenant, id, &requester).await?;
        let canceller = requester.requester.clone();
        self.send(tenant, |reply| ChangeSetCommand::Cancel { id, requester: canceller, note, reply }).await?;
        self.get(tenant, id, &requester, true).await
    }

    /// Previews a set that returns each agent to its state before this one.
    pub async fn undo(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
        options: UndoOptions,
        requester: ScopedRequester,
    ) -> Result<ChangeSetView, ChangeSetError> {
        let set = self.find_visible(tenant, id, &requester).await?;
        let request = undo::build_undo_request(&self.reader, &set, options, requester, self.now(tenant)?).await?;
        self.preview(tenant, request).await
    }

    /// Returns one set as it stands.
    pub async fn get(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
        requester: &ScopedRequester,
        agents: bool,
    ) -> Result<ChangeSetView, ChangeSetError> {
        let set = self.find_visible(tenant, id, requester).await?;
        let mut view = view::change_set_view(&self.reader, &set, self.now(tenant)?).await?;
        if agents {
            // Read after the counts, so that a finished set has no agent in progress.
            view.agents = view::agent_views(&self.reader, &set).await?;
        }
        Ok(view)
    }

    /// Returns at most `limit` sets, newest first and without their agents, and where the next page begins.
    pub async fn list(
        &self,
        tenant: &TenantId,
        requester: &ScopedRequester,
        before: Option<ChangeSetId>,
        limit: u32,
    ) -> Result<(Vec<ChangeSetView>, Option<ChangeSetId>), ChangeSetError> {
        let now = self.now(tenant)?;
        let rows = self.reader.change_sets(tenant, &requester.requester.id, now, before, limit).await?;
        let next = rows.last().filter(|_| rows.len() >= limit as usize).map(|row| row.id);
        let mut views = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| is_visible(row, &requester.teams)) {
            views.push(view::change_set_view(&self.reader, row, now).await?);
        }
        Ok((views, next))
    }

    async fn find_visible(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
        requester: &ScopedRequester,
    ) -> Result<ChangeSetRow, ChangeSetError> {
        let set = self.reader.change_set(tenant, id).await?;
        set.filter(|set| is_visible(set, &requester.teams)).ok_or(ChangeSetError::NotFound(id))
    }

    async fn send<T>(
        &self,
        tenant: &TenantId,
        command: impl FnOnce(oneshot::Sender<Result<T, ChangeSetError>>) -> ChangeSetCommand,
    ) -> Result<T, ChangeSetError> {
        self.keeper.ask_to_write(tenant, |reply| KeeperMessage::ChangeSet(command(reply))).await?
    }
}

/// Returns whether a requester restricted to `teams` may see a set, which requires that all its agents are in these
/// teams.
fn is_visible(set: &ChangeSetRow, teams: &TeamScope) -> bool {
    let Some(own_teams) = teams else { return true };
    set.teams.iter().all(|team| team.as_ref().is_some_and(|team| own_teams.contains(team)))
}
