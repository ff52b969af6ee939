//! Deletes rows whose retention period is over, in slices. Between two slices the job pauses as long as the slice took,
//! so that it uses at most half of the writer's time.

use std::time::Duration;

use anyhow::Context as _;

use super::Job;
use crate::clock::{BoxFuture, RealTime, SharedClock, Stopwatch};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::audit::heads::{self, HeadParts};
use crate::engine::operations::tenants::Tenants;
use crate::store::{Commit, EventPrune, OutboxChange, PruneSlice, PruneTarget, Reader, SLICE_ROWS, Writer};

/// How long a request that is repeated with its idempotency key gets the first answer.
const ANSWER_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// How long calls about schedules and breaks and for new subscriptions are kept; the budget only needs the last minute.
const QUESTION_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long single reads of figures are kept; after that they are aggregated to quarters of an hour.
const FIGURE_READ_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// The longest shift. Adherence days are kept this much less than history, because computing a day needs the history of
/// the whole shifts that overlap it.
const MAX_SHIFT_LENGTH: Duration = crate::domain::schedules::schedule::PLAN_LOOKBACK;

/// A quarter of an hour, in microseconds.
const QUARTER_US: i64 = 15 * 60 * 1_000_000;

/// The longest pause between two slices, in real time.
const MAX_PAUSE_REAL: Duration = Duration::from_secs(1);

/// How long data is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetentionPeriods {
    /// State history, and transitions with their attempts, from their end; figures by quarter of an hour.
    pub history: Duration,
    /// Audit entries, which must also be covered by a signed head that has left the host.
    pub audit: Duration,
    /// Events and their deliveries.
    pub deliveries: Duration,
    /// The runs of jobs.
    pub job_runs: Duration,
}

/// The retention job.
#[derive(Clone)]
pub struct Retention {
    /// The store's writer.
    pub writer: Writer,
    /// The store's reader.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The tenants whose rows are deleted.
    pub tenants: Tenants,
    /// The dependencies for signed heads: audit entries are only deleted below one.
    pub heads: HeadParts,
    /// The retention periods.
    pub periods: RetentionPeriods,
}

impl Job for Retention {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let retention = self.clone();
        Box::pin(async move { retention.prune_all().await })
    }
}

impl Retention {
    async fn prune_all(&self) -> anyhow::Result<String> {
        let now = self.clock.now();
        let mut counts: Vec<(&str, u64)> = Vec::new();
        let mut add = |name, count| match counts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += count,
            None => counts.push((name, count)),
        };
        for tenant in &self.tenants.ids() {
            let history = now - self.periods.history;
            // Days first: recomputing a day after its history was deleted would give a wrong result.
            let days = self.prune(Some(tenant), PruneTarget::AdherenceDays, history + MAX_SHIFT_LENGTH).await?;
            add("days of adherence", days);
            let agents = self.reader.agents_with_history_before(tenant, history).await;
            for agent in agents.context("old history could not be deleted")? {
                add("history", self.prune(Some(tenant), PruneTarget::History(agent), history).await?);
            }
            for (name, what, before) in [
                // Their transitions are more recent, so that no change set is shown without them.
                ("agents of change sets", PruneTarget::ChangeSetAgents, history),
                ("change sets", PruneTarget::ChangeSets, history),
                ("transitions", PruneTarget::Transitions, history),
                ("attempts", PruneTarget::Attempts, history),
                ("questions", PruneTarget::OtherCalls, now - QUESTION_RETENTION),
                ("answers", PruneTarget::IdempotencyKeys, now - ANSWER_RETENTION),
                ("findings of rules", PruneTarget::RuleFindings, history),
                ("exceptions", PruneTarget::Exceptions, history),
                ("offers", PruneTarget::Offers, history),
                ("anomalies", PruneTarget::Anomalies, history),
                ("spans of sight", PruneTarget::ObservedSpans, history),
                ("reports that were asked for", PruneTarget::ReportRuns, now - self.periods.job_runs),
                // Results stop counting before the first of their rows is deleted.
                ("results of analytics", PruneTarget::AnalyticsResults, history),
                ("rows of analytics", PruneTarget::AnalyticsRows, history),
                ("runs of analytics", PruneTarget::AnalyticsRuns, history),
            ] {
                add(name, self.prune(Some(tenant), what, before).await?);
            }
            // Whole quarters, so that an aggregated row is complete once it exists.
            let rolled_up = (now - FIGURE_READ_RETENTION).as_micros().div_euclid(QUARTER_US) * QUARTER_US;
            for (name, what, before) in [
                ("reads of skill figures", PruneTarget::SkillFigures, UtcMicros::from_micros(rolled_up)),
                ("reads of queue figures", PruneTarget::QueueFigures, UtcMicros::from_micros(rolled_up)),
                ("quarters of skill figures", PruneTarget::SkillQuarters, history),
                ("quarters of queue figures", PruneTarget::QueueQuarters, history),
                ("intervals of required staff", PruneTarget::RequiredStaffing, history),
            ] {
                add(name, self.prune(Some(tenant), what, before).await?);
            }
            let audited = heads::prune_entries(&self.heads, tenant, now - self.periods.audit).await;
            add("audit entries", audited.context("old audit entries could not be deleted")?);
            add("events", self.prune_events(tenant, now - self.periods.deliveries).await?);
        }
        // For requests to the daemon itself.
        add("answers", self.prune(None, PruneTarget::IdempotencyKeys, now - ANSWER_RETENTION).await?);
        for job in self.reader.jobs().await.context("the jobs could not be read")? {
            let what = PruneTarget::JobRuns(job.key.job);
            add("runs of jobs", self.prune(job.key.tenant.as_ref(), what, now - self.periods.job_runs).await?);
        }
        Ok(describe(&counts))
    }

    /// Deletes events with their deliveries, oldest first.
    async fn prune_events(&self, tenant: &TenantId, before: UtcMicros) -> anyhow::Result<u64> {
        let mut sum = 0;
        while let Some(slice) =
            self.reader.events_to_delete(tenant, before, SLICE_ROWS).await.context("old events could not be read")?
        {
            let took = Stopwatch::start();
            let pruned = vec![EventPrune { tenant: tenant.clone(), through: *slice.end() }];
            let outbox = OutboxChange { event_prunes: pruned, ..OutboxChange::default() };
            self.writer
                .commit(Commit { outbox, ..Commit::default() })
                .await
                .context("old events could not be deleted")?;
            sum += slice.end() - slice.start() + 1;
            RealTime::sleep(took.elapsed().min(MAX_PAUSE_REAL)).await;
        }
        Ok(sum)
    }

    async fn prune(&self, tenant: Option<&TenantId>, what: PruneTarget, before: UtcMicros) -> anyhow::Result<u64> {
        let slice = PruneSlice { tenant: tenant.cloned(), target: what, before };
        let mut sum = 0;
        loop {
            let took = Stopwatch::start();
            let pruned = self
                .writer
                .prune(slice.clone())
                .await
                .with_context(|| format!("{:?} could not be deleted", slice.target))?;
            sum += pruned;
            if pruned == 0 {
                return Ok(sum);
            }
            RealTime::sleep(took.elapsed().min(MAX_PAUSE_REAL)).await;
        }
    }
}
/// Returns the result for people.
fn describe(counts: &[(&str, u64)]) -> String {
    let pruned: Vec<_> =
        counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    if pruned.is_empty() { "nothing had served its time".to_owned() } else { format!("deleted {}", pruned.join(", ")) }
}
