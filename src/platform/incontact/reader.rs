//! Reads the agents' states, page by page. A row that is missing is unchanged, unless the read was one of all agents.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::domain::ids::{AgentId, ReasonCode, SubscriptionId, TeamName};
use crate::domain::time::UtcMicros;
use crate::platform::error::{CallError, Failure};
use crate::platform::snapshot::{
    AgentObservation, MAX_DIAGNOSTICS, SnapshotBody, SnapshotDelta, SnapshotDiagnostic, SnapshotFault, SnapshotReader,
    UnreadableRows,
};
use crate::platform::text;

use super::known_directory::KnownDirectory;
use super::lists::full_name;
use super::poll::Polls;
use super::states::StateReading;
use super::wire::{Page, StateRow, parse_instant, parse_page};

/// Reads the states of the agents of one tenant.
#[derive(Debug)]
pub(super) struct StatesReader {
    agents: Arc<[AgentId]>,
    index: HashMap<AgentId, usize, RandomState>,
    states: Arc<StateReading>,
    polls: Arc<Polls>,
    directory: Arc<KnownDirectory>,
    overlap: Duration,
    hasher: RandomState,
    /// For each agent, the fingerprint of what was last returned.
    fingerprints: Vec<Option<u64>>,
    /// The agents without a row in the last read of all agents, and since.
    absent: Arc<[AgentId]>,
    /// The `lastPollTime` of the last read that had one.
    last_polled_at: Option<UtcMicros>,
    /// What was read of the present read.
    partial: Partial,
}

/// What the pages of one read have so far.
#[derive(Debug, Default)]
struct Partial {
    /// The `lastPollTime` of the first page; later pages may be newer.
    polled_at: Option<String>,
    /// The latest instant in the rows.
    latest: Option<UtcMicros>,
    /// The last row of each agent.
    rows: HashMap<usize, (u64, AgentObservation)>,
    row_count: usize,
    /// How many rows were of an agent who had one already.
    repeats: usize,
    /// The platform's clock at the first answer.
    answered_at: Option<UtcMicros>,
    /// The agents with a row that cannot be read.
    unreadable: BTreeSet<usize>,
    /// Rows that cannot be read and name nobody.
    unreadable_without_id: usize,
    /// The number of rows that the first page announced.
    total: Option<usize>,
    /// The fingerprint of the last page.
    last_page: Option<u64>,
    diagnostics: Vec<SnapshotDiagnostic>,
    more_diagnostics: usize,
}

impl Partial {
    fn add_diagnostic(&mut self, row: usize, agent: Option<AgentId>, fault: SnapshotFault) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(SnapshotDiagnostic { row: Some(row), agent, fault });
        } else {
            self.more_diagnostics += 1;
        }
    }
}

impl StatesReader {
    pub(super) fn new(
        agents: &[AgentId],
        states: Arc<StateReading>,
        polls: Arc<Polls>,
        directory: Arc<KnownDirectory>,
        overlap: Duration,
    ) -> Self {
        Self {
            agents: agents.into(),
            index: agents.iter().enumerate().map(|(place, agent)| (agent.clone(), place)).collect(),
            states,
            polls,
            directory,
            overlap,
            hasher: RandomState::default(),
            fingerprints: vec![None; agents.len()],
            absent: agents.into(),
            last_polled_at: None,
            partial: Partial::default(),
        }
    }

    /// Reads one row into the present read.
    fn read_row(&mut self, row: Option<&StateRow<'_>>) {
        let number = self.partial.row_count;
        self.partial.row_count += 1;
        let id = row.and_then(|row| row.agent_id.id()).filter(|id| text::is_id(id));
        let (Some(row), Some(id)) = (row, id) else {
            self.partial.unreadable_without_id += 1;
            return self.partial.add_diagnostic(number, None, SnapshotFault::Unreadable);
        };
        for instant in [&row.updated_at, &row.polled_at] {
            self.partial.latest = self.partial.latest.max(instant.text().and_then(parse_instant));
        }
        // The call lists everybody whom the key may see, so an unknown agent is normal.
        let Some(&place) = self.index.get(id.as_str()) else { return };
        let agent = self.agents[place].clone();
        let team = row.team_name.text().map(|name| TeamName::new(text::truncated(name)));
        let Some(state) = self.states.state_of(row, team.as_ref()) else {
            self.partial.unreadable.insert(place);
            return self.partial.add_diagnostic(number, Some(agent), SnapshotFault::Unreadable);
        };
        let changed_at = row.start_date.text().and_then(parse_instant);
        if changed_at.is_none() && row.start_date.text().is_some() {
            self.partial.add_diagnostic(number, Some(agent.clone()), SnapshotFault::BadInstant);
        }
        if let Some(team) = &team {
            self.directory.record_team(&agent, team);
        }
        let name = full_name(&row.first_name, &row.last_name);
        let reason = self.states.reason_of(&state, (&row.out_state_id, &row.out_state), team.as_ref());
        let queue = row.skill_name.text().map(text::truncated).filter(|_| state.is_on_contact());
        let observation = AgentObservation {
            agent,
            reason,
            queue: queue.map(|queue| queue.as_ref().into()),
            changed_at,
            team,
            name: name.map(|name| text::truncated(&name).as_ref().into()),
            state,
        };
        let fingerprint = self.hasher.hash_one((
            observation.state.name(),
            row.out_state_id.integer(),
            observation.reason.as_ref().map(ReasonCode::as_str),
            observation.changed_at.map(UtcMicros::as_micros),
            observation.queue.as_deref(),
            observation.team.as_ref().map(TeamName::as_str),
            observation.name.as_deref(),
        ));
        if self.partial.rows.insert(place, (fingerprint, observation)).is_some() {
            self.partial.repeats += 1;
        }
    }

