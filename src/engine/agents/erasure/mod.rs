//! Erasure of agents, one at a time, until nothing in the store tells who the agent was.
//!
//! Each step determines by itself what is left to do, so that an interrupted erasure continues: the open row of
//! `erasures` is the request, and its end marks completion. The agent's rows continue under a stand-in. The data is
//! swept twice, the second time while nobody else writes about the agent: no import, no computation of a day, no
//! delivery.

mod request;
mod sweep;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::{Mutex, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::request::{ErasureError, ErasureRequest};
use self::sweep::ErasureSweep;
use crate::clock::{BoxFuture, RealTime};
use crate::domain::access::rights::Requester;
use crate::domain::agents::agent::Agent;
use crate::domain::agents::erasure::{Erasure, ErasureResult, TextEraser};
use crate::domain::audit::{AuditDraft, note_hash};
use crate::domain::ids::{AgentId, SubjectId, TenantId};
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::changes::request::KeeperError;
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::platform::link::Link;
use crate::engine::rules::RuleRequest;
use crate::engine::rules::backtests::Backtests;
use crate::engine::webhooks::deliver::Outbox;
use crate::store::{AgentWrite, Commit, ErasureChange, ErasureMark, NoteWrite, StoredAgent};

/// How long to wait before a failed erasure is tried again, in real time.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// How often to check whether the agent has left the roster and whether readers have finished, in real time.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The component's name in the readiness report.
const COMPONENT: &str = "erasing";

/// The files outside the store that contain data of agents. Implemented by `app`.
pub trait AgentFiles: Send + Sync {
    /// Returns the waiting schedule files that name the agent.
    fn waiting(&self, tenant: TenantId, agent: AgentId) -> BoxFuture<anyhow::Result<Vec<String>>>;

