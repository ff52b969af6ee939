//! Reads the platform's directory: teams, their unavailable codes, and agents. The agents join the roster, so that a tenant
//! needs no import to begin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calls::{CallKind, call_within_budget};
use super::link::Link;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::SubjectId;
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::operations::settings::TenantSettings;
use crate::platform::budget::Urgency;
use crate::platform::retry::RetryBackoff;
use crate::platform::{CallError, Failure, ListPage, ListedAgent, ListedTeam};
use crate::store::{Commit, CommitError, DirectoryWrite, ListedAgentWrite};

/// The time between two reads of teams and agents.
const READ_EVERY: Duration = Duration::from_secs(3600);

/// The time between two reads of all teams' codes, and of all agents instead of those who changed.
const READ_ALL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often it is checked whether an answer of the platform made the directory outdated.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The pauses after a failed read.
const RETRY_CURVE: RetryBackoff = RetryBackoff { first: Duration::from_secs(10), cap: Duration::from_secs(600) };

/// The most pages of one list.
const MAX_PAGES: usize = 1_000;

/// The outcome of a call; the outer error means that the store did not record it.
type Read<T> = Result<Result<T, CallError>, CommitError>;

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
        let clock = &self.link.clock;
        let due_at = clock.monotonic() + pause;
        while clock.monotonic() < due_at && !self.link.platform.is_directory_outdated() {
            clock.sleep(CHECK_EVERY.min(due_at.saturating_sub(clock.monotonic()))).await;
        }
        if self.link.platform.is_directory_outdated() {
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
        let teams = match self.read_teams().await? {
            Ok(teams) => teams,
            Err(error) => return Ok(Err(error)),
        };
        if reads_all && let Err(error) = self.read_codes(&teams).await? {
            return Ok(Err(error));
        }
        let since = self.since.clone().filter(|_| !reads_all);
        match self.read_agents(since.as_deref()).await? {
            Ok(list) => self.store(list, since.is_none()).await?,
            Err(error) => return Ok(Err(error)),
        }
        if reads_all {
            self.read_all_at = Some(now);
        }
        Ok(Ok(()))
    }

    async fn read_teams(&self) -> Read<Vec<ListedTeam>> {
        let (mut teams, mut skip) = (Vec::new(), 0);
        for _ in 0..MAX_PAGES {
            let call = self.link.platform.teams(skip);
            let page = match call_within_budget(&self.link, CallKind::Directory, Urgency::Ordinary, None, call).await? {
                Ok(answer) => answer.value,
                Err(error) => return Ok(Err(error)),
            };
            let next = page.next(skip);
            teams.extend(page.rows.into_iter().filter(|team| team.is_active));
            match next {
                Some(next) => skip = next,
                None => break,
            }
        }
        Ok(Ok(teams))
    }

    /// Reads the codes of each team. A team whose codes the user may not read is left out.
    async fn read_codes(&self, teams: &[ListedTeam]) -> Read<()> {
        let mut known = BTreeMap::new();
        for team in teams {
            let call = self.link.platform.unavailable_codes(team);
            match call_within_budget(&self.link, CallKind::Directory, Urgency::Ordinary, None, call).await? {
                Ok(answer) => {
                    known.insert(team.name.clone(), answer.value.into());
                }
                Err(error) if matches!(error.failure, Failure::Forbidden { .. } | Failure::NotFound) => {
                    tracing::warn!(tenant = %self.link.tenant, team = %team.name, %error, "the team's codes are unknown");
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        self.link.update_directory(|state| state.teams = known);
        Ok(Ok(()))
    }

    /// Reads all agents, or those who changed since an instant. The instant of the result is that of the first page,
    /// since rows of later pages may be newer.
    async fn read_agents(&self, since: Option<&str>) -> Read<ListPage<ListedAgent>> {
        let mut all = ListPage { rows: Vec::new(), received: 0, total: None, polled_at: None, hidden: 0 };
        for number in 0..MAX_PAGES {
            let call = self.link.platform.listed_agents(since, all.received);
            let page = match call_within_budget(&self.link, CallKind::Directory, Urgency::Ordinary, None, call).await? {
                Ok(answer) => answer.value,
                Err(error) => return Ok(Err(error)),
            };
            let is_last = page.next(all.received).is_none();
            if number == 0 {
                (all.polled_at, all.hidden) = (page.polled_at, page.hidden);
            }
            all.received += page.received;
            all.rows.extend(page.rows);
            if is_last {
                break;
            }
        }
        Ok(Ok(all))
    }

    /// Stores the agents and tells the keeper.
    async fn store(&mut self, list: ListPage<ListedAgent>, is_complete: bool) -> Result<(), CommitError> {
        let (link, joins_roster) = (&self.link, self.settings.borrow().directory.joins_roster);
        let read_at = link.clock.now();
        let changed = list.rows.len();
        let active = list.rows.iter().filter(|agent| agent.is_active).count();
        let agents = list.rows.into_iter().map(|listed| ListedAgentWrite {
            agent: Agent { id: listed.id, name: listed.name, team: listed.team, zone: listed.zone },
            subject: SubjectId(link.random.random_id()),
            is_active: listed.is_active && joins_roster,
            user_id: listed.user_id,
            user_name: listed.user_name,
        });
        let directory = vec![DirectoryWrite { tenant: link.tenant.clone(), is_complete, agents: agents.collect() }];
        link.writer.commit(Commit { directory, ..Commit::default() }).await?;
        link.update_directory(|state| {
            (state.read_at, state.hidden_agents) = (Some(read_at), list.hidden);
            if is_complete {
                state.agents = active;
            }
        });
        self.since = list.polled_at;
        if changed > 0 || is_complete {
            // The keeper reads the store when it starts, so a message that does not reach it is no loss.
            let _ = link.inbox.send(KeeperMessage::ScheduleChanged).await;
        }
        Ok(())
    }
}
