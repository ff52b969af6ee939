//! Lets go of what has served its time, in slices: between two of them the writer serves everybody else, and it pauses as long as
//! a slice took, so that at most half of the writer's time goes into it.

use std::time::Duration;

use anyhow::Context as _;

use super::Job;
use crate::clock::{BoxFuture, RealTime, SharedClock, Stopwatch};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::audit::heads::{self, HeadParts};
use crate::engine::operations::tenants::Tenants;
use crate::store::{Commit, Forgotten, OutboxChange, Pruned, Reader, SLICE_ROWS, Slice, Writer};

/// A repeated request finds its first answer for this long.
const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Questions about schedules and breaks, and new subscriptions; the budget looks back one minute.
const QUESTIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Single reads of figures; then they are rolled up to quarters of an hour.
const SINGLE_FIGURES_KEPT: Duration = Duration::from_secs(24 * 3600);

/// A day of adherence is settled so long after the history that it needs at most: its own length, and a shift's.
const A_SHIFT: Duration = crate::domain::schedules::schedule::LOOKS_BACK;

/// A quarter of an hour, in microseconds.
const QUARTER_US: i64 = 15 * 60 * 1_000_000;

/// The longest pause between two slices, in real time.
const LONGEST_PAUSE_REAL: Duration = Duration::from_secs(1);

/// How long things are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// State history, transitions and their attempts, after they ended; figures by the quarter of an hour.
    pub history: Duration,
    /// Audit entries, once a signed head above them has left the host.
    pub audit: Duration,
    /// Events and their deliveries.
    pub deliveries: Duration,
    /// Runs of jobs.
    pub job_runs: Duration,
}

/// The job.
#[derive(Clone)]
pub struct Retention {
    /// The one writer.
    pub writer: Writer,
    /// The readers.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Whose rows.
    pub tenants: Tenants,
    /// Audit entries go under a signed head alone.
    pub heads: HeadParts,
    /// For how long.
    pub kept: Kept,
}

impl Job for Retention {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let retention = self.clone();
        Box::pin(async move { retention.let_go().await })
    }
}

impl Retention {
    async fn let_go(&self) -> anyhow::Result<String> {
        let now = self.clock.now();
        let mut counts: Vec<(&str, u64)> = Vec::new();
        let mut add = |name, count| match counts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += count,
            None => counts.push((name, count)),
        };
        for tenant in &self.tenants.ids() {
            let history = now - self.kept.history;
            // Days first: what is computed anew of a day whose history is gone would be wrong.
            add("days of adherence", self.prune(Some(tenant), Pruned::AdherenceDays, history + A_SHIFT).await?);
            for agent in self.reader.agents_with_history_before(tenant, history).await.context("agents' old history")? {
                add("history", self.prune(Some(tenant), Pruned::History(agent), history).await?);
            }
            for (name, what, before) in [
                // Their transitions are younger, so that no set is shown without them.
                ("agents of change sets", Pruned::ChangeSetAgents, history),
                ("change sets", Pruned::ChangeSets, history),
                ("transitions", Pruned::Transitions, history),
                ("attempts", Pruned::Attempts, history),
                ("questions", Pruned::Questions, now - QUESTIONS_KEPT),
                ("answers", Pruned::Answers, now - ANSWERS_KEPT),
                ("findings of rules", Pruned::RuleFindings, history),
                ("exceptions", Pruned::Exceptions, history),
                ("anomalies", Pruned::Anomalies, history),
                ("spans of sight", Pruned::Sights, history),
                ("reports that were asked for", Pruned::ReportRuns, now - self.kept.job_runs),
                // Results count no more before the first of their rows goes.
                ("results of analytics", Pruned::AnalyticsResults, history),
                ("rows of analytics", Pruned::AnalyticsRows, history),
                ("runs of analytics", Pruned::AnalyticsRuns, history),
            ] {
                add(name, self.prune(Some(tenant), what, before).await?);
            }
            // Whole quarters, so that a row of a quarter is complete once it is there.
            let rolled_up = (now - SINGLE_FIGURES_KEPT).as_micros().div_euclid(QUARTER_US) * QUARTER_US;
            for (name, what, before) in [
                ("reads of skill figures", Pruned::SkillFigures, UtcMicros::from_micros(rolled_up)),
                ("reads of queue figures", Pruned::QueueFigures, UtcMicros::from_micros(rolled_up)),
                ("quarters of skill figures", Pruned::SkillQuarters, history),
                ("quarters of queue figures", Pruned::QueueQuarters, history),
            ] {
                add(name, self.prune(Some(tenant), what, before).await?);
            }
            let audited = heads::let_go(&self.heads, tenant, now - self.kept.audit).await;
            add("audit entries", audited.context("letting go of audit entries")?);
            add("events", self.forget_events(tenant, now - self.kept.deliveries).await?);
        }
        // To what was asked of the daemon itself.
        add("answers", self.prune(None, Pruned::Answers, now - ANSWERS_KEPT).await?);
        for job in self.reader.jobs().await.context("the jobs")? {
            let what = Pruned::JobRuns(job.key.job);
            add("runs of jobs", self.prune(job.key.tenant.as_ref(), what, now - self.kept.job_runs).await?);
        }
        let gone: Vec<_> =
            counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
        Ok(if gone.is_empty() {
            "nothing had served its time".to_owned()
        } else {
            format!("let go of {}", gone.join(", "))
        })
    }

    /// Events go with their deliveries, from the oldest on.
    async fn forget_events(&self, tenant: &TenantId, before: UtcMicros) -> anyhow::Result<u64> {
        let mut sum = 0;
        while let Some(slice) = self
            .reader
            .events_to_forget(tenant, before, SLICE_ROWS)
            .await
            .context("events that have served their time")?
        {
            let took = Stopwatch::start();
            let forgotten = vec![Forgotten { tenant: tenant.clone(), through: *slice.end() }];
            let outbox = OutboxChange { forgotten, ..OutboxChange::default() };
            self.writer.commit(Commit { outbox, ..Commit::default() }).await.context("letting go of events")?;
            sum += slice.end() - slice.start() + 1;
            RealTime::sleep(took.elapsed().min(LONGEST_PAUSE_REAL)).await;
        }
        Ok(sum)
    }

    async fn prune(&self, tenant: Option<&TenantId>, what: Pruned, before: UtcMicros) -> anyhow::Result<u64> {
        let slice = Slice { tenant: tenant.cloned(), what, before };
        let mut sum = 0;
        loop {
            let took = Stopwatch::start();
            let gone =
                self.writer.prune(slice.clone()).await.with_context(|| format!("letting go of {:?}", slice.what))?;
            sum += gone;
            if gone == 0 {
                return Ok(sum);
            }
            RealTime::sleep(took.elapsed().min(LONGEST_PAUSE_REAL)).await;
        }
    }
}