    /// Removes report files that contain or may contain the agent and processed schedule files that name it, and lists
    /// the copies of the database. The files are added to the result.
    fn erase(
        &self,
        tenant: TenantId,
        eraser: TextEraser,
        outcome: ErasureResult,
    ) -> BoxFuture<anyhow::Result<ErasureResult>>;
}

/// The services that the workers of all tenants share.
#[derive(Clone)]
pub struct ErasureServices {
    /// Allows deliveries to be paused.
    pub outbox: Outbox,
    /// The files outside the store.
    pub files: Arc<dyn AgentFiles>,
    /// The backtests, whose results name agents.
    pub backtests: Backtests,
    /// Held while a schedule is imported.
    pub imports: Arc<Mutex<()>>,
}

/// The context of one tenant's worker.
#[derive(Clone)]
pub struct ErasureContext {
    /// The link that the tenant's workers share.
    pub link: Arc<Link>,
    /// The services shared with other tenants.
    pub services: ErasureServices,
    /// Held while days of adherence are computed.
    pub adherence_days: Arc<Mutex<()>>,
}

impl KeeperHandle {
    /// Requests the erasure of an agent. Returns once the request is recorded.
    pub async fn erase(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        reason: String,
        requester: Requester,
    ) -> Result<Result<Erasure, ErasureError>, KeeperError> {
        let request = |reply| ErasureRequest { agent, reason, requester, reply };
        self.ask_to_write(tenant, |reply| KeeperMessage::Erasure(Box::new(request(reply)))).await
    }
}

/// Runs the worker of one tenant.
pub async fn run(context: ErasureContext, shutdown: CancellationToken) -> anyhow::Result<()> {
    let link = context.link.clone();
    let component = link.part(COMPONENT);
    loop {
        let result = tokio::select! {
            biased;
            // What is not done continues after the next start.
            () = shutdown.cancelled() => return Ok(()),
            done = context.erase_pending() => done,
        };
        let pause = match result {
            Ok(()) => {
                link.readiness.restored(&component);
                Duration::MAX
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::warn!(tenant = %link.tenant, error = cause, "an erasure is not done; it is gone on with later");
                link.readiness.degraded(&component, format!("an agent is not erased yet: {cause}; it is tried again"));
                RETRY_INTERVAL
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = link.erasures.notified() => {}
            () = RealTime::sleep(pause) => {}
        }
    }
}

impl ErasureContext {
    async fn erase_pending(&self) -> anyhow::Result<()> {
        let link = &self.link;
        // An interrupted run may have sent the writer a change that is not stored yet; reading before that would
        // overwrite it.
        link.writer.ping().await;
        for mut erasure in link.reader.open_erasures(&link.tenant).await? {
            if let Some(agent) = erasure.agent.clone() {
                erasure = self.erase(erasure, agent).await?;
            }
            self.clear_live_data_and_database_log(erasure).await?;
        }
        Ok(())
    }

    /// Erases everything except the database's log.
    async fn erase(&self, mut erasure: Erasure, agent: AgentId) -> anyhow::Result<Erasure> {
        let link = &self.link;
        let stored = link.reader.agent(&link.tenant, &agent).await?.context("the agent is not in the store")?;
        let eraser = TextEraser::new(agent, stored.agent.name.clone(), erasure.stand_in.clone());
        self.create_stand_in(&stored, &erasure).await?;
        self.wait_for_removal_by_keeper(eraser.agent()).await?;
        let sweep = ErasureSweep { link, eraser: &eraser, subject_id: stored.subject };
        sweep.sweep(&mut erasure.result).await?;
        let agent_files = &self.services.files;
        erasure.result = agent_files.erase(link.tenant.clone(), eraser.clone(), erasure.result).await?;
        // Saved now, since removed files are not found again.
        self.save(erasure.clone()).await?;

        let _imports = self.services.imports.lock().await;
        let _resting = self.services.outbox.pause(&link.tenant).await.context("deliveries cannot be paused")?;
        let _days = self.adherence_days.lock().await;
        self.wait_for_removal_by_keeper(eraser.agent()).await?;
        sweep.sweep(&mut erasure.result).await?;
        sweep.sweep_deliveries(&mut erasure.result).await?;
        self.record_erased(erasure, &eraser, stored.subject).await
    }

    /// Creates the stand-in under which the rows continue, with the same team and zone so that figures of teams and
    /// days stay the same.
    async fn create_stand_in(&self, stored: &StoredAgent, erasure: &Erasure) -> anyhow::Result<()> {
        let link = &self.link;
        let agent = Agent { id: erasure.stand_in.clone(), name: None, ..stored.agent.clone() };
        let subject = SubjectId(link.random.random_id());
        let mark = ErasureMark {
            tenant: link.tenant.clone(),
            agent: agent.id.clone(),
            at: erasure.requested_at,
            is_stand_in: true,
        };
        let commit = Commit {
            agents: vec![AgentWrite { tenant: link.tenant.clone(), agent, subject }],
            erasure: ErasureChange { marks: vec![mark], ..ErasureChange::default() },
            ..Commit::default()
        };
        link.writer.commit(commit).await?;
        Ok(())
    }

    /// Waits until the keeper has removed the agent and knows the exceptions as stored.
    async fn wait_for_removal_by_keeper(&self, agent: &AgentId) -> anyhow::Result<()> {
        let link = &self.link;
        let keeper_unavailable = || anyhow::anyhow!("the keeper is not running");
        link.inbox.send(KeeperMessage::ScheduleChanged).await.map_err(|_| keeper_unavailable())?;
        loop {
            let (reply, response) = oneshot::channel();
            let request = KeeperMessage::RuleRequest(Box::new(RuleRequest::Explain(agent.clone(), reply)));
            link.inbox.send(request).await.map_err(|_| keeper_unavailable())?;
            // A restarted keeper reads the store.
            if let Ok(None) = response.await {
                return Ok(());
            }
            RealTime::sleep(POLL_INTERVAL).await;
        }
    }

    async fn save(&self, erasure: Erasure) -> anyhow::Result<()> {
        let erasing = ErasureChange { erasures: vec![erasure], ..ErasureChange::default() };
        self.link.writer.commit(Commit { erasure: erasing, ..Commit::default() }).await?;
        Ok(())
    }

    /// Removes what tells who the agent was, and adds the audit entry about it in the same commit.
    async fn record_erased(
        &self,
        erasure: Erasure,
        eraser: &TextEraser,
        subject: SubjectId,
    ) -> anyhow::Result<Erasure> {
        let (link, tenant) = (&self.link, &self.link.tenant);
        let reason = eraser.clean(&erasure.reason).map_or(erasure.reason, Arc::from);
        let erasure = Erasure { agent: None, reason, ..erasure };
        let salt = link.random.bytes();
        let hash = note_hash(&salt, &erasure.reason);
        let note = NoteWrite { tenant: tenant.clone(), hash, salt, text: erasure.reason.to_string() };
        let ErasureResult { rows, notes, report_files, import_files, copies, audit_entries } = &erasure.result;
        let details = json!({
            "erasure": erasure.id, "rows": rows, "notes": notes, "report_files": report_files.len(),
            "import_files": import_files.len(), "copies": copies.len(), "audit_entries": audit_entries.len(),
        });
        let draft = AuditDraft {
            subject: Some(subject),
            note_hash: Some(hash),
            ..AuditDraft::new(tenant.clone(), link.clock.now(), &*erasure.requested_by, "agent.erased", details)
        };
        let erasing = ErasureChange {
            erasures: vec![erasure.clone()],
            erased_agents: vec![(tenant.clone(), eraser.agent().clone())],
            ..ErasureChange::default()
        };
        link.writer
            .commit(Commit { audit: vec![draft], notes: vec![note], erasure: erasing, ..Commit::default() })
            .await?;
        Ok(erasure)
    }

    /// Clears what was published to viewers, and truncates the database's log, which contains old pages.
    async fn clear_live_data_and_database_log(&self, erasure: Erasure) -> anyhow::Result<()> {
        let link = &self.link;
        self.services.backtests.remove_all(&link.tenant);
        link.live.clear(link.reader.last_history_id(&link.tenant).await?).await;
        while link.writer.checkpoint().await?.held_by_reader {
            // A long-running report delays the checkpoint.
            RealTime::sleep(POLL_INTERVAL).await;
        }
        let id = erasure.id;
        self.save(Erasure { completed_at: Some(link.clock.now()), ..erasure }).await?;
        tracing::info!(tenant = %link.tenant, erasure = %id, "an agent is erased");
        Ok(())
    }
}
