//! Reads the platform's directory: teams, their unavailable codes, and agents. The agents join the roster, so that a tenant
//! needs no import to begin.

use std::collections::HashSet;
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
    let mut reader = DirectoryReader { link, settings, since: None, read_all_at: None, failures: 0 };
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            result = reader.read_and_wait() => result?,
        }
    }
}

impl DirectoryReader {
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
        self.wait(pause).await;
        Ok(())
    }

    /// Waits until the next read is due: after `pause`, or sooner if the directory has become outdated.
    async fn wait(&mut self, pause: Duration) {
        let (clock, platform) = (&self.link.clock, &self.link.platform);
        let read_at = clock.monotonic();
        let mut waited = Duration::ZERO;
        while waited < pause && !(waited >= MIN_REREAD && platform.is_directory_outdated()) {
            clock.sleep(CHECK_EVERY.min(pause.saturating_sub(waited))).await;
            waited = clock.monotonic().saturating_sub(read_at);
        }
        if platform.is_directory_outdated() {
            self.read_all_at = None;
        }
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

    /// Stores the agents and tells the keeper.
    async fn store(&mut self, list: ListPage<ListedAgent>, is_complete: bool) -> anyhow::Result<()> {
        let (link, joins_roster) = (&self.link, self.settings.borrow().directory.joins_roster);
        let (read_at, changed) = (link.clock.now(), list.rows.len());
        // Nothing is stored of people who are not observed.
        let stored = link.reader.agents(&link.tenant).await?;
        let known: HashSet<&AgentId> =
            stored.iter().filter(|agent| !agent.is_being_erased).map(|agent| &agent.agent.id).collect();
        let is_on_roster = |listed: &ListedAgent| listed.is_active && joins_roster;
        let agents = list.rows.into_iter().filter(|listed| is_on_roster(listed) || known.contains(&listed.id));
        let agents = agents.map(|listed| ListedAgentWrite {
            is_active: is_on_roster(&listed),
            agent: Agent { id: listed.id, name: listed.name, team: listed.team, zone: listed.zone },
            subject: SubjectId(link.random.random_id()),
            user_id: listed.user_id,
            user_name: listed.user_name,
        });
        let directory = vec![DirectoryWrite { tenant: link.tenant.clone(), is_complete, agents: agents.collect() }];
        link.writer.commit(Commit { directory, ..Commit::default() }).await?;
        link.update_directory(|state| (state.read_at, state.hidden_agents) = (Some(read_at), list.hidden));
        self.since = list.polled_at;
        if changed > 0 || is_complete {
            // The keeper reads the store when it starts, so a message that does not reach it is no loss.
            let _ = link.inbox.send(KeeperMessage::ScheduleChanged).await;
        }
        Ok(())
    }
}
