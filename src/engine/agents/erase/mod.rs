//! Erases agents: one after the other, from the wish that the keeper recorded to a store in which nothing is left of who it was.
//!
//! Every step finds by itself what is left to do, so that a daemon that was killed in the middle goes on: the open row of `erasures` is the
//! wish, its end is what says that it was done. Rows go on as a stand-in's; it is gone over twice, the second time while nobody else
//! writes of the agent: no import, no day being computed, no delivery under way.

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

use self::sweep::Sweep;
use crate::clock::{BoxFuture, RealTime};
use crate::domain::access::rights::Asker;
use crate::domain::agents::agent::Agent;
use crate::domain::agents::erasure::{Erasure, Outcome, Wiper};
use crate::domain::audit::{AuditDraft, note_hash};
use crate::domain::ids::{AgentId, SubjectId, TenantId};
use crate::engine::changes::door::{Door, DoorError};
use crate::engine::message::Message;
use crate::engine::platform::link::Link;
use crate::engine::rules::RulesAsk;
use crate::engine::rules::trials::Trials;
use crate::engine::webhooks::deliver::Outbox;
use crate::store::{AgentWrite, Commit, ErasingChange, ErasureMark, NoteWrite, StoredAgent};

/// What could not be done is tried again so long after, in real time.
const AGAIN_REAL: Duration = Duration::from_secs(30);

/// How often the keeper is asked whether the agent has left the roster, and a reader's end is looked for, in real time.
const LOOK_REAL: Duration = Duration::from_millis(200);

/// The part of the readiness report.
const PART: &str = "erasing";

/// Somebody wants an agent erased.
#[derive(Debug)]
pub struct EraseAsk {
    /// Who.
    pub agent: AgentId,
    /// Why, in the words of who asks.
    pub reason: String,
    /// Who asks.
    pub asker: Asker,
    /// Answered after the commit. Who is being erased already gets that erasure.
    pub reply: oneshot::Sender<Result<Erasure, EraseRefused>>,
}

/// Why an agent is not erased.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EraseRefused {
    /// Nobody of this id is known.
    #[error(
        "there is no agent {0}: who was erased is not known any more; `shiftkeeper erase --list` has the erasures that there were"
    )]
    NoAgent(AgentId),
    /// The configuration names the agent.
    #[error(
        "agent {agent} stands in `agents` of tenant {tenant} in the configuration, which would bring the agent back: take it out \
         there, reload (`systemctl reload shiftkeeper`), and ask again"
    )]
    Listed {
        /// Who.
        agent: AgentId,
        /// Where.
        tenant: TenantId,
    },
    /// A schedule file that waits names the agent.
    #[error(
        "schedule files that wait to be imported name agent {agent}, which would bring the agent back: take the agent out of {}, \
         and ask again", .files.join(", ")
    )]
    InFiles {
        /// Who.
        agent: AgentId,
        /// Where.
        files: Vec<String>,
    },
}

/// What the daemon keeps of agents outside the store. Named here and made by `app`.
pub trait Belongings: Send + Sync {
    /// The schedule files that wait to be imported and name the agent.
    fn waiting(&self, tenant: TenantId, agent: AgentId) -> BoxFuture<anyhow::Result<Vec<String>>>;

    /// Removes the files of reports that have or may have the agent in them, and the schedule files that were dealt with and name the
    /// agent; lists the copies of the database. What is listed is added to the outcome.
    fn erase(&self, tenant: TenantId, wiper: Wiper, outcome: Outcome) -> BoxFuture<anyhow::Result<Outcome>>;
}

/// What every tenant's worker works with.
#[derive(Clone)]
pub struct EraseTools {
    /// Lets deliveries rest.
    pub outbox: Outbox,
    /// What lies outside the store.
    pub belongings: Arc<dyn Belongings>,
    /// Their results name agents.
    pub trials: Trials,
    /// Held while a schedule is imported.
    pub imports: Arc<Mutex<()>>,
}

