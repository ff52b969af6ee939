//! Reads the platform's directory: teams, their unavailable codes, and agents. The agents join the roster, so that a tenant
//! needs no import to begin.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calls::{CallKind, call_within_budget, read_list_within_budget};
use super::link::Link;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, SubjectId};
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::operations::settings::TenantSettings;
use crate::platform::budget::Urgency;
use crate::platform::retry::RetryBackoff;
use crate::platform::{Call, CallError, Failure, ListPage, ListedAgent, ListedTeam};
use crate::store::{Commit, DirectoryWrite, ListedAgentWrite};

/// The time between two reads of teams and agents.
const READ_EVERY: Duration = Duration::from_secs(3600);

/// The time between two reads of all teams' codes, and of all agents instead of those who changed.
const READ_ALL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often it is checked whether an answer of the platform made the directory outdated.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The pauses after a failed read.
const RETRY_CURVE: RetryBackoff = RetryBackoff { first: Duration::from_secs(10), cap: Duration::from_secs(600) };

/// The shortest time from a read to another one that an answer of the platform makes due, so that a change that is
/// refused again and again does not use up the budget.
const MIN_REREAD: Duration = Duration::from_secs(600);

/// The outcome of a read; the outer error is the store's, and ends the worker.
type Read<T> = anyhow::Result<Result<T, CallError>>;

struct DirectoryReader {
    link: Arc<Link>,
    settings: watch::Receiver<Arc<TenantSettings>>,
    /// From when the next read of agents asks for changes.
    since: Option<String>,
    /// When all codes and all agents were last read, in monotonic time.
    read_all_at: Option<Duration>,
    /// The agents of the platform's list, also those who are not observed.
    listed: HashMap<AgentId, ListedAgent>,
    /// The agents who were known when agents were last stored.
    known: HashSet<AgentId>,
    /// How many agents were observed then.
    observed: usize,
    failures: u32,
}

/// Runs the worker of one tenant.
pub async fn run(
    link: Arc<Link>,
    settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    if !link.platform.capabilities().has_directory {
        soft.cancelled().await;
        return Ok(());
    }
    let mut reader = DirectoryReader::new(link, settings);
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            result = reader.read_and_wait() => result?,
        }
    }
}

impl DirectoryReader {
    fn new(link: Arc<Link>, settings: watch::Receiver<Arc<TenantSettings>>) -> Self {
        Self {
            link,
            settings,
            since: None,
            read_all_at: None,
            listed: HashMap::new(),
            known: HashSet::new(),
            observed: 0,
            failures: 0,
        }
    }

    /// Reads the directory once, and waits until the next read is due.
    async fn read_and_wait(&mut self) -> anyhow::Result<()> {
        let part = self.link.part("directory");
        let pause = match self.read().await? {
            Ok(()) => {
                self.failures = 0;
                self.report_codes(&part);
                READ_EVERY
            }
            // The user may not read it. Observation and changes go on without it.
            Err(error) if matches!(error.failure, Failure::Forbidden { .. }) => {
                self.link.readiness.degraded(&part, format!("agents and codes cannot be read: {error}"));
                READ_EVERY
            }
            Err(error) => {
                self.failures += 1;
                tracing::warn!(tenant = %self.link.tenant, %error, "the platform's directory could not be read");
                self.link.readiness.degraded(&part, format!("the platform's directory could not be read: {error}"));
                RETRY_CURVE.delay(self.failures, error.failure.retry_after(), &*self.link.random)
            }
        };
        self.wait(pause).await
    }

    /// Waits until the next read is due: after `pause`, or sooner if the directory has become outdated. Meanwhile, stores
    /// what the list says of agents who join the roster.
    async fn wait(&mut self, pause: Duration) -> anyhow::Result<()> {
        let link = Arc::clone(&self.link);
        let (clock, platform) = (&link.clock, &link.platform);
        let read_at = clock.monotonic();
        let mut waited = Duration::ZERO;
        while waited < pause && !(waited >= MIN_REREAD && platform.is_directory_outdated()) {
            clock.sleep(CHECK_EVERY.min(pause.saturating_sub(waited))).await;
            waited = clock.monotonic().saturating_sub(read_at);
            if observed_agents(&link) != self.observed {
                self.store_listed(&[], false).await?;
            }
        }
        if platform.is_directory_outdated() {
            self.read_all_at = None;
        }
        Ok(())
    }

    /// Reports codes of the configuration that cannot be set.
    fn report_codes(&self, part: &str) {
        let faults = self.link.platform.code_faults();
        match faults.first() {
            None => self.link.readiness.restored(part),
            Some(first) => {
                let others = if faults.len() > 1 { format!(" (and {} more)", faults.len() - 1) } else { String::new() };
                self.link.readiness.degraded(
                    part,
                    format!(
                        "configured unavailable codes that cannot be set: {first}{others}; correct codes and team_codes"
                    ),
                );
            }
        }
    }

