//! Reads the platform's state history for the times in which nobody observed: the daemon was down, or the platform did
//! not answer. The keeper fills them in.
//!
//! A gap is what lies between two stored spans of observation. Once it is filled, its time is stored as observed, so
//! that nothing else has to be remembered over a restart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::calls::{CallKind, read_list_within_budget};
use super::link::Link;
use super::observation_gap::{GapProgress, GapRequest};
use crate::domain::adherence::coverage::observation_gaps;
use crate::domain::agents::merge::SAME_CHANGE_WINDOW;
use crate::domain::agents::past_states::{ObservationGap, PastState};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::operations::settings::TenantSettings;
use crate::platform::retry::RetryBackoff;
use crate::platform::{CallError, Failure, ListPage};

/// Gaps that ended longer ago are not filled, and of each gap only so much before its end.
const LOOKBACK: Duration = Duration::from_hours(24);

/// How long after the end of a gap its history is first read, since the platform writes it with a delay.
const FIRST_READ_AFTER: Duration = Duration::from_secs(60);

/// How long after the end of a gap its history is read for the last time, complete or not, but not before so many
/// retries, since the unavailable codes may not be known at the start.
const LAST_READ_AFTER: Duration = Duration::from_mins(15);
const LEAST_RETRIES: u32 = 3;

/// How often gaps are looked for.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The pauses after a read that failed or was not complete.
const RETRY_CURVE: RetryBackoff = RetryBackoff { first: Duration::from_secs(10), cap: Duration::from_secs(600) };

/// The pause after the platform refused the history to the daemon's user.
const REFUSED_PAUSE: Duration = Duration::from_hours(1);

/// The share of the request budget that the reads may use, in percent.
const BUDGET_PERCENT: usize = 20;

/// The keeper fills in the history of so many agents, or of fewer with so many rows, at once.
const GROUP_AGENTS: usize = 50;
const GROUP_ROWS: usize = 1_000;

/// What the worker of one tenant is made of.
#[derive(Clone, Debug)]
pub struct PastStateParts {
    /// The link that the tenant's workers share.
    pub link: Arc<Link>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<TenantSettings>>,
    /// The agents that are observed.
    pub roster: watch::Receiver<Arc<[AgentId]>>,
    /// Held while a gap is filled, so that no day of adherence is computed from a part of it.
    pub adherence_days: Arc<Mutex<()>>,
}

struct PastStateReader {
    parts: PastStateParts,
    failures: u32,
}

/// What became of a gap.
enum Filling {
    Closed(GapProgress),
    /// The platform's history does not say yet what all agents did.
    Incomplete,
}

/// Runs the worker of one tenant.
pub async fn run(parts: PastStateParts, soft: CancellationToken) -> anyhow::Result<()> {
    if !parts.link.platform.capabilities().has_state_history {
        soft.cancelled().await;
        return Ok(());
    }
    let mut reader = PastStateReader { parts, failures: 0 };
    // The keeper tells who is on the roster once it has read the store.
    tokio::select! {
        () = soft.cancelled() => return Ok(()),
        known = reader.parts.roster.changed() => known?,
    }
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            result = reader.fill_and_wait() => result?,
        }
    }
}

impl PastStateReader {
    /// Fills the oldest gap, and waits until the next look at gaps.
    async fn fill_and_wait(&mut self) -> anyhow::Result<()> {
        let link = self.parts.link.clone();
        let part = link.part("state history");
        let now = link.clock.now();
        let mut gaps = self.gaps(now).await?.into_iter();
        let due = gaps.find(|gap| gap.span.1 + FIRST_READ_AFTER <= now);
        let pause = match due {
            None => CHECK_EVERY,
            Some(gap) => match self.fill(gap).await? {
                Ok(Filling::Closed(progress)) => {
                    tracing::info!(tenant = %link.tenant, from = %gap.span.0, to = %gap.span.1, rows = progress.rows,
                        agents = progress.agents, unknown = progress.incomplete_agents,
                        "the history was filled in for a time without observation");
                    self.failures = 0;
                    link.readiness.restored(&part);
                    CHECK_EVERY
                }
                Ok(Filling::Incomplete) => self.next_pause(None),
                Err(error) => {
                    tracing::warn!(tenant = %link.tenant, %error, "the platform's state history could not be read");
                    link.readiness.degraded(
                        &part,
                        format!("the time without observation until {} is not filled in: {error}", gap.span.1),
                    );
                    let is_refused = matches!(error.failure, Failure::Forbidden { .. } | Failure::NotFound);
                    if is_refused { REFUSED_PAUSE } else { self.next_pause(error.failure.retry_after()) }
                }
            },
        };
        if due.is_none() {
            // The last gap may have become too old to be filled.
            self.failures = 0;
            link.readiness.restored(&part);
        }
        link.clock.sleep(pause).await;
        Ok(())
    }