/// What the worker of one tenant is made of.
#[derive(Clone)]
pub struct EraseParts {
    /// Shared with the tenant's other workers.
    pub link: Arc<Link>,
    /// Shared with the other tenants'.
    pub tools: EraseTools,
    /// Held while days of adherence are computed.
    pub days: Arc<Mutex<()>>,
}

impl Door {
    /// Takes in that an agent is to be erased; answers once that is recorded.
    pub async fn erase(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        reason: String,
        asker: Asker,
    ) -> Result<Result<Erasure, EraseRefused>, DoorError> {
        let (reply, answer) = oneshot::channel();
        self.tell(tenant, Message::Erase(Box::new(EraseAsk { agent, reason, asker, reply }))).await?;
        answer.await.map_err(|_| DoorError::Unavailable)
    }
}

/// The worker of one tenant.
pub async fn run(parts: EraseParts, soft: CancellationToken) -> anyhow::Result<()> {
    let link = parts.link.clone();
    let part = link.part(PART);
    loop {
        let done = tokio::select! {
            biased;
            // What is not done is gone on with at the next start.
            () = soft.cancelled() => return Ok(()),
            done = parts.erase_all() => done,
        };
        let pause = match done {
            Ok(()) => {
                link.readiness.restored(&part);
                Duration::MAX
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::warn!(tenant = %link.tenant, error = cause, "an erasure is not done; it is gone on with later");
                link.readiness.degraded(&part, format!("an agent is not erased yet: {cause}; it is tried again"));
                AGAIN_REAL
            }
        };
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = link.erasures.notified() => {}
            () = RealTime::sleep(pause) => {}
        }
    }
}

impl EraseParts {
    async fn erase_all(&self) -> anyhow::Result<()> {
        let link = &self.link;
        // A run that was cut off may have handed the writer its last change a moment ago: what is read before that is stored would be
        // written again over it.
        link.writer.hail().await;
        for mut erasure in link.reader.open_erasures(&link.tenant).await? {
            if let Some(agent) = erasure.agent.clone() {
                erasure = self.erase(erasure, agent).await?;
            }
            self.leave_no_trace(erasure).await?;
        }
        Ok(())
    }

    /// All but what the log of the database holds.
    async fn erase(&self, mut erasure: Erasure, agent: AgentId) -> anyhow::Result<Erasure> {
        let link = &self.link;
        let stored = link.reader.agent(&link.tenant, &agent).await?.context("the agent is not in the store")?;
        let wiper = Wiper::new(agent, stored.agent.name.clone(), erasure.stand_in.clone());
        self.make_stand_in(&stored, &erasure).await?;
        self.see_off(wiper.agent()).await?;
        let sweep = Sweep { link, wiper: &wiper, subject: stored.subject };
        sweep.go_over(&mut erasure.outcome).await?;
        let belongings = &self.tools.belongings;
        erasure.outcome = belongings.erase(link.tenant.clone(), wiper.clone(), erasure.outcome).await?;
        // Files that are gone are not found again.
        self.keep(erasure.clone()).await?;

        let _imports = self.tools.imports.lock().await;
        let _resting = self.tools.outbox.rest(&link.tenant).await.context("deliveries cannot rest")?;
        let _days = self.days.lock().await;
        self.see_off(wiper.agent()).await?;
        sweep.go_over(&mut erasure.outcome).await?;
        sweep.go_over_deliveries(&mut erasure.outcome).await?;
        self.finish(erasure, &wiper, stored.subject).await
    }