    /// Reads a page and returns whether the read is complete, or what is wrong with the page.
    fn read_page(&mut self, answer: &SnapshotBody) -> Result<bool, String> {
        let body = &*answer.bytes;
        self.partial.answered_at = self.partial.answered_at.or(answer.answered_at);
        // As with status 204: nothing has changed, or there are no more rows.
        if body.trim_ascii().is_empty() {
            return Ok(true);
        }
        let not_states = || format!("expected agents' states, got {} bytes that are something else", body.len());
        let mut repaired = String::new();
        let page: Page<'_, StateRow<'_>> = parse_page(body, &mut repaired).ok_or_else(not_states)?;
        let rows = page.rows.ok_or_else(not_states)?;
        // A platform that ignores `skip` would be asked for pages without end.
        let fingerprint = self.hasher.hash_one(body);
        if self.partial.last_page.replace(fingerprint) == Some(fingerprint) && !rows.is_empty() {
            return Err("expected the next page of agents' states, got the same one again".to_owned());
        }
        if self.partial.row_count == 0 {
            self.partial.polled_at = page.last_poll_time.text().map(str::to_owned);
            self.partial.total = page.total.integer().and_then(|total| usize::try_from(total).ok());
        }
        for row in &rows {
            self.read_row(row.0.as_ref());
        }
        let received = self.partial.row_count;
        self.polls.lock().received = received;
        Ok(rows.is_empty() || self.partial.total.is_some_and(|total| received >= total))
    }

    /// Ends the present read and returns what is new.
    fn finish(&mut self) -> Result<SnapshotDelta, String> {
        let partial = std::mem::take(&mut self.partial);
        let polled_at = partial.polled_at.as_deref().and_then(parse_instant);
        // Nothing at all is no list of everybody.
        if self.polls.lock().is_full && partial.row_count == 0 && partial.total.is_none() {
            self.polls.restart();
            return Err("expected all agents' states with their lastPollTime, got none".to_owned());
        }
        let generated_at = polled_at.or(partial.answered_at).or(partial.latest).ok_or_else(|| {
            self.polls.restart();
            "expected agents' states with their lastPollTime".to_owned()
        })?;
        // The next read begins where this one ended by the platform's own words, never by a clock's.
        let ended_at = polled_at.or(partial.latest).map(|at| (at - self.overlap).to_string());
        let is_set_back = polled_at.is_some_and(|at| self.last_polled_at.is_some_and(|last| at < last));
        self.last_polled_at = polled_at.or(self.last_polled_at);
        let is_full = self.polls.finish(ended_at);
        // Rows move between pages. A read that is short says nothing of those who are not in it, and is made again.
        let is_short = partial.total.is_some_and(|total| partial.row_count - partial.repeats < total);
        // What changed before a clock was set back has instants before it, which a later read would not ask for.
        if is_short || is_set_back {
            self.polls.restart();
        }
        let is_whole = is_full && !is_short;
        let unreadable = |place: &usize| partial.unreadable.contains(place) && !partial.rows.contains_key(place);
        let is_absent = |place: &usize| !partial.rows.contains_key(place);
        let before: BTreeSet<usize> = if is_whole {
            (0..self.agents.len()).collect()
        } else {
            let absent = self.absent.iter().filter_map(|agent| self.index.get(agent).copied());
            absent.chain(partial.unreadable.iter().copied()).collect()
        };
        self.absent = before.into_iter().filter(is_absent).map(|place| self.agents[place].clone()).collect();
        let agent_at = |place: usize| self.agents[place].clone();
        let unreadable_agents: Arc<[AgentId]> =
            partial.unreadable.iter().copied().filter(|place| unreadable(place)).map(agent_at).collect();
        // A row that cannot be read may be anybody's.
        let missing: Arc<[AgentId]> = if is_whole && partial.unreadable_without_id == 0 {
            self.absent.iter().filter(|agent| !unreadable_agents.contains(agent)).cloned().collect()
        } else {
            Arc::default()
        };
        let mut changed: Vec<(usize, AgentObservation)> = Vec::new();
        for (place, (fingerprint, observation)) in partial.rows {
            if self.fingerprints[place].replace(fingerprint) != Some(fingerprint) {
                changed.push((place, observation));
            }
        }
        changed.sort_unstable_by_key(|(place, _)| *place);
        Ok(SnapshotDelta {
            generated_at,
            repeated: false,
            changed: changed.into_iter().map(|(_, observation)| observation).collect(),
            rows: partial.row_count,
            missing,
            absent: Arc::clone(&self.absent),
            unreadable: UnreadableRows { agents: unreadable_agents, without_id: partial.unreadable_without_id },
            diagnostics: partial.diagnostics,
            more_diagnostics: partial.more_diagnostics,
        })
    }
}

impl SnapshotReader for StatesReader {
    fn read(&mut self, _: &SubscriptionId, body: SnapshotBody) -> Result<Option<SnapshotDelta>, CallError> {
        let read = self.read_page(&body).and_then(|is_complete| is_complete.then(|| self.finish()).transpose());
        read.map_err(|excerpt| {
            self.partial = Partial::default();
            self.polls.lock().received = 0;
            CallError::without_request("read the agents' states", Failure::Malformed { status: 200, excerpt })
        })
    }

    fn reset(&mut self) {
        self.polls.restart();
        self.partial = Partial::default();
        self.fingerprints.fill(None);
    }
}