    async fn read(&mut self) -> Read<()> {
        let now = self.link.clock.monotonic();
        let reads_all = self.read_all_at.is_none_or(|last| now.saturating_sub(last) >= READ_ALL_EVERY);
        let teams = match self.read_list(|skip| self.link.platform.teams(skip)).await? {
            Ok(list) => list.rows.into_iter().filter(|team| team.is_active).collect::<Vec<_>>(),
            Err(error) => return Ok(Err(error)),
        };
        if reads_all && let Err(error) = self.read_codes(&teams).await? {
            return Ok(Err(error));
        }
        let since = self.since.clone().filter(|_| !reads_all);
        match self.read_list(|skip| self.link.platform.listed_agents(since.as_deref(), skip)).await? {
            Ok(list) => self.store(list, since.is_none()).await?,
            Err(error) => return Ok(Err(error)),
        }
        if reads_all {
            self.read_all_at = Some(now);
        }
        Ok(Ok(()))
    }

    /// Reads the codes of each team. A team whose codes the user may not read is left out.
    async fn read_codes(&self, teams: &[ListedTeam]) -> Read<()> {
        let mut known_teams = 0;
        for team in teams {
            let call = self.link.platform.unavailable_codes(team);
            match call_within_budget(&self.link, CallKind::Directory, Urgency::Ordinary, None, call).await? {
                Ok(_) => known_teams += 1,
                Err(error) if matches!(error.failure, Failure::Forbidden { .. } | Failure::NotFound) => {
                    tracing::warn!(tenant = %self.link.tenant, team = %team.name, %error, "the team's codes are unknown");
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        self.link.update_directory(|state| state.teams = known_teams);
        Ok(Ok(()))
    }

    /// Reads all pages of a list.
    async fn read_list<'a, T: PartialEq + Send>(
        &'a self,
        page_from: impl Fn(usize) -> Call<'a, ListPage<T>>,
    ) -> Read<ListPage<T>> {
        read_list_within_budget(&self.link, CallKind::Directory, Duration::ZERO, page_from).await
    }

    /// Takes over the agents of a read, stores them and tells the keeper.
    async fn store(&mut self, list: ListPage<ListedAgent>, is_complete: bool) -> anyhow::Result<()> {
        if is_complete {
            self.listed.clear();
        }
        let read: Vec<AgentId> = list.rows.iter().map(|listed| listed.id.clone()).collect();
        self.listed.extend(list.rows.into_iter().map(|listed| (listed.id.clone(), listed)));
        let read_at = self.link.clock.now();
        self.store_listed(&read, is_complete).await?;
        self.link.update_directory(|state| (state.read_at, state.hidden_agents) = (Some(read_at), list.hidden));
        self.since = list.polled_at;
        Ok(())
    }

    /// Stores these agents, and those who have become known since the last time. Nothing is stored of people who are not
    /// observed.
    async fn store_listed(&mut self, read: &[AgentId], is_complete: bool) -> anyhow::Result<()> {
        let (link, joins_roster) = (&self.link, self.settings.borrow().directory.joins_roster);
        self.observed = observed_agents(link);
        let stored = link.reader.agents(&link.tenant).await?;
        let stored = stored.into_iter().filter(|agent| !agent.is_being_erased).map(|agent| agent.agent.id);
        let configured = self.settings.borrow().agents.clone();
        let known: HashSet<AgentId> = stored.chain(configured).collect();
        let is_on_roster = |listed: &ListedAgent| listed.is_active && joins_roster;
        let newly_known = known.iter().filter(|id| !self.known.contains(*id) && self.listed.contains_key(*id));
        let written: HashSet<&AgentId> = read.iter().chain(newly_known).collect();
        let agents = written.into_iter().filter_map(|id| self.listed.get(id));
        let agents = agents.filter(|listed| is_on_roster(listed) || known.contains(&listed.id)).cloned();
        let agents: Vec<_> = agents
            .map(|listed| ListedAgentWrite {
                is_active: is_on_roster(&listed),
                agent: Agent { id: listed.id, name: listed.name, team: listed.team, zone: listed.zone },
                subject: SubjectId(link.random.random_id()),
                user_id: listed.user_id,
                user_name: listed.user_name,
            })
            .collect();
        self.known = known;
        if agents.is_empty() && !is_complete {
            return Ok(());
        }
        let directory = vec![DirectoryWrite { tenant: link.tenant.clone(), is_complete, agents }];
        link.writer.commit(Commit { directory, ..Commit::default() }).await?;
        // The keeper reads the store when it starts, so a message that does not reach it is no loss.
        let _ = link.inbox.send(KeeperMessage::ScheduleChanged).await;
        Ok(())
    }
}

/// Returns how many agents are observed.
fn observed_agents(link: &Link) -> usize {
    link.subscriptions().iter().map(|subscription| subscription.agents).sum()
}

#[cfg(test)]
mod tests;