    /// The rows go on as somebody's of the same team and zone, so that figures of teams and days stay as they are.
    async fn make_stand_in(&self, stored: &StoredAgent, erasure: &Erasure) -> anyhow::Result<()> {
        let link = &self.link;
        let agent = Agent { id: erasure.stand_in.clone(), name: None, ..stored.agent.clone() };
        let subject = SubjectId(link.random.opaque_id());
        let mark = ErasureMark {
            tenant: link.tenant.clone(),
            agent: agent.id.clone(),
            at: erasure.asked_at,
            is_stand_in: true,
        };
        let commit = Commit {
            agents: vec![AgentWrite { tenant: link.tenant.clone(), agent, subject }],
            erasing: ErasingChange { marks: vec![mark], ..ErasingChange::default() },
            ..Commit::default()
        };
        link.writer.commit(commit).await?;
        Ok(())
    }

    /// Waits until the keeper has let go of the agent, and knows the exceptions as they are stored.
    async fn see_off(&self, agent: &AgentId) -> anyhow::Result<()> {
        let link = &self.link;
        let gone = || anyhow::anyhow!("the keeper is not there");
        link.inbox.send(Message::ScheduleChanged).await.map_err(|_| gone())?;
        loop {
            let (reply, answer) = oneshot::channel();
            let ask = Message::Rules(Box::new(RulesAsk::Explain(agent.clone(), reply)));
            link.inbox.send(ask).await.map_err(|_| gone())?;
            // A keeper that is started anew reads the store.
            if let Ok(None) = answer.await {
                return Ok(());
            }
            RealTime::sleep(LOOK_REAL).await;
        }
    }

    async fn keep(&self, erasure: Erasure) -> anyhow::Result<()> {
        let erasing = ErasingChange { erasures: vec![erasure], ..ErasingChange::default() };
        self.link.writer.commit(Commit { erasing, ..Commit::default() }).await?;
        Ok(())
    }

    /// What says who it was goes, with the entry that says so.
    async fn finish(&self, erasure: Erasure, wiper: &Wiper, subject: SubjectId) -> anyhow::Result<Erasure> {
        let (link, tenant) = (&self.link, &self.link.tenant);
        let reason = wiper.clean(&erasure.reason).map_or(erasure.reason, Arc::from);
        let erasure = Erasure { agent: None, reason, ..erasure };
        let salt = link.random.bytes();
        let hash = note_hash(&salt, &erasure.reason);
        let note = NoteWrite { tenant: tenant.clone(), hash, salt, text: erasure.reason.to_string() };
        let Outcome { rows, notes, report_files, import_files, copies, audit_entries } = &erasure.outcome;
        let facts = json!({
            "erasure": erasure.id, "rows": rows, "notes": notes, "report_files": report_files.len(),
            "import_files": import_files.len(), "copies": copies.len(), "audit_entries": audit_entries.len(),
        });
        let draft = AuditDraft {
            subject: Some(subject),
            note: Some(hash),
            ..AuditDraft::new(tenant.clone(), link.clock.now(), &*erasure.asked_by, "agent.erased", facts)
        };
        let erasing = ErasingChange {
            erasures: vec![erasure.clone()],
            gone: vec![(tenant.clone(), wiper.agent().clone())],
            ..ErasingChange::default()
        };
        link.writer.commit(Commit { audit: vec![draft], notes: vec![note], erasing, ..Commit::default() }).await?;
        Ok(erasure)
    }

    /// What viewers were told is forgotten, and the log of the database is cut: it has pages as they were.
    async fn leave_no_trace(&self, erasure: Erasure) -> anyhow::Result<()> {
        let link = &self.link;
        self.tools.trials.forget(&link.tenant);
        link.live.forget(link.reader.last_history_id(&link.tenant).await?).await;
        while link.writer.checkpoint().await?.held_by_reader {
            // A report that reads for long holds it up.
            RealTime::sleep(LOOK_REAL).await;
        }
        let id = erasure.id;
        self.keep(Erasure { done_at: Some(link.clock.now()), ..erasure }).await?;
        tracing::info!(tenant = %link.tenant, erasure = %id, "an agent is erased");
        Ok(())
    }
}