    fn next_pause(&mut self, retry_after: Option<Duration>) -> Duration {
        self.failures += 1;
        RETRY_CURVE.delay(self.failures, retry_after, &*self.parts.link.random)
    }

    /// Returns the gaps that can be filled, the oldest first.
    async fn gaps(&self, now: UtcMicros) -> anyhow::Result<Vec<ObservationGap>> {
        let link = &self.parts.link;
        let since = now - LOOKBACK;
        let spans = link.reader.observed_spans(&link.tenant, (since, now)).await?;
        let gaps = observation_gaps(&spans).filter(|(_, to)| *to > since).map(|(from, to)| {
            let earliest = to - LOOKBACK;
            ObservationGap { span: (from.max(earliest), to), is_cut: from < earliest }
        });
        Ok(gaps.collect())
    }

    async fn fill(&self, gap: ObservationGap) -> anyhow::Result<Result<Filling, CallError>> {
        let link = &self.parts.link;
        let is_last_attempt = gap.span.1 + LAST_READ_AFTER <= link.clock.now() && self.failures >= LEAST_RETRIES;
        let list = match self.read(gap).await? {
            Ok(list) => list,
            Err(error) => return Ok(Err(error)),
        };
        let unreadable =
            list.received - list.rows.iter().filter(|row| row.entered_at.is_some() && row.state.is_some()).count();
        if unreadable > 0 {
            tracing::warn!(tenant = %link.tenant, rows = unreadable, "rows of the platform's state history cannot be read");
        }
        if list.total.is_some_and(|total| list.received < total) {
            // Rows have moved between the pages, and nobody can say whose are missing.
            return Ok(Ok(Filling::Incomplete));
        }
        let mut rows: HashMap<AgentId, Vec<PastState>> = HashMap::new();
        for row in list.rows {
            rows.entry(row.agent.clone()).or_default().push(row);
        }
        let roster = self.parts.roster.borrow().clone();
        let agents = roster.iter().map(|agent| (agent.clone(), rows.remove(agent).unwrap_or_default()));
        let groups = groups(agents);
        let _no_days_are_computed = self.parts.adherence_days.lock().await;
        let mut progress = GapProgress::default();
        for agents in groups {
            let fill = |reply| GapRequest::Fill { gap, agents, is_last_attempt, reply };
            progress += self.request(fill).await?;
        }
        if progress.incomplete_agents > 0 && !is_last_attempt {
            return Ok(Ok(Filling::Incomplete));
        }
        self.request(|reply| GapRequest::Close { span: gap.span, progress, reply }).await?;
        Ok(Ok(Filling::Closed(progress)))
    }

    /// Reads the platform's history of a gap, with the states around it.
    async fn read(&self, gap: ObservationGap) -> anyhow::Result<Result<ListPage<PastState>, CallError>> {
        let link = &self.parts.link;
        let offset = link.offset();
        let margin = SAME_CHANGE_WINDOW + offset.uncertainty().unwrap_or_default();
        let span = (offset.to_platform(gap.span.0) - margin, offset.to_platform(gap.span.1) + margin);
        let per_minute = self.parts.settings.borrow().budget.requests_per_minute * BUDGET_PERCENT / 100;
        let pause = Duration::from_secs(60) / u32::try_from(per_minute).unwrap_or(u32::MAX).max(1);
        read_list_within_budget(link, CallKind::StateHistory, pause, |skip| link.platform.past_states(span, skip)).await
    }

    async fn request<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> GapRequest) -> anyhow::Result<T> {
        let (reply, answer) = oneshot::channel();
        self.parts.link.inbox.send(KeeperMessage::ObservationGap(request(reply))).await?;
        Ok(answer.await?)
    }
}

/// Divides agents into groups that the keeper fills in at once.
fn groups(agents: impl Iterator<Item = (AgentId, Vec<PastState>)>) -> Vec<Vec<(AgentId, Vec<PastState>)>> {
    let mut groups: Vec<Vec<(AgentId, Vec<PastState>)>> = Vec::new();
    let mut rows = 0;
    for (agent, states) in agents {
        rows += states.len();
        match groups.last_mut() {
            Some(group) if group.len() < GROUP_AGENTS && rows <= GROUP_ROWS => group.push((agent, states)),
            Some(_) | None => {
                rows = states.len();
                groups.push(vec![(agent, states)]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests;
